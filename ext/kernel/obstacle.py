"""What stands in a waiting thread's way: the objects of its wait blocks, or what is known to be behind them.

    for obstacle in obstacles(thread):
        obstacle.kind, obstacle.owners, obstacle.evidence

A resource is known by its chain of waiters, a push lock by the waiter's block, a request by its event, a message by
the thread that serves it; `evidence` says which. What is left are objects that name an owner, or none.
"""

from __future__ import annotations

from struct import unpack

from dumpkit.errors import DumpkitError, MemoryReadError, SymbolError
from dumpkit.kernel.lock_entry import lock_entries
from dumpkit.kernel.lock_survey import LockSurvey
from dumpkit.kernel.push_lock import lock_waited_for
from dumpkit.kernel.resource import Resource
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.wait import (
    FAST_MUTEX_REASONS,
    MUTANT,
    NOTIFICATION_TIMER,
    PRIORITY_QUEUE,
    PROCESS,
    QUEUE,
    SYNCHRONIZATION_TIMER,
    THREAD,
    DispatcherObject,
    fast_mutex_of,
    wait_blocks,
)
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Set, Tuple

    from dumpkit.kernel.io.irp import Irp

#: A resource with more waiters than this is none.
_MOST_WAITERS = 1000
#: The part of a waiting thread's stack in which its functions keep the lock's address.
_SEARCHED = 0x800


class Obstacle(NamedTuple):
    """A thing that a thread waits for.

    `kind` is a word ("mutant", "resource", "I/O request" …); `object` its virtual address, 0 where it has none or
    it is not known; `owners` the virtual addresses of the threads that have it. `irp` is the request and `driver`
    who has that; `note` says what else is known.
    """

    kind: str
    object: int
    owners: Tuple[int, ...]
    evidence: str
    irp: int = 0
    driver: str = ""
    note: str = ""


#: What a wait reason tells where no object names an owner (_KWAIT_REASON; Windows Internals, part 1, chapter 4).
_REASONS = {
    "DelayExecution": "sleeping until its time is over",
    "Suspended": "suspended",
    "PageIn": "a page is being read in, by a request that is in no thread's list",
    "FreePage": "it ends when memory becomes free",
    "Queue": "it ends when work comes",
    "LpcReceive": "it ends when a message comes",
    "LpcReply": "it ends when a message is answered",
    "KeyedEvent": "a lock of user mode, whose owner the kernel does not know",
    "AlertByThreadId": "a lock of user mode, whose owner the kernel does not know",
    "Rundown": "it ends when rundown protection is released",
    "Terminated": "ending",
    "ProcessInSwap": "it ends when its process is back in memory",
    "CpuRateControl": "its share of the processor is used up",
}
_UNKNOWN_OWNER = "no owner known: whoever signals it is not recorded"


def words_of(reason: str) -> Optional[str]:
    """What a wait reason tells; the reasons that begin with Wr mean the same as those without."""
    return _REASONS.get(reason[2:] if reason.startswith("Wr") else reason)


def obstacles(thread: Thread, survey: Optional[LockSurvey] = None) -> Iterator[Obstacle]:
    """What a waiting thread waits for; `survey` serves many threads. Raises MemoryReadError, SymbolError."""
    survey = survey if survey is not None else LockSurvey(thread.target)
    reason = thread.wait_reason
    objects = tuple(block.object for block in wait_blocks(thread).blocks)
    special = _special(thread, reason, objects, survey)
    if special is not None:
        yield special
        return
    for place in objects:
        try:
            yield _object(thread, reason, place)
        except MemoryReadError as error:
            yield Obstacle("object", place, (), f"wait block; the object cannot be read: {error}")


def _special(thread: Thread, reason: str, objects: Tuple[int, ...], survey: LockSurvey) -> Optional[Obstacle]:
    """A lock or a request that is behind what the thread's blocks name, by its wait reason."""
    if reason == "WrResource":
        return resource_obstacle(thread, objects, survey) or _unknown_lock("resource", reason, objects)
    if reason == "WrPushLock":
        return _push_lock(thread, objects, survey) or _unknown_lock("push lock", reason, objects)
    if reason == "WrLpcReply":
        return _message(thread)
    if reason in ("Executive", "UserRequest", "WrExecutive", "WrUserRequest"):
        return _awaited_request(thread, objects)
    return None


