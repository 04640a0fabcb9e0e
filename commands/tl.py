"""`tl` (mex): the processes, with what their threads do, their memory, their times, their users."""

from __future__ import annotations

from dumpkit.commands.lt import process_id
from dumpkit.commands.process_row import (
    ProcessRow,
    handle_count,
    is_zombie,
    process_memory,
    process_times,
)
from dumpkit.commands.t_lines import UNKNOWN, duration_cell, number_cell
from dumpkit.commands.thread_row import display_name, problem_lines, process_span, ruled_table
from dumpkit.errors import CommandError, DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.kernel.process import Process
from dumpkit.kernel.thread_counts import (
    MESSAGE_REASONS,
    PAGING_REASONS,
    READY_STATES,
    RESOURCE_REASONS,
    SUSPENDED_REASONS,
    ThreadCounts,
    count_threads,
)
from dumpkit.kernel.thread_sweep import ProcessSweep
from dumpkit.kernel.wait import BLOCKED_REASONS
from dumpkit.named_tuple import NamedTuple
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Option, Switch, Word, command
from dumpkit.session import Session
from dumpkit.sizes import short_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator, List, Optional, Sequence, Tuple

_USAGE = "tl [-t] [-s [SESSION]] [-u] [-m MODULE] [-mem] [-cpu] [-proc] [-sort thread] [-z] [FILTER]"


class ProcessList(Record):
    """The processes that were asked for."""

    processes: Tuple[ProcessRow, ...]
    #: Processes that have ended, but are still referenced; not among the others.
    zombies: int
    problems: Tuple[str, ...]
    _columns: Tuple[str, ...] = ()
    _create_times: Tuple[str, ...] = ()


class _Wanted(NamedTuple):
    """What the arguments ask for."""

    threads: bool
    session: bool
    user: bool
    module: Optional[str]
    memory: bool
    times: bool
    details: bool
    by_threads: bool


#: Columns of `-t`: head, field of the counts, what `lt` lists of it.
_COUNTS = (
    ("!!", "suspended", "-wr " + ",".join(SUSPENDED_REASONS)),
    ("Rn", "running", "-s Running"),
    ("Ry", "ready", "-s " + ",".join(READY_STATES)),
    ("Bk", "blocked", "-wr " + ",".join(BLOCKED_REASONS)),
    ("Lc", "message", "-wr " + ",".join(MESSAGE_REASONS)),
    ("IO", "paging", "-wr " + ",".join(PAGING_REASONS)),
    ("Er", "resource", "-wr " + ",".join(RESOURCE_REASONS)),
)


def _count_cell(row: ProcessRow, field: str, filter: str) -> Line:
    if row.threads is None:
        return UNKNOWN
    count = getattr(row.threads, field)
    if count:
        return (Span(str(count), None, f"lt {row.process:x} {filter}"),)
    # None of those that could be read is not none.
    return UNKNOWN if row.threads.unread else "."


def _size(value: Optional[int], zero: str = "") -> str:
    if value is None:
        return UNKNOWN
    return short_size(value) if value else zero


def _memory_cell(row: ProcessRow, field: str) -> str:
    value = getattr(row.memory, field) if row.memory is not None else None
    return _size(value, "0" if field == "awe" else "")


_MEMORY = (
    ("VM", "virtual_size"),
    ("Peak", "peak_virtual_size"),
    ("Shared", "shared_commit"),
    ("Awe Size", "awe"),
    ("Commit Size", "commit"),
    ("PP Quota", "paged_pool_quota"),
    ("NPP Quota", "non_paged_pool_quota"),
)


def _cells(row: ProcessRow, column: str, created: str) -> Sequence[Line]:
    """The cells of a group of columns."""
    if column == "counts":
        return [_count_cell(row, field, filter) for _, field, filter in _COUNTS]
    if column == "memory":
        return [_memory_cell(row, field) for _, field in _MEMORY]
    if column == "times":
        times = row.times
        if times is None:
            return [UNKNOWN] * 3
        return [duration_cell(time) for time in (times.user, times.kernel, times.total)]
    if column == "details":
        return [number_cell(row.thread_count), number_cell(row.handle_count), created, row.command_line or ""]
    if column == "session":
        return ["" if row.session is None else str(row.session)]
    if column == "user":
        return [row.user or UNKNOWN]
    if column == "modules":
        return [",".join(row.modules)]
    return [number_cell(row.thread_count)]


#: Group of columns -> their heads and which of them are right-aligned.
_GROUPS = {
    "session": (("Ses",), (False,)),
    "user": (("User Name",), (False,)),
    "modules": (("Modules",), (False,)),
    "memory": (tuple(head for head, _ in _MEMORY), (True,) * len(_MEMORY)),
    "times": (("User", "Kernel", "Total"), (True,) * 3),
    "details": (("Thd", "Hnd", "Create Time", "Command Line"), (True, True, False, False)),
    "counts": (tuple(head for head, _, _ in _COUNTS), (True,) * len(_COUNTS)),
    "thread count": (("Thd",), (True,)),
}


