"""Push locks (EX_PUSH_LOCK): whether one is held, and the threads that wait for it.

The lock is one word: Locked 1, Waiting 2, Waking 4, MultipleShared 8 (_EX_PUSH_LOCK in the kernel's symbols), above
these the number of sharers, or the address of the newest waiter's block on its stack. That block is not in the
symbols; it begins with the event that its thread waits for, then come the links to other blocks
(_EX_PUSH_LOCK_WAIT_BLOCK as ReactOS documents it: Next, Last and Previous at 0x18, 0x20 and 0x28).
"""

from __future__ import annotations

from struct import unpack

from dumpkit.errors import MemoryReadError
from dumpkit.kernel.thread import Thread
from dumpkit.memory import AddressSpace
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Set, Tuple

_LOCKED, _WAITING, _MULTIPLE_SHARED = 1, 2, 8
_FLAGS = 0xF
_LINKS = 0x18
#: Waiters of one lock that are followed, and the part of a waiter's stack in which its frames may name the lock.
MOST_WAITERS = 1000
_SEARCHED = 0x1000


class PushLock(NamedTuple):
    """The word of a push lock at a virtual address."""

    address: int
    value: int

    @property
    def is_held(self) -> bool:
        """Whether it is held, shared or exclusively."""
        return bool(self.value & _LOCKED)

    @property
    def newest_waiter(self) -> int:
        """The virtual address of the newest waiter's block; 0 where nobody waits."""
        return self.value & ~_FLAGS if self.value & _WAITING else 0

    @property
    def is_shared(self) -> Optional[bool]:
        """Whether it is held shared; None where waiters hide that."""
        if self.value & _MULTIPLE_SHARED:
            return True
        return None if self.value & _WAITING else bool(self.value & ~_FLAGS)


def push_lock(target: Target, address: int) -> PushLock:
    """The push lock at a virtual address. Raises MemoryReadError."""
    return PushLock(address, target.memory.u64(address))


def waiting_blocks(memory: AddressSpace, lock: PushLock) -> Iterator[int]:
    """The virtual addresses of the waiters' blocks, as far as links lead to them, the newest first."""
    seen: Set[int] = set()
    waiting = [lock.newest_waiter]
    while waiting and len(seen) < MOST_WAITERS:
        block = waiting.pop(0)
        if not block >> 63 or block in seen:
            continue
        links = memory.read_optional(block + _LINKS, 0x18)
        if links is None:
            continue
        seen.add(block)
        yield block
        waiting += [link & ~_FLAGS for link in unpack("<3Q", links)]


def lock_waited_for(thread: Thread, events: Tuple[int, ...]) -> Optional[PushLock]:
    """The push lock whose waiter a thread is, by the events that it waits for; None where its stack names none.

    The lock's address is on the stack of whoever waits for it: the word there leads to the thread's own block.
    """
    memory = thread.target.memory
    try:
        start = int(thread.tcb.KernelStack)
    except MemoryReadError:
        return None
    words = memory.read_prefix(start, _SEARCHED)
    seen: Set[int] = set()
    for place in unpack(f"<{len(words) // 8}Q", words[: len(words) & ~7]):
        if place in seen or not place >> 63 or place & 7:
            continue
        seen.add(place)
        value = memory.u64_optional(place)
        if value is None or not value & _WAITING or not value >> 63:
            continue
        lock = PushLock(place, value)
        if any(block in events for block in waiting_blocks(memory, lock)):
            return lock
    return None
