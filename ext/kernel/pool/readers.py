"""What reads the pools of a target: headers, heaps, the allocators and their tables."""

from __future__ import annotations

from dumpkit.errors import SymbolError
from dumpkit.kernel.pool.header import PoolHeaders
from dumpkit.target import Target

# An address has one allocator: the readers of the others need not be imported.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, FrozenSet, Optional, TypeVar

    from dumpkit.kernel.pool.big_pages import BigPages
    from dumpkit.kernel.pool.classic_pool import ClassicPool
    from dumpkit.kernel.pool.large_allocation import LargeAllocations
    from dumpkit.kernel.pool.lfh_subsegment import LfhSubsegments
    from dumpkit.kernel.pool.segment_heap import SegmentHeaps
    from dumpkit.kernel.pool.special_pool import SpecialPool
    from dumpkit.kernel.pool.vs_subsegment import VsSubsegments

    _Reader = TypeVar("_Reader")


class PoolReaders:
    """The readers of all that a pool is made of, each made when it is first needed and then kept."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._readers: Dict[str, object] = {}

    def _once(self, name: str, make: Callable[[], _Reader]) -> _Reader:
        found = self._readers.get(name)
        if found is None:
            try:
                found = make()
            except SymbolError as error:
                found = error
            self._readers[name] = found
        if isinstance(found, SymbolError):
            raise found
        return found  # type: ignore[return-value]

    @property
    def headers(self) -> PoolHeaders:
        """POOL_HEADERs. Raises SymbolError."""
        return self._once("headers", lambda: PoolHeaders(self.target))

    @property
    def heaps(self) -> SegmentHeaps:
        """The segment heaps. Raises SymbolError where the kernel has none or its symbols do not tell."""
        from dumpkit.kernel.pool.segment_heap import SegmentHeaps

        return self._once("heaps", lambda: SegmentHeaps(self.target))

    @property
    def big_pages(self) -> BigPages:
        """PoolBigPageTable. Raises SymbolError."""
        from dumpkit.kernel.pool.big_pages import BigPages

        return self._once("big", lambda: BigPages(self.target))

    @property
    def large(self) -> LargeAllocations:
        """Large allocations. Raises SymbolError."""
        from dumpkit.kernel.pool.large_allocation import LargeAllocations

        return self._once("large", lambda: LargeAllocations(self.target))

    @property
    def classic(self) -> ClassicPool:
        """Pages of the classic pool. Raises SymbolError."""
        from dumpkit.kernel.pool.classic_pool import ClassicPool

        return self._once("classic", lambda: ClassicPool(self.target, self.headers))

    @property
    def special(self) -> SpecialPool:
        """Pages of special pool. Raises SymbolError."""
        from dumpkit.kernel.pool.special_pool import SpecialPool

        return self._once("special", lambda: SpecialPool(self.target, self.headers))

    def vs(self) -> Optional[VsSubsegments]:
        """VS subsegments, or None where the heap key cannot be read. Raises SymbolError."""
        from dumpkit.kernel.pool.vs_subsegment import VsSubsegments

        key = self.heaps.heap_key
        return self._once("vs", lambda: VsSubsegments(self.target, key, self.headers)) if key is not None else None

    def lfh(self) -> Optional[LfhSubsegments]:
        """LFH subsegments, or None where the LFH key cannot be read. Raises SymbolError."""
        from dumpkit.kernel.pool.lfh_subsegment import LfhSubsegments

        key = self.heaps.lfh_key
        return self._once("lfh", lambda: LfhSubsegments(self.target, key, self.headers)) if key is not None else None

    @property
    def kept(self) -> FrozenSet[int]:
        """The blocks that dynamic lookaside lists keep, by the addresses that stand in the lists."""
        from dumpkit.kernel.pool.lookaside import kept_blocks

        return self._once("kept", lambda: kept_blocks(self.target))

    @property
    def has_heaps(self) -> bool:
        """Whether the kernel's pool is made of segment heaps that can be read."""
        return self.heaps_problem is None

    @property
    def heaps_problem(self) -> Optional[str]:
        """Why the segment heaps cannot be read, or None where they can."""
        try:
            self.heaps  # noqa: B018 - the question is whether it can be had
        except SymbolError as error:
            return str(error)
        return None

    @property
    def is_classic(self) -> bool:
        """Whether the kernel is one from before the segment heap: its symbols have no nt!ExPoolState."""
        if self.has_heaps:
            return False
        try:
            self.target.symbols.address_of("nt!ExPoolState")
        except SymbolError:
            return True
        return False
