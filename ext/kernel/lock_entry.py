"""The locks that a thread holds or waits for as its lock entries say (KLOCK_ENTRY, from Windows 8.1 on).

The kernel keeps an entry for each push lock, fast mutex and executive resource that may boost its owner
(AutoBoost; Windows Internals, part 1, chapter 4, and part 2, chapter 8). Push locks do not name their owner, so
these entries are the only record of it. Layout: the kernel's symbols. The lock's address is stored with flags in
its two low bits, and with a flag in place of its top bit.
"""

from __future__ import annotations

from dumpkit.kernel.thread import Thread
from dumpkit.named_tuple import NamedTuple
from dumpkit.objects import Array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List

#: Entries of a thread: six in every Windows so far.
MOST_ENTRIES = 64
_USUAL_ENTRIES = 6
_TOP_BIT = 1 << 63


class LockEntry(NamedTuple):
    """An entry in use: virtual addresses of itself and of the lock."""

    address: int
    lock: int
    is_acquired: bool
    is_waiting: bool


def lock_entries(thread: Thread) -> List[LockEntry]:
    """The entries of a thread that are in use; none where the symbols know of none. Raises MemoryReadError."""
    found = []
    for entry in _entries(thread):
        raw = int(entry.get("LockUnsafe") or 0)
        if not raw & ~3:
            continue
        acquired = _flag(entry, "AcquiredByte", "AcquiredBit")
        waiting = _flag(entry, "WaitingByte", "WaitingBit")
        if acquired or waiting:
            found.append(LockEntry(entry.address, (raw | _TOP_BIT) & ~3, acquired, waiting))
    return found


def _flag(entry: Any, *names: str) -> bool:
    return any(entry.get(name, 0) for name in names if name in entry)


def _entries(thread: Thread) -> Iterator[Any]:
    """The entries of a thread: in the ETHREAD itself, or where the KTHREAD points to."""
    for holder in (thread.record, thread.tcb):
        if "LockEntries" not in holder:
            continue
        entries = holder.LockEntries
        if isinstance(entries, Array):
            for index in range(min(len(entries), MOST_ENTRIES)):
                yield entries.element(index)
        elif entries:
            type = thread.target.type("_KLOCK_ENTRY")
            for index in range(_USUAL_ENTRIES):
                yield type.at(int(entries) + index * type.size)
        return
