"""What of a machine's memory a dump holds, for a picture of it."""

from __future__ import annotations

from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, List, Optional, Tuple

#: So many equal pieces of the range of physical memory are told apart.
MAP_PIECES = 400
#: Pieces of virtual memory that are listed, the largest.
MOST_EXTENTS = 40


class Extent(NamedTuple):
    """`[start, end)` of memory that the dump holds, and what lies there, as far as that is known."""

    start: int
    end: int
    holds: str = ""


class MemoryMap(NamedTuple):
    """The memory of a dump. Addresses are of its kind, sizes bytes."""

    #: "physical" or "virtual".
    kind: str
    start: int
    end: int
    held: int
    #: For each equal piece of the range, the share of it that is there (0 to 1); empty for virtual memory.
    shares: Tuple[float, ...]
    #: The largest pieces of virtual memory, by address; empty for physical memory.
    extents: Tuple[Extent, ...]


def memory_map(target: Target) -> Optional[MemoryMap]:
    """The map of a dump's memory; None for a target that is no dump, or holds nothing."""
    from dumpkit.dump.physical_target import PhysicalTarget
    from dumpkit.dump.runs import PAGE_SHIFT
    from dumpkit.dump.triage_target import TriageTarget

    if isinstance(target, PhysicalTarget):
        runs = target.physical.runs
        pieces = [(first << PAGE_SHIFT, end << PAGE_SHIFT) for first, end in zip(runs.starts, runs.ends)]
        return _physical(pieces)
    if isinstance(target, TriageTarget):
        return _virtual(target, [(start, end) for start, end, _ in target.memory.extents_in_order])
    return None


def _physical(pieces: List[Tuple[int, int]]) -> Optional[MemoryMap]:
    if not pieces:
        return None
    start, end = 0, max(end for _, end in pieces)
    size = max((end - start + MAP_PIECES - 1) // MAP_PIECES, 1)
    held = [0] * ((end - start + size - 1) // size)
    for first, last in pieces:
        while first < last:
            index = (first - start) // size
            stop = min(last, start + (index + 1) * size)
            held[index] += stop - first
            first = stop
    return MemoryMap("physical", start, end, _total(pieces), tuple(min(each / size, 1.0) for each in held), ())


def _virtual(target: Target, pieces: List[Tuple[int, int]]) -> Optional[MemoryMap]:
    if not pieces:
        return None
    largest = sorted(sorted(pieces, key=lambda piece: piece[0] - piece[1])[:MOST_EXTENTS])
    extents = tuple(Extent(start, end, _holds(target, start)) for start, end in largest)
    return MemoryMap("virtual", pieces[0][0], max(end for _, end in pieces), _total(pieces), (), extents)


def _total(pieces: Iterable[Tuple[int, int]]) -> int:
    return sum(end - start for start, end in pieces)


def _holds(target: Target, address: int) -> str:
    """What lies at a virtual address: an image, the stack that crashed; "" where that is not known."""
    module = target.module_at(address)
    if module is not None:
        return f"image {module.name}"
    stack = target.context(target.current_processor).stack_pointer
    return "the stack that crashed" if address <= stack < address + (1 << 15) else ""
