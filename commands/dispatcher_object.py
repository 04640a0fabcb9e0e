"""`mut`, `evt`, `sem` and `obj`: objects that threads wait for, and who waits.

Format: transcripts of mex 3.0 in github.com/DebugPrivilege/InsightEngineering.
"""

from __future__ import annotations

from dumpkit.commands.ddt import Annotated, annotated, annotated_lines
from dumpkit.commands.object import ObjectData, object_data, object_lines
from dumpkit.commands.t_facts import ThreadFacts, thread_facts
from dumpkit.commands.t_lines import UNKNOWN, duration_cell, hexadecimal_cell, state_text, thread_link
from dumpkit.commands.wait_lines import wait_function
from dumpkit.errors import CommandError
from dumpkit.gaps import Gaps
from dumpkit.kernel.object_header import KernelObject
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.wait import MUTANT, NOTIFICATION_EVENT, SEMAPHORE, SYNCHRONIZATION_EVENT, DispatcherObject
from dumpkit.output import Hex, Line, Span, linked_table
from dumpkit.record import Record
from dumpkit.registry import Expression, Switch, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple, Union

_RIGHT = (2, 3, 4, 5, 7)
_HEADS = ("Process", "Thread", "Id", "CSwitches", "User", "Kernel", "State", "Time", "Reason", "Wait Function")
#: Waiters that are shown with their stacks' functions.
_MOST_SHOWN = 10_000


class DispatcherView(Record):
    """An object that threads wait for; addresses are virtual."""

    address: Hex
    #: The name of its kind: Mutant, NotificationEvent, SynchronizationEvent, Semaphore.
    kind: str
    signal_state: int
    waiters: Tuple[Hex, ...]
    #: Of a mutant: the thread that has it, 0 where nobody does; None of other objects.
    owner: Optional[Hex]
    notes: Tuple[str, ...]
    _type: Optional[Annotated] = None


class ObjectWaiter(Record):
    """A thread that waits; `function` is the first of its stack that is not the dispatcher's."""

    facts: ThreadFacts
    function: Optional[str]


class WaiterList(Record):
    """The threads that wait for an object."""

    object: Hex
    waiters: Tuple[ObjectWaiter, ...]
    notes: Tuple[str, ...]


def dispatcher_lines(result: DispatcherView) -> Iterator[Line]:
    if result._type is not None:
        yield from annotated_lines(result._type)
    yield ""
    yield ""
    count = Span(str(len(result.waiters)), None, f"obj -waiters {result.address:x}" if result.waiters else None)
    yield ("Number of waiters: ", count)
    if result.owner:
        yield ("Owning Thread: ", thread_link(result.owner))
    elif result.owner is not None:
        yield "No owning thread"
    for note in result.notes:
        yield (Span(note, "warning"),)


def waiter_lines(result: Union[WaiterList, ObjectData]) -> Iterator[Line]:
    if isinstance(result, ObjectData):
        yield from object_lines(result)
        return
    rows = [_row(waiter) for waiter in result.waiters]
    if rows:
        widths = [max(len(_text(row[column])) for row in (_HEADS, *rows)) for column in range(len(_HEADS))]
        rule: List[Line] = ["=" * width for width in widths]
        yield from linked_table([list(_HEADS), rule, *rows], _RIGHT)
    else:
        yield "No waiters"
    for note in result.notes:
        yield (Span(note, "warning"),)


def _text(cell: Line) -> str:
    from dumpkit.output import plain

    return plain(cell)


def _row(waiter: ObjectWaiter) -> List[Line]:
    facts = waiter.facts
    return [
        facts.process_name or UNKNOWN,
        (thread_link(facts.thread),),
        hexadecimal_cell(facts.tid),
        UNKNOWN if facts.context_switches is None else str(facts.context_switches),
        duration_cell(facts.user_time),
        duration_cell(facts.kernel_time),
        state_text(facts),
        duration_cell(facts.wait_time),
        facts.wait_reason or UNKNOWN,
        waiter.function or UNKNOWN,
    ]


