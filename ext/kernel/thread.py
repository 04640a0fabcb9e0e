"""Threads: the ETHREAD and the KTHREAD at its start, and the registers of a thread that does not run.

Members are asked of the kernel's own types. States and wait reasons: _KTHREAD_STATE and _KWAIT_REASON of the same
symbols; what they mean is in Windows Internals (part 1, chapter 4).
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, MemoryReadError, SymbolError
from dumpkit.kernel.process import Process
from dumpkit.memory import U64_MASK
from dumpkit.objects.lists import ListOf
from dumpkit.registers import X64, Context
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, List, Optional, TypeVar

    T = TypeVar("T")

#: DISPATCHER_HEADER.Type of a thread (_KOBJECTS: ThreadObject).
THREAD_OBJECT = 6

#: KSWITCH_FRAME: what SwapContext leaves at KTHREAD.KernelStack; not in the kernel's public symbols. x64: as
#: ReactOS documents it (sdk/include/ndk/amd64/ketypes.h), (size, offset of the frame pointer, of the return address).
_X64_SWITCH_FRAME = (0x40, 0x30, 0x38)

#: SECURITY_IMPERSONATION_LEVEL of winnt.h.
IMPERSONATION_LEVELS = ("Anonymous", "Identification", "Impersonation", "Delegation")
#: _KTHREAD_STATE and _KWAIT_REASON in the kernel's symbols (and KWAIT_REASON in wdm.h), for dumps without these.
_STATES = (
    "Initialized Ready Running Standby Terminated Waiting Transition DeferredReady GateWaitObsolete"
    " WaitingForProcessInSwap"
).split()
_WAIT_REASONS = (
    "Executive FreePage PageIn PoolAllocation DelayExecution Suspended UserRequest WrExecutive WrFreePage WrPageIn"
    " WrPoolAllocation WrDelayExecution WrSuspended WrUserRequest WrSpare0 WrQueue WrLpcReceive WrLpcReply"
    " WrVirtualMemory WrPageOut WrRendezvous WrKeyedEvent WrTerminated WrProcessInSwap WrCpuRateControl"
    " WrCalloutStack WrKernel WrResource WrPushLock WrMutex WrQuantumEnd WrDispatchInt WrPreempted WrYieldExecution"
    " WrFastMutex WrGuardedMutex WrRundown WrAlertByThreadId WrDeferredPreempt WrPhysicalFault WrIoRing"
).split()


#: A thread has no more requests than this; a longer list is damaged.
MOST_IRPS = 10_000


class Thread:
    """An ETHREAD at a virtual address; nothing is read before it is asked for.

    Properties raise MemoryReadError where the thread's memory is missing and SymbolError where the kernel's symbols
    lack what they need. Without symbols those few are known whose places the debugger data block tells: process,
    TEB, state, wait reason, next processor and the kernel stack.
    """

    def __init__(self, target: Target, address: int) -> None:
        self.target = target
        self.address = int(address) & U64_MASK
        self._record: Any = None
        self._tcb: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thread) and (self.target, self.address) == (other.target, other.address)

    def __hash__(self) -> int:
        return hash(self.address)

    def __repr__(self) -> str:
        return f"Thread at {self.address:016x}"

    @property
    def record(self) -> Any:
        """The typed view of the _ETHREAD; of the _KTHREAD at its start, where the symbols have no _ETHREAD."""
        if self._record is None:
            try:
                self._record = self.target.type("_ETHREAD").at(self.address)
            except SymbolError:
                self._record = self.tcb
        return self._record

    @property
    def tcb(self) -> Any:
        """The typed view of the _KTHREAD."""
        if self._tcb is None:
            self._tcb = self.target.type("_KTHREAD").at(self.address)
        return self._tcb

    @property
    def is_valid(self) -> bool:
        """Whether its dispatcher header says that it is a thread."""
        return bool(self.tcb.get("Header.Type") == THREAD_OBJECT)

    def _told(self, by_symbols: Callable[[], T], place: str, size: int, make: Callable[[int], T]) -> T:
        """A member by symbols, or where there are none by its offset in the debugger data block."""
        try:
            return by_symbols()
        except SymbolError:
            from dumpkit.kernel.kernel_target import KernelTarget

            data = self.target.debugger_data if isinstance(self.target, KernelTarget) else None
            offset = data[place] if data is not None else None
            if not offset:
                raise
            return make(int.from_bytes(self.target.memory.read(self.address + offset, size), "little"))

    # --- Whose it is ---------------------------------------------------------

    @property
    def process(self) -> Process:
        """The process that it belongs to, whatever it is attached to; the latter where there are no symbols."""
        target = self.target
        return self._told(self._owner, "OffsetKThreadApcProcess", 8, lambda address: Process(target, address))

    def _owner(self) -> Process:
        owner = self.tcb.get("Process")
        return Process(self.target, int(owner if owner is not None else self.tcb.member("ApcState.Process")))

    @property
    def attached_process(self) -> Optional[Process]:
        """The process in whose address space it is, where that is not its own; None where it is not attached."""
        there = self.tcb.get("ApcState.Process")
        owner = self.tcb.get("Process")
        if there is None or owner is None or int(there) == int(owner) or not there:
            return None
        return Process(self.target, int(there))

    @property
    def pid(self) -> int:
        """The process's id, of the thread's Cid."""
        return int(self.record.member("Cid.UniqueProcess"))

    @property
    def tid(self) -> int:
        """The thread's id, of its Cid."""
        return int(self.record.member("Cid.UniqueThread"))

    @property
    def teb(self) -> int:
        """The virtual address of its TEB, in its process's address space; 0 of a thread without user mode."""
        return self._told(lambda: int(self.tcb.Teb), "OffsetKThreadTeb", 8, int)

    # --- What it does --------------------------------------------------------

    @property
    def state(self) -> str:
        """The name of its state: "Running", "Waiting", "Ready"…"""
        return self._told(lambda: str(self.tcb.State), "OffsetKThreadState", 1, lambda value: _word(_STATES, value))

    @property
    def running_on(self) -> Optional[int]:
        """The number of the processor that it runs on, where its state is Running; else None."""
        return self.next_processor if self.state == "Running" else None

    @property
    def next_processor(self) -> Optional[int]:
        """NextProcessor: the processor it runs on, or will next; None where the symbols have no such member."""
        return self._told(self._next_processor, "OffsetKThreadNextProcessor", 4, lambda value: value & 0x7FFF_FFFF)

    def _next_processor(self) -> Optional[int]:
        number = self.tcb.get("NextProcessorNumber")
        if number is None:
            number = self.tcb.get("NextProcessor")
        return None if number is None else int(number)

    @property
    def ideal_processor(self) -> Optional[int]:
        """IdealProcessor, or None where the symbols have no such member."""
        number = self.tcb.get("IdealProcessor")
        return None if number is None else int(number)

    @property
    def wait_reason(self) -> str:
        """The name of its wait reason; the last one's, where it does not wait."""
        return self._told(
            lambda: str(self.tcb.WaitReason), "OffsetKThreadWaitReason", 1, lambda value: _word(_WAIT_REASONS, value)
        )

    @property
    def wait_time(self) -> int:
        """The tick at which it began to wait, or last changed its state."""
        return int(self.tcb.WaitTime)

    @property
    def wait_ticks(self) -> Optional[int]:
        """The ticks since then; None where the dump has no tick count."""
        from dumpkit.kernel.ticks import tick_count

        now = tick_count(self.target)
        return None if now is None else (now - self.wait_time) & 0xFFFF_FFFF

    @property
    def user_time(self) -> int:
        """Ticks in user mode."""
        return int(self.tcb.UserTime)

    @property
    def kernel_time(self) -> int:
        """Ticks in kernel mode."""
        return int(self.tcb.KernelTime)

    @property
    def context_switches(self) -> int:
        """How often it was given a processor."""
        return int(self.tcb.ContextSwitches)

    @property
    def priority(self) -> int:
        """Its priority now, boosts included."""
        return int(self.tcb.Priority)

    @property
    def base_priority(self) -> int:
        """Its priority without boosts."""
        return int(self.tcb.BasePriority)

    @property
    def priority_decrement(self) -> int:
        """PriorityDecrement: foreground boost in the low four bits, unusual boost in the high ones."""
        return int(self.tcb.PriorityDecrement)

    @property
    def io_priority(self) -> Optional[int]:
        """ThreadIoPriority, or None where the symbols have no such member."""
        return _optional(self.record.get("ThreadIoPriority"))

    @property
    def page_priority(self) -> Optional[int]:
        """ThreadPagePriority, or None where the symbols have no such member."""
        return _optional(self.record.get("ThreadPagePriority"))

    @property
    def name(self) -> Optional[str]:
        """The name that its program gave it (SetThreadDescription), or None."""
        text = self.record.get("ThreadName")
        try:
            return text.text() or None if text else None
        except MemoryReadError:
            return None

    @property
    def is_terminated(self) -> bool:
        """Whether CrossThreadFlags says that it was ended."""
        return bool(self.record.get("Terminated", 0))

    @property
    def is_stack_resident(self) -> bool:
        """Whether its kernel stack was in memory."""
        return bool(self.tcb.get("KernelStackResident", 1))

    @property
    def start_address(self) -> int:
        """The virtual address that it started at: the program's own start routine where that is known."""
        return int(self.record.get("Win32StartAddress", 0) or self.record.get("StartAddress", 0))

    @property
    def kernel_stack(self) -> int:
        """KernelStack: its stack pointer when it last stopped running, a virtual address."""
        return self._told(lambda: int(self.tcb.KernelStack), "OffsetKThreadKernelStack", 8, int)

    # --- Its requests --------------------------------------------------------

    def irps(self) -> List[int]:
        """The virtual addresses of the IRPs in its list, as far as that can be walked."""
        return list(self.irp_walk())

    def irp_walk(self) -> ListOf[int]:
        """The virtual addresses of the IRPs in its list. Raises SymbolError where the symbols lack the list."""
        head = self.record.address_of("IrpList")
        return ListOf(self.target.list(head, "_IRP", "ThreadListEntry", MOST_IRPS), int)

    # --- Its registers -------------------------------------------------------

    def processor(self) -> Optional[int]:
        """The number of the processor whose current thread it is, or None."""
        wanted = self.address
        target = self.target
        for number in range(target.system.processors):
            try:
                if target.thread_address(number) == wanted:
                    return number
            except DumpkitError:
                continue
        return None

    def context(self) -> Context:
        """Its registers: its processor's where it runs, else those that it left on its stack when it stopped running.

        Raises DumpkitError with the reason where there are none: a thread that never ran, or whose stack is gone.
        """
        number = self.processor()
        if number is not None:
            return self.target.context(number)
        state = self.state
        if state == "Running":
            raise DumpkitError(f"Thread {self.address:016x} is running, but is no processor's current thread")
        if state == "Initialized":
            raise DumpkitError(f"Thread {self.address:016x} has not run yet")
        if not self._told(lambda: self.is_stack_resident, "OffsetKThreadKernelStack", 1, lambda _: True):
            raise DumpkitError("Kernel stack not resident")
        stack = self.kernel_stack
        if not stack:
            raise DumpkitError(f"Thread {self.address:016x} has no kernel stack any more")
        try:
            return self._switched_out(stack)
        except MemoryReadError as error:
            raise DumpkitError(f"The kernel stack at {stack:016x} cannot be read: {error.reason}") from error

    def _switched_out(self, stack: int) -> Context:
        target = self.target
        if target.architecture is not X64:
            return self._switched_out_arm64(stack)
        size, frame_pointer, return_address = _X64_SWITCH_FRAME
        frame = target.memory.read(stack, size)
        values = {
            "rip": int.from_bytes(frame[return_address : return_address + 8], "little"),
            "rsp": (stack + size) & U64_MASK,
            "rbp": int.from_bytes(frame[frame_pointer : frame_pointer + 8], "little"),
        }
        return Context(X64, values)

    def _switched_out_arm64(self, stack: int) -> Context:
        """From _KSWITCH_FRAME, where the symbols have it: the ARM64 kernel's leaves x29 and the return address."""
        type = self.target.type("_KSWITCH_FRAME")
        frame = type.at(stack)
        values = {"pc": int(frame.Return), "sp": (stack + type.size) & U64_MASK, "fp": int(frame.Fp)}
        return Context(self.target.architecture, values)


def _word(words: List[str], value: int) -> str:
    return words[value] if value < len(words) else str(value)


def _optional(value: Any) -> Optional[int]:
    return None if value is None else int(value)


def current_thread(target: Target, processor: int) -> Thread:
    """The thread that ran on a processor. Raises DumpkitError where the target does not tell."""
    return Thread(target, target.thread_address(processor))


def running_threads(target: Target) -> Iterator[Thread]:
    """The thread of each processor, in their order; processors that do not tell theirs are left out."""
    for number in range(target.system.processors):
        try:
            address = target.thread_address(number)
        except DumpkitError:
            continue
        if address:
            yield Thread(target, address)


def thread_at(target: Target, address: int) -> Thread:
    """The thread at a virtual address. Raises DumpkitError with the reason where none is there."""
    thread = Thread(target, address)
    if thread.is_valid or thread.processor() is not None:
        return thread
    if target.memory.read_optional(thread.address, 1) is None:
        raise DumpkitError(f"{thread.address:016x} is no thread: {target.memory.explain(thread.address)}")
    raise DumpkitError(f"{thread.address:016x} is no thread: its header says that it is another object")
