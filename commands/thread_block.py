"""The block that kdexts shows of a thread: THREAD, what it waits for, its requests, times, stack and priorities."""

from __future__ import annotations

from dumpkit.commands.stack import StackFrame, StackTrace, frames_with_inlined, stack_lines
from dumpkit.commands.thread_times import UNKNOWN, ThreadTimes, number_text, thread_time_lines, thread_times
from dumpkit.errors import DumpkitError, MemoryReadError
from dumpkit.gaps import Gaps
from dumpkit.kernel.process import Process
from dumpkit.kernel.thread import IMPERSONATION_LEVELS, Thread
from dumpkit.kernel.wait import MUTANT, SEMAPHORE, DispatcherObject, wait_blocks
from dumpkit.kernel.whole_stack import whole_stack
from dumpkit.numbers import padded, pointer
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

#: Flags of !thread and !process (their documentation).
TIMES, WAITS, THREADS, PLAIN_STACK, USE_PROCESS = 0x1, 0x2, 0x4, 0x8, 0x10

#: What kdexts' transcripts call objects; of the rest it is the extension-neutral name.
_KDEXTS_KINDS = {"Process": "ProcessObject", "Queue": "QueueObject", "PriQueue": "PriQueueObject"}


class WaitObject(Record):
    """An object that a thread waits for, in words: "Mutant - owning thread ffff…"."""

    object: Hex
    description: Optional[str]


class ThreadIrp(Record):
    """A request of a thread; `type` and `size` are the first words of every IRP."""

    irp: Hex
    type: int
    size: int
    flags: Hex
    mdl: Hex


class ThreadStackPlace(Record):
    """Where the stack is; virtual addresses."""

    initial: Hex
    current: Hex
    base: Hex
    limit: Hex
    call: Hex


class ThreadBlock(Record):
    """A thread; what could not be read, or was not asked for, is None."""

    thread: Hex
    pid: Optional[Hex]
    tid: Optional[Hex]
    teb: Optional[Hex]
    win32_thread: Optional[Hex]
    state: Optional[str]
    processor: Optional[int]
    wait_reason: Optional[str]
    wait_mode: Optional[str]
    is_alertable: Optional[bool]
    suspend_count: int
    waits: Tuple[WaitObject, ...]
    irps: Tuple[ThreadIrp, ...] = ()
    impersonation: Optional[str] = None
    device_map: Optional[Hex] = None
    process: Optional[Hex] = None
    process_name: Optional[str] = None
    attached_process: Optional[Hex] = None
    attached_name: Optional[str] = None
    times: Optional[ThreadTimes] = None
    start_address: Optional[Hex] = None
    start_symbol: Optional[str] = None
    stack_place: Optional[ThreadStackPlace] = None
    priority: Optional[int] = None
    base_priority: Optional[int] = None
    priority_decrement: Optional[int] = None
    io_priority: Optional[int] = None
    page_priority: Optional[int] = None
    is_stack_resident: bool = True
    frames: Tuple[StackFrame, ...] = ()
    stack_problem: Optional[str] = None
    #: Whether nothing of the thread is in the dump.
    is_missing: bool = False
    _flags: int = 0


def thread_block(thread: Thread, flags: int, gaps: Gaps) -> ThreadBlock:
    """The facts that the flags ask for; what is missing goes to `gaps`."""
    try:
        thread.tcb.State  # noqa: B018  one reason is enough for a thread that is not there at all
    except MemoryReadError as error:
        if thread.processor() is None:
            gaps.add("threads", error)
            return _missing_block(thread, flags)
    reader = _BlockReader(thread, gaps)
    facts = reader.heading(bool(flags & WAITS))
    if flags & WAITS and flags & THREADS:
        facts.update(reader.details())
        facts.update(reader.stack())
    return ThreadBlock(_flags=flags, **facts)


def _missing_block(thread: Thread, flags: int) -> ThreadBlock:
    return ThreadBlock(
        thread=Hex(thread.address),
        pid=None,
        tid=None,
        teb=None,
        win32_thread=None,
        state=None,
        processor=None,
        wait_reason=None,
        wait_mode=None,
        is_alertable=None,
        suspend_count=0,
        waits=(),
        is_missing=True,
        _flags=flags,
    )


