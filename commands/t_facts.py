"""What `t` says of a thread, as data."""

from __future__ import annotations

from dumpkit.durations import rounded_milliseconds, truncated_milliseconds
from dumpkit.errors import SymbolError
from dumpkit.gaps import Gaps
from dumpkit.kernel.process import Process
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.ticks import tick_length
from dumpkit.output import Hex, hex_or_none
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Sequence, Tuple

    from dumpkit.kernel.wait import WaitBlock


class IrpRow(Record):
    """A request of the thread. `file` is the name of the file it is about, `driver` who has it; None: not readable."""

    irp: Hex
    file: Optional[str]
    driver: Optional[str]


class WaitRow(Record):
    """An object that the thread waits for; addresses are virtual."""

    object: Hex
    type: Optional[str]
    #: How many others wait for it.
    other_waiters: Optional[int]
    #: The thread that has it, where the object tells.
    owner: Optional[Hex] = None
    owner_process: Optional[str] = None
    #: Of a semaphore.
    limit: Optional[int] = None
    #: The fast mutex that the object belongs to.
    fast_mutex: Optional[Hex] = None
    #: The virtual address of that mutex's Owner member.
    owner_field: Optional[Hex] = None
    #: Whether the object is on the thread's own stack.
    is_on_stack: bool = False
    _is_tagged: bool = False


class Priorities(Record):
    """The priorities of a thread."""

    current: int
    base: int
    #: The whole PriorityDecrement byte: foreground boost in the low four bits, unusual boost in the high ones.
    decrement: int
    io: Optional[int]
    page: Optional[int]


class ThreadFacts(Record):
    """The thread itself. Addresses are virtual, times milliseconds; what the dump does not hold is None."""

    thread: Hex
    process: Optional[Hex]
    process_name: Optional[str]
    attached_process: Optional[Hex]
    pid: Optional[int]
    tid: Optional[int]
    teb: Optional[Hex]
    user_time: Optional[int]
    kernel_time: Optional[int]
    context_switches: Optional[int]
    wait_reason: Optional[str]
    wait_time: Optional[int]
    state: Optional[str]
    processor: Optional[int]
    is_terminated: bool
    is_stack_resident: bool
    irps: Tuple[IrpRow, ...]
    waits: Tuple[WaitRow, ...]
    priorities: Optional[Priorities]
    #: What could not be read and why, one line each.
    problems: Tuple[str, ...]


def thread_facts(thread: Thread) -> ThreadFacts:
    """Everything about a thread but its stack."""
    gaps = Gaps()
    read = gaps.read
    try:
        thread.tcb  # noqa: B018  without symbols all of it is told by the debugger data block or not at all
    except SymbolError as error:
        gaps.add("most of the thread", error)
        return _facts_without_symbols(thread, gaps)
    process = read("its process", lambda: thread.process)
    attached = read("the process it is attached to", lambda: thread.attached_process)
    tick = tick_length(thread.target)
    user, kernel = read("its user time", lambda: thread.user_time), read("its kernel time", lambda: thread.kernel_time)
    waited = read("when it began to wait", lambda: thread.wait_ticks)
    if tick is None:
        gaps.add("times", "the dump does not hold the length of the clock's tick")
    state, processor = _state(thread, gaps)
    return ThreadFacts(
        Hex(thread.address),
        _address(process),
        read("its process's name", lambda: process.name) if process is not None else None,
        _address(attached),
        read("its ids", lambda: thread.pid),
        read("its ids", lambda: thread.tid),
        hex_or_none(read("its TEB", lambda: thread.teb)),
        rounded_milliseconds(user, tick) if user is not None and tick is not None else None,
        rounded_milliseconds(kernel, tick) if kernel is not None and tick is not None else None,
        read("its context switches", lambda: thread.context_switches),
        read("its wait reason", lambda: thread.wait_reason),
        truncated_milliseconds(waited, tick) if waited is not None and tick is not None else None,
        state,
        processor,
        bool(read("whether it is terminated", lambda: thread.is_terminated)),
        read("whether its stack is resident", lambda: thread.is_stack_resident) is not False,
        tuple(irp_rows(thread, gaps)),
        tuple(wait_rows(thread, gaps)) if state == "Waiting" else (),
        read("its priorities", lambda: _priorities(thread)),
        gaps.lines(),
    )


