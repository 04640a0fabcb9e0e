"""What `t` shows of a thread, as mex lays it out."""

from __future__ import annotations

from dumpkit.commands.t_facts import Priorities, ThreadFacts, WaitRow
from dumpkit.durations import short_duration
from dumpkit.output import Line, Span, linked_table, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Sequence, Union

    from dumpkit.commands.t_stack import StackRow, ThreadStack

#: What stands for a fact that the dump does not hold.
UNKNOWN = "?"

_CID_WIDTH = 9
_NORMAL_PRIORITY = 8


def thread_link(address: int) -> Span:
    """A thread's address, with `t` behind it."""
    return Span(f"{address:016x}", "address", f"t {address:x}")


def _thread_cell(facts: ThreadFacts) -> Line:
    address = facts.thread
    letters = (
        ("E", f"dt nt!_ETHREAD {address:x}"),
        ("K", f"dt nt!_KTHREAD {address:x}"),
        ("W", f"t -a {address:x}"),
        ("R", f"t -raw {address:x}"),
        ("V", f"t -v {address:x}"),
    )
    cell: List[Union[str, Span]] = [thread_link(address), " ("]
    for index, (letter, command) in enumerate(letters):
        cell += ["|"] if index else []
        cell.append(Span(letter, None, command))
    cell.append(")")
    return tuple(cell)


def _process_cell(facts: ThreadFacts) -> Line:
    if facts.process is None:
        return UNKNOWN
    link = Span(f"{facts.process:016x}", "address", f"process {facts.process:x}")
    return (f"{facts.process_name if facts.process_name is not None else UNKNOWN} (", link, ")")


def number_cell(number: Optional[int]) -> str:
    """A number in decimal; UNKNOWN where it could not be read."""
    return UNKNOWN if number is None else str(number)


def hexadecimal_cell(number: Optional[int]) -> str:
    """A number in hexadecimal; UNKNOWN where it could not be read."""
    return UNKNOWN if number is None else f"{number:x}"


def duration_cell(milliseconds: Optional[int]) -> str:
    """A time in the words of mex; UNKNOWN where it could not be read."""
    return UNKNOWN if milliseconds is None else short_duration(milliseconds)


def state_text(facts: ThreadFacts) -> str:
    """`Waiting`, `Running on processor 4`."""
    state = facts.state if facts.state is not None else UNKNOWN
    return f"{state} on processor {facts.processor}" if facts.processor is not None else state


def header_lines(facts: ThreadFacts) -> Iterator[Line]:
    """The table of one row."""
    heads: List[Line] = ["Process", "Thread", "CID"]
    cid = UNKNOWN if facts.pid is None or facts.tid is None else f"{facts.pid:x}.{facts.tid:x}"
    cells: List[Line] = [_process_cell(facts), _thread_cell(facts), f"{cid:<{_CID_WIDTH}}"]
    if facts.teb:
        heads.append("TEB")
        cells.append(f"{facts.teb:016x}")
    first = len(heads)
    heads += ["UserTime", "KernelTime", "ContextSwitches", "Wait Reason", "Time", "State"]
    switches = UNKNOWN if facts.context_switches is None else str(facts.context_switches)
    cells += [duration_cell(facts.user_time), duration_cell(facts.kernel_time), switches, facts.wait_reason or UNKNOWN]
    cells += [duration_cell(facts.wait_time), state_text(facts)]
    yield from linked_table([heads, cells], (first, first + 1, first + 2, first + 4))


def irp_lines(facts: ThreadFacts) -> Iterator[Line]:
    if not facts.irps:
        return
    yield ""
    yield "Irp List:"
    rows: List[Sequence[Line]] = [("IRP", "File", "Driver")]
    for irp in facts.irps:
        link = Span(f"{irp.irp:016x}", "address", f"irp {irp.irp:x}")
        rows.append(((link,), UNKNOWN if irp.file is None else irp.file, UNKNOWN if irp.driver is None else irp.driver))
    yield from linked_table(rows, indent="    ")


