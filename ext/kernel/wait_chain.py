"""Why a thread waits: from its wait blocks to the owner of what it waits for, and on to what that waits for.

    chain = wait_chain(thread)
    chain.root.causes[0].owners[0].thread

Each cause says by what it is known (`evidence`). What names no owner (an event, a semaphore, a queue) ends the way,
unless what the thread was doing tells more: a resource by its chain of waiters, a push lock by the waiter's block,
a request by its event, a message by the thread that serves it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator, List, NamedTuple, Optional, Set, Tuple

from dumpkit.errors import DumpkitError, MemoryReadError, SymbolError
from dumpkit.kernel.lock_entry import lock_entries, lock_owner
from dumpkit.kernel.push_lock import lock_waited_for
from dumpkit.kernel.resource import Resource, resources
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
    is_thread,
    wait_blocks,
)
from dumpkit.target import Target

if TYPE_CHECKING:
    from dumpkit.kernel.io.irp import Irp

#: Threads that one answer follows, and how deep.
MOST_THREADS = 200
DEEPEST = 64


class Cause(NamedTuple):
    """A thing that a thread waits for.

    `kind` is a word ("mutant", "resource", "I/O request" …); `object` its virtual address, 0 where it has none;
    `owners` the threads that have it. `irp` is the request and `driver` who has that; `note` says what else is known.
    """

    kind: str
    object: int
    owners: Tuple[WaitNode, ...]
    evidence: str
    irp: int = 0
    driver: str = ""
    note: str = ""


class WaitNode(NamedTuple):
    """A thread on the way. `ending` says why the way ends here ("" where `causes` lead on)."""

    thread: Thread
    state: str
    causes: Tuple[Cause, ...]
    ending: str


class WaitChain(NamedTuple):
    """The answer: the tree of waits, and the cycles in it, each as its threads in the order of waiting."""

    root: WaitNode
    deadlocks: Tuple[Tuple[Thread, ...], ...]


def wait_chain(thread: Thread) -> WaitChain:
    """Follow what a thread waits for. Raises MemoryReadError and SymbolError where not even its state is known."""
    walk = _Walk(thread.target)
    root = walk.node(thread, [])
    return WaitChain(root, tuple(walk.deadlocks))


class _Found(NamedTuple):
    """A cause before its owners were followed."""

    kind: str
    object: int
    owners: Tuple[int, ...]
    evidence: str
    irp: int = 0
    driver: str = ""
    note: str = ""


class _Walk:
    """Follows one thread's wait."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._count = 0
        #: Threads that wait for any of several objects: a cycle through them may end otherwise.
        self._choosing: Set[int] = set()
        self.deadlocks: List[Tuple[Thread, ...]] = []

    def node(self, thread: Thread, path: List[Thread]) -> WaitNode:
        """A thread and what it waits for; `path` are the threads that wait for it."""
        if thread in path:
            return WaitNode(thread, "Waiting", (), self._cycle(tuple(path[path.index(thread) :])))
        self._count += 1
        if not is_thread(self._target, thread.address):
            return WaitNode(thread, "", (), "no thread is there")
        try:
            state = thread.state
            if state != "Waiting":
                return WaitNode(thread, state, (), _not_waiting(thread, state))
            if self._count > MOST_THREADS or len(path) >= DEEPEST:
                return WaitNode(thread, state, (), f"not followed: more than {MOST_THREADS} threads")
            found = list(_causes(thread))
            if len(found) > 1 and not wait_blocks(thread).is_for_all:
                self._choosing.add(thread.address)
        except MemoryReadError as error:
            return WaitNode(thread, "", (), f"it cannot be read: {error}")
        way = [*path, thread]
        causes = tuple(
            Cause(
                cause.kind,
                cause.object,
                tuple(self.node(Thread(self._target, owner), way) for owner in cause.owners),
                cause.evidence,
                cause.irp,
                cause.driver,
                cause.note,
            )
            for cause in found
        )
        return WaitNode(thread, state, causes, "" if causes else _without_cause(thread))

    def _cycle(self, cycle: Tuple[Thread, ...]) -> str:
        """Keep a cycle of threads that wait for each other; what to say of it."""
        for thread in cycle:
            if thread.address in self._choosing:
                return f"a cycle, but {thread.address:016x} waits for any of several objects"
        if not any(set(cycle) == set(known) for known in self.deadlocks):
            self.deadlocks.append(cycle)
        return "deadlock: it waits for itself" if len(cycle) == 1 else "deadlock: the threads above wait for each other"


def _not_waiting(thread: Thread, state: str) -> str:
    if thread.is_terminated or state == "Terminated":
        return "terminated: what it holds is never released"
    if state == "Running":
        return f"running on processor {thread.next_processor}"
    if state == "Standby":
        return f"next to run on processor {thread.next_processor}"
    return {"Ready": "ready to run: it waits for a processor", "DeferredReady": "about to be ready to run"}.get(
        state, f"in state {state}"
    )


def _without_cause(thread: Thread) -> str:
    reason = thread.wait_reason
    return {
        "DelayExecution": "sleeping until its time is over",
        "WrDelayExecution": "sleeping until its time is over",
        "Suspended": "suspended",
        "WrSuspended": "suspended",
        "WrTerminated": "ending",
    }.get(reason, f"no object that it waits for is known ({reason})")


def _causes(thread: Thread) -> Iterator[_Found]:
    """What a waiting thread waits for. Raises MemoryReadError, SymbolError."""
    reason = thread.wait_reason
    objects = tuple(block.object for block in wait_blocks(thread).blocks)
    special = _special(thread, reason, objects)
    if special is not None:
        yield special
        return
    for place in objects:
        try:
            yield _object_cause(thread, reason, place)
        except MemoryReadError as error:
            yield _Found("object", place, (), f"wait block; the object cannot be read: {error}")