class _BlockReader:
    """Reads one thread's facts."""

    def __init__(self, thread: Thread, gaps: Gaps) -> None:
        self.thread = thread
        self.gaps = gaps
        self._what = f"thread {thread.address:016x}"

    def _hex(self, what: str, name: str) -> Optional[Hex]:
        """A member of the KTHREAD as an address; None where the symbols have none of that name."""
        value = self.gaps.read(f"{what} of {self._what}", lambda: int(getattr(self.thread.tcb, name)))
        return None if value is None else Hex(value)

    def heading(self, with_waits: bool) -> Dict[str, Any]:
        thread, what, read = self.thread, self._what, self.gaps.read
        state = read(f"the state of {what}", lambda: thread.state)
        if state is None and thread.processor() is not None:
            state = "Running"
        is_waiting = state == "Waiting"
        pid = read(f"the ids of {what}", lambda: thread.pid)
        tid = read(f"the ids of {what}", lambda: thread.tid)
        mode = read(f"the wait mode of {what}", lambda: int(thread.tcb.WaitMode)) if is_waiting else None
        return {
            "thread": Hex(thread.address),
            "pid": None if pid is None else Hex(pid),
            "tid": None if tid is None else Hex(tid),
            "teb": self._hex("the TEB", "Teb"),
            "win32_thread": self._hex("Win32Thread", "Win32Thread"),
            "state": state,
            "processor": self._processor(state),
            "wait_reason": read(f"the wait reason of {what}", lambda: thread.wait_reason),
            "wait_mode": None if mode is None else ("UserMode" if mode else "KernelMode"),
            "is_alertable": bool(thread.tcb.get("Alertable", 0)) if is_waiting else None,
            "suspend_count": int(thread.tcb.get("SuspendCount", 0)),
            "waits": tuple(self._waits()) if is_waiting and with_waits else (),
        }

    def _processor(self, state: Optional[str]) -> Optional[int]:
        if state not in ("Running", "Ready", "Standby", "DeferredReady"):
            return None
        number: Optional[int] = self.gaps.read(f"the processor of {self._what}", lambda: self.thread.next_processor)
        return number if number is not None else self.thread.processor()

    def _waits(self) -> Iterator[WaitObject]:
        blocks = self.gaps.read(f"what {self._what} waits for", lambda: wait_blocks(self.thread))
        for block in blocks.blocks if blocks is not None else ():
            thing = DispatcherObject(self.thread.target, block.object)
            try:
                text: Optional[str] = _description(thing)
            except DumpkitError as error:
                text = None
                self.gaps.add(f"object {block.object:016x}", error)
            yield WaitObject(Hex(block.object), text)
        if blocks is not None:
            self.gaps.add(f"what {self._what} waits for", blocks.problem)

    def _irps(self) -> Iterator[ThreadIrp]:
        walk = self.gaps.read(f"the requests of {self._what}", self.thread.irp_walk)
        if walk is None:
            return
        type = self.thread.target.type("_IRP")
        for place in walk:
            irp = type.at(place)
            try:
                yield ThreadIrp(Hex(place), int(irp.Type), int(irp.Size), Hex(irp.Flags), Hex(irp.MdlAddress))
            except DumpkitError as error:
                self.gaps.add(f"request {place:016x}", error)
        if walk.ended != "complete":
            self.gaps.add(f"the end of the list of requests of {self._what}", walk.ended)

    def details(self) -> Dict[str, Any]:
        thread, what, read = self.thread, self._what, self.gaps.read
        process = read(f"the process of {what}", lambda: thread.process)
        attached = read(f"what {what} is attached to", lambda: thread.attached_process)
        start = read(f"the start address of {what}", lambda: thread.start_address)
        place = thread.target.symbols.nearest(start) if start else None
        return {
            "irps": tuple(self._irps()),
            "impersonation": read(f"the impersonation of {what}", lambda: _impersonation(thread)),
            "device_map": _device_map(process, self.gaps),
            "process": None if process is None else Hex(process.address),
            "process_name": None if process is None else _image(process, self.gaps),
            "attached_process": None if attached is None else Hex(attached.address),
            "attached_name": None if attached is None else _image(attached, self.gaps),
            "times": read(f"the times of {what}", lambda: thread_times(thread)),
            "start_address": None if start is None else Hex(start),
            "start_symbol": str(place) if place is not None and place.name is not None else None,
            "stack_place": read(f"the stack of {what}", lambda: _stack_place(thread)),
            "priority": read(f"the priority of {what}", lambda: thread.priority),
            "base_priority": read(f"the priority of {what}", lambda: thread.base_priority),
            "priority_decrement": read(f"the priority of {what}", lambda: thread.priority_decrement),
            "io_priority": read(f"the priority of {what}", lambda: thread.io_priority),
            "page_priority": read(f"the priority of {what}", lambda: thread.page_priority),
        }

    def stack(self) -> Dict[str, Any]:
        thread = self.thread
        try:
            if not thread.is_stack_resident and thread.processor() is None:
                return {"is_stack_resident": False}
            rows: List[StackFrame] = []
            for frame, target in whole_stack(thread, thread.context()):
                for _, found in frames_with_inlined(target, [frame], len(rows)):
                    rows += found
            return {"frames": tuple(rows)}
        except DumpkitError as error:
            return {"stack_problem": str(error)}


def _description(thing: DispatcherObject) -> str:
    kind = thing.kind
    if thing.type == MUTANT:
        owner = thing.mutant_owner
        return f"{kind} - owning thread {owner:016x}" if owner else f"{kind} - not owned"
    if thing.type == SEMAPHORE:
        return f"{kind} Limit 0x{thing.semaphore_limit:x}"
    return _KDEXTS_KINDS.get(kind, kind)


