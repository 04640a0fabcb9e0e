"""Asynchronous procedure calls: those that wait in a thread's queues.

_KAPC and _KAPC_STATE of the kernel's symbols; the two queues are for kernel and for user mode (Windows Internals,
part 1, chapter 8).
"""

from __future__ import annotations

from dumpkit.kernel.thread import Thread
from dumpkit.named_tuple import NamedTuple
from dumpkit.objects.lists import ListWalk
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Optional

#: No thread has more of them queued.
MOST_APCS = 10_000
#: _KOBJECTS: ApcObject.
APC_OBJECT = 18
MODES = ("KERNEL", "USER")
_LIST_ENTRY_SIZE = 16


class Apc:
    """A _KAPC at a virtual address. Properties raise MemoryReadError and SymbolError."""

    def __init__(self, target: Target, address: int) -> None:
        self.target = target
        self.address = address
        self.record: Any = target.type("_KAPC").at(address)

    @property
    def type(self) -> int:
        """Type: 18 of every APC."""
        return int(self.record.Type)

    def routine(self, name: str) -> int:
        """KernelRoutine, RundownRoutine or NormalRoutine: a virtual address, 0 where it has none."""
        return int(self.record.member(name))

    @property
    def context(self) -> int:
        """NormalContext: what its normal routine gets first."""
        return int(self.record.NormalContext)


class ApcQueue(NamedTuple):
    """One of a thread's queues: its mode (0 kernel, 1 user), its list's head and the list."""

    mode: int
    head: int
    walk: ListWalk

    def apcs(self, target: Target) -> Iterator[Apc]:
        """Its APCs, the first to be delivered first."""
        for record in self.walk:
            yield Apc(target, record.address)


def apc_queues(thread: Thread) -> Iterator[ApcQueue]:
    """Both queues of a thread. Raises MemoryReadError, SymbolError."""
    tcb = thread.tcb
    for mode in range(len(MODES)):
        head = tcb.address_of("ApcState.ApcListHead") + _LIST_ENTRY_SIZE * mode
        yield ApcQueue(mode, head, thread.target.list(head, "_KAPC", "ApcListEntry", MOST_APCS))


def state_index(thread: Thread) -> Optional[int]:
    """ApcStateIndex: 1 while the thread is attached to another process; None where the symbols lack it."""
    value = thread.tcb.get("ApcStateIndex")
    return None if value is None else int(value)
