"""What a thread waits for: its wait blocks, and the dispatcher objects that they stand for.

    for block in wait_blocks(thread).blocks:
        DispatcherObject(target, block.object).kind       "SynchronizationEvent"

Layouts: _KWAIT_BLOCK and _DISPATCHER_HEADER in the kernel's symbols. Windows Internals (part 1, chapter 8) describes
how a thread's blocks and an object's list of waiters cross.
"""

from __future__ import annotations

from dumpkit.errors import MemoryReadError, SymbolError
from dumpkit.kernel.thread import THREAD_OBJECT, Thread
from dumpkit.memory import U64_MASK
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Optional, Set, Tuple

#: A thread waits for no more objects at once (MAXIMUM_WAIT_OBJECTS, wdm.h).
MOST_BLOCKS = 64
#: Waiters of an object that are counted; a longer list is damaged.
MOST_WAITERS = 100_000

#: DISPATCHER_HEADER.Type (_KOBJECTS in the kernel's symbols).
NOTIFICATION_EVENT, SYNCHRONIZATION_EVENT, MUTANT, PROCESS, QUEUE, SEMAPHORE, THREAD, GATE = range(8)
NOTIFICATION_TIMER, SYNCHRONIZATION_TIMER = 8, 9
PRIORITY_QUEUE = 21
NOTIFICATION_TIMER2, SYNCHRONIZATION_TIMER2 = 24, 25

#: What the extensions call them.
_KINDS = {
    NOTIFICATION_EVENT: "NotificationEvent",
    SYNCHRONIZATION_EVENT: "SynchronizationEvent",
    MUTANT: "Mutant",
    PROCESS: "Process",
    QUEUE: "Queue",
    SEMAPHORE: "Semaphore",
    THREAD: "Thread",
    GATE: "Gate",
    NOTIFICATION_TIMER: "NotificationTimer",
    SYNCHRONIZATION_TIMER: "SynchronizationTimer",
    PRIORITY_QUEUE: "PriQueue",
    NOTIFICATION_TIMER2: "NotificationTimer2",
    SYNCHRONIZATION_TIMER2: "SynchronizationTimer2",
}
#: Bits of the type that say something else (DISPATCHER_HEADER's KOBJECT_LOCK_BIT, wdm.h).
_LOCK_BIT = 0x80

#: Wait reasons (_KWAIT_REASON) of a thread that waits for the owner of a fast or guarded mutex.
FAST_MUTEX_REASONS = ("WrFastMutex", "WrGuardedMutex")
#: Those of a thread that waits for a lock's owner, as mex counts them.
BLOCKED_REASONS = (*FAST_MUTEX_REASONS, "WrMutex", "WrPushLock")


class WaitBlock(NamedTuple):
    """A KWAIT_BLOCK of a thread: what it waits for. Addresses are virtual."""

    address: int
    #: The dispatcher object.
    object: int
    #: The status with which the wait would end for this object: its number among those waited for.
    key: int
    #: _WAIT_TYPE: WaitAll 0, WaitAny 1, WaitNotification 2, WaitDequeue 3, WaitDpc 4.
    type: int


class WaitBlocks(NamedTuple):
    """A thread's blocks, and what could not be read of them, as a clause."""

    blocks: Tuple[WaitBlock, ...]
    problem: Optional[str] = None

    @property
    def is_for_all(self) -> bool:
        """Whether the thread waits until all of the objects are signaled, not just one."""
        return len(self.blocks) > 1 and self.blocks[0].type == 0


def wait_blocks(thread: Thread) -> WaitBlocks:
    """The blocks of a waiting thread, those of its own timer left out. Raises MemoryReadError, SymbolError."""
    tcb = thread.tcb
    if thread.state != "Waiting":
        return WaitBlocks(())
    first = tcb.WaitBlockList
    timer = tcb.address_of("Timer") if "Timer" in tcb else 0
    found: List[WaitBlock] = []
    try:
        for record in _counted(thread, int(first)) if "WaitBlockCount" in tcb else _linked(first):
            place = int(record.Object)
            # A thread that only sleeps has all ones there, or its own timer.
            if place not in (0, U64_MASK, timer):
                found.append(WaitBlock(record.address, place, int(record.WaitKey), int(record.WaitType)))
    except MemoryReadError as error:
        return WaitBlocks(tuple(found), f"a wait block cannot be read: {error}")
    return WaitBlocks(tuple(found))


def _counted(thread: Thread, first: int) -> Iterator[Any]:
    """The blocks of Windows 8 and later: an array."""
    blocks = thread.target.type("_KWAIT_BLOCK")
    for index in range(min(int(thread.tcb.WaitBlockCount), MOST_BLOCKS) if first else 0):
        yield blocks.at(first + index * blocks.size)