def _unknown_lock(kind: str, reason: str, objects: Tuple[int, ...]) -> Obstacle:
    event = f"; it waits for event {objects[0]:016x}" if objects else ""
    return Obstacle(kind, 0, (), f"wait reason {reason}", note=f"which one is not known{event}")


def _object(thread: Thread, reason: str, place: int) -> Obstacle:
    target = thread.target
    thing = DispatcherObject(target, place)
    kind = thing.type
    if reason in FAST_MUTEX_REASONS:
        mutex = fast_mutex_of(target, place)
        if mutex is not None:
            owner = mutex.owner
            return Obstacle("fast mutex", mutex.address, (owner,) if owner else (), f"wait reason {reason}; its Owner")
    if kind == MUTANT:
        owner = thing.mutant_owner
        return Obstacle("mutant", place, (owner,) if owner else (), "wait block; OwnerThread")
    if kind == THREAD:
        return Obstacle("the end of a thread", place, (place,), "wait block")
    if kind == PROCESS:
        return Obstacle("the end of a process", place, (), "wait block", note=_process_note(target, place))
    if kind in (QUEUE, PRIORITY_QUEUE):
        return Obstacle("work in a queue", place, (), "wait block", note="nobody owns it: it ends when work comes")
    if kind in (NOTIFICATION_TIMER, SYNCHRONIZATION_TIMER):
        return Obstacle("timer", place, (), "wait block", note="it ends when the timer is due")
    return Obstacle(thing.kind, place, (), "wait block", note=words_of(reason) or _UNKNOWN_OWNER)


def _process_note(target: Target, place: int) -> str:
    from dumpkit.kernel.process import Process

    try:
        process = Process(target, place)
        return f"process {process.name} ({process.pid:x})"
    except DumpkitError:
        return ""


def resource_obstacle(thread: Thread, objects: Tuple[int, ...], survey: LockSurvey) -> Optional[Obstacle]:
    """The executive resource that a thread waits for, with its owners; None where none is found to be it."""
    found = _resource_of(thread, objects, survey)
    if found is None:
        return None
    resource, evidence = found
    owners = resource.owners()
    threads = tuple(owner.thread for owner in owners.owners if owner.is_thread)
    how = "exclusively" if resource.is_exclusive else "shared"
    note = f"owned {how}" if owners.owners else "owned by nobody"
    if any(not owner.is_thread for owner in owners.owners):
        note += ", by a pointer that is no thread"
    if owners.problem is not None:
        note += f"; {owners.problem}"
    return Obstacle("resource", resource.address, threads, evidence, note=note)


def _resource_of(thread: Thread, objects: Tuple[int, ...], survey: LockSurvey) -> Optional[Tuple[Resource, str]]:
    target = thread.target
    stack = (int(thread.tcb.StackLimit), int(thread.tcb.StackBase))
    for place, evidence in _locks_named(thread):
        if _is_contended(Resource(target, place)):
            return Resource(target, place), evidence
    for resource in survey.contended:
        if resource.is_waited_for(stack, objects) is not None:
            return resource, "its chain of waiters leads to the thread"
    named = [Resource(target, place) for place in _stack_words(thread)]
    named = [resource for resource in named if _is_contended(resource) and not _is_owner(resource, thread)]
    # One of several would be a guess.
    return (named[0], "named on the thread's stack, and waited for") if len(named) == 1 else None


def _is_contended(resource: Resource) -> bool:
    """Whether a resource is at an address, somebody owns it, and somebody waits for it."""
    try:
        waiters = resource.exclusive_waiters + resource.shared_waiters
        return 0 < waiters < _MOST_WAITERS and resource.is_owned and resource.is_listed
    except MemoryReadError:
        return False


