"""`timer`: the timers in the processors' tables.

Format: the example of the !timer page in Microsoft's debugger documentation, and public transcripts of Windows 11.
"""

from __future__ import annotations

from dumpkit.clock import YEAR_10000, Zone, from_filetime
from dumpkit.errors import CommandError, DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.kernel.timer import KINDS, Clock, TimerTable, clock, timer_tables
from dumpkit.numbers import pointer
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple, Union

_HEADING = "List Timer             Interrupt Low/High Fire Time                  DPC/thread"


class TimerData(Record):
    """A timer; addresses are virtual."""

    address: Hex
    #: The list that it is in.
    list: int
    #: Interrupt time in 100 ns units.
    due: Hex
    #: FILETIME; None where it never fires, or the dump does not tell the time.
    fire_time: Optional[int]
    #: Milliseconds; 0 where it fires once.
    period: int
    #: 0 where it has none, None where the pointer leads nowhere.
    dpc: Optional[Hex]
    routine: Optional[Hex]
    symbol: Optional[str]
    thread: Hex


class TimerTableData(Record):
    """A table of a processor's timers."""

    processor: int
    #: High precision or Standard; None where a processor has one table.
    kind: Optional[str]
    address: Hex
    timers: Tuple[TimerData, ...]


class Timers(Record):
    """The timers of the processors that were asked for."""

    interrupt_time: Optional[Hex]
    #: FILETIME.
    system_time: Optional[int]
    tables: Tuple[TimerTableData, ...]
    total: int
    longest_list: int
    notes: Tuple[str, ...]
    _zone: Zone = Zone()


def timer_lines(result: Timers) -> Iterator[Line]:
    yield "Dump system timers"
    yield ""
    if result.interrupt_time is not None:
        yield f"Interrupt time: {_halves(result.interrupt_time)} {_moment(result.system_time, result._zone)}"
        yield ""
    for table in result.tables:
        kind = f" - Type {KINDS.index(table.kind)} - {table.kind}" if table.kind in KINDS else ""
        yield f"PROCESSOR {table.processor} (nt!_KTIMER_TABLE {pointer(table.address)}{kind})"
        yield _HEADING
        hand: Optional[int] = None
        for timer in table.timers:
            yield tuple(_row(timer, timer.list != hand, result._zone))
            hand = timer.list
        yield ""
    yield f"Total Timers: {result.total}, Maximum List: {result.longest_list}"
    for note in result.notes:
        yield (Span(note, "warning"),)


def _row(timer: TimerData, first: bool, zone: Zone) -> Iterator[Union[str, Span]]:
    yield f"{timer.list:3d} " if first else "    "
    yield Span(pointer(timer.address), "address", f"dt nt!_KTIMER {timer.address:x}")
    when = "[         NEVER         ]" if timer.due >> 63 else _moment(timer.fire_time, zone)
    yield f" {'P' if timer.period else ' '}  {_halves(timer.due)} {when}  "
    if timer.dpc:
        name = timer.symbol or ("" if timer.routine is None else f"+{pointer(timer.routine)}")
        yield Span(name, "symbol", None if timer.routine is None else f"u {timer.routine:x}")
        yield f" (DPC @ {pointer(timer.dpc)}) "
    elif timer.thread:
        yield "thread "
        yield Span(pointer(timer.thread), "address", f"t {timer.thread:x}")
        yield " "
    elif timer.dpc is None:
        yield "(DPC not decoded)"


def _halves(value: int) -> str:
    return f"{value & 0xFFFFFFFF:08x} {value >> 32:08x}"


def _moment(filetime: Optional[int], zone: Zone) -> str:
    if filetime is None or not 0 <= filetime < YEAR_10000:
        return "[          ?            ]"
    when = from_filetime(filetime, zone)
    clock = f"{when.hour:02d}:{when.minute:02d}:{when.second:02d}.{when.millisecond:03d}"
    return f"[{when.month:2d}/{when.day:2d}/{when.year:4d} {clock}]"


@command(
    "timer",
    category="Kernel",
    summary="The timers in the processors' tables, and whom they call or wake",
    arguments=(Expression("processor", "a processor's number; without it all of them"),),
    render=timer_lines,
)
def timer(session: Session, processor: Optional[int] = None) -> Timers:
    """Shows the timers of every processor, or of one: when each is due, and its DPC or the thread that waits for it.

    P marks timers that fire again and again.
    """
    target = session.dump
    count = target.system.processors
    if processor is not None and processor >= count:
        raise CommandError(f"{processor} is not a valid processor number")
    # Without symbols there is nothing to say of any processor.
    target.type("_KPRCB")
    gaps = Gaps()
    now = clock(target)
    if now is None:
        gaps.add("when the timers fire", "the dump does not hold the interrupt time")
    elif not now.exact:
        gaps.add("when the timers fire", "the interrupt time is not in the dump; its header's uptime stands for it")
    tables: List[TimerTableData] = []
    for number in range(count) if processor is None else (processor,):
        try:
            for table in timer_tables(target, number):
                tables.append(_table(target, table, now))
                for damage in table.damage:
                    gaps.add("timers" if damage.startswith("pointers") else f"processor {number}", damage)
        except DumpkitError as error:
            gaps.add(f"processor {number}", error)
    counts = [_longest(table) for table in tables]
    return Timers(
        None if now is None else Hex(now.interrupt_time),
        None if now is None else now.system_time,
        tuple(tables),
        sum(len(table.timers) for table in tables),
        max(counts, default=0),
        gaps.lines(),
        session.zone,
    )


def _longest(table: TimerTableData) -> int:
    lengths = [0] * 256
    for timer in table.timers:
        lengths[timer.list & 0xFF] += 1
    return max(lengths)


def _table(target: Target, table: TimerTable, now: Optional[Clock]) -> TimerTableData:
    timers = []
    for found in table.timers:
        symbol = target.symbols.nearest(found.routine) if found.routine else None
        never = bool(found.due >> 63)
        fires = None if now is None or never else now.system_time + found.due - now.interrupt_time
        timers.append(
            TimerData(
                Hex(found.address),
                found.hand,
                Hex(found.due),
                fires,
                found.period,
                None if found.dpc is None else Hex(found.dpc),
                None if found.routine is None else Hex(found.routine),
                None if symbol is None else str(symbol),
                Hex(found.thread),
            )
        )
    return TimerTableData(table.processor, table.kind, Hex(table.address), tuple(timers))
