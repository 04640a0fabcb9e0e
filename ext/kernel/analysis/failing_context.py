"""Where a machine failed: the registers at the fault, found by the rule of its bugcheck, and the stack from there."""

from __future__ import annotations

from itertools import takewhile

from dumpkit.errors import DumpkitError, MemoryReadError
from dumpkit.kernel.analysis.evidence import Evidence
from dumpkit.kernel.analysis.faulting_access import EXECUTE, access_of_arguments
from dumpkit.kernel.analysis.stack_search import StackWords
from dumpkit.kernel.bugchecks import Bugcheck
from dumpkit.kernel.context_record import context_record
from dumpkit.kernel.exception_record import exception_record
from dumpkit.kernel.stack import Frame, walk_stack
from dumpkit.kernel.trap_frame import is_trap_frame, trap_frame
from dumpkit.kernel.x64_walk import UNWOUND
from dumpkit.record import Record
from dumpkit.registers import Context
from dumpkit.target import ExceptionRecord, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, List, Optional, Sequence, Tuple

#: What a failing context was read from.
TRAP_FRAME, CONTEXT_RECORD, THREAD, PROCESSOR = "trap frame", "context record", "thread", "processor"
#: The registers of the processor that crashed, as they were when it stopped.
CRASH = "crash"


class FailingContext(Record):
    """The registers at the fault."""

    #: "trap frame", "context record", "thread", "processor" or "crash".
    kind: str
    #: Virtual address of the trap frame, context record or thread; number of the processor; None for the crash's own.
    address: Optional[int]
    context: Context
    #: The stack: for a trap frame the handlers' frames too, which stand before `fault`.
    frames: Tuple[Frame, ...]
    #: Index in `frames` of the frame in which the fault happened, or whose call ended in the bugcheck.
    fault: int
    #: Whether an instruction is known to have faulted there; false of a stack that just ends in a bugcheck.
    is_fault: bool


class _Found(Record):
    kind: str
    address: Optional[int]
    context: Context
    where: str


