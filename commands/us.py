"""`us` (mex): the stacks of a process's threads, each different one once, with the threads that have it."""

from __future__ import annotations

import re

from dumpkit.commands.lt import ThreadFilter, chosen_process, names_in
from dumpkit.commands.t_lines import thread_link
from dumpkit.commands.thread_row import problem_lines
from dumpkit.errors import CommandError, DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.kernel.named_frame import named_frames
from dumpkit.kernel.ready_queues import running_threads
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.thread_sweep import ThreadSweep
from dumpkit.kernel.unique_stacks import StackGroup, unique_stacks
from dumpkit.output import Hex, Line, Span, linked_table
from dumpkit.record import Record
from dumpkit.registry import Option, Switch, Word, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator, List, Optional, Sequence, Tuple

_USAGE = "us [-a] [-p PROCESS] [-k] [-cpu] [-e TEXT] [-r REGEX] [-wr REASON,...] [FILTER]"
#: Threads of a group that are named.
_MOST_NAMED = 10
#: Reasons for missing stacks that are told.
_MOST_REASONS = 5
_INLINE = f"{'(Inline)':<16}"
_RULE = "=" * 60
#: How frames were found where their unwind data was not there.
_MARKED = ("scan", "code", "frame pointer")


class UniqueFrame(Record):
    """A frame of a stack: where it goes on, a virtual address."""

    instruction: Hex
    symbol: str
    source: Optional[str]
    is_inline: bool
    #: "context", "unwound", "code", "frame pointer" or "scan".
    found_by: str = "unwound"


class UniqueStack(Record):
    """A stack, and the threads that have it."""

    threads: Tuple[Hex, ...]
    frames: Tuple[UniqueFrame, ...]


class ThreadWithoutStack(Record):
    """A thread whose stack cannot be shown, and why."""

    thread: Hex
    reason: str


class StackSummary(Record):
    """The stacks, the rarest first."""

    stacks: Tuple[UniqueStack, ...]
    #: Threads that were looked at.
    total: int
    without_stack: Tuple[ThreadWithoutStack, ...]
    problems: Tuple[str, ...]
    _is_filtered: bool = False
    _is_of_processors: bool = False
    _is_kernel_only: bool = False


def stack_summary_lines(result: StackSummary) -> Iterator[Line]:
    if result._is_kernel_only:
        yield "Kernel Summary"
        yield _RULE
    for stack in result.stacks:
        yield _head(stack, result._is_of_processors)
        yield from _frame_lines(stack.frames)
        yield ""
    shown = sum(len(stack.threads) for stack in result.stacks)
    if result._is_filtered:
        yield f"Threads matching filter: {shown} out of {result.total}"
    else:
        yield f"{len(result.stacks)} stack(s) with {shown} threads displayed ({result.total} Total threads)"
    if result.without_stack and not result._is_filtered:
        yield (
            f"{len(result.without_stack)} stack(s) were not displayed because we could not switch to thread context,"
            " or stack trace was empty"
        )
        yield from _reason_lines(result.without_stack)
    yield from problem_lines(result.problems)


def _reason_lines(threads: Sequence[ThreadWithoutStack]) -> Iterator[Line]:
    """Why stacks are missing, and of how many threads each."""
    found = [each.reason.replace(f"Thread {each.thread:016x}", "The thread") for each in threads]
    reasons = list(dict.fromkeys(found))
    for reason in reasons[:_MOST_REASONS]:
        yield (Span(f"    {found.count(reason)}: {reason}", "dim"),)
    if len(reasons) > _MOST_REASONS:
        yield (Span(f"    and for {len(reasons) - _MOST_REASONS} other reasons", "dim"),)


def _head(stack: UniqueStack, is_of_processors: bool) -> Line:
    count = len(stack.threads)
    words = f"{count} thread{'s' if count != 1 else ''}" + (":" if is_of_processors else " [stats]:")
    named = [piece for thread in stack.threads[:_MOST_NAMED] for piece in (" ", thread_link(thread))]
    return (words, *named, " ..." if count > _MOST_NAMED else "")


def _frame_lines(frames: Sequence[UniqueFrame]) -> Iterator[Line]:
    has_source = any(frame.source is not None for frame in frames)
    rows: List[Sequence[Line]] = []
    for frame in frames:
        address = _INLINE if frame.is_inline else f"{frame.instruction:016x}"
        mark = f" ({frame.found_by})" if frame.found_by in _MARKED and not frame.is_inline else ""
        site: Line = (Span(frame.symbol, "symbol", f"u {frame.instruction:x}"), Span(mark, "dim"))
        source = [f"({frame.source})" if frame.source is not None else ""] if has_source else []
        rows.append((address, site, *source))
    yield from linked_table(rows, (), "    ")


