"""What `ready FLAGS` shows: the scheduler's queues one by one, as kdexts has them.

Format: the !ready page of Microsoft's debugger documentation, and public transcripts of x64.
"""

from __future__ import annotations

from dumpkit.commands.thread_block import ThreadBlock, thread_block, thread_block_lines
from dumpkit.gaps import Gaps
from dumpkit.kernel.ready_queues import ReadyQueue, ready_queues
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple

_INDENT = "    "


class ReadyThread(Record):
    """A queued thread and the priority of its queue; -1 where it cannot be read."""

    priority: int
    thread: ThreadBlock


class ReadyQueueData(Record):
    """A queue: a processor's own, or the shared one at an address."""

    processor: Optional[int]
    shared: Optional[Hex]
    #: Whether it is the one of threads that are yet to be queued.
    is_deferred: bool
    threads: Tuple[ReadyThread, ...]


class ReadyListing(Record):
    """The queues."""

    queues: Tuple[ReadyQueueData, ...]
    #: What could not be read and why, one line each.
    problems: Tuple[str, ...]


def listing_lines(result: ReadyListing) -> Iterator[Line]:
    for queue in result.queues:
        title = f"Processor {queue.processor}" if queue.shared is None else f"SharedReadyQueue {queue.shared:016x}"
        if not queue.threads:
            yield f"{title}: No threads in READY state"
            continue
        previous: Optional[int] = None
        for each in queue.threads:
            if each.priority != previous:
                kind = "Deferred Ready" if queue.is_deferred else "Ready"
                yield f"{title}: {kind} Threads at priority {each.priority}"
                previous = each.priority
            yield from thread_block_lines(each.thread, _INDENT)
    for problem in result.problems:
        yield (Span(problem, "dim"),)


def ready_listing(target: Target, flags: int) -> ReadyListing:
    """The queues with their threads, as FLAGS of thread show each. Raises SymbolError."""
    gaps = Gaps()
    found = ready_queues(target)
    for problem in found.problems:
        gaps.add("the queues", problem)
    queues = tuple(_data(queue, flags, gaps) for queue in found.queues)
    return ReadyListing(queues, gaps.lines())


def _data(queue: ReadyQueue, flags: int, gaps: Gaps) -> ReadyQueueData:
    threads = tuple(ReadyThread(priority, thread_block(thread, flags, gaps)) for priority, thread in queue.threads)
    shared = None if queue.shared is None else Hex(queue.shared)
    return ReadyQueueData(queue.processor, shared, queue.is_deferred, threads)