def _full_name(row: ProcessRow) -> str:
    name = row.name or UNKNOWN
    return f"{name}({row.service})" if row.service is not None else name


def process_list_lines(result: ProcessList) -> Iterator[Line]:
    rows = result.processes
    heads: List[Line] = ["PID", "Address", "Name"]
    right: List[int] = []
    for column in result._columns:
        names, aligned = _GROUPS[column]
        right += [len(heads) + index for index, is_right in enumerate(aligned) if is_right]
        heads += names
    widths = [max((len(text) for text in column), default=0) for column in zip(*map(_pid_parts, rows))] or [0, 0]
    cells = []
    for row, created in zip(rows, result._create_times):
        hexadecimal, decimal = _pid_parts(row)
        cell: List[Line] = [f"{hexadecimal:<{widths[0]}} {decimal:<{widths[1]}}"]
        cell += [(process_span(row.process, f"{row.process:016x}"),), _full_name(row)]
        for column in result._columns:
            cell += _cells(row, column, created)
        cells.append(cell)
    if rows:
        yield from ruled_table(heads, cells, right, is_closed=True)
    else:
        yield "No process matches."
    if result.zombies:
        yield ""
        yield (
            f"Warning! Zombie process(es) detected (not displayed). Count: {result.zombies} [",
            Span("zombie report", None, "tl -z"),
            "]",
        )
    yield from problem_lines(result.problems)


def _pid_parts(row: ProcessRow) -> Tuple[str, str]:
    return (UNKNOWN, UNKNOWN) if row.pid is None else (f"0x{row.pid:x}", f"0n{row.pid}")


class _RowMaker:
    """Makes the rows of processes."""

    def __init__(self, wanted: _Wanted, gaps: Gaps) -> None:
        self._wanted = wanted
        self._gaps = gaps

    def row(self, process: Process, modules: Tuple[str, ...]) -> ProcessRow:
        wanted = self._wanted
        what = f"process {process.address:016x}"

        def read(function: Callable[[], object]) -> object:
            return self._gaps.read(what, function)

        counts = self._counts(process) if wanted.threads or wanted.times else None
        line = self._command_line(process)
        name: Optional[str] = self._gaps.read(what, lambda: display_name(process))
        return ProcessRow(
            Hex(process.address),
            self._gaps.read(what, lambda: process.pid),
            name,
            _service(name, line),
            self._gaps.read(what, lambda: process.session_id) if wanted.session or wanted.user else None,
            self._gaps.read(f"the user of {what}", lambda: _user(process)) if wanted.user else None,
            modules,
            counts if wanted.threads else None,
            self._gaps.read(what, lambda: process_memory(process)) if wanted.memory else None,
            self._gaps.read(what, lambda: process_times(process, counts)) if wanted.times else None,
            self._gaps.read(what, lambda: int(process.record.ActiveThreads)),
            self._gaps.read(what, lambda: handle_count(process)) if wanted.details else None,
            self._gaps.read(what, lambda: Hex(process.record.CreateTime.QuadPart)) if wanted.details else None,
            line if wanted.details else None,
        )

    def _counts(self, process: Process) -> Optional[ThreadCounts]:
        what = f"the threads of process {process.address:016x}"
        walk = self._gaps.read(what, process.threads)
        if walk is None:
            return None
        counts, unread = count_threads(walk)
        for thread, error in unread:
            self._gaps.add(f"thread {thread.address:016x}", error)
        if not walk.complete:
            self._gaps.add(what, walk.ended)
            counts = counts._replace(unread=counts.unread + 1)
        return counts

    def _command_line(self, process: Process) -> Optional[str]:
        """The command line, or None: kernel dumps hold none, so that its absence is no news."""
        from dumpkit.kernel.process_identity import command_line

        try:
            return command_line(process)
        except DumpkitError:
            return None


def _user(process: Process) -> str:
    from dumpkit.kernel.process_identity import user_name

    return user_name(process)


def _service(name: Optional[str], line: Optional[str]) -> Optional[str]:
    from dumpkit.kernel.process_identity import service_name

    if line is None or name is None or not name.lower().startswith("svchost"):
        return None
    return service_name(line)


def _matches(process: Process, filter: str) -> bool:
    """Whether a process has a text in its name, or is the one of an id or at an address."""
    if filter.lower() in process.name.lower():
        return True
    try:
        number = process_id(filter, "tl")
    except CommandError:
        return False
    return number in (process.pid, process.address)


