"""Synchronization objects: dispatcher objects, fast mutexes, executive resources."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

from tests.forge.machine import Machine
from tests.forge.structure import Structure

#: DISPATCHER_HEADER.Type (_KOBJECTS).
NOTIFICATION_EVENT, SYNCHRONIZATION_EVENT, MUTANT, QUEUE, SEMAPHORE = 0, 1, 2, 4, 5
NOTIFICATION_TIMER, SYNCHRONIZATION_TIMER = 8, 9
_EXCLUSIVE = 0x80


def _dispatcher(machine: Machine, type: str, kind: int, signal: int, address: Optional[int]) -> Structure:
    made = machine.place(type, address)
    made.set({"Header.Type": kind, "Header.Size": made.size // 4, "Header.SignalState": signal})
    machine.link(made.at("Header.WaitListHead"), ())
    return made


def add_event(
    machine: Machine, address: Optional[int] = None, signaled: bool = False, notification: bool = False
) -> Structure:
    """A KEVENT."""
    kind = NOTIFICATION_EVENT if notification else SYNCHRONIZATION_EVENT
    return _dispatcher(machine, "_KEVENT", kind, int(signaled), address)


def add_semaphore(machine: Machine, limit: int, count: int = 0, address: Optional[int] = None) -> Structure:
    """A KSEMAPHORE."""
    return _dispatcher(machine, "_KSEMAPHORE", SEMAPHORE, count, address).set({"Limit": limit})


def add_mutant(
    machine: Machine, owner: Optional[Structure] = None, address: Optional[int] = None, depth: int = 1
) -> Structure:
    """A KMUTANT; with an owner it is held, `depth` times, and in the owner's list of mutants."""
    mutant = _dispatcher(machine, "_KMUTANT", MUTANT, 1 if owner is None else 1 - depth, address)
    if owner is None:
        machine.link(mutant.at("MutantListEntry"), ())
    else:
        mutant["OwnerThread"] = owner
        machine.append(owner.at("Tcb.MutantListHead"), mutant.at("MutantListEntry"))
    return mutant


def add_timer(machine: Machine, due: int, period: int = 0, dpc: int = 0, address: Optional[int] = None) -> Structure:
    """A KTIMER that is due at an interrupt time (100 ns units); not in any processor's table."""
    timer = _dispatcher(machine, "_KTIMER", NOTIFICATION_TIMER, 0, address)
    return timer.set({"DueTime.QuadPart": due, "Period": period, "Dpc": dpc})


def add_fast_mutex(
    machine: Machine,
    address: Optional[int] = None,
    owner: Optional[Structure] = None,
    contention: int = 0,
    old_irql: int = 0,
) -> Structure:
    """A FAST_MUTEX: Count is 1 where it is free, 0 or less where it is owned."""
    mutex = machine.place("_FAST_MUTEX", address)
    event = mutex.member("Event")
    event.set({"Header.Type": SYNCHRONIZATION_EVENT, "Header.Size": event.size // 4})
    machine.link(event.at("Header.WaitListHead"), ())
    mutex.set({"Count": 1 if owner is None else 0, "Owner": owner or 0, "Contention": contention, "OldIrql": old_irql})
    return mutex


def add_resource(
    machine: Machine,
    address: Optional[int] = None,
    exclusive: Optional[Structure] = None,
    shared: Sequence[Tuple[Structure, int]] = (),
    contention: int = 0,
    exclusive_waiters: int = 0,
    shared_waiters: int = 0,
) -> Structure:
    """An ERESOURCE in ExpSystemResourcesList: owned by one thread exclusively, by (thread, count) shared, or free."""
    resource = machine.place("_ERESOURCE", address)
    machine.append(machine.address("ExpSystemResourcesList"), resource.at("SystemResourcesList"))
    resource.set(
        {
            "ContentionCount": contention,
            "NumberOfExclusiveWaiters": exclusive_waiters,
            "NumberOfSharedWaiters": shared_waiters,
        }
    )
    if exclusive is not None:
        resource.set({"OwnerEntry.OwnerThread": exclusive, "OwnerEntry.OwnerCount": 1, "ActiveCount": 1})
        resource["ActiveEntries"] = 1
        resource["Flag"] = _EXCLUSIVE
    elif shared:
        entry = machine.layouts.size("_OWNER_ENTRY")
        table = machine.allocate(entry * (len(shared) + 1))
        machine.view("_OWNER_ENTRY", table)["TableSize"] = len(shared) + 1
        for index, (thread, count) in enumerate(shared, 1):
            row = machine.view("_OWNER_ENTRY", table + index * entry)
            row.set({"OwnerThread": thread, "OwnerCount": count})
        resource.set({"OwnerTable": table, "ActiveCount": 1, "ActiveEntries": len(shared)})
    return resource
