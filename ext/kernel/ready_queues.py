"""What the scheduler has to run: each processor's thread, the one that is next, and those that are queued.

The dispatcher database, as Windows Internals (part 1, chapter 4) describes it: a KPRCB has CurrentThread, NextThread,
a queue for each priority (DispatcherReadyListHead), one of threads that are about to be queued
(DeferredReadyListHead), and shares further queues with its neighbours (SharedReadyQueue). Members are asked of the
kernel's own symbols; the threads are linked by their WaitListEntry or SwapListEntry.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.kernel.thread import Thread
from dumpkit.named_tuple import NamedTuple
from dumpkit.objects import MemberError
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Optional, Set, Tuple

#: No queue holds more threads.
MOST_QUEUED = 100_000


class ScheduledThreads(NamedTuple):
    """Threads, and what of the scheduler's records could not be read, as clauses."""

    threads: Tuple[Thread, ...]
    problems: Tuple[str, ...] = ()


def running_threads(target: Target) -> ScheduledThreads:
    """The thread of each processor in their order, idle ones included."""
    found: List[Thread] = []
    problems: List[str] = []
    for number in range(target.system.processors):
        try:
            address = target.thread_address(number)
        except DumpkitError as error:
            problems.append(f"the thread of processor {number}: {error}")
            continue
        if address:
            found.append(Thread(target, address))
    return ScheduledThreads(tuple(found), tuple(problems))


def standby_threads(target: Target) -> ScheduledThreads:
    """The threads that were chosen to run next, in the order of their processors. Raises SymbolError."""
    found: List[Thread] = []
    problems: List[str] = []
    for number, prcb in _prcbs(target, problems):
        try:
            address = int(prcb.NextThread)
        except MemberError:
            raise
        except DumpkitError as error:
            problems.append(f"the next thread of processor {number}: {error}")
            continue
        if address:
            found.append(Thread(target, address))
    return ScheduledThreads(tuple(found), tuple(problems))


class ReadyQueue(NamedTuple):
    """Threads of a queue with their priorities, the highest first: a processor's own, one that processors share (its
    virtual address), or the one of threads that a processor has yet to queue."""

    processor: Optional[int]
    shared: Optional[int]
    is_deferred: bool
    threads: Tuple[Tuple[int, Thread], ...]


class ReadyQueues(NamedTuple):
    """The queues, shared ones once, and what of them could not be read, as clauses."""

    queues: Tuple[ReadyQueue, ...]
    problems: Tuple[str, ...] = ()


def ready_queues(target: Target) -> ReadyQueues:
    """The queues of all processors; those of deferred threads where there are any. Raises SymbolError."""
    problems: List[str] = []
    queues = tuple(_queues(target, problems))
    return ReadyQueues(queues, tuple(dict.fromkeys(problems)))


def ready_threads(target: Target) -> ScheduledThreads:
    """The threads that are queued for a processor, the highest priority first. Raises SymbolError."""
    found: List[Tuple[int, Thread]] = []
    seen: Set[int] = set()
    queues = ready_queues(target)
    for queue in queues.queues:
        for priority, thread in queue.threads:
            if thread.address not in seen:
                seen.add(thread.address)
                found.append((priority, thread))
    found.sort(key=lambda each: -each[0])
    return ScheduledThreads(tuple(thread for _, thread in found), queues.problems)


def _prcbs(target: Target, problems: List[str]) -> Iterator[Tuple[int, Any]]:
    """The number and the KPRCB of each processor."""
    type = target.type("_KPRCB")
    for number in range(target.system.processors):
        try:
            yield number, type.at(target.prcb_address(number))
        except DumpkitError as error:
            problems.append(f"processor {number}: {error}")


def _queues(target: Target, problems: List[str]) -> Iterator[ReadyQueue]:
    """The queues of each processor; a shared one behind those of the first processor that has it."""
    known: Set[int] = set()
    for number, prcb in _prcbs(target, problems):
        whose = f"processor {number}"
        own = _by_priority(target, prcb, "DispatcherReadyListHead", whose, problems)
        yield ReadyQueue(number, None, False, tuple(own))
        if "DeferredReadyListHead" in prcb:
            head = prcb.address_of("DeferredReadyListHead")
            walk = _walk(target, head, "SwapListEntry", f"the deferred ready queue of {whose}", problems)
            deferred = tuple((_priority(thread), thread) for thread in walk)
            if deferred:
                yield ReadyQueue(number, None, True, deferred)
        if "SharedReadyQueue" not in prcb:
            continue
        try:
            queue = prcb.SharedReadyQueue
        except DumpkitError as error:
            problems.append(f"the shared ready queue of {whose}: {error}")
            continue
        if queue and queue.address not in known:
            known.add(queue.address)
            of_all = _by_priority(target, queue, "ReadyListHead", f"the shared queue {queue.address:016x}", problems)
            yield ReadyQueue(None, queue.address, False, tuple(of_all))


def _by_priority(
    target: Target, holder: Any, member: str, whose: str, problems: List[str]
) -> Iterator[Tuple[int, Thread]]:
    """The threads of an array of queues, one for each priority."""
    if member not in holder:
        return
    heads = holder.address_of(member)
    count = len(holder.member(member))
    size = target.type("_LIST_ENTRY").size
    for priority in reversed(range(count)):
        what = f"the ready queue of priority {priority} of {whose}"
        for thread in _walk(target, heads + priority * size, "WaitListEntry", what, problems):
            yield priority, thread


def _walk(target: Target, head: int, member: str, what: str, problems: List[str]) -> Iterator[Thread]:
    walk = target.list(head, "_KTHREAD", member, MOST_QUEUED)
    for record in walk:
        yield Thread(target, record.address)
    if not walk.complete:
        problems.append(f"{what}: {walk.ended}")


def _priority(thread: Thread) -> int:
    try:
        return thread.priority
    except DumpkitError:
        return -1


def affinity_mask(thread: Thread) -> Optional[int]:
    """The processors of its group on which a thread may run, one bit each; None where the symbols do not tell."""
    tcb = thread.tcb
    # A group's mask up to Windows 10, a set of groups' bitmaps since.
    for path in ("Affinity.Mask", "Affinity.StaticBitmap[0]", "Affinity.Bitmap[0]"):
        mask = tcb.get(path)
        if mask is not None:
            return int(mask)
    return None
