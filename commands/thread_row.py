"""A thread as a row of mex's tables: `running`, `ready`, `lt`, `WrFastMutex` and others have some of its columns.

Format: transcripts of mex 3.0 in github.com/DebugPrivilege/InsightEngineering.
"""

from __future__ import annotations

from dumpkit.commands.t_lines import UNKNOWN, duration_cell, hexadecimal_cell, number_cell, thread_link
from dumpkit.durations import rounded_milliseconds, truncated_milliseconds
from dumpkit.gaps import Gaps
from dumpkit.kernel.process import Process
from dumpkit.kernel.ready_queues import affinity_mask
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.ticks import tick_length
from dumpkit.output import Hex, Line, Span, hex_or_none, linked_table, plain
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple


class ThreadRow(Record):
    """A thread. Addresses are virtual, times milliseconds; what the dump does not hold is None."""

    thread: Hex
    process: Optional[Hex]
    process_name: Optional[str]
    pid: Optional[Hex]
    tid: Optional[Hex]
    priority: Optional[int]
    base_priority: Optional[int]
    #: The processors that it may run on, one bit each.
    affinity: Optional[int]
    next_processor: Optional[int]
    ideal_processor: Optional[int]
    context_switches: Optional[int]
    user_time: Optional[int]
    kernel_time: Optional[int]
    state: Optional[str]
    wait_time: Optional[int]
    wait_reason: Optional[str]
    #: The first function of its stack that is not the dispatcher's; None where that was not asked for.
    wait_function: Optional[str] = None


class RowMaker:
    """Makes rows of one machine's threads: what they share is read once."""

    def __init__(self, gaps: Gaps, functions: bool = False) -> None:
        self._gaps = gaps
        self._functions = functions
        self._names: Dict[int, Optional[str]] = {}

    def row(self, thread: Thread) -> ThreadRow:
        """The facts of a thread; what is missing goes to the gaps."""
        what = f"thread {thread.address:016x}"

        def read(function: Callable[[], Optional[int]]) -> Optional[int]:
            found: Optional[int] = self._gaps.read(what, function)
            return found

        tick = tick_length(thread.target)
        process: Optional[Process] = self._gaps.read(what, lambda: thread.process)
        user, kernel = read(lambda: thread.user_time), read(lambda: thread.kernel_time)
        waited = read(lambda: thread.wait_ticks)
        state: Optional[str] = self._gaps.read(what, lambda: thread.state)
        return ThreadRow(
            Hex(thread.address),
            Hex(process.address) if process is not None else None,
            self._name(process) if process is not None else None,
            hex_or_none(read(lambda: thread.pid)),
            hex_or_none(read(lambda: thread.tid)),
            read(lambda: thread.priority),
            read(lambda: thread.base_priority),
            read(lambda: affinity_mask(thread)),
            read(lambda: thread.next_processor),
            read(lambda: thread.ideal_processor),
            read(lambda: thread.context_switches),
            rounded_milliseconds(user, tick) if user is not None and tick is not None else None,
            rounded_milliseconds(kernel, tick) if kernel is not None and tick is not None else None,
            state,
            truncated_milliseconds(waited, tick) if waited is not None and tick is not None else None,
            self._gaps.read(what, lambda: thread.wait_reason),
            _function(thread) if self._functions and state == "Waiting" else None,
        )

    def _name(self, process: Process) -> Optional[str]:
        if process.address not in self._names:
            what = f"the name of process {process.address:016x}"
            self._names[process.address] = self._gaps.read(what, lambda: display_name(process))
        return self._names[process.address]


def display_name(process: Process) -> str:
    """The name of a process's image, as mex marks those that run 32-bit code. Raises MemoryReadError."""
    return process.name + ("*32" if process.is_wow64 else "")


def _function(thread: Thread) -> Optional[str]:
    from dumpkit.commands.wait_lines import wait_function

    return wait_function(thread)


def process_span(address: int, text: str) -> Span:
    """A text with `p` of a process behind it."""
    return Span(text, None, f"p {address:x}")


def _process_cell(row: ThreadRow) -> Line:
    name = row.process_name or UNKNOWN
    return name if row.process is None else (process_span(row.process, name),)


#: Head of a column -> (whether it is right-aligned, its cell).
_COLUMNS: Dict[str, Tuple[bool, Callable[[ThreadRow], Line]]] = {
    "Process": (False, _process_cell),
    "PID": (True, lambda row: hexadecimal_cell(row.pid)),
    "Thread": (False, lambda row: (thread_link(row.thread),)),
    "Id": (True, lambda row: hexadecimal_cell(row.tid)),
    "Pri": (True, lambda row: number_cell(row.priority)),
    "Base Pri": (True, lambda row: number_cell(row.base_priority)),
    "Affinity": (True, lambda row: number_cell(row.affinity)),
    "Next CPU": (True, lambda row: number_cell(row.next_processor)),
    "Ideal CPU": (True, lambda row: number_cell(row.ideal_processor)),
    "CSwitches": (True, lambda row: number_cell(row.context_switches)),
    "User": (True, lambda row: duration_cell(row.user_time)),
    "Kernel": (True, lambda row: duration_cell(row.kernel_time)),
    "State": (False, lambda row: row.state or UNKNOWN),
    "Time": (True, lambda row: duration_cell(row.wait_time)),
    "Reason": (False, lambda row: row.wait_reason or UNKNOWN),
    "Wait Function": (False, lambda row: row.wait_function or ""),
}


def thread_table(
    rows: Sequence[ThreadRow],
    heads: Sequence[str],
    indent: str = "",
    extra: Optional[Tuple[str, Sequence[Line], int]] = None,
) -> Iterator[Line]:
    """A table of threads with a rule below its heads; `extra` is a column more: its head, cells and place."""
    names = list(heads)
    right = [_COLUMNS[name][0] for name in names]
    cells = [[_COLUMNS[name][1](row) for name in names] for row in rows]
    if extra is not None:
        name, column, place = extra
        names.insert(place, name)
        right.insert(place, False)
        for row, cell in zip(cells, column):
            row.insert(place, cell)
    yield from ruled_table(names, cells, [index for index, is_right in enumerate(right) if is_right], indent)


def ruled_table(
    heads: Sequence[Line],
    rows: Sequence[Sequence[Line]],
    right: Sequence[int] = (),
    indent: str = "",
    is_closed: bool = False,
) -> Iterator[Line]:
    """A table of mex with a rule of `=` below its heads; a closed one ends with the rule and the heads again."""
    widths = [max(len(plain(row[column])) for row in (heads, *rows)) for column in range(len(heads))]
    rule: List[Line] = ["=" * width for width in widths]
    end: List[Sequence[Line]] = [rule, heads] if is_closed else []
    yield from linked_table([heads, rule, *rows, *end], right, indent)


def problem_lines(problems: Sequence[str]) -> Iterator[Line]:
    """What could not be read, below a result."""
    if problems:
        yield ""
        for problem in problems:
            yield (Span(problem, "dim"),)
