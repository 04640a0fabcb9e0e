"""Pool: which allocation an address belongs to, in classic pool and in the segment heap."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dumpkit.kernel.pool.allocation import PoolAllocation
    from dumpkit.target import Target


def find_allocation(target: Target, address: int) -> PoolAllocation:
    """The pool allocation that a virtual address is in. Raises SymbolError without the kernel's types."""
    from dumpkit.kernel.pool import allocation

    return allocation.find_allocation(target, address)
