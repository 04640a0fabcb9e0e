"""What the pool has in a page."""

from __future__ import annotations

from dumpkit.kernel.pool.block import PAGE, SPECIAL, Block
from dumpkit.kernel.system_va import SPECIAL_POOL, SystemVaRegion
from dumpkit.memory import U64_MASK
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

    from dumpkit.kernel.pool.classic_pool import Corruption
    from dumpkit.kernel.pool.segment_heap import Heap


class PoolPage(NamedTuple):
    """What the pool has in the page of an address. Addresses are virtual."""

    address: int
    region: SystemVaRegion
    #: Who manages the page: VS, LFH, BIG, LARGE, CLASSIC, SPECIAL, or None where nobody does or nobody can be told.
    allocator: Optional[str]
    #: The page's blocks, ascending; of a large allocation the one.
    blocks: Tuple[Block, ...]
    #: The heap of a segment-heap pool.
    heap: Optional[Heap] = None
    #: The damage of a classic page.
    corruption: Optional[Corruption] = None
    #: Whether the address's page is free memory of a heap.
    is_free: bool = False
    #: Whether the start of the page can be read.
    is_readable: bool = True
    evidence: Tuple[str, ...] = ()
    problems: Tuple[str, ...] = ()

    @property
    def page(self) -> int:
        """The page's own address."""
        return self.address & ~(PAGE - 1) & U64_MASK

    @property
    def block(self) -> Optional[Block]:
        """The block that holds the address, or None."""
        return next((block for block in self.blocks if block.holds(self.address)), None)

    @property
    def region_name(self) -> str:
        """The region as the debugger says it: special pool where a heap of special pool has the page."""
        return SPECIAL_POOL if self.allocator == SPECIAL else self.region.name
