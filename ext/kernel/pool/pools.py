"""The pools of a target: who manages an address, which blocks its page has, which block the address is in."""

from __future__ import annotations

from dumpkit.errors import MemoryReadError, SymbolError
from dumpkit.kernel.pool.block import BIG, CLASSIC, LARGE, LFH, PAGE, SPECIAL, VS, Block
from dumpkit.kernel.pool.header import PoolHeader
from dumpkit.kernel.pool.pool_page import PoolPage
from dumpkit.kernel.pool.readers import PoolReaders
from dumpkit.kernel.system_va import SPECIAL_POOL, SystemVaRegion, region_of
from dumpkit.memory import U64_MASK
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, List, Optional, Tuple

    from dumpkit.kernel.pool.big_pages import BigEntry
    from dumpkit.kernel.pool.large_allocation import LargeAllocation
    from dumpkit.kernel.pool.segment_heap import Heap, PageRange
    from dumpkit.kernel.pool.vs_subsegment import Chunk


class Pools(PoolReaders):
    """The pools of a target. Nothing is read before a question needs it; what was learnt is kept."""

    def page(self, address: int) -> PoolPage:
        """What the pool has in the page of an address. Raises SymbolError without the kernel's types."""
        address &= U64_MASK
        self.headers  # noqa: B018 - nothing at all can be said without this type
        region = region_of(self.target, address)
        problem = self.heaps_problem
        if problem is None:
            found = self._of_heaps(address, region)
        elif self.is_classic:
            found = self._classic(address, region)
        else:
            found = self._none(address, region, [problem])
        if found.allocator is None:
            entry, problems = self._tracked_as_big(address)
            if entry is not None:
                return self._big(address, region, entry.address, None, found.heap, found.problems)
            found = found._replace(problems=(*found.problems, *problems))
        return found

    def _tracked_as_big(self, address: int) -> Tuple[Optional[BigEntry], List[str]]:
        """The entry of PoolBigPageTable for the allocation that an address is in."""
        try:
            table = self.big_pages
        except SymbolError as error:
            return None, [str(error)]
        entry, problem = table.find(address & ~(PAGE - 1))
        if entry is None and table.problem is None:
            entry = table.containing(address)
        return (entry if entry is not None and not entry.free else None), [problem] if problem is not None else []

    def _is_readable(self, address: int) -> bool:
        return bool(self.target.memory.read_prefix(address & ~(PAGE - 1), 1))

    def _none(self, address: int, region: SystemVaRegion, problems: Iterable[str], **facts: object) -> PoolPage:
        page = PoolPage(
            address, region, None, (), is_readable=self._is_readable(address), problems=tuple(dict.fromkeys(problems))
        )
        return page._replace(**facts)  # type: ignore[arg-type]

    def _classic(self, address: int, region: SystemVaRegion) -> PoolPage:
        if region.name == SPECIAL_POOL:
            return self._special(address, region, None, False)
        page = address & ~(PAGE - 1)
        try:
            found = self.classic.page(page)
        except MemoryReadError as error:
            return self._none(address, region, [f"the page cannot be read: {error.reason}"])
        if not found.blocks or (found.corruption is not None and found.corruption.address == page):
            return self._none(address, region, (), corruption=found.corruption)
        return PoolPage(
            address,
            region,
            CLASSIC,
            found.blocks,
            corruption=found.corruption,
            evidence=("the page's POOL_HEADERs lead to one another",),
            problems=(str(found.corruption),) if found.corruption is not None else (),
        )

    def _special(self, address: int, region: SystemVaRegion, heap: Optional[Heap], freed: bool) -> PoolPage:
        from dumpkit.kernel.pool.special_pool import unreadable

        page = address & ~(PAGE - 1)
        paged = heap.is_paged if heap is not None and heap.kind else None
        try:
            block = self.special.block(page, paged)
        except MemoryReadError as error:
            block = unreadable(error, page, freed)
        if freed:
            block = block._replace(allocated=False)
        if paged is not None:
            block = block._replace(pool_type=int(paged))
        problems = block.problems
        return PoolPage(address, region, SPECIAL, (block,), heap, is_free=freed, problems=problems)

    def likely_header(self, address: int) -> Optional[PoolHeader]:
        """The nearest POOL_HEADER in front of an address that would hold it: a guess that nothing confirms."""
        unit = self.headers.unit
        page = address & ~(PAGE - 1)
        for place in range(address & -unit, page - 2 * unit, -unit):
            data = self.target.memory.read_optional(place, unit)
            if data is None:
                return None
            header = self.headers.parse(data, 0, place)
            if self.headers.plausible(header) and place + header.size > address and header.previous_size < PAGE:
                return header
        return None

    # --- Segment heaps ----------------------------------------------------------------

    def _of_heaps(self, address: int, region: SystemVaRegion) -> PoolPage:
        from dumpkit.kernel.pool.segment_heap import LARGE_ALLOCATION

        heaps = self.heaps
        before = len(heaps.problems)
        if heaps.tracked(address) == LARGE_ALLOCATION:
            return self._large(address, region)
        segment, problems = heaps.segment_of(address)
        if segment is None:
            return self._unsegmented(address, region, [*problems, *heaps.problems])
        found, problem = heaps.range_of(segment, address)
        problems += heaps.problems[before:]
        if problem is not None:
            problems.append(problem)
        evidence = (f"segment {segment.address:016x}: {segment.evidence}",)
        if found is None:
            return self._scanned(address, region, problems)._replace(heap=segment.heap, evidence=evidence)
        if found.problem is not None:
            problems.append(found.problem)
        if segment.heap.special:
            return self._special(address, region, segment.heap, not found.is_allocated)._replace(evidence=evidence)
        if not found.is_allocated:
            reason = found.problem or "no range of its segment is allocated there"
            return self._none(
                address, region, [reason, *problems], heap=segment.heap, is_free=not found.problem, evidence=evidence
            )
        try:
            page = self._allocated(address, region, found)
        except SymbolError as error:
            page = self._none(address, region, [str(error)], heap=segment.heap)
        return page._replace(evidence=(*evidence, *page.evidence), problems=(*problems, *page.problems))

    def _allocated(self, address: int, region: SystemVaRegion, found: PageRange) -> PoolPage:
        from dumpkit.kernel.pool.segment_heap import INTERNAL_RANGE, LFH_RANGE, VS_RANGE

        heap = found.segment.heap
        if found.backend == VS_RANGE:
            return self._vs_page(address, region, found)
        if found.backend == LFH_RANGE:
            return self._lfh_page(address, region, found)
        if found.backend == INTERNAL_RANGE:
            return self._none(address, region, ["memory that the heap keeps for itself"], heap=heap)
        return self._big(address, region, found.start, found, heap, ())

    def _vs_page(self, address: int, region: SystemVaRegion, found: PageRange) -> PoolPage:
        heap = found.segment.heap
        reader = self.vs()
        if reader is None:
            return self._none(address, region, self.heaps.problems, heap=heap)
        first, end, problems = reader.extent(found.start, found.end)
        page = address & ~(PAGE - 1)
        blocks = [reader.block(chunk) for chunk in _chunks_of(reader.chunks(first, end, page + PAGE, page), address)]
        blocks = [self._big_vs(block) for block in blocks]
        if not blocks and found.start <= address < first:
            problems.append("it is in the header of a VS subsegment")
        evidence: Tuple[str, ...] = (f"VS subsegment {found.start:016x}",)
        if not blocks:
            return self._none(address, region, problems, heap=heap, evidence=evidence)
        mine = next((block for block in blocks if block.holds(address)), None)
        if mine is not None and mine.allocated is None and not self._is_readable(address):
            return self._none(address, region, [*problems, *mine.problems], heap=heap, evidence=evidence)
        if mine is not None and mine.allocated and mine.data is not None and mine.data % PAGE == 0 and mine.tag is None:
            evidence += ("a chunk larger than a page has no POOL_HEADER",)
        return PoolPage(address, region, VS, tuple(blocks), heap, evidence=evidence, problems=tuple(problems))

    def _big_vs(self, block: Block) -> Block:
        """A chunk of more than a page with what PoolBigPageTable says of it."""
        if not block.allocated or block.pool_type is not None or block.tag is not None:
            return block
        entry, problem = self._entry_at(block.address)
        if entry is None:
            return block._replace(problems=(*block.problems, problem or "PoolBigPageTable has no entry for it"))
        return block._replace(tag=entry.tag, size=entry.size, pool_type=entry.pool_type, process=entry.process)

    def _lfh_page(self, address: int, region: SystemVaRegion, found: PageRange) -> PoolPage:
        heap = found.segment.heap
        reader = self.lfh()
        if reader is None:
            return self._none(address, region, self.heaps.problems, heap=heap)
        subsegment, problem = reader.at(found.start, found.end)
        if subsegment is None:
            return self._none(address, region, [problem or ""], heap=heap)
        page = address & ~(PAGE - 1)
        blocks = [reader.block(subsegment, index) for index in reader.indexes(subsegment, page, page + PAGE)]
        evidence = (f"LFH subsegment {found.start:016x}: blocks of {subsegment.block_size:#x} bytes",)
        return PoolPage(address, region, LFH, tuple(blocks), heap, evidence=evidence)

    def _entry_at(self, address: int) -> Tuple[Optional[BigEntry], Optional[str]]:
        try:
            entry, problem = self.big_pages.find(address)
        except SymbolError as error:
            return None, str(error)
        if entry is not None and entry.free:
            return None, "PoolBigPageTable says that it was freed"
        return entry, problem

    def _big(
        self,
        address: int,
        region: SystemVaRegion,
        start: int,
        found: Optional[PageRange],
        heap: Optional[Heap],
        known: Iterable[str],
    ) -> PoolPage:
        """An allocation of whole pages: a range of a segment, or one that only PoolBigPageTable tells of."""
        entry, problem = self._entry_at(start)
        problems = list(known)
        if entry is None:
            problems.append(problem or "PoolBigPageTable has no entry for it")
        size = entry.size if entry is not None else (found.end - found.start if found is not None else PAGE)
        end = found.end if found is not None else start + -(-max(size, 1) // PAGE) * PAGE
        evidence = (f"entry {entry.entry:016x} of PoolBigPageTable",) if entry is not None else ()
        block = _page_block(BIG if found is not None else LARGE, start, end, size, entry)
        return PoolPage(
            address, region, block.allocator, (block,), heap, evidence=evidence, problems=tuple(dict.fromkeys(problems))
        )

    def _large(self, address: int, region: SystemVaRegion) -> PoolPage:
        problems: List[str] = []
        for heap in self.heaps.heaps.values():
            found, problem = self.large.find(heap, address)
            if found is not None:
                return self._large_page(address, region, found)
            if problem is not None:
                problems.append(problem)
        problems.append("the allocation tracker says that a large allocation is there, no heap's tree has it")
        return self._none(address, region, problems)

    def _large_page(self, address: int, region: SystemVaRegion, found: LargeAllocation) -> PoolPage:
        entry, problem = self._entry_at(found.start)
        size = entry.size if entry is not None else found.end - found.start - found.unused
        problems = () if entry is not None else (problem or "PoolBigPageTable has no entry for it",)
        evidence = (f"_HEAP_LARGE_ALLOC_DATA {found.node:016x}",)
        block = _page_block(LARGE, found.start, found.end, size, entry)
        if found.heap.special:
            return self._special(address, region, found.heap, False)._replace(evidence=evidence)
        return PoolPage(address, region, LARGE, (block,), found.heap, evidence=evidence, problems=problems)

    def _unsegmented(self, address: int, region: SystemVaRegion, problems: List[str]) -> PoolPage:
        """The page of an address for which no segment was found."""
        from dumpkit.kernel.pool.segment_heap import NOTHING

        if region.name == SPECIAL_POOL:
            return self._special(address, region, None, False)._replace(problems=tuple(problems))
        if self.heaps.tracked(address) == NOTHING:
            return self._none(address, region, problems)
        for heap in self.heaps.heaps.values():
            found, _ = self.large.find(heap, address)
            if found is not None:
                return self._large_page(address, region, found)
        return self._scanned(address, region, problems)

    def _scanned(self, address: int, region: SystemVaRegion, problems: List[str]) -> PoolPage:
        """The chunks of a page whose segment cannot be read: headers that confirm one another, if there are any."""
        from dumpkit.kernel.pool.vs_subsegment import LARGEST_SUBSEGMENT

        reader = self.vs()
        page = address & ~(PAGE - 1)
        if reader is None or not self._is_readable(address):
            return self._none(address, region, [*problems, *self.heaps.problems])
        chunks = _chunks_of(reader.page(page, page + LARGEST_SUBSEGMENT), address)
        if len(chunks) < 2:
            return self._none(address, region, problems)
        evidence = ("a scan of the page for chunk headers that confirm one another",)
        blocks = tuple(self._big_vs(reader.block(chunk)) for chunk in chunks)
        return PoolPage(address, region, VS, blocks, evidence=evidence, problems=tuple(problems))


def _page_block(allocator: str, start: int, end: int, size: int, entry: Optional[BigEntry]) -> Block:
    if entry is None:
        return Block(allocator, start, start, end, size, True, data=start)
    return Block(allocator, start, start, end, size, True, entry.tag, 0, entry.pool_type, entry.process, start)


def _chunks_of(chunks: Iterable[Chunk], address: int) -> List[Chunk]:
    """The chunks that the debugger lists for the page of an address: those with data in it, or that hold it.

    What lies behind a chunk's two headers decides: a pair of them may end the page before.
    """
    page = address & ~(PAGE - 1)
    found = []
    for chunk in chunks:
        data = min(chunk.address + 2 * 16, chunk.end - 1)
        if (data < page + PAGE and chunk.end > page) or chunk.address <= address < chunk.end:
            found.append(chunk)
    return found


def pools_of(target: Target) -> Pools:
    """The pools of a target, kept until its symbols change; those of a live kernel, which goes on, are not."""
    if "live" in target.kind:
        return Pools(target)
    space = target.__dict__.get("_object_space")
    kept: Optional[Tuple[object, Pools]] = target.__dict__.get("_pools")
    if kept is None or kept[0] is None or kept[0] is not space:
        pools = Pools(target)
        try:
            pools.headers  # noqa: B018 - makes the space of types, which tells one set of symbols from the next
        except SymbolError:
            return pools
        kept = target.__dict__["_pools"] = (target.__dict__.get("_object_space"), pools)
    return kept[1]
