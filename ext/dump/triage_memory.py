"""Virtual memory that lies in a file in pieces, at any addresses and of any sizes: a triage dump's."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, compress, count
from mmap import mmap

from dumpkit.dump.header import Buffer
from dumpkit.memory import AddressSpace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, List, Optional, Sequence, Tuple, Union

    from dumpkit.dump.triage import Extent


class TriageMemory(AddressSpace):
    """The extents of a triage dump as one address space.

    `list_extents` gives them, the one that counts before the others that overlap it; it is called, and
    the index built, at the first read.
    """

    def __init__(self, view: Buffer, list_extents: Callable[[], Sequence[Extent]]) -> None:
        # Slices of bytes and of a mapping are bytes; those of the other kinds are not.
        self._view: Union[bytes, mmap] = view if isinstance(view, (bytes, mmap)) else bytes(view)
        self._list_extents: Optional[Callable[[], Sequence[Extent]]] = list_extents
        # Disjoint and ascending: first address, address behind the last, file offset minus address.
        self._starts: Sequence[int] = ()
        self._ends: Sequence[int] = ()
        self._deltas: Sequence[int] = ()

    def _index(self) -> None:
        assert self._list_extents is not None
        extents = disjoint(self._list_extents())
        if extents:
            self._starts, self._ends, offsets = zip(*extents)
            self._deltas = [offset - start for offset, start in zip(offsets, self._starts)]
        self._list_extents = None

    @property
    def extents_in_order(self) -> List[Extent]:
        """What can be read: disjoint extents, ascending."""
        if self._list_extents is not None:
            self._index()
        return [(s, e, s + d) for s, e, d in zip(self._starts, self._ends, self._deltas)]

    def read_prefix(self, address: int, size: int) -> bytes:
        """The bytes from a virtual address on, up to `size` or the first that is not in the dump."""
        if self._list_extents is not None:
            self._index()
        index = bisect_right(self._starts, address) - 1
        if index < 0 or size <= 0:
            return b""
        end = self._ends[index]
        offset = address + self._deltas[index]
        if address + size <= end:
            return self._view[offset : offset + size]
        if address >= end:
            return b""
        return self._read_across(index, address, address + size)

    def _read_across(self, index: int, address: int, limit: int) -> bytes:
        """As `read_prefix`, from the extent `index` on into those that follow it without a gap."""
        pieces = []
        while True:
            end = min(self._ends[index], limit)
            delta = self._deltas[index]
            pieces.append(self._view[address + delta : end + delta])
            address = end
            index += 1
            if address == limit or index == len(self._starts) or self._starts[index] != address:
                return b"".join(pieces)

    def explain(self, address: int) -> str:
        """Why a virtual address cannot be read: a triage dump holds some pieces of memory and no page tables."""
        return "readable" if self.read_prefix(address, 1) else "not in this triage dump"

    def next_readable(self, address: int, limit: int) -> Optional[int]:
        """The first address at or above `address` and below `limit` that is in the dump, or None."""
        if self._list_extents is not None:
            self._index()
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self._ends[index]:
            return address if address < limit else None
        if index + 1 == len(self._starts):
            return None
        found = self._starts[index + 1]
        return found if found < limit else None


def disjoint(extents: Sequence[Extent]) -> List[Extent]:
    """The extents cut so that none overlaps another, ascending: each byte comes from the first that holds it."""
    # In bulk: of a dump's thousands of extents, nearly all stand alone.
    starts = [start for start, _, _ in extents]
    order = sorted(range(len(extents)), key=starts.__getitem__)
    ordered = [extents[i] for i in order]
    reached = accumulate([end for _, end, _ in ordered], max)
    overlaps = [False, *[end > starts[i] for end, i in zip(reached, order[1:])]]
    result: List[Extent] = []
    taken = 0
    for at in compress(count(), overlaps):
        if at < taken:
            continue
        behind = at + 1
        while behind < len(overlaps) and overlaps[behind]:
            behind += 1
        result += ordered[taken : at - 1]
        _add_cluster(result, extents, order[at - 1 : behind])
        taken = behind
    result += ordered[taken:]
    return result


def _add_cluster(result: List[Extent], extents: Sequence[Extent], cluster: Sequence[int]) -> None:
    """Add a group of extents, ascending by start, of which each overlaps one before it."""
    from heapq import heappush

    # A sweep over the places where extents begin: on the heap lie those that reach beyond, the first one on top.
    reaching: List[Tuple[int, int]] = []
    position = extents[cluster[0]][0]
    for following, i in enumerate(cluster, 1):
        heappush(reaching, (i, extents[i][1]))
        limit = extents[cluster[following]][0] if following < len(cluster) else None
        position = _emit(result, extents, reaching, position, limit)


def _emit(
    result: List[Extent],
    extents: Sequence[Extent],
    reaching: List[Tuple[int, int]],
    position: int,
    limit: Optional[int],
) -> int:
    """Add what counts from `position` up to `limit` (None: to the end); the position reached."""
    from heapq import heappop

    while reaching and (limit is None or position < limit):
        i, end = reaching[0]
        if end <= position:
            heappop(reaching)
            continue
        stop = end if limit is None else min(end, limit)
        start, _, offset = extents[i]
        place = offset + position - start
        last_start, last_end, last_place = result[-1] if result else (0, 0, 0)
        if result and last_end == position and last_place + last_end - last_start == place:
            result[-1] = (last_start, stop, last_place)
        else:
            result.append((position, stop, place))
        position = stop
    return position if limit is None else limit
