"""All allocations of a tag: in the table of big pages, in every segment of the heaps, in every classic page.

Where the heaps cannot be read, the readable memory of the pool's regions is searched for POOL_HEADERs instead; what
that finds nothing confirms.
"""

from __future__ import annotations

from dumpkit.errors import MemoryReadError, SymbolError
from dumpkit.kernel.pool.big_pages import BigEntry
from dumpkit.kernel.pool.block import CLASSIC, PAGE, Block, tag_text
from dumpkit.kernel.pool.header import PAGED, PROTECTED
from dumpkit.kernel.pool.pools import Pools
from dumpkit.kernel.pool.segment_heap import LFH_RANGE, VS_RANGE, Heap, PageRange
from dumpkit.kernel.system_va import system_va_types
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Iterator, List, Optional, Tuple

NONPAGED_ONLY, PAGED_ONLY, SPECIAL_ONLY = 0, 1, 2
#: Numbers that a search keeps in mind.
_MOST_NUMBERS = 1 << 20
_REGIONS = {NONPAGED_ONLY: "Nonpaged pool", PAGED_ONLY: "Paged pool", SPECIAL_ONLY: "Special pool"}
_AT_ONCE = 1 << 20
_KERNEL_SPACE = 0xFFFF_8000_0000_0000
_END_OF_SPACE = 0xFFFF_FFFF_FFFF_F000


class FoundBlock(NamedTuple):
    """A block of the tag. `guessed` where only its POOL_HEADER speaks for it."""

    block: Block
    guessed: bool = False


