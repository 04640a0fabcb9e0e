"""`exqueue`: the executive's work queues, their threads and what waits in them.

Format: that of public transcripts of !exqueue, with the queues' names of newer Windows.
"""

from __future__ import annotations

from dumpkit.commands.thread_block import THREADS, WAITS, ThreadBlock, thread_block, thread_block_lines
from dumpkit.errors import CommandError
from dumpkit.gaps import Gaps
from dumpkit.kernel.work_queue import WorkItem, WorkQueue, work_queues
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

#: FLAGS as the debugger documents them; the other bits are those of thread.
_NO_THREADS, _ONLY_CRITICAL, _ONLY_DELAYED, _ONLY_HYPERCRITICAL = 0x8, 0x10, 0x20, 0x40
_ONLY = {_ONLY_CRITICAL: "Critical", _ONLY_DELAYED: "Delayed", _ONLY_HYPERCRITICAL: "HyperCritical"}


class PendingItem(Record):
    """An item that waits; `symbol` names its routine."""

    address: Hex
    routine: Hex
    symbol: Optional[str]
    parameter: Hex
    priority: Optional[int]


class WorkQueueData(Record):
    """A queue; what cannot be read is None."""

    address: Hex
    name: str
    node: Optional[int]
    running: Optional[int]
    most_running: Optional[int]
    thread_count: Optional[int]
    processed: Optional[int]
    threads: Tuple[ThreadBlock, ...]
    pending: Tuple[PendingItem, ...]


class QueueReport(Record):
    """The queues."""

    queues: Tuple[WorkQueueData, ...]
    #: What could not be read and why, one line each.
    problems: Tuple[str, ...]


def queue_lines(result: QueueReport) -> Iterator[Line]:
    for queue in result.queues:
        yield from _queue_lines(queue)
    for problem in result.problems:
        yield (Span(problem, "dim"),)


def _queue_lines(queue: WorkQueueData) -> Iterator[Line]:
    place = "" if queue.node is None else f"NODE {queue.node} "
    counts = f"current = {_shown(queue.running)} maximum = {_shown(queue.most_running)}"
    yield (f"**** {place}{queue.name} WorkQueue( {counts} )",)
    if queue.thread_count is not None:
        yield f"     Threads: {queue.thread_count}  Items processed: {_shown(queue.processed)}"
    for block in queue.threads:
        yield from thread_block_lines(block)
    if queue.threads:
        yield ""
    for item in queue.pending:
        priority = "" if item.priority is None else f" Priority {item.priority}"
        yield (
            "PENDING: ExWorkItem ",
            Span(f"{item.address:016x}", "address", f"dt nt!_WORK_QUEUE_ITEM {item.address:x}"),
            f" Routine {item.symbol or f'{item.routine:016x}'} (",
            Span(f"{item.routine:016x}", "address", f"u {item.routine:x}"),
            f") Parameter {item.parameter:016x}{priority}",
        )
    yield ""


def _shown(value: Optional[int]) -> str:
    return "?" if value is None else str(value)


@command(
    "exqueue",
    category="Kernel",
    summary="The executive's work queues: their threads, and items that wait",
    arguments=(Expression("flags", "2, 4: what waits and stacks of the threads; 8 no threads; 10, 20, 40 one queue"),),
    render=queue_lines,
)
def exqueue(session: Session, flags: int = 0) -> QueueReport:
    """Shows the queues that system worker threads serve: how many work, and every item that waits. Items that wait
    while all threads are busy are what a starved system hangs on. FLAGS are bits:

    2, 4  the threads' waits, details and stacks, as thread has them
    8     no threads
    10    Critical only; 20 Delayed only; 40 HyperCritical only (Windows 7, whose queues are by these kinds)
    """
    target = session.dump
    gaps = Gaps()
    found = work_queues(target)
    for problem in found.problems:
        gaps.add("the work queues", problem)
    only = {name for bit, name in _ONLY.items() if flags & bit}
    chosen = [queue for queue in found.queues if not only or queue.name in only]
    if not chosen and found.queues:
        raise CommandError("exqueue: this Windows has no queues of these kinds: leave 10, 20 and 40 out")
    queues = [_data(target, queue, flags, gaps) for queue in chosen]
    return QueueReport(tuple(queues), gaps.lines())


def _data(target: Target, queue: WorkQueue, flags: int, gaps: Gaps) -> WorkQueueData:
    what = f"the queue at {queue.address:016x}"
    read = gaps.read
    running = read(what, lambda: queue.running)
    threads: List[ThreadBlock] = []
    if not flags & _NO_THREADS:
        each = read(f"the threads of {what}", lambda: list(queue.threads()), [])
        threads = [thread_block(thread, flags & (WAITS | THREADS), gaps) for thread in each]
    items: List[WorkItem] = read(f"the items of {what}", lambda: list(queue.items()), [])
    for problem in queue.problems:
        gaps.add("the work queues", problem)
    return WorkQueueData(
        Hex(queue.address),
        queue.name,
        queue.node,
        running,
        read(what, lambda: queue.most_running),
        read(what, lambda: queue.thread_count),
        read(what, lambda: queue.processed),
        tuple(threads),
        tuple(_item(target, item) for item in items),
    )


def _item(target: Target, item: WorkItem) -> PendingItem:
    place = target.symbols.nearest(item.routine)
    symbol = str(place) if place is not None and place.name is not None else None
    return PendingItem(Hex(item.address), Hex(item.routine), symbol, Hex(item.parameter), item.priority)
