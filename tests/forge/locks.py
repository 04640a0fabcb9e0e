"""Waits for locks: what the waiters of resources and push locks leave on their stacks, and threads' lock entries."""

from __future__ import annotations

from typing import Sequence

from tests.forge.machine import Machine
from tests.forge.structure import Structure

_IN_TREE = 1 << 63
_RESERVED_OWNER_BITS = 3


def chain_waiters(resource: Structure, places: Sequence[int], exclusive: bool = True) -> None:
    """Chain words on waiting threads' stacks (virtual addresses) to an ERESOURCE, as Windows 8 and later do."""
    machine = resource.machine
    machine.put_u64(resource.at("ExclusiveWaiters" if exclusive else "SharedWaiters"), places[0] if places else 0)
    for place, following in zip(places, [*places[1:], 0]):
        machine.put_u64(place, following)
    count = "NumberOfExclusiveWaiters" if exclusive else "NumberOfSharedWaiters"
    resource[count] = len(places)


def own_by_pointer(resource: Structure, pointer: int) -> None:
    """Make a pointer, no thread, the owner of an ERESOURCE (ExSetResourceOwnerPointer)."""
    resource.set({"OwnerEntry.OwnerThread": pointer | _RESERVED_OWNER_BITS, "OwnerEntry.OwnerCount": 1})
    resource["ActiveCount"] = 1


def add_push_lock(machine: Machine, waiters: Sequence[int] = (), shared: bool = False) -> int:
    """A held push lock; `waiters` are the blocks on the waiting threads' stacks, the newest first. Its address."""
    place = machine.allocate(0x10)
    for block, following in zip(waiters, waiters[1:]):
        machine.put_u64(block + 0x18, following)
    value = waiters[0] | 2 if waiters else 0
    machine.put_u64(place, value | 1 | (8 if shared else 0))
    return place


def add_lock_entry(thread: Structure, index: int, lock: int, acquired: bool = True, waiting: bool = False) -> Structure:
    """Fill a KLOCK_ENTRY of an ETHREAD: the lock's address is stored with flags around it."""
    entry = thread.member(f"LockEntries[{index}]")
    entry["LockUnsafe"] = (lock & ~_IN_TREE) | (1 if acquired else 0)
    entry["AcquiredByte"] = int(acquired)
    entry["WaitingByte" if "WaitingByte" in entry else "WaitingBit"] = int(waiting)
    return entry