def _image(process: Process, gaps: Gaps) -> Optional[str]:
    name: Optional[str] = gaps.read(f"the image of process {process.address:016x}", lambda: process.name)
    return name


def _impersonation(thread: Thread) -> Optional[str]:
    """What the thread impersonates, or None where it does not."""
    record = thread.record
    if not record.get("ActiveImpersonationInfo", 0):
        return None
    data = int(record.member("ClientSecurity.ImpersonationToken"))
    level = IMPERSONATION_LEVELS[data & 3]
    return f"{data & ~7:016x} (Level {level})"


def _device_map(process: Optional[Process], gaps: Gaps) -> Optional[Hex]:
    if process is None:
        return None
    place = gaps.read(f"the device map of process {process.address:016x}", lambda: process.device_map)
    return Hex(place) if place else None


def _stack_place(thread: Thread) -> ThreadStackPlace:
    tcb = thread.tcb
    return ThreadStackPlace(
        Hex(tcb.InitialStack),
        Hex(thread.kernel_stack),
        Hex(tcb.StackBase),
        Hex(tcb.StackLimit),
        Hex(int(tcb.get("CallbackStack", 0))),
    )


# --- Text --------------------------------------------------------------------


def _state_words(block: ThreadBlock) -> str:
    state = block.state
    if state is None:
        return UNKNOWN
    if state != "Waiting":
        place = f" on processor {block.processor}" if block.processor is not None else ""
        return state.upper() + place
    if not block._flags & WAITS:
        return "WAIT"
    alertable = "Alertable" if block.is_alertable else "Non-Alertable"
    return f"WAIT: ({block.wait_reason or UNKNOWN}) {block.wait_mode or UNKNOWN} {alertable}"


def thread_block_lines(block: ThreadBlock, indent: str = "") -> Iterator[Line]:
    """The block, every line behind `indent`."""
    if block.is_missing:
        yield f"{indent}*** Error in reading nt!_ETHREAD @ {block.thread:016x}"
        return
    head: List[Union[str, Span]] = [f"{indent}THREAD ", Span(f"{block.thread:016x}", "address", f"t {block.thread:x}")]
    head.append(
        f"  Cid {padded(block.pid, 4)}.{padded(block.tid, 4)}  Teb: {padded(block.teb, 16)}"
        f" Win32Thread: {padded(block.win32_thread, 16)} {_state_words(block)}"
    )
    yield tuple(head)
    if block._flags & WAITS and block.suspend_count:
        yield f"{indent}SuspendCount {block.suspend_count}"
    for wait in block.waits:
        yield f"{indent}    {wait.object:016x}  {wait.description if wait.description is not None else UNKNOWN}"
    if block._flags & WAITS and block._flags & THREADS:
        for line in _detail_lines(block):
            yield f"{indent}{line}" if isinstance(line, str) else (indent, *line)


def _detail_lines(block: ThreadBlock) -> Iterator[Line]:
    if block.irps:
        yield "IRP List:"
        for irp in block.irps:
            link = Span(f"{irp.irp:016x}", "address", f"irp {irp.irp:x}")
            words = f": ({irp.type:04x},{irp.size:04x}) Flags: {irp.flags:08x}  Mdl: {pointer(irp.mdl)}"
            yield ("    ", link, words)
    if block.impersonation is not None:
        yield f"Impersonation token:  {block.impersonation}"
    else:
        yield "Not impersonating"
    if block.device_map is not None:
        yield f"{'DeviceMap':<26}{block.device_map:016x}"
    yield _process_line("Owning Process", block.process, block.process_name)
    yield _process_line("Attached Process", block.attached_process, block.attached_name)
    if block.times is not None:
        yield from thread_time_lines(block.times)
    if block.start_symbol is not None:
        yield f"Win32 Start Address {block.start_symbol} (0x{block.start_address:016x})"
    elif block.start_address is not None:
        yield f"Win32 Start Address 0x{block.start_address:016x}"
    place = block.stack_place
    if place is not None:
        yield f"Stack Init {place.initial:016x} Current {place.current:016x}"
        yield f"Base {place.base:016x} Limit {place.limit:016x} Call {place.call:016x}"
    yield (
        f"Priority {number_text(block.priority)} BasePriority {number_text(block.base_priority)}"
        f" PriorityDecrement {number_text(block.priority_decrement)} IoPriority {number_text(block.io_priority)}"
        f" PagePriority {number_text(block.page_priority)}"
    )
    if not block.is_stack_resident:
        yield "Kernel stack not resident."
    elif block.stack_problem is not None:
        yield (Span(block.stack_problem, "warning"),)
    else:
        options = "" if block._flags & PLAIN_STACK else "v"
        yield from stack_lines(StackTrace(block.processor or 0, block.frames, False, False, options))


def _process_line(name: str, address: Optional[int], image: Optional[str]) -> Line:
    if address is None:
        return f"{name:<26}{'N/A':<15}Image:         N/A"
    link = Span(f"{address:016x}", "address", f"process {address:x}")
    return (f"{name:<26}", link, f"       Image:         {image if image is not None else UNKNOWN}")