def _modules(process: Process, name: Optional[str], gaps: Gaps) -> Tuple[str, ...]:
    """The modules of a process whose names have a text in them."""
    if name is None:
        return ()
    from dumpkit.kernel.user_modules import user_modules

    found = gaps.read(f"the modules of process {process.address:016x}", lambda: user_modules(process))
    if found is None:
        return ()
    gaps.add("the modules of processes", found.problem)
    return tuple(module.image_name for module in found.modules if name.lower() in module.image_name.lower())


@command(
    "tl",
    aliases=("tasklist",),
    category="Kernel",
    summary="The processes: what their threads do, memory, times, users",
    arguments=(
        Switch("threads", ("-t",), "how many threads run, are ready, are blocked …"),
        Switch("sessions", ("-s",), "the session; a number behind it shows that session's processes only"),
        Switch("users", ("-u",), "session and user"),
        Option("module", ("-m",), "only processes that have loaded a module with this in its name", holds="nothing"),
        Switch("memory", ("-mem",), "virtual size, commit charge and quotas"),
        Switch("times", ("-cpu",), "processor time"),
        Switch("details", ("-proc",), "threads, handles, when it was made, command line"),
        Option("sort", ("-sort",), "thread: by the number of threads", holds="nothing"),
        Switch("zombies", ("-z",), "the processes that have ended and are still referenced"),
        Word("filter", "part of a name, an id, or an address", repeated=True, holds="nothing"),
    ),
    render=process_list_lines,
)
def tl(
    session: Session,
    threads: bool = False,
    sessions: bool = False,
    users: bool = False,
    module: Optional[str] = None,
    memory: bool = False,
    times: bool = False,
    details: bool = False,
    sort: Optional[str] = None,
    zombies: bool = False,
    filter: Sequence[str] = (),
) -> ProcessList:
    """Lists the processes, the idle process first, then in the order in which they were made.

    The columns of -t count threads: !! suspended, Rn running, Ry ready to run or about to be, Bk waiting for a mutex
    or a push lock, Lc waiting for the answer to a message (LPC), IO waiting for a page, Er waiting for an executive
    resource. lt lists the threads of such a number.

    tl                  all of them
    tl -t               with what their threads do
    tl -s 1 -mem        those of session 1, with their memory
    tl -proc svchost    those with svchost in their name
    """
    words = list(filter)
    only = int(words.pop(0)) if sessions and words and words[0].isdigit() else None
    if len(words) > 1:
        raise CommandError(f"tl: unexpected '{words[1]}'", _USAGE)
    if sort is not None and sort.lower() not in ("thread", "threads"):
        raise CommandError(f"tl: cannot sort by '{sort}', only by thread", _USAGE)
    wanted = _Wanted(threads, sessions, users, module, memory, times, details, sort is not None)
    rows, ended, problems = _listed(session, wanted, only, words[0] if words else None, zombies)
    if wanted.by_threads:
        rows.sort(key=lambda row: row.thread_count if row.thread_count is not None else -1)
    from dumpkit.commands.di import date_time_text

    created = tuple(date_time_text(row.create_time, session.zone) if row.create_time else "" for row in rows)
    return ProcessList(tuple(rows), ended, problems, _column_groups(wanted), created)


def _column_groups(wanted: _Wanted) -> Tuple[str, ...]:
    groups = (
        ("session", wanted.session or wanted.user),
        ("user", wanted.user),
        ("modules", wanted.module is not None),
        ("memory", wanted.memory),
        ("times", wanted.times),
        ("details", wanted.details),
        ("counts", wanted.threads),
        ("thread count", wanted.by_threads and not wanted.details),
    )
    return tuple(name for name, is_wanted in groups if is_wanted)


def _listed(
    session: Session, wanted: _Wanted, only: Optional[int], filter: Optional[str], zombies: bool
) -> Tuple[List[ProcessRow], int, Tuple[str, ...]]:
    """The rows of the processes that were asked for, how many have ended, and what could not be read."""
    gaps = Gaps()
    maker = _RowMaker(wanted, gaps)
    sweep = ProcessSweep(session.dump)
    rows: List[ProcessRow] = []
    ended = 0
    for process in sweep:
        try:
            has_ended = is_zombie(process)
            ended += has_ended
            if has_ended != zombies or (only is not None and process.session_id != only):
                continue
            if filter is not None and not _matches(process, filter):
                continue
        except DumpkitError as error:
            gaps.add(f"process {process.address:016x}", error)
            if only is not None or filter is not None or zombies:
                continue
        modules = _modules(process, wanted.module, gaps)
        if wanted.module is None or modules:
            rows.append(maker.row(process, modules))
    return rows, 0 if zombies else ended, (*sweep.problems, *gaps.lines())
