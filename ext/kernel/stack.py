"""Stack frames, and how each was found."""

from __future__ import annotations

from dumpkit.errors import MemoryReadError
from dumpkit.kernel.x64_walk import CONTEXT, FRAME_POINTER, Place, X64Walk
from dumpkit.memory import U64_MASK
from dumpkit.named_tuple import NamedTuple
from dumpkit.registers import X64, Context
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional, Tuple

#: No kernel stack holds more frames.
MOST_FRAMES = 1000


class Frame(NamedTuple):
    """One frame: addresses are virtual."""

    #: Where its function goes on.
    instruction_pointer: int
    #: Stack pointer at the instruction pointer (WinDbg's Child-SP).
    stack_pointer: int
    #: Where it returns to; 0 at the end of the stack.
    return_address: int
    #: The four words where its arguments' home space is, None where they cannot be read.
    arguments: Optional[Tuple[int, ...]]
    #: "context", "unwound", "code", "frame pointer" or "scan", as `dumpkit.kernel.x64_walk` names them.
    found_by: str
    #: What is known of the registers there. Those that a call may change are known of the context, and of what a trap
    #: whose frame the kernel wrote down broke into; elsewhere what the debugger shows, those of the frame inside,
    #: stand in for them.
    context: Context
    #: Whether a trap or an interrupt came at the instruction pointer. The frame before is then the handler's: in
    #: the kernel's own handlers, its stack pointer is the address of the trap frame.
    is_interrupted: bool = False
    #: The virtual address of the trap frame that the function, a handler of the kernel, began by saving.
    trap_frame: Optional[int] = None

    @property
    def code_address(self) -> int:
        """A virtual address in the instruction that the frame stands at: the one before its return address, for one
        that has called. What was inlined is looked for there: the call may be its last instruction."""
        has_called = self.found_by != CONTEXT and not self.is_interrupted
        return self.instruction_pointer - 1 if has_called else self.instruction_pointer


def walk_stack(target: Target, context: Context, limit: int = MOST_FRAMES) -> List[Frame]:
    """The frames from a context outwards; at least the context's own."""
    walk = X64Walk(target)
    places = walk.places(context) if context.architecture is X64 else _arm64_places(target, context)
    found: List[Place] = []
    for place in places:
        found.append(place)
        if len(found) > limit:
            break
    frames: List[Frame] = []
    stand_ins: Dict[str, int] = dict(context.stand_ins)
    trapped: Dict[str, int] = {}
    for index, place in enumerate(found[:limit]):
        registers = {**trapped, **place.registers}
        stand_ins.update(registers)
        following = found[index + 1] if index + 1 < len(found) else None
        trap, trapped = None, {}
        if following is not None and following.is_interrupted:
            trap, trapped = _saved_by_trap(target, place.stack_pointer, following)
        # The outermost function has arguments too, though nobody to return to.
        behind = following.stack_pointer if following is not None else walk.end
        frames.append(
            Frame(
                place.instruction_pointer,
                place.stack_pointer,
                following.instruction_pointer if following is not None else 0,
                _home_space(target, behind) if behind is not None else None,
                place.found_by,
                Context(context.architecture, registers, dict(stand_ins)),
                place.is_interrupted,
                trap,
            )
        )
    return frames


def _saved_by_trap(target: Target, handler: int, place: Place) -> Tuple[Optional[int], Dict[str, int]]:
    """Where the kernel's handler of a trap has its trap frame, and the registers that it saved there.

    The trap frame ends with what the processor pushed; where that place is not known, it is at the handler's stack
    pointer. It is one only where it holds the rip and rsp that unwinding found. A system service saves of the
    registers that a call may change its own choice: none is taken from it.
    """
    from dumpkit.kernel.trap_frame import RIP_OFFSET, is_service_frame, trap_frame

    address = handler if place.machine_frame is None else place.machine_frame - RIP_OFFSET
    try:
        saved = trap_frame(target, address)
        is_service = is_service_frame(target, address)
    except MemoryReadError:
        return None, {}
    if (saved.instruction_pointer, saved.stack_pointer) != (place.instruction_pointer, place.stack_pointer):
        return None, {}
    return address, {} if is_service else saved.values


def _home_space(target: Target, stack_pointer: int) -> Optional[Tuple[int, ...]]:
    """The four words that the caller reserves for the callee's arguments (the x64 calling convention)."""
    data = target.memory.read_optional(stack_pointer, 32)
    if data is None:
        return None
    return tuple(int.from_bytes(data[offset : offset + 8], "little") for offset in range(0, 32, 8))


def _arm64_places(target: Target, context: Context) -> Iterator[Place]:
    """The chain of frame records that x29 starts: each holds the next one's address and a return address."""
    memory = target.memory
    yield Place(context.instruction_pointer, context.stack_pointer, CONTEXT, context.values)
    record = context.frame_pointer
    for _ in range(MOST_FRAMES):
        following = memory.u64_optional(record)
        address = memory.u64_optional(record + 8)
        if following is None or not address:
            return
        # Return addresses of signed code carry an authentication code in their upper bits.
        if target.module_at(address) is None:
            address = address | 0xFFFF_8000_0000_0000 if address >> 47 & 1 else address & (1 << 47) - 1
        address &= U64_MASK
        yield Place(address, record + 16, FRAME_POINTER, {"pc": address, "sp": record + 16, "fp": following})
        if following <= record:
            return
        record = following