def _facts_without_symbols(thread: Thread, gaps: Gaps) -> ThreadFacts:
    process = gaps.read("its process", lambda: thread.process)
    state, processor = _state(thread, gaps)
    return ThreadFacts(
        Hex(thread.address),
        process=_address(process),
        process_name=None,
        attached_process=None,
        pid=None,
        tid=None,
        teb=hex_or_none(gaps.read("its TEB", lambda: thread.teb)),
        user_time=None,
        kernel_time=None,
        context_switches=None,
        wait_reason=gaps.read("its wait reason", lambda: thread.wait_reason),
        wait_time=None,
        state=state,
        processor=processor,
        is_terminated=False,
        is_stack_resident=True,
        irps=(),
        waits=(),
        priorities=None,
        problems=gaps.lines(),
    )


def _address(process: Optional[Process]) -> Optional[Hex]:
    return None if process is None else Hex(process.address)


def _state(thread: Thread, gaps: Gaps) -> Tuple[Optional[str], Optional[int]]:
    """The state, and the processor that the thread runs on or will; the PRCBs tell what the thread itself does not."""
    state = gaps.read("its state", lambda: thread.state)
    if state is None:
        number = thread.processor()
        return ("Running", number) if number is not None else (None, None)
    return state, gaps.read("its processor", lambda: thread.next_processor) if state in ("Running", "Standby") else None


def _priorities(thread: Thread) -> Priorities:
    return Priorities(
        thread.priority, thread.base_priority, thread.priority_decrement, thread.io_priority, thread.page_priority
    )


def irp_rows(thread: Thread, gaps: Gaps) -> Sequence[IrpRow]:
    """The thread's requests."""
    walk = gaps.read("its requests", thread.irp_walk)
    if walk is None:
        return ()
    from dumpkit.kernel.io.irp import Irp

    rows = []
    for place in walk:
        irp = Irp(thread.target, place)
        rows.append(IrpRow(Hex(place), irp.file_name, irp.driver_name))
    if walk.ended != "complete":
        gaps.add("the end of the list of IRPs", walk.ended)
    return rows


def wait_rows(thread: Thread, gaps: Gaps) -> Sequence[WaitRow]:
    """The objects that the thread waits for."""
    from dumpkit.kernel.wait import wait_blocks

    blocks = gaps.read("what it waits for", lambda: wait_blocks(thread))
    if blocks is None:
        return ()
    gaps.add("what it waits for", blocks.problem)
    reason = gaps.read("its wait reason", lambda: thread.wait_reason, "")
    limits = gaps.read("its stack's limits", lambda: (int(thread.tcb.StackLimit), int(thread.tcb.StackBase)), (0, 0))
    return [_wait_row(thread, block, reason, limits[0] <= block.object < limits[1], gaps) for block in blocks.blocks]


def _wait_row(thread: Thread, block: WaitBlock, reason: str, is_on_stack: bool, gaps: Gaps) -> WaitRow:
    from dumpkit.kernel.wait import (
        FAST_MUTEX_REASONS,
        MUTANT,
        NOTIFICATION_EVENT,
        SEMAPHORE,
        DispatcherObject,
        fast_mutex_of,
    )

    target = thread.target
    what = f"object {block.object:016x}"
    thing = DispatcherObject(target, block.object)
    kind = gaps.read(what, lambda: thing.type)
    if kind is None:
        return WaitRow(Hex(block.object), None, None, is_on_stack=is_on_stack)
    waiters = gaps.read(f"the waiters of {what}", thing.waiters)
    if waiters is not None:
        gaps.add(f"the waiters of {what}", waiters.problem)
    others = max(len(waiters.waiters) - 1, 0) if waiters is not None else None
    owner = owner_field = mutex_address = limit = None
    if kind == MUTANT:
        owner = gaps.read(f"the owner of {what}", lambda: thing.mutant_owner)
    elif kind == SEMAPHORE:
        limit = gaps.read(f"the limit of {what}", lambda: thing.semaphore_limit)
    elif reason in FAST_MUTEX_REASONS:
        mutex = fast_mutex_of(target, block.object)
        if mutex is not None:
            mutex_address, owner_field = mutex.address, mutex.owner_field
            owner = gaps.read(f"the owner of fast mutex {mutex_address:016x}", lambda: mutex.owner)
    return WaitRow(
        Hex(block.object),
        thing.kind,
        others,
        Hex(owner) if owner else None,
        gaps.read(f"the process of {owner:016x}", lambda: Thread(target, owner or 0).process.name) if owner else None,
        limit,
        hex_or_none(mutex_address),
        hex_or_none(owner_field),
        is_on_stack,
        # mex marks events on the stack so; of the others its transcripts have none marked.
        is_on_stack and kind == NOTIFICATION_EVENT,
    )
