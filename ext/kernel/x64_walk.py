"""The walk up an x64 stack: unwinding where images are, code-following and scanning where they are not."""

from __future__ import annotations

from dumpkit.errors import UnwindError
from dumpkit.kernel.unwind import Unwinder, Unwound
from dumpkit.named_tuple import NamedTuple
from dumpkit.registers import Context
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Generator, Iterator, List, Optional, Set, Tuple

    from dumpkit.kernel.stack_scan import Candidate, StackScanner

#: How a frame was found, from the surest to the least sure.
CONTEXT = "context"
UNWOUND = "unwound"
#: The code behind the return address was followed to its return.
CODE = "code"
FRAME_POINTER = "frame pointer"
#: A word of the stack that may be a return address: nothing speaks against it.
SCAN = "scan"

#: Where kernel addresses begin.
_KERNEL = 1 << 47
#: How often a stack is scanned anew because unwinding went on in between.
_MOST_SCANS = 20


class Place(NamedTuple):
    """A frame before its return address is known."""

    instruction_pointer: int
    stack_pointer: int
    found_by: str
    #: What is known of the registers there.
    registers: Dict[str, int]
    #: Whether a trap or an interrupt came at the instruction, so that it called nothing.
    is_interrupted: bool = False
    #: Then the virtual address where the processor pushed rip, where that is known.
    machine_frame: Optional[int] = None


class _Frame:
    """Where unwinding can go on."""

    def __init__(self, registers: Dict[str, int], has_called: bool) -> None:
        self.registers = registers
        self.has_called = has_called


class _Link:
    """What is known of a frame's caller, and whether unwind data tells it."""

    def __init__(self, registers: Dict[str, int], is_unwound: bool) -> None:
        self.registers = registers
        self.is_unwound = is_unwound


class X64Walk:
    """Walks one stack."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._unwinder = Unwinder(target)
        self._scanner: Optional[StackScanner] = None
        self._scans = 0
        #: The stack pointer behind the outermost frame, once a walk has come to a return address of 0; else None.
        self.end: Optional[int] = None

    def places(self, context: Context) -> Iterator[Place]:
        """The frames from a context outwards, the context's own first."""
        registers = dict(context.values)
        yield Place(context.instruction_pointer, context.stack_pointer, CONTEXT, registers)
        at: Optional[_Frame] = _Frame(registers, False)
        seen: Set[Tuple[int, int]] = set()
        while at is not None:
            unwound = self._unwind(at)
            if unwound is None:
                at = yield from self._scanned(at)
                continue
            registers = unwound.registers
            place = registers["rip"], registers["rsp"]
            # A return to 0 ends the stack; a trap at 0 was a call through a null pointer.
            is_end = not registers["rip"] and not unwound.is_machine_frame
            if is_end:
                self.end = registers["rsp"]
            if is_end or place in seen:
                return
            seen.add(place)
            yield Place(*place, UNWOUND, registers, unwound.is_machine_frame, unwound.machine_frame)
            at = _Frame(registers, not unwound.is_machine_frame)
            is_outside = registers["rip"] < _KERNEL and self._target.module_at(registers["rip"]) is None
            if is_outside and self._called_nowhere(at) is None:
                # User mode: its modules are not the kernel's to list, but a process's own.
                return

    def _unwind(self, at: _Frame) -> Optional[Unwound]:
        try:
            return self._unwinder.unwind(at.registers, at.has_called)
        except UnwindError:
            return self._called_nowhere(at)

    def _called_nowhere(self, at: _Frame) -> Optional[Unwound]:
        """The caller of an address where nothing is: its call got no further, so its return address lies at rsp.

        None where something is there that may have run, or where no call ends at what rsp points to.
        """
        memory, registers = self._target.memory, at.registers
        address = registers["rip"]
        if at.has_called or self._target.module_at(address) is not None or memory.read_optional(address, 1) is not None:
            return None
        returns_to = memory.u64_optional(registers["rsp"])
        if returns_to is None or self._target.module_at(returns_to) is None:
            return None
        from dumpkit.disassembly.call_site import call_before
        from dumpkit.kernel.unwind_frame import UnwindFrame

        return Unwound(*UnwindFrame(memory, registers).caller()) if call_before(memory, returns_to) else None

    def _scanned(self, at: _Frame) -> Generator[Place, None, Optional[_Frame]]:
        """The frames behind one that cannot be unwound, up to one from which unwinding leads elsewhere."""
        self._scans += 1
        if self._scans > _MOST_SCANS:
            return None
        way, link = self._way(at)
        for index, candidate in enumerate(way):
            linked = link is not None and link.registers["rsp"] == candidate.stack_pointer
            found_by = (UNWOUND if link.is_unwound else CODE) if link is not None and linked else SCAN
            known = link.registers if link is not None and linked else {}
            registers = {**known, "rip": candidate.address, "rsp": candidate.stack_pointer}
            yield Place(candidate.address, candidate.stack_pointer, found_by, registers, candidate.is_machine_frame)
            here = _Frame(registers, not candidate.is_machine_frame)
            unwound = self._unwind(here)
            if unwound is not None:
                following = way[index + 1].stack_pointer if index + 1 < len(way) else None
                if not unwound.registers["rip"] and following is None:
                    self.end = unwound.registers["rsp"]
                if unwound.registers["rip"] and unwound.registers["rsp"] != following:
                    return here
                link = _Link(unwound.registers, True)
            else:
                link = _Link(candidate.link.registers, False) if candidate.link is not None else None
        return None

    def _way(self, at: _Frame) -> Tuple[List[Candidate], Optional[_Link]]:
        """The candidates behind a frame that most speaks for, and where its own code leads."""
        from dumpkit.disassembly.capstone_library import decoder
        from dumpkit.kernel.stack_scan import Candidate, StackScanner
        from dumpkit.kernel.stack_way import StackWay

        if self._scanner is None:
            self._scanner = StackScanner(self._target, decoder("x64"), self._unwinder)
        stack = at.registers["rsp"]
        link = self._scanner.finder.find(at.registers, at.has_called)
        candidates = self._scanner.candidates(stack)
        if link is not None and link.address and not at.has_called:
            candidates = [candidate for candidate in candidates if candidate.stack_pointer >= link.stack_pointer]
        first = Candidate(stack - 8, at.registers["rip"], False, link, stack)
        way = StackWay(self._scanner, [first, *candidates]).choose()
        return [candidates[index - 1] for index in way], _Link(link.registers, False) if link is not None else None