_ADDRESS = Expression("address", "the virtual address of the object", True)


@command(
    "mut",
    category="Kernel",
    summary="A mutex (KMUTANT): its owner and how many wait for it",
    arguments=(_ADDRESS,),
    render=dispatcher_lines,
)
def mut(session: Session, address: int) -> DispatcherView:
    """Shows a KMUTANT as ddt does, who owns it, and how many threads wait for it: mut ADDRESS."""
    return _view(session, address, "nt!_KMUTANT", (MUTANT,), "mutant")


@command(
    "evt",
    category="Kernel",
    summary="An event (KEVENT) and how many wait for it",
    arguments=(_ADDRESS,),
    render=dispatcher_lines,
)
def evt(session: Session, address: int) -> DispatcherView:
    """Shows a KEVENT as ddt -r1 does, and how many threads wait for it: evt ADDRESS."""
    return _view(session, address, "-r1 nt!_KEVENT", (NOTIFICATION_EVENT, SYNCHRONIZATION_EVENT), "event")


@command(
    "sem",
    category="Kernel",
    summary="A semaphore (KSEMAPHORE) and how many wait for it",
    arguments=(_ADDRESS,),
    render=dispatcher_lines,
)
def sem(session: Session, address: int) -> DispatcherView:
    """Shows a KSEMAPHORE as ddt -r1 does, and how many threads wait for it: sem ADDRESS."""
    return _view(session, address, "-r1 nt!_KSEMAPHORE", (SEMAPHORE,), "semaphore")


@command(
    "obj",
    category="Kernel",
    summary="An object, or the threads that wait for it",
    arguments=(Switch("waiters", ("-waiters",), "the threads that wait for it"), _ADDRESS),
    render=waiter_lines,
)
def obj(session: Session, address: int, waiters: bool = False) -> Union[WaiterList, ObjectData]:
    """Shows an object as object does, or with -waiters the threads that wait for it: obj -waiters ADDRESS."""
    target = session.dump
    return waiter_list(target, address) if waiters else object_data(KernelObject(target, address))


def _view(session: Session, address: int, words: str, types: Tuple[int, ...], name: str) -> DispatcherView:
    target = session.dump
    object = DispatcherObject(target, address)
    gaps = Gaps()
    number = object.type
    if number not in types:
        # What was asked for is shown all the same: a damaged header is what one looks for.
        gaps.add(f"{address:016x}", f"its header says {object.kind}, not {name}")
    found = object.waiters()
    gaps.add("the list of waiters", found.problem)
    owner = Hex(object.mutant_owner) if types == (MUTANT,) else None
    return DispatcherView(
        Hex(address),
        object.kind,
        object.signal_state,
        tuple(Hex(thread) for thread in found.threads),
        owner,
        gaps.lines(),
        annotated(session, f"{words} {address:x}"),
    )


def waiter_list(target: Target, address: int) -> WaiterList:
    """The threads that wait for the object at a virtual address. Raises MemoryReadError, CommandError."""
    found = DispatcherObject(target, address).waiters()
    gaps = Gaps()
    gaps.add("the list of waiters", found.problem)
    threads = found.threads
    if found.problem is not None and not threads:
        raise CommandError(f"{address:016x} is no object that threads wait for: {found.problem}")
    if len(threads) > _MOST_SHOWN:
        gaps.add("the list of waiters", f"only the first {_MOST_SHOWN} of {len(threads)} are shown")
    rows = []
    for thread in (Thread(target, each) for each in threads[:_MOST_SHOWN]):
        facts = thread_facts(thread)
        rows.append(ObjectWaiter(facts, wait_function(thread)))
        for problem in facts.problems:
            gaps.add(f"thread {thread.address:016x}", problem)
    return WaiterList(Hex(address), tuple(rows), gaps.lines())
