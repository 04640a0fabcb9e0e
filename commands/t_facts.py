"""What `t` says of a thread, as data."""

from __future__ import annotations

from typing import Callable, List, Optional, Sequence, Tuple, TypeVar

from dumpkit.durations import rounded_milliseconds, truncated_milliseconds
from dumpkit.errors import DumpkitError
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.ticks import tick_length
from dumpkit.kernel.wait import (
    FAST_MUTEX_REASONS,
    MUTANT,
    NOTIFICATION_EVENT,
    SEMAPHORE,
    DispatcherObject,
    WaitBlock,
    fast_mutex_of,
    wait_blocks,
)
from dumpkit.output import Hex
from dumpkit.record import Record

T = TypeVar("T")


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


class Reading:
    """Reads facts one by one and keeps the reason of each that cannot be read."""

    def __init__(self) -> None:
        self._problems: List[str] = []

    def get(self, read: Callable[[], T]) -> Optional[T]:
        """What `read` gives, or None where it raises DumpkitError."""
        try:
            return read()
        except DumpkitError as error:
            self.note(str(error))
            return None

    def note(self, problem: str) -> None:
        """Keep a reason."""
        self._problems.append(problem)

    @property
    def problems(self) -> Tuple[str, ...]:
        """The reasons, each once, in their order."""
        return tuple(dict.fromkeys(self._problems))


def thread_facts(thread: Thread) -> ThreadFacts:
    """Everything about a thread but its stack."""
    get = Reading()
    process = get.get(lambda: thread.process)
    attached = get.get(lambda: thread.attached_process)
    tick = tick_length(thread.target)
    user, kernel = get.get(lambda: thread.user_time), get.get(lambda: thread.kernel_time)
    waited = get.get(lambda: thread.wait_ticks)
    if tick is None:
        get.note("the length of the clock's tick is not known: times are left out")
    state, processor = _state(thread, get)
    return ThreadFacts(
        Hex(thread.address),
        Hex(process.address) if process is not None else None,
        get.get(lambda: process.name) if process is not None else None,
        Hex(attached.address) if attached is not None else None,
        get.get(lambda: thread.pid),
        get.get(lambda: thread.tid),
        _hex(get.get(lambda: thread.teb)),
        rounded_milliseconds(user, tick) if user is not None and tick is not None else None,
        rounded_milliseconds(kernel, tick) if kernel is not None and tick is not None else None,
        get.get(lambda: thread.context_switches),
        get.get(lambda: thread.wait_reason),
        truncated_milliseconds(waited, tick) if waited is not None and tick is not None else None,
        state,
        processor,
        bool(get.get(lambda: thread.is_terminated)),
        get.get(lambda: thread.is_stack_resident) is not False,
        tuple(irp_rows(thread, get)),
        tuple(wait_rows(thread, get)) if state == "Waiting" else (),
        get.get(lambda: _priorities(thread)),
        get.problems,
    )


def _hex(number: Optional[int]) -> Optional[Hex]:
    return None if number is None else Hex(number)


def _state(thread: Thread, get: Reading) -> Tuple[Optional[str], Optional[int]]:
    """The state, and the processor that the thread runs on or will; the PRCBs tell what the thread itself does not."""
    state = get.get(lambda: thread.state)
    if state is None:
        number = thread.processor()
        return ("Running", number) if number is not None else (None, None)
    return state, get.get(lambda: thread.next_processor) if state in ("Running", "Standby") else None


def _priorities(thread: Thread) -> Priorities:
    return Priorities(
        thread.priority, thread.base_priority, thread.priority_decrement, thread.io_priority, thread.page_priority
    )


def irp_rows(thread: Thread, get: Reading) -> Sequence[IrpRow]:
    """The thread's requests."""
    walk = get.get(thread.irp_walk)
    if walk is None:
        return ()
    from dumpkit.kernel.io.irp import Irp

    rows = []
    for place in walk:
        irp = Irp(thread.target, place)
        # A request that is no request has no names either.
        rows.append(
            IrpRow(Hex(place), get.get(lambda irp=irp: irp.file_name), get.get(lambda irp=irp: irp.driver_name))  # type: ignore[misc]
        )
    if walk.ended != "complete":
        get.note(f"the list of IRPs ends early: {walk.ended}")
    return rows


def wait_rows(thread: Thread, get: Reading) -> Sequence[WaitRow]:
    """The objects that the thread waits for."""
    blocks = get.get(lambda: wait_blocks(thread))
    if blocks is None:
        return ()
    if blocks.problem is not None:
        get.note(blocks.problem)
    reason = get.get(lambda: thread.wait_reason) or ""
    limits = get.get(lambda: (int(thread.tcb.StackLimit), int(thread.tcb.StackBase))) or (0, 0)
    return [_wait_row(thread, block, reason, limits[0] <= block.object < limits[1], get) for block in blocks.blocks]


def _wait_row(thread: Thread, block: WaitBlock, reason: str, is_on_stack: bool, get: Reading) -> WaitRow:
    target = thread.target
    thing = DispatcherObject(target, block.object)
    kind = get.get(lambda: thing.type)
    if kind is None:
        return WaitRow(Hex(block.object), None, None, is_on_stack=is_on_stack)
    waiters = get.get(thing.waiters)
    if waiters is not None and waiters.problem is not None:
        get.note(f"the waiters of {block.object:016x}: {waiters.problem}")
    others = max(len(waiters.waiters) - 1, 0) if waiters is not None else None
    owner = owner_field = mutex_address = limit = None
    if kind == MUTANT:
        owner = get.get(lambda: thing.mutant_owner)
    elif kind == SEMAPHORE:
        limit = get.get(lambda: thing.semaphore_limit)
    elif reason in FAST_MUTEX_REASONS:
        mutex = fast_mutex_of(target, block.object)
        if mutex is not None:
            mutex_address, owner_field = mutex.address, mutex.owner_field
            owner = get.get(lambda: mutex.owner)
    return WaitRow(
        Hex(block.object),
        thing.kind,
        others,
        Hex(owner) if owner else None,
        get.get(lambda: Thread(target, owner or 0).process.name) if owner else None,
        limit,
        _hex(mutex_address),
        _hex(owner_field),
        is_on_stack,
        # mex marks events on the stack so; of the others its transcripts have none marked.
        is_on_stack and kind == NOTIFICATION_EVENT,
    )
