"""`locks` (kdexts) and `eresource` (mex): executive resources, who owns them, and who waits."""

from __future__ import annotations

from dumpkit.commands.resource_lock import (
    ResourceLock,
    ResourceOwner,
    ResourceWaiter,
    deadlocks_among,
    resource_lock,
)
from dumpkit.commands.t_lines import UNKNOWN, duration_cell, thread_link
from dumpkit.commands.thread_block import WAITS, ThreadBlock, thread_block, thread_block_lines
from dumpkit.commands.thread_row import problem_lines, ruled_table
from dumpkit.errors import MemoryReadError
from dumpkit.gaps import Gaps
from dumpkit.kernel.resource import Resource, resources
from dumpkit.kernel.resource_waits import ResourceWaits
from dumpkit.kernel.thread import Thread
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, Switch, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Union

#: Threads in a line.
_IN_A_LINE = 4
_WAITER_INDENT = " " * 14


class LockReport(Record):
    """The resources that were asked for."""

    locks: Tuple[ResourceLock, ...]
    #: Resources in the list, and how many of them somebody owns.
    total: int
    held: int
    #: Cycles of threads that wait for each other.
    deadlocks: Tuple[Tuple[Hex, ...], ...]
    #: The owners' threads, by the order of the locks, where they were asked for.
    threads: Tuple[ThreadBlock, ...]
    problems: Tuple[str, ...]
    _is_of_one: bool = False


class ResourceView(Record):
    """One resource."""

    lock: ResourceLock
    deadlocks: Tuple[Tuple[Hex, ...], ...]
    problems: Tuple[str, ...]


def lock_report_lines(result: LockReport) -> Iterator[Line]:
    if not result._is_of_one:
        yield "**** DUMP OF ALL RESOURCE OBJECTS ****"
    yield "KD: Scanning for held locks."
    threads: Dict[int, ThreadBlock] = {block.thread: block for block in result.threads}
    for lock in result.locks:
        yield ""
        yield from _lock_lines(lock, threads)
    held = f", {result.held} locks currently held" if result.held and not result._is_of_one else ""
    yield f"{result.total} total locks{held}"
    yield from deadlock_lines(result.deadlocks)
    yield from problem_lines(result.problems)


def _lock_lines(lock: ResourceLock, threads: Dict[int, ThreadBlock]) -> Iterator[Line]:
    where = Span(f"0x{lock.address:016x}", "address", f"eresource {lock.address:x}")
    place: Tuple[Union[str, Span], ...] = (where,) if lock.symbol is None else (f"{lock.symbol} (", where, ")")
    yield ("Resource @ ", *place, f"    {_ownership(lock)}")
    for name, count in (
        ("Contention Count", lock.contention_count),
        ("NumberOfSharedWaiters", lock.shared_waiters),
        ("NumberOfExclusiveWaiters", lock.exclusive_waiters),
    ):
        if count:
            yield f"    {name} = {count}"
    yield from _owner_lines(lock.owners)
    for owner in lock.owners:
        if owner.thread in threads:
            yield ""
            yield from thread_block_lines(threads[owner.thread], "     ")
    for name, is_exclusive, count in (
        ("Shared", False, lock.shared_waiters),
        ("Exclusive", True, lock.exclusive_waiters),
    ):
        yield from _waiter_lines(name, [each for each in lock.waiters if each.is_exclusive == is_exclusive], count)
    yield from _waiter_lines("Unknown", [each for each in lock.waiters if each.is_exclusive is None], 0)


def _ownership(lock: ResourceLock) -> str:
    if not lock.is_owned:
        return "Available"
    return "Exclusively owned" if lock.is_exclusive else f"Shared {len(lock.owners)} owning threads"


def _owner_lines(owners: Sequence[ResourceOwner]) -> Iterator[Line]:
    for start in range(0, len(owners), _IN_A_LINE):
        pieces: List[Union[str, Span]] = ["     Threads: " if start == 0 else _WAITER_INDENT]
        for owner in owners[start : start + _IN_A_LINE]:
            if owner.is_thread:
                pieces += [thread_link(owner.thread), f"-{owner.times:02x}<*> "]
            else:
                pieces += [f"{owner.value:016x}-{owner.times:02x}<*> *** Actual Thread ", thread_link(owner.thread)]
        yield tuple(pieces)


def _waiter_lines(name: str, waiters: Sequence[ResourceWaiter], count: int) -> Iterator[Line]:
    if not waiters and not count:
        return
    yield ""
    yield f"     Threads Waiting On {name} Access:"
    for start in range(0, len(waiters), _IN_A_LINE):
        pieces: List[Union[str, Span]] = [_WAITER_INDENT]
        for waiter in waiters[start : start + _IN_A_LINE]:
            pieces += [thread_link(waiter.thread), " " * 7]
        yield tuple(pieces)
    if len(waiters) < count:
        yield (_WAITER_INDENT, Span(f"{count - len(waiters)} of {count} not known", "dim"))


