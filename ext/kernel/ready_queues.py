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


def ready_threads(target: Target) -> ScheduledThreads:
    """The threads that are queued for a processor, the highest priority first. Raises SymbolError."""
    problems: List[str] = []
    found: List[Tuple[int, Thread]] = []
    seen: Set[int] = set()
    for priority, thread in _queued(target, problems):
        if thread.address not in seen:
            seen.add(thread.address)
            found.append((priority, thread))
    found.sort(key=lambda each: -each[0])
    return ScheduledThreads(tuple(thread for _, thread in found), tuple(dict.fromkeys(problems)))


def _prcbs(target: Target, problems: List[str]) -> Iterator[Tuple[int, Any]]:
    """The number and the KPRCB of each processor."""
    type = target.type("_KPRCB")
    for number in range(target.system.processors):
        try:
            yield number, type.at(target.prcb_address(number))
        except DumpkitError as error:
            problems.append(f"processor {number}: {error}")


def _queued(target: Target, problems: List[str]) -> Iterator[Tuple[int, Thread]]:
    """The priority of each queued thread, and the thread; those of a shared queue once."""
    shared: Set[int] = set()
    for number, prcb in _prcbs(target, problems):
        whose = f"processor {number}"
        yield from _by_priority(target, prcb, "DispatcherReadyListHead", whose, problems)
        if "DeferredReadyListHead" in prcb:
            head = prcb.address_of("DeferredReadyListHead")
            for thread in _walk(target, head, "SwapListEntry", f"the deferred ready queue of {whose}", problems):
                yield _priority(thread), thread
        if "SharedReadyQueue" not in prcb:
            continue
        try:
            queue = prcb.SharedReadyQueue
        except DumpkitError as error:
            problems.append(f"the shared ready queue of {whose}: {error}")
            continue
        if queue and queue.address not in shared:
            shared.add(queue.address)
            yield from _by_priority(target, queue, "ReadyListHead", f"the shared queue {queue.address:016x}", problems)


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
