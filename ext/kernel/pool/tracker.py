"""PoolTrackTable: how much pool each tag has, counted by the kernel.

An array of _POOL_TRACKER_TABLE with as many entries as PoolTrackTableSize says; each processor counts in a table of
its own (nt!ExPoolTagTables, since Windows Vista), and tags that found no place are in PoolTrackTableExpansion. The
counts of a tag are the sums over all of them; one processor's alone may be below zero.
"""

from __future__ import annotations

from dumpkit.errors import MemoryReadError, SymbolError
from dumpkit.kernel.pool.header import Field, field
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional, Tuple

_MOST_ENTRIES = 1 << 20
_MOST_PROCESSORS = 2048
_COUNTS = ("NonPagedAllocs", "NonPagedFrees", "NonPagedBytes", "PagedAllocs", "PagedFrees", "PagedBytes")


class TagUse(NamedTuple):
    """What a tag's allocations take: numbers of calls, and the bytes that are not freed."""

    tag: int
    nonpaged_allocations: int
    nonpaged_frees: int
    nonpaged_bytes: int
    paged_allocations: int
    paged_frees: int
    paged_bytes: int

    @property
    def nonpaged_count(self) -> int:
        """Allocations in nonpaged pool that are not freed."""
        return self.nonpaged_allocations - self.nonpaged_frees

    @property
    def paged_count(self) -> int:
        """Allocations in paged pool that are not freed."""
        return self.paged_allocations - self.paged_frees


class PoolUse(NamedTuple):
    """The use of every tag, in the table's order, and what could not be read."""

    tags: Tuple[TagUse, ...]
    problems: Tuple[str, ...]


class PoolTracker:
    """Reads the tables. Raises SymbolError where the kernel's symbols do not have them."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._memory = target.memory
        type = target.type("_POOL_TRACKER_TABLE")
        self._size = type.size
        self._key = field(type, "Key")
        self._counts: List[Field] = [field(type, name) for name in _COUNTS]
        self._problems: List[str] = []

    def read(self) -> PoolUse:
        """The sums of all tables. Raises SymbolError, MemoryReadError where even the first table is missing."""
        table, count = self._variable("PoolTrackTable"), self._variable("PoolTrackTableSize")
        if not table or not 0 < count <= _MOST_ENTRIES:
            raise MemoryReadError(table, f"PoolTrackTable is not set up: {count:#x} entries")
        sums: Dict[int, List[int]] = {}
        for each in dict.fromkeys([table, *self._processors()]):
            self._add(sums, each, count)
        try:
            expansion, more = self._variable("PoolTrackTableExpansion"), self._variable("PoolTrackTableExpansionSize")
        except (SymbolError, MemoryReadError):
            expansion, more = 0, 0
        if expansion and 0 < more <= _MOST_ENTRIES:
            self._add(sums, expansion, more)
        masks = [each.mask for each in self._counts]
        tags = tuple(TagUse(tag, *map(wrapped, counts, masks)) for tag, counts in sums.items())
        return PoolUse(tags, tuple(self._problems))

    def _variable(self, name: str) -> int:
        return self._memory.u64(self._target.symbols.address_of(f"nt!{name}"))

    def _processors(self) -> Iterator[int]:
        try:
            tables = self._target.symbols.address_of("nt!ExPoolTagTables")
        except SymbolError:
            return
        for number in range(min(self._target.system.processors, _MOST_PROCESSORS)):
            table = self._memory.u64_optional(tables + 8 * number)
            if table is None:
                self._problems.append(f"ExPoolTagTables[{number}] cannot be read")
                return
            if table:
                yield table

    def _add(self, sums: Dict[int, List[int]], table: int, count: int) -> None:
        size = count * self._size
        held = 0
        for place, data in self._memory.extents(table, size):
            held += len(data)
            at = -(place - table) % self._size
            while at + self._size <= len(data):
                tag = self._key.of(data, at) & 0xFFFF_FFFF
                if tag:
                    counts = sums.setdefault(tag, [0] * len(_COUNTS))
                    for index, each in enumerate(self._counts):
                        counts[index] += each.of(data, at)
                at += self._size
        if held < size:
            self._problems.append(f"{size - held:#x} of {size:#x} bytes of the table at {table:016x} cannot be read")


def wrapped(value: int, mask: int) -> int:
    """A sum of unsigned counts of a width as the number that it is: tables of single processors may be below zero."""
    value &= mask
    return value - mask - 1 if value > mask >> 1 else value


def pool_use(target: Target) -> PoolUse:
    """How much pool each tag has. Raises SymbolError, or MemoryReadError where the table is not there at all."""
    return PoolTracker(target).read()


def sort_key(order: Optional[str], use: TagUse) -> Tuple[int, bytes]:
    """What sorts tags by name, or by bytes of "nonpaged" or "paged" pool, the largest first."""
    size = {"nonpaged": use.nonpaged_bytes, "paged": use.paged_bytes}.get(order or "", 0)
    return -size, use.tag.to_bytes(4, "little")