def deadlock_lines(deadlocks: Sequence[Sequence[int]]) -> Iterator[Line]:
    """Each cycle in the order of waiting."""
    for cycle in deadlocks:
        pieces = [piece for thread in cycle for piece in (thread_link(thread), " waits for ")]
        yield ""
        yield (Span("Deadlock: ", "error"), *pieces, thread_link(cycle[0]))


def resource_view_lines(result: ResourceView) -> Iterator[Line]:
    lock = result.lock
    verbose = Span("verbose", None, f"locks -v {lock.address:x}")
    name = f" ({lock.symbol})" if lock.symbol is not None else ""
    yield (f"nt!_ERESOURCE @ {lock.address:016x}{name} [", verbose, "]")
    yield f"Contention count: {lock.contention_count}"
    yield ""
    if lock.is_owned:
        yield "Exclusive owner:" if lock.is_exclusive else "Shared owners:"
        yield from _thread_rows(lock.owners)
    else:
        yield "No owner"
    yield ""
    for name, is_exclusive, count in (
        ("Exclusive", True, lock.exclusive_waiters),
        ("Shared", False, lock.shared_waiters),
    ):
        yield f"{name} Waiters: {count}"
        yield from _thread_rows([each for each in lock.waiters if each.is_exclusive == is_exclusive])
    others = [each for each in lock.waiters if each.is_exclusive is None]
    if others:
        yield "Waiters of which it is not known how:"
        yield from _thread_rows(others)
    yield from deadlock_lines(result.deadlocks)
    yield from problem_lines(result.problems)


def _thread_rows(threads: Sequence[Union[ResourceOwner, ResourceWaiter]]) -> Iterator[Line]:
    if not threads:
        return
    has_function = any(each.wait_function for each in threads)
    heads = ["Process", "Thread", "Time", *(["Wait Function"] if has_function else [])]
    rows = []
    for each in threads:
        row: List[Line] = [each.process_name or UNKNOWN, (thread_link(each.thread),), duration_cell(each.wait_time)]
        rows.append(row + ([each.wait_function or ""] if has_function else []))
    yield from ruled_table(heads, rows, (2,), "    ")


@command(
    "locks",
    category="Kernel",
    summary="The executive resources that are held, their owners and who waits",
    arguments=(
        Switch("verbose", ("-v",), "the owners' threads too"),
        Switch("every", ("-d",), "resources that nobody owns too"),
        Expression("address", "one resource; all of them where it is left out or 0"),
    ),
    render=lock_report_lines,
)
def locks(session: Session, verbose: bool = False, every: bool = False, address: Optional[int] = None) -> LockReport:
    """Shows the executive resources (ERESOURCE) that somebody owns: how often threads had to wait, the owners with how
    often each has acquired it, and the threads that wait. Threads that wait for each other are named as a deadlock.

    locks                      all that are held
    locks -v ffff8b0352014a90  one, with its owners' threads

    t -a says why a thread waits, whatever the lock.
    """
    target = session.dump
    gaps = Gaps()
    waits = ResourceWaits(target)
    found: List[ResourceLock] = []
    total = held = 0
    walk = resources(target) if not address else None
    for resource in walk if walk is not None else (Resource(target, address or 0),):
        total += 1
        try:
            is_owned = resource.is_owned
            held += is_owned
            if is_owned or every or walk is None:
                found.append(resource_lock(resource, waits, gaps))
        except MemoryReadError as error:
            if walk is None:
                raise
            gaps.add(f"resource {resource.address:016x}", error)
    if walk is not None and not walk.complete:
        gaps.add("the end of the list of resources", walk.ended)
    if walk is None and not Resource(target, address or 0).is_listed:
        gaps.add(f"{address:016x}", "no resource of the kernel's list")
    cycles, notes = deadlocks_among(target, found, waits)
    blocks = tuple(_blocks(session, found, gaps)) if verbose else ()
    problems = (*waits.problems, *notes, *gaps.lines())
    return LockReport(tuple(found), total, held, cycles, blocks, problems, walk is None)


def _blocks(session: Session, found: Sequence[ResourceLock], gaps: Gaps) -> Iterator[ThreadBlock]:
    """The threads that own resources, each once."""
    for owner in dict.fromkeys(owner.thread for lock in found for owner in lock.owners if owner.is_thread):
        yield thread_block(Thread(session.dump, owner), WAITS, gaps)


@command(
    "eresource",
    category="Kernel",
    summary="An executive resource: its owners and the threads that wait for it",
    arguments=(Expression("address", "the virtual address of the ERESOURCE", True),),
    render=resource_view_lines,
)
def eresource(session: Session, address: int) -> ResourceView:
    """Shows an executive resource: how often threads had to wait for it, who owns it, who waits, how long and where.

    Threads that wait for each other are named as a deadlock.

    eresource ffff8b0352014a90
    """
    target = session.dump
    gaps = Gaps()
    waits = ResourceWaits(target)
    resource = Resource(target, address)
    lock = resource_lock(resource, waits, gaps)
    if not resource.is_listed:
        gaps.add(f"{address:016x}", "no resource of the kernel's list")
    cycles, notes = deadlocks_among(target, [lock], waits)
    return ResourceView(lock, cycles, (*waits.problems, *notes, *gaps.lines()))
