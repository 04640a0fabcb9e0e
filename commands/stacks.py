"""`stacks`: what each thread of the machine does, a line each, or with its stack.

Format: the examples of the !stacks page in Microsoft's debugger documentation, and public transcripts of x64.
"""

from __future__ import annotations

from dumpkit.arguments import take_word
from dumpkit.errors import CommandError, DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.kernel.blocker import blocker
from dumpkit.kernel.named_frame import named_frames
from dumpkit.kernel.process import Process
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.thread_sweep import ProcessSweep
from dumpkit.kernel.whole_stack import whole_stack
from dumpkit.output import Hex, Line, Span, hex_or_none
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

_USAGE = "stacks [DETAIL [TEXT]]"
_RESIDENT, _WITH_PAGED, _WHOLE = 0, 1, 2
_INDENT = " " * 40
#: KTHREAD_STATE as the debugger shows it.
_STATES = {"Waiting": "Blocked", "GateWaitObsolete": "GATEWAIT"}
_PAGED_OUT = "Stack paged out"


class SurveyedThread(Record):
    """A thread. `frames` are the names of its frames, the innermost first; `blocker` is what it waits in."""

    thread: Hex
    pid: Optional[Hex]
    tid: Optional[Hex]
    ticks: Optional[int]
    state: Optional[str]
    blocker: Optional[str]
    frames: Tuple[str, ...]
    #: Why there is no stack, or None.
    problem: Optional[str]


class ProcessStacks(Record):
    """A process with those of its threads that were asked for."""

    process: Hex
    name: Optional[str]
    threads: Tuple[SurveyedThread, ...]


class StackSurvey(Record):
    """Every process."""

    processes: Tuple[ProcessStacks, ...]
    #: Threads that were looked at.
    processed: int
    #: What could not be read and why, one line each.
    problems: Tuple[str, ...]
    _detail: int = _RESIDENT


def stack_survey_lines(result: StackSurvey) -> Iterator[Line]:
    yield "Proc.Thread  .Thread  Ticks   ThreadState Blocker"
    for process in result.processes:
        place = Span(f"{process.process:016x}", "address", f"process {process.process:x} 0")
        yield (" " * 28 + "[", place, f" {process.name or '????'}]")
        for thread in process.threads:
            yield from _thread_lines(thread, result._detail)
        yield ""
    yield f"Threads Processed: {result.processed}"
    for problem in result.problems:
        yield (Span(problem, "dim"),)


def _thread_lines(thread: SurveyedThread, detail: int) -> Iterator[Line]:
    pid, tid = (None if each is None else int(each) for each in (thread.pid, thread.tid))
    ids = f"{'?' if pid is None else f'{pid:x}':>4}.{'?' * 6 if tid is None else f'{tid:06x}'}"
    ticks = "?" * 7 if thread.ticks is None else f"{thread.ticks:07x}"
    what = thread.problem or thread.blocker or ""
    first = thread.frames[0] if detail == _WHOLE and thread.frames else what
    yield (
        f"{ids}  ",
        Span(f"{thread.thread:016x}", "address", f"t {thread.thread:x}"),
        f" {ticks} {thread.state or '????':<10} ",
        Span(first, "symbol" if thread.problem is None else "dim"),
    )
    if detail == _WHOLE:
        yield from ((_INDENT, Span(name, "symbol")) for name in thread.frames[1:])


@command(
    "stacks",
    category="Kernel",
    summary="Every thread of the machine: its state and what it waits in, or its stack",
    arguments=(Text("query", "[DETAIL [TEXT]]: 0, 1 or 2, and a text that a frame of the stack has"),),
    render=stack_survey_lines,
)
def stacks(session: Session, query: str = "") -> StackSurvey:
    """Lists the threads of all processes with their state and the function that they wait in. DETAIL is

    0   threads whose stack is in memory
    1   those whose stack is paged out, too
    2   all of them, with their whole stacks

    stacks 2 Ntfs   the threads that have Ntfs in a frame of their stack

    `us -a` shows stacks that are alike once.
    """
    word, rest = take_word(query)
    detail = _RESIDENT
    if word is not None:
        if word not in ("0", "1", "2"):
            raise CommandError(f"stacks: DETAIL is 0, 1 or 2, not '{word}'", _USAGE)
        detail = int(word)
    wanted = rest.strip().lower()
    gaps = Gaps()
    sweep = ProcessSweep(session.dump)
    found: List[ProcessStacks] = []
    processed = 0
    for process in sweep:
        threads, count = _threads(process, detail, wanted, gaps)
        processed += count
        found.append(ProcessStacks(Hex(process.address), _name(process, gaps), tuple(threads)))
    return StackSurvey(tuple(found), processed, (*sweep.problems, *gaps.lines()), detail)


def _name(process: Process, gaps: Gaps) -> Optional[str]:
    name: Optional[str] = gaps.read(f"process {process.address:016x}", lambda: process.name)
    return name


def _threads(process: Process, detail: int, wanted: str, gaps: Gaps) -> Tuple[List[SurveyedThread], int]:
    """The threads of a process that were asked for, and how many it has."""
    what = f"the threads of process {process.address:016x}"
    walk = gaps.read(what, process.threads)
    if walk is None:
        return [], 0
    found: List[SurveyedThread] = []
    count = 0
    for thread in walk:
        count += 1
        row = _row(thread, gaps)
        if detail == _RESIDENT and row.problem == _PAGED_OUT:
            continue
        if not wanted or any(wanted in name.lower() for name in row.frames):
            found.append(row)
    if not walk.complete:
        gaps.add(what, walk.ended)
    return found, count


def _row(thread: Thread, gaps: Gaps) -> SurveyedThread:
    what = f"thread {thread.address:016x}"
    state: Optional[str] = gaps.read(what, lambda: thread.state)
    names: List[str] = []
    problem = None
    try:
        if not thread.is_stack_resident and thread.processor() is None:
            problem = _PAGED_OUT
        else:
            for frame, side in whole_stack(thread, thread.context()):
                names += [named.name for named in named_frames(side, [frame])]
    except DumpkitError as error:
        problem = str(error)
    return SurveyedThread(
        Hex(thread.address),
        hex_or_none(gaps.read(what, lambda: thread.pid)),
        hex_or_none(gaps.read(what, lambda: thread.tid)),
        gaps.read(what, lambda: thread.wait_ticks),
        None if state is None else _STATES.get(state, state.upper()),
        names[blocker(names)] if names else None,
        tuple(names),
        problem,
    )
