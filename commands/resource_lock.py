"""An executive resource as data: its owners and waiters, and the deadlocks that these are in."""

from __future__ import annotations

from dumpkit.commands.thread_row import display_name
from dumpkit.commands.wait_lines import wait_function
from dumpkit.durations import truncated_milliseconds
from dumpkit.errors import DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.kernel.resource import Owner, Resource
from dumpkit.kernel.resource_waits import ResourceWait, ResourceWaits
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.ticks import tick_length
from dumpkit.kernel.wait_chain import wait_chain
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Sequence, Tuple

#: Waiting threads from which deadlocks are looked for.
_MOST_FOLLOWED = 500


class ResourceOwner(Record):
    """An owner. Addresses are virtual, times milliseconds; what cannot be read is None."""

    thread: Hex
    #: How often it has acquired the resource.
    times: int
    #: False for a pointer that a driver set in its thread's place; `value` is what is written there.
    is_thread: bool
    value: Hex
    process_name: Optional[str]
    state: Optional[str]
    wait_time: Optional[int]
    #: Where it waits itself.
    wait_function: Optional[str]


class ResourceWaiter(Record):
    """A thread that waits; `is_exclusive` is None where nothing tells how."""

    thread: Hex
    is_exclusive: Optional[bool]
    process_name: Optional[str]
    wait_time: Optional[int]
    wait_function: Optional[str]
    #: By what it is known.
    evidence: str


class ResourceLock(Record):
    """A resource; `symbol` is its variable's name, where it is one."""

    address: Hex
    symbol: Optional[str]
    is_owned: bool
    is_exclusive: bool
    contention_count: int
    exclusive_waiters: int
    shared_waiters: int
    owners: Tuple[ResourceOwner, ...]
    waiters: Tuple[ResourceWaiter, ...]


def resource_lock(resource: Resource, waits: ResourceWaits, gaps: Gaps) -> ResourceLock:
    """The facts of a resource. Raises MemoryReadError where it cannot be read at all, SymbolError."""
    owners = resource.owners()
    gaps.add(f"resource {resource.address:016x}", owners.problem)
    is_waited_for = resource.exclusive_waiters or resource.shared_waiters
    return ResourceLock(
        Hex(resource.address),
        _variable(resource),
        resource.is_owned,
        resource.is_exclusive,
        resource.contention_count,
        resource.exclusive_waiters,
        resource.shared_waiters,
        tuple(_owner_row(resource.target, owner, gaps) for owner in owners.owners),
        tuple(_waiter_row(wait, gaps) for wait in waits.of(resource)) if is_waited_for else (),
    )


def _variable(resource: Resource) -> Optional[str]:
    """The name of the variable that a resource is, or None."""
    target = resource.target
    if target.module_at(resource.address) is None:
        return None
    place = target.symbols.nearest(resource.address)
    return str(place) if place is not None and place.name is not None and not place.displacement else None


def _owner_row(target: Target, owner: Owner, gaps: Gaps) -> ResourceOwner:
    thread = Thread(target, owner.thread)
    # The two low bits mark what is no thread.
    value = Hex(owner.thread if owner.is_thread else owner.thread | 3)
    if not owner.is_thread:
        return ResourceOwner(Hex(owner.thread), owner.times, False, value, None, None, None, None)
    what = f"thread {thread.address:016x}"
    state: Optional[str] = gaps.read(what, lambda: thread.state)
    return ResourceOwner(
        Hex(owner.thread),
        owner.times,
        True,
        value,
        gaps.read(what, lambda: display_name(thread.process)),
        state,
        gaps.read(what, lambda: _waited(thread)),
        wait_function(thread) if state == "Waiting" else None,
    )


def _waiter_row(wait: ResourceWait, gaps: Gaps) -> ResourceWaiter:
    thread = wait.thread
    what = f"thread {thread.address:016x}"
    return ResourceWaiter(
        Hex(thread.address),
        wait.is_exclusive,
        gaps.read(what, lambda: display_name(thread.process)),
        gaps.read(what, lambda: _waited(thread)),
        wait_function(thread),
        wait.evidence,
    )


def _waited(thread: Thread) -> Optional[int]:
    ticks, length = thread.wait_ticks, tick_length(thread.target)
    return truncated_milliseconds(ticks, length) if ticks is not None and length is not None else None


def deadlocks_among(
    target: Target, locks: Sequence[ResourceLock], waits: ResourceWaits
) -> Tuple[Tuple[Tuple[Hex, ...], ...], List[str]]:
    """The cycles that the waiters of resources are in, and what could not be followed, as clauses."""
    found: List[Tuple[Hex, ...]] = []
    notes: List[str] = []
    threads = list(dict.fromkeys(waiter.thread for lock in locks for waiter in lock.waiters))
    for address in threads[:_MOST_FOLLOWED]:
        if any(address in cycle for cycle in found):
            continue
        try:
            chain = wait_chain(Thread(target, address), waits.survey)
        except DumpkitError as error:
            notes.append(f"what thread {address:016x} waits for: {error}")
            continue
        for cycle in chain.deadlocks:
            members = tuple(Hex(thread.address) for thread in cycle)
            if not any(set(members) == set(known) for known in found):
                found.append(members)
    if len(threads) > _MOST_FOLLOWED:
        notes.append(f"deadlocks of more than {_MOST_FOLLOWED} waiting threads were not looked for")
    return tuple(found), notes
