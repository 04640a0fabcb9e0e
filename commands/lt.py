"""`lt` and `trep` (mex): the threads of a process or of all, by state and wait reason; how many are in each state."""

from __future__ import annotations

from dumpkit.commands.thread_row import RowMaker, ThreadRow, problem_lines, thread_table
from dumpkit.errors import CommandError, DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.kernel.process import Process, find_process, process_at
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.thread_sweep import ThreadSweep
from dumpkit.kernel.wait import BLOCKED_REASONS
from dumpkit.named_tuple import NamedTuple
from dumpkit.output import Line
from dumpkit.record import Record
from dumpkit.registry import Option, Switch, Word, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, FrozenSet, Iterator, List, Optional, Sequence, Tuple

_COLUMNS = ("Process", "PID", "Thread", "Id", "State", "Time", "Reason")
_VERBOSE = ("Process", "PID", "Thread", "Id", "Pri", "CSwitches", "User", "Kernel", "State", "Time", "Reason")
_USAGE = "lt [-a] [-wr REASON,...] [-s STATE,...] [-bk] [-r] [-wf] [-v] [-z] [-pid ID] [PROCESS]"
#: Kernel addresses begin above: a smaller number is a process id.
_LOWEST_ADDRESS = 1 << 32


class ThreadListing(Record):
    """The threads that were asked for, and how many there were to choose from."""

    threads: Tuple[ThreadRow, ...]
    looked_at: int
    problems: Tuple[str, ...]
    _columns: Tuple[str, ...] = _COLUMNS


class StateCount(Record):
    """How many threads are in a state."""

    state: str
    count: int


class StateReport(Record):
    """The states of all threads, the rarest first."""

    states: Tuple[StateCount, ...]
    total: int
    problems: Tuple[str, ...]


class ThreadFilter(NamedTuple):
    """Which threads: lower-case names, with or without the Wr of a reason; None lets all pass."""

    reasons: Optional[FrozenSet[str]] = None
    states: Optional[FrozenSet[str]] = None
    only_unblocked: bool = False
    with_terminated: bool = True

    def passes(self, thread: Thread) -> bool:
        """Whether a thread is one of them. Raises MemoryReadError, SymbolError."""
        state = thread.state
        if self.states is not None and state.lower() not in self.states:
            return False
        if self.only_unblocked and state in ("Waiting", "Terminated"):
            return False
        if not self.with_terminated and state == "Terminated":
            return False
        if self.reasons is None:
            return True
        # What does not wait keeps its last reason, and is not asked for by it.
        reason = thread.wait_reason.lower()
        return state == "Waiting" and (reason in self.reasons or reason[2:] in self.reasons)


def names_in(text: str) -> FrozenSet[str]:
    """The words of a list with commas, in lower case."""
    return frozenset(word.strip().lower() for word in text.split(",") if word.strip())


def process_id(text: str, command: str) -> int:
    """A process id: hexadecimal as the debuggers write them, decimal behind 0n. Raises CommandError."""
    word = text.lower().replace("`", "")
    try:
        return int(word[2:], 10) if word.startswith("0n") else int(word, 16)
    except ValueError:
        raise CommandError(f"{command}: '{text}' is no process id") from None


def chosen_process(session: Session, text: Optional[str]) -> Process:
    """The process at an address, of an id or of an image's name; the current one for None. Raises DumpkitError."""
    target = session.dump
    if text is None:
        return Process(target, session.process_address)
    try:
        number = session.evaluate(text)
    except DumpkitError as error:
        found = find_process(target, text)
        if found is None:
            raise CommandError(f"'{text}' is no address, and no active process has that name: {error}") from error
        return found
    if number >= _LOWEST_ADDRESS:
        return process_at(target, number)
    found = find_process(target, number)
    if found is None:
        raise CommandError(f"No active process has the id {number:x}")
    return found


def listing_lines(result: ThreadListing) -> Iterator[Line]:
    if result.threads:
        yield from thread_table(result.threads, result._columns)
        yield ""
    yield f"Thread Count: {len(result.threads)}"
    yield from problem_lines(result.problems)


def state_lines(result: StateReport) -> Iterator[Line]:
    rows = [[f"{each.count:,}", each.state] for each in result.states]
    total = f"{result.total:,}"
    widths = [max(len(cell) for cell in column) for column in zip(["Count", "State"], [total, ""], *rows)]
    rule = " ".join("=" * width for width in widths)
    yield f"{'Count':>{widths[0]}} State"
    yield rule
    for count, state in rows:
        yield f"{count:>{widths[0]}} {state}"
    yield rule
    yield f"{total:>{widths[0]}} "
    yield from problem_lines(result.problems)


