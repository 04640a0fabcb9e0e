"""The answer to "whose memory is this?": one pool allocation with all that is known of it."""

from __future__ import annotations

from dumpkit.kernel.pool.block import LFH, VS, tag_text
from dumpkit.kernel.pool.header import PAGED, PROTECTED
from dumpkit.kernel.pool.pool_page import PoolPage
from dumpkit.kernel.pool.pools import Pools, pools_of
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple


class PoolAllocation(Record):
    """The block of the pool that a virtual address is in. Addresses are virtual, sizes bytes."""

    address: Hex
    #: "Paged pool", "Nonpaged pool", "Special pool", "Paged session pool" or "Unknown".
    region: str
    #: "VS", "LFH", "big", "large", "classic", "special"; None where no allocator has the address, or none can be told.
    allocator: Optional[str]
    #: What the debugger shows as the block's address: its POOL_HEADER, or itself where it has none.
    block: Optional[Hex] = None
    #: All that the block takes, headers included.
    start: Optional[Hex] = None
    end: Optional[Hex] = None
    #: As the debugger shows it.
    size: Optional[int] = None
    #: Where the caller's data begins.
    data: Optional[Hex] = None
    #: None where damage or a missing page hides it.
    allocated: Optional[bool] = None
    #: Four characters; None where the block is free or nothing tells it.
    tag: Optional[str] = None
    protected: bool = False
    paged: Optional[bool] = None
    #: The EPROCESS whose quota was charged.
    process: Optional[Hex] = None
    #: Whether a lookaside list keeps it: freed by its owner, in use for the allocator.
    in_lookaside: bool = False
    #: The _SEGMENT_HEAP, its kind ("NonPagedNx" …) and its NUMA node.
    heap: Optional[Hex] = None
    heap_kind: Optional[str] = None
    node: Optional[int] = None
    evidence: Tuple[str, ...] = ()
    #: What could not be read, or is damaged.
    problems: Tuple[str, ...] = ()


def find_allocation(target: Target, address: int) -> PoolAllocation:
    """The pool allocation that a virtual address is in. Raises SymbolError without the kernel's types."""
    pools = pools_of(target)
    return allocation_of(pools, pools.page(address))


def allocation_of(pools: Pools, page: PoolPage) -> PoolAllocation:
    """The block of a page that holds the address it was asked for."""
    block = page.block
    heap = page.heap
    place, kind, node = (Hex(heap.address), heap.kind or None, heap.node) if heap is not None else (None, None, None)
    if block is None:
        return PoolAllocation(
            Hex(page.address),
            page.region_name,
            page.allocator,
            allocated=False if page.is_free else None,
            heap=place,
            heap_kind=kind,
            node=node,
            evidence=(page.region.evidence, *page.evidence),
            problems=page.problems,
        )
    evidence: List[str] = [page.region.evidence, *page.evidence, *block.evidence]
    kept = bool(block.allocated and block.allocator in (VS, LFH) and {block.address, block.data} & pools.kept)
    if kept:
        evidence.append("a dynamic lookaside list has it: it was freed, its chunk is kept")
    tag = block.tag if block.allocated or block.allocator not in (VS, LFH) else None
    return PoolAllocation(
        Hex(page.address),
        page.region_name,
        page.allocator,
        Hex(block.address),
        Hex(block.start),
        Hex(block.end),
        block.size,
        Hex(block.data) if block.data is not None else None,
        block.allocated,
        tag_text(tag & ~PROTECTED) if tag is not None else None,
        bool(block.allocated and tag is not None and tag & PROTECTED),
        _is_paged(page, block.pool_type),
        Hex(block.process) if block.process is not None else None,
        kept,
        place,
        kind,
        node,
        tuple(evidence),
        tuple(dict.fromkeys((*page.problems, *block.problems))),
    )


def _is_paged(page: PoolPage, pool_type: Optional[int]) -> Optional[bool]:
    if page.heap is not None and page.heap.kind:
        return page.heap.is_paged
    if pool_type is not None:
        return bool(pool_type & PAGED)
    return {"Paged pool": True, "Paged session pool": True, "Nonpaged pool": False}.get(page.region.name)