def _stack(group: StackGroup) -> UniqueStack:
    """A group with its frames named, inlined functions among them."""
    frames = []
    for frame, side in group.frames:
        for named in named_frames(side, [frame]):
            place = Hex(frame.instruction_pointer)
            frames.append(UniqueFrame(place, named.name, named.source, named.is_inline, frame.found_by))
    return UniqueStack(tuple(Hex(thread.address) for thread in group.threads), tuple(frames))


def _test(filter: Optional[str], exclude: Optional[str], regex: Optional[str]) -> Callable[[UniqueStack], bool]:
    """Whether a stack is asked for: by texts in its frames' lines, in any case. Raises CommandError."""
    try:
        pattern = re.compile(regex, re.IGNORECASE) if regex is not None else None
    except re.error as error:
        raise CommandError(f"us: '{regex}' is no regular expression: {error}", _USAGE) from error

    def passes(stack: UniqueStack) -> bool:
        lines = [f"{frame.symbol} {frame.source or ''}" for frame in stack.frames]
        if filter is not None and not any(filter.lower() in line.lower() for line in lines):
            return False
        if exclude is not None and any(exclude.lower() in line.lower() for line in lines):
            return False
        return pattern is None or any(pattern.search(line) for line in lines)

    return passes


@command(
    "us",
    aliases=("uniquestacks",),
    category="Kernel",
    summary="The different stacks of a process's threads, the rarest first",
    arguments=(
        Switch("every", ("-a", "-all"), "the threads of every process"),
        Option("process", ("-p",), "the process: its address, id or name; the current one where it is left out"),
        Switch("kernel_only", ("-k",), "kernel mode only"),
        Switch("of_processors", ("-cpu",), "the threads that the processors ran"),
        Option("exclude", ("-e",), "no stacks that have this text in a frame"),
        Option("regex", ("-r",), "only stacks with a frame that this regular expression matches"),
        Option("reasons", ("-wr",), "only threads that wait for one of these reasons"),
        Word("filter", "only stacks that have this text in a frame", holds="nothing"),
    ),
    render=stack_summary_lines,
)
def us(
    session: Session,
    every: bool = False,
    process: Optional[str] = None,
    kernel_only: bool = False,
    of_processors: bool = False,
    exclude: Optional[str] = None,
    regex: Optional[str] = None,
    reasons: Optional[str] = None,
    filter: Optional[str] = None,
) -> StackSummary:
    """Shows each different stack of the current process's threads once, with the threads that have it. What only one
    thread does comes first; many that wait for work come last. Each frame is shown with its instruction address.

    us                       the current process
    us TestDriver            only stacks that go through TestDriver
    us -a -wr WrResource     of every process, those of threads that wait for a resource
    us -cpu                  what the processors ran
    """
    if sum((every, process is not None, of_processors)) > 1:
        raise CommandError("us: -a, -p and -cpu exclude each other", _USAGE)
    passes = _test(filter, exclude, regex)
    gaps = Gaps()
    threads, total, problems = _threads(session, every, process, of_processors, reasons, gaps)
    found = unique_stacks(threads, kernel_only)
    stacks = tuple(stack for stack in map(_stack, found.groups) if passes(stack))
    without = tuple(ThreadWithoutStack(Hex(thread.address), reason) for thread, reason in found.without)
    is_filtered = any(each is not None for each in (filter, exclude, regex, reasons))
    notes = (*problems, *gaps.lines())
    return StackSummary(stacks, total, without, notes, is_filtered, of_processors, kernel_only)


def _threads(
    session: Session, every: bool, process: Optional[str], of_processors: bool, reasons: Optional[str], gaps: Gaps
) -> Tuple[List[Thread], int, Sequence[str]]:
    """The threads whose stacks are wanted, how many there were to choose from, and what could not be found."""
    target = session.dump
    if of_processors:
        running = running_threads(target)
        found, problems = list(running.threads), list(running.problems)
    else:
        sweep = ThreadSweep(target, None if every else (chosen_process(session, process),))
        found = list(sweep)
        problems = sweep.problems
    if reasons is None:
        return found, len(found), problems
    which = ThreadFilter(names_in(reasons))
    chosen = []
    for thread in found:
        try:
            if which.passes(thread):
                chosen.append(thread)
        except DumpkitError as error:
            gaps.add(f"thread {thread.address:016x}", error)
    return chosen, len(found), problems
