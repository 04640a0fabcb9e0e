"""`dpcs`: the deferred procedure calls that wait on the processors.

Format: the example in Microsoft's page on bugcheck 0x133, and public transcripts.
"""

from __future__ import annotations

from dumpkit.errors import CommandError, DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.kernel.dpc import dpc_queues
from dumpkit.numbers import pointer
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple


class QueuedDpc(Record):
    """A DPC in a processor's queue; what cannot be read of it is None. Addresses are virtual."""

    processor: int
    #: Normal or Threaded.
    kind: str
    address: Hex
    routine: Optional[Hex]
    symbol: Optional[str]
    context: Optional[Hex]


class DpcQueues(Record):
    """The DPCs of the processors that were asked for."""

    dpcs: Tuple[QueuedDpc, ...]
    notes: Tuple[str, ...]


def dpc_lines(result: DpcQueues) -> Iterator[Line]:
    yield "CPU Type      KDPC       Function"
    for dpc in result.dpcs:
        if dpc.routine is None:
            yield f"Failed to read DPC at 0x{pointer(dpc.address)}"
            continue
        name = dpc.symbol or ""
        yield (
            f"{dpc.processor:2d}: {dpc.kind:<8}: ",
            Span(f"0x{pointer(dpc.address)}", "address", f"dt nt!_KDPC {dpc.address:x}"),
            f" 0x{pointer(dpc.routine)} ",
            Span(name, "symbol", f"u {dpc.routine:x}"),
        )
    for note in result.notes:
        yield (Span(note, "warning"),)


@command(
    "dpcs",
    category="Kernel",
    summary="The deferred procedure calls queued to processors",
    arguments=(Expression("processor", "a processor's number; without it all of them"),),
    render=dpc_lines,
)
def dpcs(session: Session, processor: Optional[int] = None) -> DpcQueues:
    """Shows the DPCs that wait in the processors' queues, normal ones first: dpcs, dpcs 3."""
    target = session.dump
    count = target.system.processors
    if processor is not None and processor >= count:
        raise CommandError(f"{processor} is not a valid processor number")
    # Without symbols there is nothing to say of any processor.
    target.type("_KPRCB")
    gaps = Gaps()
    found: List[QueuedDpc] = []
    for number in range(count) if processor is None else (processor,):
        try:
            queues = dpc_queues(target, number)
        except DumpkitError as error:
            gaps.add(f"processor {number}", error)
            continue
        for queue in queues:
            gaps.add(f"the {queue.kind.lower()} queue of processor {number}", queue.damage)
            for dpc in queue.dpcs:
                symbol = target.symbols.nearest(dpc.routine) if dpc.routine else None
                routine = None if dpc.routine is None else Hex(dpc.routine)
                context = None if dpc.context is None else Hex(dpc.context)
                name = None if symbol is None else str(symbol)
                found.append(QueuedDpc(number, queue.kind, Hex(dpc.address), routine, name, context))
    return DpcQueues(tuple(found), gaps.lines())
