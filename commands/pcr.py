"""`pcr`: a processor's control region.

Format: the example of the !pcr page in Microsoft's debugger documentation, and public transcripts of x64. There kdexts
shows zeros for what it cannot find on x64 (SelfPcr, Irql, IDT, GDT, TSS); here stands what the region says.
"""

from __future__ import annotations

from dumpkit.errors import CommandError, DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.kernel.dpc import dpc_queues
from dumpkit.numbers import padded, pointer
from dumpkit.output import Hex, Line, Span, hex_or_none
from dumpkit.record import Record
from dumpkit.registry import Expression, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Optional, Tuple

#: What a line shows -> where it is in the _KPCR. On x64 a union puts other members over the NT_TIB: GdtBase,
#: TssBase, UserRsp, Self, CurrentPrcb, LockArray and Used_Self, in that order.
_TIB = (
    ("ExceptionList", "NtTib.ExceptionList"),
    ("StackBase", "NtTib.StackBase"),
    ("StackLimit", "NtTib.StackLimit"),
    ("SubSystemTib", "NtTib.SubSystemTib"),
    ("Version", "NtTib.Version"),
    ("UserPointer", "NtTib.ArbitraryUserPointer"),
    ("SelfTib", "NtTib.Self"),
)


class ProcessorDpc(Record):
    """A DPC in the processor's queues."""

    address: Hex
    routine: Optional[Hex]
    symbol: Optional[str]


class ProcessorRegion(Record):
    """A KPCR; addresses are virtual, what cannot be read is None."""

    processor: int
    address: Hex
    major_version: Optional[int]
    minor_version: Optional[int]
    tib: Tuple[Tuple[str, Optional[Hex]], ...]
    self: Optional[Hex]
    prcb: Hex
    irql: Optional[Hex]
    idt: Optional[Hex]
    gdt: Optional[Hex]
    tss: Optional[Hex]
    current_thread: Optional[Hex]
    next_thread: Optional[Hex]
    idle_thread: Optional[Hex]
    dpcs: Tuple[ProcessorDpc, ...]
    notes: Tuple[str, ...]


def pcr_lines(result: ProcessorRegion) -> Iterator[Line]:
    yield f"KPCR for Processor {result.processor} at {pointer(result.address)}:"
    yield f"    Major {_number(result.major_version)} Minor {_number(result.minor_version)}"
    for name, value in result.tib:
        yield f"\t{'NtTib.' + name:>19}: {padded(value)}"
    yield ""
    for name, value in (("SelfPcr", result.self), ("Prcb", result.prcb), ("Irql", result.irql)):
        yield f"\t{name:>19}: {padded(value)}"
    # x64 has no such registers; the lines stand as they do in the debugger.
    for name in ("IRR", "IDR", "InterruptMode"):
        yield f"\t{name:>19}: {padded(0)}"
    for name, value in (("IDT", result.idt), ("GDT", result.gdt), ("TSS", result.tss)):
        yield f"\t{name:>19}: {padded(value)}"
    yield ""
    for name, thread in (
        ("CurrentThread", result.current_thread),
        ("NextThread", result.next_thread),
        ("IdleThread", result.idle_thread),
    ):
        link = Span(padded(thread), "address", f"t {thread:x}" if thread else None)
        yield (f"\t{name:>19}: ", link)
    yield ""
    yield from _dpc_lines(result)
    for note in result.notes:
        yield (Span(note, "warning"),)


def _dpc_lines(result: ProcessorRegion) -> Iterator[Line]:
    title = f"\t{'DpcQueue':>18}: "
    if not result.dpcs:
        yield title
    for dpc in result.dpcs:
        routine = "????" if dpc.routine is None else f"0x{pointer(dpc.routine)}"
        yield f"{title} 0x{pointer(dpc.address)} {routine} {dpc.symbol or ''}"
        title = f"\t{'':>18}  "


def _number(value: Optional[int]) -> str:
    return "?" if value is None else str(value)


@command(
    "pcr",
    category="Kernel",
    summary="A processor's control region: IRQL, tables, threads, DPCs",
    arguments=(Expression("processor", "a processor's number; without it the current one"),),
    render=pcr_lines,
)
def pcr(session: Session, processor: Optional[int] = None) -> ProcessorRegion:
    """Shows the KPCR of a processor: pcr, pcr 3.

    The lines of NtTib show other members on x64, which lie over it: GdtBase, TssBase, UserRsp, Self, the low half
    of CurrentPrcb, LockArray and the TEB's address. Irql is kept there only by some Windows; see irql.
    """
    target = session.dump
    number = session.processor if processor is None else processor
    if number >= target.system.processors:
        raise CommandError(f"{number} is not a valid processor number")
    prcb = target.prcb_address(number)
    type = target.type("_KPCR")
    record = type.at(prcb - type.offset("Prcb"))
    threads = target.type("_KPRCB").at(prcb)
    gaps = Gaps()
    dpcs = tuple(_dpcs(target, number, gaps))
    values = {name: hex_or_none(record.get(path)) for name, path in _TIB}
    if values["ExceptionList"] is None:
        gaps.add("the region", target.memory.explain(record.address))
    return ProcessorRegion(
        number,
        Hex(record.address),
        _plain(record.get("MajorVersion")),
        _plain(record.get("MinorVersion")),
        tuple(values.items()),
        hex_or_none(record.get("Self")),
        Hex(prcb),
        hex_or_none(record.get("Irql")),
        hex_or_none(record.get("IdtBase")),
        hex_or_none(record.get("GdtBase")),
        hex_or_none(record.get("TssBase")),
        hex_or_none(threads.get("CurrentThread")),
        hex_or_none(threads.get("NextThread")),
        hex_or_none(threads.get("IdleThread")),
        dpcs,
        gaps.lines(),
    )


def _plain(value: Any) -> Optional[int]:
    return None if value is None else int(value)


def _dpcs(target: Target, processor: int, gaps: Gaps) -> List[ProcessorDpc]:
    found: List[ProcessorDpc] = []
    try:
        queues = dpc_queues(target, processor)
    except DumpkitError as error:
        gaps.add("the DPCs", error)
        return found
    for queue in queues:
        gaps.add(f"the {queue.kind.lower()} DPCs", queue.damage)
        for dpc in queue.dpcs:
            symbol = target.symbols.nearest(dpc.routine) if dpc.routine else None
            found.append(
                ProcessorDpc(Hex(dpc.address), hex_or_none(dpc.routine), None if symbol is None else str(symbol))
            )
    return found
