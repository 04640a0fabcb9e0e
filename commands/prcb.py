"""`prcb`: a processor's control block.

Format: public transcripts of !prcb on x64.
"""

from __future__ import annotations

from dumpkit.errors import CommandError
from dumpkit.gaps import Gaps
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple


class ProcessorBlock(Record):
    """A KPRCB. Addresses are virtual, times in ticks; what cannot be read is None."""

    processor: int
    address: Hex
    irql: Optional[int]
    current_thread: Optional[Hex]
    next_thread: Optional[Hex]
    idle_thread: Optional[Hex]
    group: Optional[int]
    group_index: Optional[int]
    group_set_member: Optional[Hex]
    interrupt_count: Optional[Hex]
    dpc_time: Optional[Hex]
    interrupt_time: Optional[Hex]
    kernel_time: Optional[Hex]
    user_time: Optional[Hex]
    #: What could not be read and why, one line each.
    problems: Tuple[str, ...]


def processor_block_lines(result: ProcessorBlock) -> Iterator[Line]:
    yield f"PRCB for Processor {result.processor} at {result.address:016x}:"
    yield f"Current IRQL -- {'?' if result.irql is None else result.irql}"
    yield (
        "Threads--  Current ",
        _thread(result.current_thread),
        " Next ",
        _thread(result.next_thread),
        " Idle ",
        _thread(result.idle_thread),
    )
    group = "?" if result.group is None else str(result.group)
    index = "?" if result.group_index is None else str(result.group_index)
    member = "?" if result.group_set_member is None else f"{result.group_set_member:x}"
    yield f"Processor Index {result.processor} Number ({group}, {index}) GroupSetMember {member}"
    yield f"Interrupt Count -- {_ticks(result.interrupt_count)}"
    yield f"Times -- Dpc    {_ticks(result.dpc_time)} Interrupt {_ticks(result.interrupt_time)} "
    yield f"         Kernel {_ticks(result.kernel_time)} User      {_ticks(result.user_time)} "
    for problem in result.problems:
        yield (Span(problem, "dim"),)


def _thread(address: Optional[int]) -> Span:
    if address is None:
        return Span("?" * 16)
    return Span(f"{address:016x}", "address", f"t {address:x}" if address else None)


def _ticks(value: Optional[int]) -> str:
    return "?" * 8 if value is None else f"{value:08x}"


@command(
    "prcb",
    category="Kernel",
    summary="A processor's control block: threads, interrupts, times",
    arguments=(Expression("processor", "its number; the current one where it is left out"),),
    render=processor_block_lines,
)
def prcb(session: Session, processor: Optional[int] = None) -> ProcessorBlock:
    """Shows a processor's control block: the IRQL that the debugger saved, its threads, its group, how many interrupts
    it served and how its time was spent (ticks). `dt nt!_KPRCB` shows all of it.
    """
    target = session.dump
    number = session.processor if processor is None else processor
    if not 0 <= number < target.system.processors:
        raise CommandError(f"{number} is not a valid processor number")
    place = target.prcb_address(number)
    record = target.type("_KPRCB").at(place)
    gaps = Gaps()

    def value(name: str) -> Optional[int]:
        found: Optional[int] = gaps.read(f"processor {number}", lambda: int(record.member(name)))
        return found

    def shown(name: str) -> Optional[Hex]:
        found = value(name)
        return None if found is None else Hex(found)

    return ProcessorBlock(
        number,
        Hex(place),
        value("DebuggerSavedIRQL"),
        shown("CurrentThread"),
        shown("NextThread"),
        shown("IdleThread"),
        value("Group"),
        value("GroupIndex"),
        shown("GroupSetMember"),
        shown("InterruptCount"),
        shown("DpcTime"),
        shown("InterruptTime"),
        shown("KernelTime"),
        shown("UserTime"),
        gaps.lines(),
    )
