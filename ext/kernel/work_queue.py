"""The executive's work queues: what waits for a system worker thread, and the threads that serve it.

_EX_WORK_QUEUE of the kernel's symbols. Windows 10 has them by partition and node (PspSystemPartition, _EX_PARTITION.
WorkQueues), each a _KPRIQUEUE with a list for each priority; Windows 7 has three in nt!ExWorkerQueue, each a _KQUEUE.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, SymbolError
from dumpkit.kernel.thread import Thread
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, List, Optional, Tuple

#: No queue has more of either.
MOST_ITEMS = 100_000
MOST_THREADS = 10_000
_MOST_NODES = 64
_PRIORITIES = 32
_LIST_ENTRY_SIZE = 16
#: WORK_QUEUE_TYPE (wdm.h) of the queues of Windows 7, by their index.
_OLD_NAMES = ("Critical", "Delayed", "HyperCritical")


class WorkItem(NamedTuple):
    """A WORK_QUEUE_ITEM that waits: its address, its routine and that one's parameter; its priority, None before 10."""

    address: int
    routine: int
    parameter: int
    priority: Optional[int]


class WorkQueue:
    """An _EX_WORK_QUEUE. Properties raise MemoryReadError and SymbolError; `problems` grows with each list walked."""

    def __init__(self, target: Target, record: Any, name: str, node: Optional[int]) -> None:
        self.target = target
        self.record = record
        self.address: int = record.address
        #: ExPoolUntrusted, IoPoolUntrusted …; Critical, Delayed or HyperCritical of Windows 7.
        self.name = name
        #: None where queues are not by node.
        self.node = node
        self.problems: List[str] = []
        self._has_priorities = "WorkPriQueue" in record
        self._queue: Any = record.WorkPriQueue if self._has_priorities else record.WorkerQueue

    @property
    def running(self) -> int:
        """Threads that work on items of the queue now."""
        count = self._queue.CurrentCount
        return sum(max(0, int(each)) for each in count) if self._has_priorities else int(count)

    @property
    def most_running(self) -> int:
        """How many may at once."""
        return int(self._queue.MaximumCount)

    @property
    def thread_count(self) -> Optional[int]:
        """Threads that serve it; None where the Windows does not count them."""
        value = self.record.get("ThreadCount")
        return None if value is None else int(value)

    @property
    def processed(self) -> Optional[int]:
        """Items that were worked on; None likewise."""
        value = self.record.get("WorkItemsProcessed")
        return None if value is None else int(value)

    def items(self) -> Iterator[WorkItem]:
        """The items that wait, those of the highest priority first."""
        head = self._queue.address_of("EntryListHead")
        if not self._has_priorities:
            yield from self._list(head, None)
            return
        for priority in reversed(range(_PRIORITIES)):
            yield from self._list(head + priority * _LIST_ENTRY_SIZE, priority)

    def _list(self, head: int, priority: Optional[int]) -> Iterator[WorkItem]:
        walk = self.target.list(head, "_WORK_QUEUE_ITEM", "List", MOST_ITEMS)
        for item in walk:
            yield WorkItem(item.address, int(item.WorkerRoutine), int(item.Parameter), priority)
        if not walk.complete:
            self.problems.append(f"the items of the queue at {self.address:016x}: {walk.ended}")

    def threads(self) -> Iterator[Thread]:
        """The threads that serve it, those that work and those that wait."""
        head = self._queue.address_of("ThreadListHead")
        walk = self.target.list(head, "_KTHREAD", "QueueListEntry", MOST_THREADS)
        for record in walk:
            yield Thread(self.target, record.address)
        if not walk.complete:
            self.problems.append(f"the threads of the queue at {self.address:016x}: {walk.ended}")


class WorkQueues(NamedTuple):
    """The queues, and what could not be read, as clauses."""

    queues: Tuple[WorkQueue, ...]
    problems: Tuple[str, ...]


def work_queues(target: Target) -> WorkQueues:
    """The queues of the system. Raises SymbolError, MemoryReadError; DumpkitError where there are none."""
    try:
        place = target.symbols.address_of("nt!PspSystemPartition")
    except SymbolError:
        return _old_queues(target)
    return _of_partition(target, place)


def _old_queues(target: Target) -> WorkQueues:
    type = target.type("_EX_WORK_QUEUE")
    place = target.symbols.address_of("nt!ExWorkerQueue")
    queues = [
        WorkQueue(target, type.at(place + index * type.size), name, None) for index, name in enumerate(_OLD_NAMES)
    ]
    return WorkQueues(tuple(queues), ())


def _of_partition(target: Target, place: int) -> WorkQueues:
    partition = target.type("_EPARTITION").at(target.memory.u64(place))
    if not partition:
        raise DumpkitError("nt!PspSystemPartition is null: there are no work queues yet")
    table = int(target.type("_EX_PARTITION").at(int(partition.ExPartition)).WorkQueues)
    values = _words(target.type, "_EXQUEUEINDEX")
    type = target.type("_EX_WORK_QUEUE")
    found: List[WorkQueue] = []
    problems: List[str] = []
    for node in range(_node_count(target)):
        row = target.memory.u64_optional(table + 8 * node)
        if not row:
            problems.append(f"the work queues of node {node} cannot be read")
            continue
        for index, name in enumerate(values):
            queue = target.memory.u64_optional(row + 8 * index)
            if queue:
                found.append(WorkQueue(target, type.at(queue), name, node))
    return WorkQueues(tuple(found), tuple(problems))


def _words(type: Callable[[str], Any], name: str) -> List[str]:
    """The names of the kinds of queue by their index; the first two where the symbols name none."""
    try:
        values = type(name).values
    except SymbolError:
        return ["ExPoolUntrusted", "IoPoolUntrusted"]
    ordered = sorted((value, word) for word, value in values.items() if not word.endswith("Max"))
    return [word for _, word in ordered]


def _node_count(target: Target) -> int:
    try:
        count = target.memory.u32(target.symbols.address_of("nt!KeNumberNodes")) & 0xFFFF
    except DumpkitError:
        return 1
    return min(max(count, 1), _MOST_NODES)