@command(
    "lt",
    aliases=("listthreads",),
    category="Kernel",
    summary="The threads of a process or of all, by state, wait reason and more",
    arguments=(
        Switch("every", ("-a", "-all"), "the threads of every process"),
        Option("reasons", ("-wr",), "only threads that wait for one of these reasons: WrQueue,WrLpcReply"),
        Option("states", ("-s", "-state"), "only threads in one of these states: Running,Ready"),
        Switch("blocked", ("-b", "-bk"), "only threads that wait for a fast or guarded mutex, a mutex or a push lock"),
        Switch("unblocked", ("-r",), "only threads that do not wait"),
        Switch("functions", ("-wf",), "the function that each waits in"),
        Switch("verbose", ("-v",), "priority, context switches and times too"),
        Switch("terminated", ("-z",), "terminated threads too"),
        Option("pid", ("-pid",), "the process of this id"),
        Word("process", "the process: its address, its id or its image's name; the current one where it is left out"),
    ),
    render=listing_lines,
)
def lt(
    session: Session,
    every: bool = False,
    reasons: Optional[str] = None,
    states: Optional[str] = None,
    blocked: bool = False,
    unblocked: bool = False,
    functions: bool = False,
    verbose: bool = False,
    terminated: bool = False,
    pid: Optional[str] = None,
    process: Optional[str] = None,
) -> ThreadListing:
    """Lists threads with their state, how long they are in it, and their wait reason.

    lt                              the threads of the current process
    lt ffffb5076a4eb040             those of a process
    lt -a -wr WrResource,WrPushLock those of every process that wait for a resource or a push lock
    lt -a -s Ready -v               those that are ready to run
    lt -a -bk -wf                   those that are blocked, and where
    """
    if (every and (pid is not None or process is not None)) or (pid is not None and process is not None):
        raise CommandError("lt: -a, -pid and PROCESS exclude each other", _USAGE)
    if pid is not None:
        process = f"0x{process_id(pid, 'lt'):x}"
    wanted = names_in(reasons) if reasons is not None else None
    if blocked:
        wanted = (wanted or frozenset()) | frozenset(reason.lower() for reason in BLOCKED_REASONS)
    wanted_states = names_in(states) if states is not None else None
    shows_ended = terminated or bool(wanted_states and "terminated" in wanted_states)
    which = ThreadFilter(wanted, wanted_states, unblocked, shows_ended)
    target = session.dump
    sweep = ThreadSweep(target, None if every else (chosen_process(session, process),))
    gaps = Gaps()
    maker = RowMaker(gaps, functions)
    rows, count = _rows(sweep, which, maker, gaps)
    columns = (_VERBOSE if verbose else _COLUMNS) + (("Wait Function",) if functions else ())
    return ThreadListing(tuple(rows), count, (*sweep.problems, *gaps.lines()), columns)


def _rows(sweep: ThreadSweep, which: ThreadFilter, maker: RowMaker, gaps: Gaps) -> Tuple[List[ThreadRow], int]:
    """The rows of the threads that pass, and how many threads there were."""
    rows: List[ThreadRow] = []
    count = 0
    for thread in sweep:
        count += 1
        try:
            passes = which.passes(thread)
        except DumpkitError as error:
            gaps.add(f"thread {thread.address:016x}", error)
            # Without a filter, what little is known of it is shown.
            passes = which.reasons is None and which.states is None and not which.only_unblocked
        if passes:
            rows.append(maker.row(thread))
    return rows, count


def _counted(states: Dict[str, int]) -> Sequence[StateCount]:
    return [StateCount(state, count) for state, count in sorted(states.items(), key=lambda each: (each[1], each[0]))]


def count_by(sweep: ThreadSweep, key: Callable[[Thread], str], gaps: Gaps) -> Dict[str, int]:
    """How many threads have each value of something."""
    found: Dict[str, int] = {}
    for thread in sweep:
        try:
            value = key(thread)
        except DumpkitError as error:
            gaps.add(f"thread {thread.address:016x}", error)
            continue
        found[value] = found.get(value, 0) + 1
    return found


@command("trep", category="Kernel", summary="How many threads are in each state", render=state_lines)
def trep(session: Session) -> StateReport:
    """Counts the threads of all active processes by their state, the rarest state first."""
    sweep = ThreadSweep(session.dump)
    gaps = Gaps()
    states = count_by(sweep, lambda thread: thread.state, gaps)
    return StateReport(tuple(_counted(states)), sum(states.values()), (*sweep.problems, *gaps.lines()))
