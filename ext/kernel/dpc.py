"""Deferred procedure calls that wait on processors.

Layout: _KPRCB.DpcData, a queue of normal and one of threaded DPCs, and _KDPC in the kernel's symbols. Since Windows 8
the queue is singly linked (_KDPC_LIST), before that a LIST_ENTRY (Windows Internals, part 2, chapter 8).
"""

from __future__ import annotations

from dumpkit.errors import MemoryReadError
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional

#: Queued DPCs of one processor: a longer queue is damaged.
MOST_DPCS = 10_000

#: The queues in their order in DpcData.
KINDS = ("Normal", "Threaded")


class Dpc(NamedTuple):
    """A KDPC at a virtual address; what it calls and with what is None where it cannot be read."""

    address: int
    routine: Optional[int]
    context: Optional[int]


class DpcQueue(NamedTuple):
    """A queue of a processor; `damage` says why it is not whole, or is None."""

    processor: int
    #: One of KINDS.
    kind: str
    #: How many the queue itself counts.
    depth: int
    dpcs: List[Dpc]
    #: The virtual address of the DPC that runs, or 0.
    active: int
    damage: Optional[str]


def dpc_queues(target: Target, processor: int) -> List[DpcQueue]:
    """The queues of a processor. Raises MemoryReadError, SymbolError, DumpkitError for a processor without a PRCB."""
    prcb = target.type("_KPRCB").at(target.prcb_address(processor))
    queues = prcb.DpcData
    return [_queue(target, processor, kind, queues.element(number)) for number, kind in enumerate(KINDS)]


def _queue(target: Target, processor: int, kind: str, data: Any) -> DpcQueue:
    head = "DpcList.ListHead" if "DpcList" in data else "DpcListHead"
    walk = target.list(data.address_of(head), "_KDPC", "DpcListEntry", MOST_DPCS)
    dpcs = [dpc_at(target, record.address) for record in walk]
    depth = int(data.get("DpcQueueDepth", 0))
    damage = None if walk.complete else walk.ended
    # A queue that was never initialized is all zeros.
    if damage is not None and not dpcs and not depth and "null link" in damage:
        damage = None
    return DpcQueue(processor, kind, depth, dpcs, int(data.get("ActiveDpc", 0)), damage)


def dpc_at(target: Target, address: int) -> Dpc:
    """The DPC at a virtual address, as far as it can be read."""
    record = target.type("_KDPC").at(address)
    try:
        return Dpc(address, int(record.DeferredRoutine), int(record.DeferredContext))
    except MemoryReadError:
        return Dpc(address, None, None)