def _is_owner(resource: Resource, thread: Thread) -> bool:
    """Whether a thread has the resource for itself, and so need not wait for it."""
    try:
        return resource.is_exclusive and any(owner.thread == thread.address for owner in resource.owners().owners)
    except MemoryReadError:
        return False


def _locks_named(thread: Thread) -> Iterator[Tuple[int, str]]:
    """The locks that the thread itself says it waits for."""
    try:
        for entry in lock_entries(thread):
            if entry.is_waiting and not entry.is_acquired:
                yield entry.lock, f"lock entry {entry.address:016x} of the thread"
    except MemoryReadError:
        pass
    place = thread.tcb.get("AbWaitObject")
    if place:
        yield int(place), "AbWaitObject of the thread"


def _stack_words(thread: Thread) -> Iterator[int]:
    """The kernel addresses in the upper part of a thread's stack, where the functions that wait keep theirs."""
    data = thread.target.memory.read_prefix(int(thread.tcb.KernelStack), _SEARCHED)
    seen: Set[int] = set()
    for word in unpack(f"<{len(data) // 8}Q", data[: len(data) & ~7]):
        if word >> 63 and not word & 7 and word not in seen:
            seen.add(word)
            yield word


def _push_lock(thread: Thread, objects: Tuple[int, ...], survey: LockSurvey) -> Optional[Obstacle]:
    lock = lock_waited_for(thread, objects)
    evidence = "its newest waiter's block leads to the thread"
    place = lock.address if lock is not None else 0
    if lock is None:
        place, evidence = next(_locks_named(thread), (0, ""))
        if not place:
            return None
    owner = survey.owner_of(place)
    if owner is None:
        note = "no owner known: no thread's lock entries name it"
        if lock is not None and lock.is_shared:
            note = "held shared; " + note
        return Obstacle("push lock", place, (), evidence, note=note)
    return Obstacle("push lock", place, (owner,), f"{evidence}; the owner's lock entry")


def _message(thread: Thread) -> Optional[Obstacle]:
    """The thread that has the message to which this one waits for the answer."""
    place = int(thread.record.get("AlpcMessage") or 0) & ~7
    if not place:
        return None
    try:
        message = thread.target.type("_KALPC_MESSAGE").at(place)
        if int(message.WaitingThread) & ~7 != thread.address:
            return None
        server = int(message.ServerThread) & ~7
    except (MemoryReadError, SymbolError):
        return None
    note = "" if server else "no thread has taken the message yet"
    return Obstacle(
        "the answer to a message", place, (server,) if server else (), "AlpcMessage of the thread", note=note
    )


def _awaited_request(thread: Thread, objects: Tuple[int, ...]) -> Optional[Obstacle]:
    """The request that a thread waits for: by its event, by its file's event, or for want of another."""
    from dumpkit.kernel.io.irp import Irp

    try:
        irps = [Irp(thread.target, place) for place in thread.irps()]
    except (MemoryReadError, SymbolError):
        return None
    pending = []
    for irp in irps:
        try:
            if not irp.is_irp or irp.is_complete:
                continue
            pending.append(irp)
            if int(irp.record.get("UserEvent") or 0) in objects:
                return _request(irp, objects, "the object is the request's UserEvent")
            file = int(irp.record.get("Tail.Overlay.OriginalFileObject") or 0)
            if file and thread.target.type("_FILE_OBJECT").at(file).address_of("Event") in objects:
                return _request(irp, objects, "the object is the event of the request's file")
        except (MemoryReadError, SymbolError):
            continue
    if len(pending) == 1 and len(objects) == 1 and _is_on_stack(thread, objects[0]):
        return _request(pending[0], objects, "an event on the thread's stack; its only pending request")
    return None


def _request(irp: Irp, objects: Tuple[int, ...], evidence: str) -> Obstacle:
    driver = irp.driver_name or ""
    note = f"the request is with {driver}" if driver else "which driver has the request cannot be read"
    return Obstacle("I/O request", objects[0], (), evidence, irp.address, driver, note)


def _is_on_stack(thread: Thread, place: int) -> bool:
    return int(thread.tcb.StackLimit) <= place < int(thread.tcb.StackBase)