def _special(thread: Thread, reason: str, objects: Tuple[int, ...]) -> Optional[_Found]:
    """A lock or a request that is behind what the thread's blocks name, by its wait reason."""
    if reason == "WrResource":
        return resource_cause(thread, objects) or _unknown_lock("resource", reason, objects)
    if reason == "WrPushLock":
        return _push_lock_cause(thread, objects) or _unknown_lock("push lock", reason, objects)
    if reason in ("WrLpcReply", "WrLpcReceive"):
        return _message_cause(thread)
    if reason in ("Executive", "UserRequest", "WrExecutive", "WrUserRequest"):
        return _request_cause(thread, objects)
    return None


def _unknown_lock(kind: str, reason: str, objects: Tuple[int, ...]) -> _Found:
    event = f"; it waits for event {objects[0]:016x}" if objects else ""
    return _Found(kind, 0, (), f"wait reason {reason}", note=f"which one is not known{event}")


def _object_cause(thread: Thread, reason: str, place: int) -> _Found:
    target = thread.target
    thing = DispatcherObject(target, place)
    kind = thing.type
    if reason in FAST_MUTEX_REASONS:
        mutex = fast_mutex_of(target, place)
        if mutex is not None:
            owner = mutex.owner
            return _Found("fast mutex", mutex.address, (owner,) if owner else (), f"wait reason {reason}; its Owner")
    if kind == MUTANT:
        owner = thing.mutant_owner
        return _Found("mutant", place, (owner,) if owner else (), "wait block; OwnerThread")
    if kind == THREAD:
        return _Found("the end of a thread", place, (place,), "wait block")
    if kind == PROCESS:
        return _Found("the end of a process", place, (), "wait block", note=_process_note(target, place))
    if kind in (QUEUE, PRIORITY_QUEUE):
        return _Found("work in a queue", place, (), "wait block", note="nobody owns it: it ends when work comes")
    if kind in (NOTIFICATION_TIMER, SYNCHRONIZATION_TIMER):
        return _Found("timer", place, (), "wait block", note="it ends when the timer is due")
    return _Found(thing.kind, place, (), "wait block", note="no owner known: whoever signals it is not recorded")


def _process_note(target: Target, place: int) -> str:
    from dumpkit.kernel.process import Process

    try:
        process = Process(target, place)
        return f"process {process.name} ({process.pid:x})"
    except DumpkitError:
        return ""


def resource_cause(thread: Thread, objects: Tuple[int, ...]) -> Optional[_Found]:
    """The executive resource that a thread waits for, with its owners; None where none is found to be it."""
    found = _resource_of(thread, objects)
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
    return _Found("resource", resource.address, threads, evidence, note=note)


def _resource_of(thread: Thread, objects: Tuple[int, ...]) -> Optional[Tuple[Resource, str]]:
    target = thread.target
    stack = (int(thread.tcb.StackLimit), int(thread.tcb.StackBase))
    for place, evidence in _locks_named(thread):
        resource = Resource(target, place)
        try:
            if resource.is_listed and (resource.exclusive_waiters or resource.shared_waiters):
                return resource, evidence
        except MemoryReadError:
            continue
    try:
        for resource in resources(target):
            try:
                if resource.is_waited_for(stack, objects) is not None:
                    return resource, "its chain of waiters leads to the thread"
            except MemoryReadError:
                continue
    except SymbolError:
        pass
    for place in _stack_words(thread):
        resource = Resource(target, place)
        try:
            waiters = resource.exclusive_waiters + resource.shared_waiters
            if resource.is_listed and resource.is_owned and 0 < waiters < MOST_THREADS:
                return resource, "named on the thread's stack, and waited for"
        except MemoryReadError:
            continue
    return None


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
    from struct import unpack

    data = thread.target.memory.read_prefix(int(thread.tcb.KernelStack), 0x800)
    seen = set()
    for word in unpack(f"<{len(data) // 8}Q", data[: len(data) & ~7]):
        if word >> 63 and not word & 7 and word not in seen:
            seen.add(word)
            yield word


def _push_lock_cause(thread: Thread, objects: Tuple[int, ...]) -> Optional[_Found]:
    target = thread.target
    lock = lock_waited_for(thread, objects)
    evidence = "its newest waiter's block leads to the thread"
    place = lock.address if lock is not None else 0
    if lock is None:
        place, evidence = next(_locks_named(thread), (0, ""))
        if not place:
            return None
    try:
        owner = lock_owner(target, place)
    except SymbolError:
        owner = None
    if owner is None:
        note = "no owner known: no thread's lock entries name it"
        if lock is not None and lock.is_shared:
            note = "held shared; " + note
        return _Found("push lock", place, (), evidence, note=note)
    return _Found("push lock", place, (owner.address,), f"{evidence}; the owner's lock entry")


def _message_cause(thread: Thread) -> Optional[_Found]:
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
    return _Found("the answer to a message", place, (server,) if server else (), "AlpcMessage of the thread", note=note)


def _request_cause(thread: Thread, objects: Tuple[int, ...]) -> Optional[_Found]:
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


def _request(irp: Irp, objects: Tuple[int, ...], evidence: str) -> _Found:
    driver = irp.driver_name or ""
    note = f"the request is with {driver}" if driver else "which driver has the request cannot be read"
    return _Found("I/O request", objects[0], (), evidence, irp.address, driver, note)


def _is_on_stack(thread: Thread, place: int) -> bool:
    return int(thread.tcb.StackLimit) <= place < int(thread.tcb.StackBase)