class FailingContextFinder:
    """Looks for the failing context of one bugcheck."""

    def __init__(self, target: Target, bugcheck: Bugcheck, parameters: Sequence[int], evidence: Evidence) -> None:
        self._target = target
        self._bugcheck = bugcheck
        self._parameters = parameters
        self._evidence = evidence
        self._crash: Optional[Context] = None
        self._crash_frames: Optional[List[Frame]] = None
        self._words: Optional[StackWords] = None
        #: The exception record and its virtual address, where one was met.
        self.record: Optional[Tuple[int, ExceptionRecord]] = None
        self._ways: Dict[str, Callable[[Optional[int]], Optional[_Found]]] = {
            "trap": self._trap,
            "context": self._context,
            "record": self._record,
            "pointers": self._pointers,
            "thread": self._thread,
            "processor": self._processor,
        }

    def find(self) -> Optional[FailingContext]:
        """By the bugcheck's rules in their order, else the crash's own; None where the target has no registers."""
        fault: Optional[_Found] = None
        for words in self._bugcheck.rule("context"):
            way = self._ways.get(words[0])
            if way is None:
                continue
            try:
                found = way(self._parameters[int(words[1]) - 1] if len(words) > 1 else None)
            except DumpkitError as error:
                self._evidence.lack(words[0] if words[0] != "record" else "exception_record", error)
                continue
            # A record alone is no context: the rules behind it are asked for one.
            fault = fault or found
        if fault is None and self._bugcheck.rule("exception"):
            try:
                fault = self._at_the_exception()
            except DumpkitError as error:
                self._evidence.lack("exception", error)
        return self._with_stack(fault)

    # --- Ways to a context ---------------------------------------------------

    @property
    def instruction(self) -> Optional[int]:
        """The virtual address of the faulting instruction, as the bugcheck's arguments say it."""
        for name, place in (("fault", 3), ("exception", 1)):
            for words in self._bugcheck.rule(name):
                if words[place] != "-":
                    value = self._parameters[int(words[place]) - 1]
                    return value if value or self._is_null_call(name) else None
        return None

    def _is_null_call(self, rule: str) -> bool:
        """Whether an instruction at address 0 is meant, and not that the argument says nothing."""
        if rule == "exception":
            return bool(self._parameters[0])
        access = access_of_arguments(self._bugcheck, self._parameters, Evidence())
        return access is not None and access.operation == EXECUTE and not access.address

    def _trap(self, address: Optional[int]) -> Optional[_Found]:
        if address is not None:
            if not is_trap_frame(self._target, address):
                self._target.memory.read(address, 8)
                raise DumpkitError(f"{address:016x} is no trap frame")
            return _Found(TRAP_FRAME, address, trap_frame(self._target, address), "the bugcheck's argument")
        wanted = self.instruction
        for handler, frame in zip(self.crash_frames, self.crash_frames[1:]):
            if not frame.is_interrupted or (wanted is not None and frame.instruction_pointer != wanted):
                continue
            # What unwinding came through is a trap frame wherever it leads: to a null pointer, too.
            place = handler.trap_frame
            if place is not None:
                found = trap_frame(self._target, place)
                return _Found(TRAP_FRAME, place, found, "found by unwinding to the handler of the trap")
        for place in self._stack.trap_frames(wanted):
            known = ", with the argument's instruction pointer" if wanted is not None else ""
            why = f"found on the stack by its form{known}"
            return _Found(TRAP_FRAME, place, trap_frame(self._target, place), why)
        raise DumpkitError("no trap frame was found on the stack of the thread that crashed")

    def _context(self, address: Optional[int]) -> Optional[_Found]:
        assert address is not None
        found = context_record(self._target, address)
        wanted = self.instruction
        if not self._is_plausible(found) and found.instruction_pointer != wanted:
            raise DumpkitError(f"{address:016x} is no context record: its instruction pointer is in no module")
        return _Found(CONTEXT_RECORD, address, found, "the bugcheck's argument")

    def _record(self, address: Optional[int]) -> Optional[_Found]:
        assert address is not None
        self._keep_record(address, "the bugcheck's argument")
        return None

    def _keep_record(self, address: int, where: str) -> None:
        record = exception_record(self._target, address)
        if not record.code:
            raise DumpkitError(f"{address:016x} is no exception record: its code is 0")
        self.record = address, record
        self._evidence.note("exception_record", f"EXCEPTION_RECORD at {address:016x}: {where}")

    def _pointers(self, address: Optional[int]) -> Optional[_Found]:
        if address is not None:
            record = self._target.memory.u64(address)
            context = self._target.memory.u64(address + 8)
            where = f"EXCEPTION_POINTERS at {address:016x}, the bugcheck's argument"
        else:
            code, instruction = self._parameters[0], self.instruction or 0
            found = self._stack.exception_pointers(code, instruction)
            if found is None:
                return self._at_the_exception()
            pointers, record, context = found
            where = f"EXCEPTION_POINTERS at {pointers:016x}, found on the stack"
        self._keep_record(record, where)
        return _Found(CONTEXT_RECORD, context, context_record(self._target, context), where)

    def _at_the_exception(self) -> Optional[_Found]:
        """A context of the exception's address on the stack, or the crash's own where that stands there."""
        wanted = self.instruction
        crash = self.crash_context
        if wanted is None or crash is None:
            return None
        if crash.instruction_pointer == wanted:
            return _Found(CRASH, None, crash, "the processor's registers stand at the exception's address")
        code = self._parameters[0]
        for place in self._stack.records(code, wanted):
            self._keep_record(place, "found on the stack by its code and address")
            break
        for place in self._stack.contexts(wanted):
            found = context_record(self._target, place)
            return _Found(CONTEXT_RECORD, place, found, "found on the stack by its instruction pointer")
        return None

    def _thread(self, address: Optional[int]) -> Optional[_Found]:
        from dumpkit.kernel.thread import Thread

        assert address is not None
        thread = Thread(self._target, address)
        return _Found(THREAD, address, thread.context(), "the registers of the bugcheck's thread argument")

    def _processor(self, number: Optional[int]) -> Optional[_Found]:
        assert number is not None
        if not 0 <= number < self._target.system.processors:
            raise DumpkitError(f"the argument {number:x} is no processor's number")
        return _Found(PROCESSOR, number, self._target.context(number), "the bugcheck's processor argument")

    # --- The crash itself ----------------------------------------------------

    @property
    def crash_context(self) -> Optional[Context]:
        """The registers of the processor that crashed, as it stopped; None where the target does not hold them."""
        if self._crash is None:
            try:
                self._crash = self._target.context(self._target.current_processor)
            except DumpkitError as error:
                self._evidence.lack("crash_context", error)
        return self._crash

    @property
    def crash_frames(self) -> List[Frame]:
        """The stack from the crash's registers on."""
        if self._crash_frames is None:
            context = self.crash_context
            self._crash_frames = walk_stack(self._target, context) if context is not None else []
        return self._crash_frames

    @property
    def _stack(self) -> StackWords:
        """The words of the stack that crashed. Raises DumpkitError where they are not to be had."""
        if self._words is None:
            context = self.crash_context
            if context is None:
                raise DumpkitError("no stack is there that could be searched")
            self._words = StackWords(self._target, context.stack_pointer)
            if self._words.end == self._words.start:
                raise MemoryReadError(context.stack_pointer, self._target.memory.explain(context.stack_pointer))
        return self._words

    def _is_plausible(self, context: Context) -> bool:
        return self._target.module_at(context.instruction_pointer) is not None

    # --- The stack at the fault ----------------------------------------------

    def _with_stack(self, found: Optional[_Found]) -> Optional[FailingContext]:
        if found is None:
            crash = self.crash_context
            if crash is None:
                return None
            self._evidence.note("failing_context", "the registers of the processor that crashed, when it stopped")
            return FailingContext(CRASH, None, crash, tuple(self.crash_frames), 0, False)
        place = "" if found.address is None else f" {found.address:x}"
        self._evidence.note("failing_context", f"{found.kind}{place}: {found.where}")
        if found.kind == TRAP_FRAME:
            frames, fault = self._through_trap(found)
            return FailingContext(TRAP_FRAME, found.address, found.context, tuple(frames), fault, True)
        if found.kind == CRASH:
            return FailingContext(CRASH, None, found.context, tuple(self.crash_frames), 0, True)
        frames = walk_stack(self._target, found.context)
        return FailingContext(found.kind, found.address, found.context, tuple(frames), 0, found.kind == CONTEXT_RECORD)

    def _handlers(self, trap: int) -> List[Frame]:
        """The frames of the crash up to the handler that saved a trap frame.

        Stacks may lie anywhere: a double fault's handler runs on another one than the thread, and user mode's is below.
        """
        for number, frame in enumerate(self.crash_frames, 1):
            if frame.trap_frame == trap:
                return self.crash_frames[:number]
        return list(takewhile(lambda frame: frame.stack_pointer <= trap, self.crash_frames))

    def _through_trap(self, found: _Found) -> Tuple[List[Frame], int]:
        """The stack of the crash with the trapped frame in its place, and that frame's index."""
        assert found.address is not None
        wanted = found.context.instruction_pointer, found.context.stack_pointer
        handlers = self._handlers(found.address)
        trapped = self.crash_frames[len(handlers) : len(handlers) + 1]
        is_unwound = all(frame.found_by == UNWOUND for frame in self.crash_frames[1 : len(handlers) + 1])
        if is_unwound and trapped and (trapped[0].instruction_pointer, trapped[0].stack_pointer) == wanted:
            return self.crash_frames, len(handlers)
        trapped = walk_stack(self._target, found.context)
        if handlers:
            last = handlers[-1]
            data = self._target.memory.read_optional(wanted[1], 32)
            home = tuple(int.from_bytes(data[at : at + 8], "little") for at in range(0, 32, 8)) if data else None
            handlers[-1] = last._replace(return_address=wanted[0], arguments=home)
        return [*handlers, *trapped], len(handlers)