def _linked(first: Any) -> Iterator[Any]:
    """The blocks of Windows 7 and before: each leads to the next one, the last to the first."""
    block = first
    seen: Set[int] = set()
    while block and block.address not in seen and len(seen) < MOST_BLOCKS:
        seen.add(block.address)
        yield block
        block = block.NextWaitBlock


class Waiter(NamedTuple):
    """An entry of an object's list of waiters: virtual addresses of the thread (0 where it has none) and the block."""

    thread: int
    block: int


class Waiters(NamedTuple):
    """The waiters of an object in their order; `problem` says what is wrong with the list, as a clause."""

    waiters: Tuple[Waiter, ...]
    problem: Optional[str] = None

    @property
    def threads(self) -> List[int]:
        """The virtual addresses of the threads."""
        return [waiter.thread for waiter in self.waiters if waiter.thread]


class DispatcherObject:
    """An object that threads wait for, by its virtual address. Properties raise MemoryReadError and SymbolError."""

    def __init__(self, target: Target, address: int) -> None:
        self.target = target
        self.address = int(address)
        self.header: Any = target.type("_DISPATCHER_HEADER").at(self.address)

    @property
    def type(self) -> int:
        """DISPATCHER_HEADER.Type without its lock bit."""
        return int(self.header.Type) & ~_LOCK_BIT

    @property
    def kind(self) -> str:
        """What the extensions call the type; the enumeration's word, or the number, for others."""
        number = self.type
        known = _KINDS.get(number)
        if known is not None:
            return known
        try:
            name = self.target.type("_KOBJECTS").value(number).name
        except SymbolError:
            name = None
        return name[: -len("Object")] if name is not None and name.endswith("Object") else f"Unknown ({number})"

    @property
    def signal_state(self) -> int:
        """SignalState: positive where a wait would end at once; of a semaphore its count."""
        return int(self.header.SignalState)

    def waiters(self) -> Waiters:
        """The threads that wait for it."""
        walk = self.target.list(self.header.address_of("WaitListHead"), "_KWAIT_BLOCK", "WaitListEntry", MOST_WAITERS)
        found = []
        try:
            for block in walk:
                # A block of a queue or of an asynchronous wait holds something else than a thread.
                found.append(Waiter(int(block.Thread) if int(block.WaitType) in (0, 1, 3) else 0, block.address))
        except MemoryReadError as error:
            return Waiters(tuple(found), f"a waiter cannot be read: {error}")
        return Waiters(tuple(found), None if walk.complete else walk.ended)

    @property
    def mutant_owner(self) -> int:
        """The virtual address of the thread that owns it, a mutant; 0 where nobody does."""
        return int(self.target.type("_KMUTANT").at(self.address).OwnerThread)

    @property
    def semaphore_limit(self) -> int:
        """Limit of a semaphore."""
        return int(self.target.type("_KSEMAPHORE").at(self.address).Limit)


class FastMutex:
    """A FAST_MUTEX (or KGUARDED_MUTEX) by its virtual address; KMUTEX has nothing to do with it."""

    def __init__(self, target: Target, address: int, type: str = "_FAST_MUTEX") -> None:
        self.target = target
        self.address = int(address)
        self.record: Any = target.type(type).at(self.address)

    @property
    def owner_field(self) -> int:
        """The virtual address of its Owner member."""
        return int(self.record.address_of("Owner"))

    @property
    def owner(self) -> int:
        """The virtual address of the thread that owns it; 0 where nobody does."""
        return int(self.record.Owner) & ~7

    @property
    def contention(self) -> int:
        """How often a thread had to wait for it."""
        return int(self.record.Contention)


def fast_mutex_of(target: Target, event: int) -> Optional[FastMutex]:
    """The fast mutex whose event (or gate, of a guarded mutex before Windows 8) is at a virtual address, or None.

    That it is one is the caller's to know: by the wait reason.
    """
    for type, member in (("_KGUARDED_MUTEX", "Gate"), ("_FAST_MUTEX", "Event")):
        try:
            is_gate = DispatcherObject(target, event).type == GATE
            if is_gate == (member == "Gate"):
                return FastMutex(target, target.type(type).containing(event, member).address, type)
        except (SymbolError, MemoryReadError):
            continue
    return None


def is_thread(target: Target, address: int) -> bool:
    """Whether a thread's header is at a virtual address."""
    if not address or address & 0xF or not address >> 63:
        return False
    try:
        return DispatcherObject(target, address).type == THREAD_OBJECT
    except MemoryReadError:
        return False