def _wait_info(row: WaitRow) -> Line:
    if row.limit is not None:
        return f"Limit: {row.limit}"
    if row.owner_field is not None:
        # mex prints where the owner is written, not who it is; the link leads to him.
        command = f"t {row.owner:x}" if row.owner is not None else None
        return ("Fast Mutex Owner: ", Span(f"{row.owner_field:016x}", "address", command))
    if row.owner is not None:
        return ("Owning Thread: ", thread_link(row.owner), f" ({row.owner_process or UNKNOWN})")
    return ""


def wait_lines(facts: ThreadFacts) -> Iterator[Line]:
    if not facts.waits:
        return
    yield ""
    yield "WaitBlockList:"
    infos = [_wait_info(row) for row in facts.waits]
    has_info = any(plain(info) for info in infos)
    rows: List[Sequence[Line]] = [("Object", "Type", "Other Waiters", *(["Info"] if has_info else []))]
    for row, info in zip(facts.waits, infos):
        tag = "(stack)" if row._is_tagged else ""
        others = UNKNOWN if row.other_waiters is None else str(row.other_waiters)
        rows.append((f"{row.object:016x}{tag}", row.type or UNKNOWN, others, *([info] if has_info else [])))
    yield from linked_table(rows, (2,), "    ")


def priority_lines(priorities: Optional[Priorities]) -> Iterator[Line]:
    if priorities is None or (priorities.current == _NORMAL_PRIORITY and not priorities.decrement):
        return
    yield ""
    yield "Priority:"
    # mex shows 0 for Decrement and IO whatever they are.
    page = UNKNOWN if priorities.page is None else str(priorities.page)
    cells = (str(priorities.current), str(priorities.base), "0", str(priorities.decrement), "0", page)
    rows: List[Sequence[Line]] = [("Current", "Base", "Decrement", "ForegroundBoost", "IO", "Page"), cells]
    yield from linked_table(rows, (), "    ")


def stack_table(stack: ThreadStack) -> Iterator[Line]:
    """The frames."""
    rows = stack.frames
    width = len(f"{max(len(rows) - 1, 0):x}")
    if stack._is_clean:
        yield (Span("Call Site", "heading"),)
        for row in rows:
            yield (_site(row, row.function),)
        return
    has_info = any(row.info for row in rows)
    has_source = not stack._hides_source and any(row.source for row in rows)
    heads = [f"{'#':>{width}}", "Child-SP        ", "Return          "]
    heads += ["Size"] if stack._shows_size else []
    heads += ["Call Site", *(["Info"] if has_info else []), *(["Source"] if has_source else [])]
    cells: List[Sequence[Line]] = [heads]
    for row in rows:
        cells.append(_stack_cells(row, width, stack._shows_size, has_info, has_source))
    yield from linked_table(cells, (3,) if stack._shows_size else ())


def _stack_cells(row: StackRow, width: int, has_size: bool, has_info: bool, has_source: bool) -> Sequence[Line]:
    if row.is_inline:
        places: List[Line] = ["(Inline)        ", "-" * 16]
    else:
        places = [f"{row.child_sp:016x}", f"{row.return_address:016x}"]
    size = [f"{row.size:x}" if row.size is not None else ""] if has_size else []
    mark = f" ({row.found_by})" if row.found_by in ("scan", "code", "frame pointer") else ""
    site: Line = (_site(row, row.call_site), Span(mark, "dim")) if mark else (_site(row, row.call_site),)
    behind: List[Line] = [row.info] if has_info else []
    behind += [row.source or ""] if has_source else []
    return [f"{row.number:{width}x}", *places, *size, site, *behind]


def _site(row: StackRow, text: str) -> Span:
    return Span(text, "symbol", f"u {row.instruction:x}")


def size_lines(stack: ThreadStack) -> Iterator[Line]:
    """What `-fv` adds: how much of the stack is used, and by whom."""
    sized = [row for row in stack.frames if row.size is not None]
    if not sized:
        return
    total = sum(row.size or 0 for row in sized)
    yield ""
    yield f"Stack used: {total:x} ({total}) bytes in {len(sized)} frames, {total // len(sized)} on average"
    yield "Largest frames:"
    rows: List[Sequence[Line]] = [("Size", "Call Site")]
    for row in sorted(sized, key=lambda row: -(row.size or 0))[:5]:
        rows.append((f"{row.size:x}", row.call_site))
    yield from linked_table(rows, (0,), "    ")