class TagSearch:
    """The search for the tags that `wanted` accepts in one kind of pool.

    `problems` grows while it goes on: what could not be searched.
    """

    def __init__(self, pools: Pools, wanted: Callable[[str], bool], pool_type: int) -> None:
        self.pools = pools
        self.wanted = wanted
        self.pool_type = pool_type
        self.problems: List[str] = []
        self._memory = pools.target.memory

    def _fits(self, tag: Optional[int]) -> bool:
        return tag is not None and self.wanted(tag_text(tag & ~PROTECTED))

    # --- Big pages ------------------------------------------------------------------

    @property
    def table(self) -> Tuple[int, int]:
        """Where PoolBigPageTable lies, [start, end); (0, 0) without one."""
        try:
            big = self.pools.big_pages
        except SymbolError:
            return 0, 0
        return big.table, big.end

    def big(self) -> Iterator[BigEntry]:
        """The entries of the table of big pages."""
        try:
            big = self.pools.big_pages
        except SymbolError as error:
            self.problems.append(str(error))
            return
        if big.problem is not None:
            self.problems.append(big.problem)
            return
        for entry in big:
            paged = bool((entry.pool_type or 0) & PAGED)
            if self._fits(entry.tag) and (self.pool_type == SPECIAL_ONLY or paged == (self.pool_type == PAGED_ONLY)):
                yield entry

    # --- Blocks ---------------------------------------------------------------------

    def ranges(self) -> List[Tuple[int, int]]:
        """The address ranges of the kind of pool, [start, end); empty where the kernel's table is missing."""
        name = _REGIONS[self.pool_type]
        found = system_va_types(self.pools.target).of_type(lambda region: region == name)
        return [(region.base, region.end or _END_OF_SPACE) for region in found]

    def blocks(self) -> Iterator[FoundBlock]:
        """The blocks with a header, allocator by allocator."""
        if self.pools.has_heaps:
            yield from self._of_heaps()
        elif self.pool_type == SPECIAL_ONLY:
            yield from self._of_special_pages()
        else:
            yield from self._of_classic_pages()

    def _of_heaps(self) -> Iterator[FoundBlock]:
        heaps = self.pools.heaps
        found = 0
        for heap in heaps.heaps.values():
            if not self._is_wanted(heap):
                continue
            for segment in heaps.segments(heap):
                found += 1
                try:
                    for each in heaps.ranges(segment):
                        yield from self._of_range(heap, each)
                except MemoryReadError as error:
                    self.problems.append(f"the segment at {segment.address:016x} cannot be read: {error.reason}")
        self.problems += [problem for problem in heaps.problems if problem not in self.problems]
        if not found and self.problems:
            yield from self._of_headers()

    def _is_wanted(self, heap: Heap) -> bool:
        if self.pool_type == SPECIAL_ONLY:
            return heap.special
        return not heap.special and heap.is_paged == (self.pool_type == PAGED_ONLY)

    def _of_range(self, heap: Heap, each: PageRange) -> Iterator[FoundBlock]:
        if heap.special:
            for page in range(each.start, each.end, PAGE):
                yield from self._special_page(page, heap.is_paged)
            return
        if each.backend == VS_RANGE:
            reader = self.pools.vs()
            if reader is None:
                return
            first, end, _ = reader.extent(each.start, each.end)
            candidates = (reader.block(chunk) for chunk in reader.chunks(first, end, end))
        elif each.backend == LFH_RANGE:
            lfh = self.pools.lfh()
            subsegment = lfh.at(each.start, each.end)[0] if lfh is not None else None
            if lfh is None or subsegment is None:
                return
            chosen = lfh.indexes(subsegment, each.start, each.end)
            candidates = (lfh.block(subsegment, index) for index in chosen)
        else:
            return
        for block in candidates:
            if block.allocated and self._fits(block.tag):
                yield FoundBlock(block)

    def _special_page(self, page: int, paged: Optional[bool]) -> Iterator[FoundBlock]:
        try:
            block = self.pools.special.block(page, paged)
        except MemoryReadError:
            return
        if block.allocated and self._fits(block.tag):
            yield FoundBlock(block)

    def _of_special_pages(self) -> Iterator[FoundBlock]:
        for start, end in self.ranges():
            for page in self._pages(start, end):
                yield from self._special_page(page, None)

    def _of_classic_pages(self) -> Iterator[FoundBlock]:
        ranges = self.ranges()
        if not ranges:
            yield from self._of_headers()
        for start, end in ranges:
            for page in self._pages(start, end):
                try:
                    blocks = self.pools.classic.page(page).blocks
                except MemoryReadError:
                    continue
                for block in blocks:
                    if block.allocator == CLASSIC and block.allocated is not None and self._fits(block.tag):
                        yield FoundBlock(block)

    def _pages(self, start: int, end: int) -> Iterator[int]:
        """The pages of a range that can be read from their start."""
        page: Optional[int] = start
        while page is not None and page < end:
            page = self._memory.next_readable(page, end)
            if page is None:
                return
            if not page % PAGE:
                yield page
            page = (page | PAGE - 1) + 1

    def _of_headers(self) -> Iterator[FoundBlock]:
        """Readable memory that looks like a POOL_HEADER of the tag; images are left out."""
        target, headers = self.pools.target, self.pools.headers
        ranges = self.ranges() or [(_KERNEL_SPACE, _END_OF_SPACE)]
        # Most of memory is no header, and many numbers in it recur.
        fitting: Dict[int, bool] = {}
        for start, end in ranges:
            for place, data in self._memory.extents(start, end - start):
                first = -place % headers.unit
                for number, tag in enumerate(headers.tags(data, first)):
                    is_fitting = fitting.get(tag)
                    if is_fitting is None:
                        if len(fitting) == _MOST_NUMBERS:
                            fitting.clear()
                        is_fitting = fitting[tag] = self._fits(tag)
                    if not is_fitting:
                        continue
                    at = first + number * headers.unit
                    header = headers.parse(data, at, place + at)
                    if (
                        headers.plausible(header)
                        and bool(header.pool_type & PAGED) == (self.pool_type == PAGED_ONLY)
                        and target.module_at(place + at) is None
                    ):
                        yield FoundBlock(_guessed(header.address, header.size, header.tag, header.pool_type), True)


def _guessed(address: int, size: int, tag: int, pool_type: int) -> Block:
    return Block(CLASSIC, address, address, address + size, size, True, tag, 0, pool_type)
