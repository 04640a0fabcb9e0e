"""`running`, `ready` and `Standby` (mex): what the processors run, will run next, and have queued."""

from __future__ import annotations

from dumpkit.commands.thread_row import RowMaker, ThreadRow, problem_lines, thread_table
from dumpkit.gaps import Gaps
from dumpkit.kernel.ready_queues import ScheduledThreads, ready_threads, running_threads, standby_threads
from dumpkit.kernel.thread import Thread
from dumpkit.output import Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, Switch, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple, Union

    from dumpkit.commands.processor_summary import ProcessorSummary
    from dumpkit.commands.ready_listing import ReadyListing

_RUNNING = "Process|PID|Thread|Id|Pri|Base Pri|Next CPU|CSwitches|User|Kernel|State|Time|Reason".split("|")
_QUEUED = (
    "Process|PID|Thread|Id|Pri|Base Pri|Affinity|Next CPU|Ideal CPU|CSwitches|User|Kernel|State|Time|Reason".split("|")
)


class ThreadTable(Record):
    """Threads, and what could not be read of them."""

    threads: Tuple[ThreadRow, ...]
    problems: Tuple[str, ...]


def _table(found: ScheduledThreads) -> ThreadTable:
    gaps = Gaps()
    maker = RowMaker(gaps)
    rows = tuple(maker.row(thread) for thread in found.threads)
    return ThreadTable(rows, (*found.problems, *gaps.lines()))


def running_lines(result: Union[ThreadTable, ProcessorSummary]) -> Iterator[Line]:
    if not isinstance(result, ThreadTable):
        from dumpkit.commands.processor_summary import summary_lines

        yield from summary_lines(result)
        return
    yield from thread_table(result.threads, _RUNNING)
    yield ""
    yield (f"Count: {len(result.threads)} | ", Span("Show Unique Stacks", None, "us -cpu"))
    yield from problem_lines(result.problems)


def ready_lines(result: Union[ThreadTable, ReadyListing]) -> Iterator[Line]:
    if not isinstance(result, ThreadTable):
        from dumpkit.commands.ready_listing import listing_lines

        yield from listing_lines(result)
        return
    yield from _queue_lines(result, "No ready threads found.")


def standby_lines(result: ThreadTable) -> Iterator[Line]:
    yield from _queue_lines(result, "No standby threads found.")


def _queue_lines(result: ThreadTable, none: str) -> Iterator[Line]:
    if result.threads:
        yield from thread_table(result.threads, _QUEUED)
        yield ""
        yield f"Count: {len(result.threads)}"
    else:
        yield none
    yield from problem_lines(result.problems)


@command(
    "running",
    category="Kernel",
    summary="The thread that each processor ran",
    arguments=(
        Switch("idle", ("-i",), "as kdexts shows processors, idle ones too"),
        Switch("stacks", ("-t",), "as kdexts shows processors, with stacks"),
        Switch("both", ("-it", "-ti"), "both"),
    ),
    render=running_lines,
)
def running(
    session: Session, idle: bool = False, stacks: bool = False, both: bool = False
) -> Union[ThreadTable, ProcessorSummary]:
    """Shows the thread that each processor ran, in the order of the processors, idle ones included.

    Time is how long the thread has run. us -cpu shows the stacks of these threads.

    -i and -t show processors as kdexts' !running does: their KPRCBs, current, next and idle threads with priorities,
    queued spin locks (O owned, W waited for), with -t the stacks; without -i only processors that do not idle.
    """
    if idle or stacks or both:
        from dumpkit.commands.processor_summary import processor_summary

        return processor_summary(session.dump, idle or both, stacks or both)
    table = _table(running_threads(session.dump))
    return ThreadTable(tuple(_as_running(session, row) for row in table.threads), table.problems)


def _as_running(session: Session, row: ThreadRow) -> ThreadRow:
    """A row whose state, where it cannot be read, is told by the processor."""
    if row.state is not None:
        return row
    facts = {name: getattr(row, name) for name in row._fields}
    facts.update(state="Running", next_processor=Thread(session.dump, row.thread).processor())
    return ThreadRow(**facts)


@command(
    "ready",
    category="Kernel",
    summary="The threads that are queued for a processor",
    arguments=(Expression("flags", "as kdexts shows queues, with what thread's FLAGS show of each thread"),),
    render=ready_lines,
)
def ready(session: Session, flags: Optional[int] = None) -> Union[ThreadTable, ReadyListing]:
    """Shows the threads that could run and wait for a processor, the highest priority first.

    They are those of the processors' own queues, of the queues that processors share, and of the deferred ones.
    Time is how long they have waited; more than some seconds means that they starve.

    With FLAGS the queues are shown one by one, as kdexts' !ready does: 0 in short, 2 and 6 as thread's flags have it.
    """
    if flags is not None:
        from dumpkit.commands.ready_listing import ready_listing

        return ready_listing(session.dump, flags)
    return _table(ready_threads(session.dump))


@command("Standby", category="Kernel", summary="The threads that were chosen to run next", render=standby_lines)
def standby(session: Session) -> ThreadTable:
    """Shows the thread that was chosen to run next on each processor that has chosen one."""
    return _table(standby_threads(session.dump))
