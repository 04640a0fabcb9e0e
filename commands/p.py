"""`p` (mex): a process: ids, times, counts, command line and memory."""

from __future__ import annotations

from dumpkit.commands.di import date_time_text
from dumpkit.commands.lt import chosen_process
from dumpkit.commands.process_row import ProcessMemory, handle_count, process_memory, session_number
from dumpkit.commands.t_lines import UNKNOWN, number_cell
from dumpkit.commands.thread_row import display_name, problem_lines, ruled_table
from dumpkit.errors import DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.kernel.process import Process
from dumpkit.kernel.process_identity import command_line, user_name
from dumpkit.output import Hex, Line, Span, hex_or_none
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session
from dumpkit.sizes import short_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Sequence, Tuple

_SYSTEM = 4
_INDENT = "    "


class ProcessView(Record):
    """A process. Addresses are virtual; what cannot be read is None."""

    process: Hex
    name: Optional[str]
    session: Optional[int]
    pid: Optional[int]
    parent_pid: Optional[int]
    peb: Optional[Hex]
    #: FILETIME, UTC.
    create_time: Optional[Hex]
    module_count: Optional[int]
    handle_count: Optional[int]
    thread_count: Optional[int]
    user: Optional[str]
    command_line: Optional[str]
    memory: Optional[ProcessMemory]
    problems: Tuple[str, ...]
    _created: str = ""


def process_view_lines(result: ProcessView) -> Iterator[Line]:
    yield from _head_lines(result)
    if result.command_line is not None:
        yield ""
        yield f"Command Line: {result.command_line}"
    yield ""
    yield "Memory Details:"
    yield ""
    if result.memory is not None:
        yield from _memory_lines(result.memory)
    else:
        yield f"{_INDENT}{UNKNOWN}"
    yield ""
    place = f"{result.process:x}"
    if result.pid == _SYSTEM:
        yield (
            Span("File Server Threads (Active threads running srv or srv2 driver)", None, f"us -p {place} -r srv2?!"),
        )
        yield (Span("Exective Work Queues", None, f"us -p {place} ExpWorkerThread"),)
        yield ""
    yield (Span("Show LPC Port information for process", None, f"lt {place} -wr WrLpcReply,WrLpcReceive"),)
    yield ""
    yield (
        "Show Threads: ",
        Span("Unique Stacks", None, f"us -p {place}"),
        _INDENT,
        Span(f"!mex.listthreads (!lt) {result.process:016x}", None, f"lt {place}"),
        _INDENT,
        Span(f"!process {result.process:016x} 7", None, f"process {place} 7"),
    )
    yield from problem_lines(result.problems)


def _head_lines(result: ProcessView) -> Iterator[Line]:
    place = result.process
    address: Line = (
        Span(f"{place:016x}", "address", f"p {place:x}"),
        " (",
        Span("E", None, f"dt nt!_EPROCESS {place:x}"),
        "|",
        Span("K", None, f"dt nt!_KPROCESS {place:x}"),
        "|",
        Span("O", None, f"object {place:x}"),
        ")",
    )
    peb = UNKNOWN if result.peb is None else f"{result.peb:016x}"
    heads: List[Line] = ["Name", "Address", "Ses", "PID", "Parent", "PEB"]
    cells: List[Line] = [result.name or UNKNOWN, address, number_cell(result.session)]
    cells += [_id(result.pid), _id(result.parent_pid), peb]
    right = [2]
    if result._created:
        heads.append("Create Time")
        cells.append(result._created)
    for head, count in (
        ("Mods", result.module_count),
        ("Handle", result.handle_count),
        ("Thrd", result.thread_count),
    ):
        right.append(len(heads))
        heads.append(head)
        cells.append(number_cell(count))
    if result.user is not None:
        heads.append("User Name")
        cells.append(result.user)
    yield from ruled_table(heads, [cells], right)


def _id(value: Optional[int]) -> str:
    return UNKNOWN if value is None else f"{value:x} (0n{value})"


def _memory_lines(memory: ProcessMemory) -> Iterator[Line]:
    """A table whose heads stand left and whose numbers stand right."""
    columns: List[Tuple[str, str]] = []
    for head, value, is_always in (
        ("VM", memory.virtual_size, True),
        ("Peak", memory.peak_virtual_size, True),
        ("Commit Size", memory.commit, False),
        ("PP Quota", memory.paged_pool_quota, False),
        ("NPP Quota", memory.non_paged_pool_quota, False),
    ):
        if value is None:
            columns.append((head, UNKNOWN))
        elif value or is_always:
            columns.append((head, short_size(value)))
    widths = [max(len(head), len(text)) for head, text in columns]
    rows: Sequence[Sequence[str]] = (
        [head.ljust(width) for (head, _), width in zip(columns, widths)],
        ["=" * width for width in widths],
        [text.rjust(width) for (_, text), width in zip(columns, widths)],
    )
    for row in rows:
        yield _INDENT + " ".join(row)


def _module_count(process: Process) -> Optional[int]:
    """The images it has loaded in user mode; 0 of a process without user mode."""
    if not process.peb:
        return 0
    from dumpkit.kernel.user_modules import user_modules

    found = user_modules(process)
    return None if found.problem is not None and not found.modules else len(found.modules)


@command(
    "p",
    category="Kernel",
    summary="A process: ids, counts, command line, memory",
    arguments=(Text("process", "its address, its id or its image's name; the current one where it is left out"),),
    render=process_view_lines,
)
def p(session: Session, process: str = "") -> ProcessView:
    """Shows a process: its ids, when it was made, how many modules, handles and threads it has, its user, command line
    and memory. Modules and command line are in user mode, which kernel dumps do not hold.

    p                    the current process
    p ffffb5076a4eb040   by address; p 4 by id; p lsass.exe by name
    """
    found = chosen_process(session, process.strip() or None)
    # Without symbols there is nothing to be shown, and one line says so.
    record = found.record
    gaps = Gaps()
    what = f"process {found.address:016x}"
    created: Optional[int] = gaps.read(what, lambda: int(record.CreateTime.QuadPart))
    return ProcessView(
        Hex(found.address),
        gaps.read(what, lambda: display_name(found)),
        gaps.read(what, lambda: session_number(found)),
        gaps.read(what, lambda: found.pid),
        gaps.read(what, lambda: found.parent_pid),
        hex_or_none(gaps.read(what, lambda: found.peb)),
        hex_or_none(created),
        gaps.read(f"the modules of {what}", lambda: _module_count(found)),
        gaps.read(f"the handles of {what}", lambda: handle_count(found)),
        gaps.read(what, lambda: int(record.ActiveThreads)),
        _quietly_user(found),
        _command_line(found, gaps),
        gaps.read(f"the memory of {what}", lambda: process_memory(found)),
        gaps.lines(),
        date_time_text(created, session.zone) if created else "",
    )


def _quietly_user(process: Process) -> Optional[str]:
    """The user, or None: its column is left out then."""
    try:
        return user_name(process)
    except DumpkitError:
        return None


def _command_line(process: Process, gaps: Gaps) -> Optional[str]:
    """The command line of a process with user mode, or None."""
    if not gaps.read("the PEB", lambda: process.peb):
        return None
    line: Optional[str] = gaps.read("the command line", lambda: command_line(process))
    return line
