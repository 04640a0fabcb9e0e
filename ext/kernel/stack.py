"""Stack frames, and how each was found."""

from __future__ import annotations

from typing import Iterator, List, NamedTuple, Optional, Tuple

from dumpkit.memory import U64_MASK
from dumpkit.registers import X64, Context
from dumpkit.target import Target

#: No kernel stack holds more frames.
MOST_FRAMES = 1000

#: How a frame was found, from the surest to the least sure.
CONTEXT = "context"
#: The code behind the return address was followed to its return.
CODE = "code"
FRAME_POINTER = "frame pointer"
#: A word of the stack that may be a return address: nothing speaks against it.
SCAN = "scan"


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
    #: One of the ways above.
    found_by: str


class _Place(NamedTuple):
    """A frame before its return address is known."""

    instruction_pointer: int
    stack_pointer: int
    found_by: str


def walk_stack(target: Target, context: Context, limit: int = MOST_FRAMES) -> List[Frame]:
    """The frames from a context outwards; at least the context's own."""
    places = _x64_places(target, context) if context.architecture is X64 else _arm64_places(target, context)
    found: List[_Place] = []
    for place in places:
        found.append(place)
        if len(found) > limit:
            break
    frames = []
    for index, place in enumerate(found[:limit]):
        following = found[index + 1] if index + 1 < len(found) else None
        frames.append(
            Frame(
                place.instruction_pointer,
                place.stack_pointer,
                following.instruction_pointer if following is not None else 0,
                _home_space(target, following.stack_pointer) if following is not None else None,
                place.found_by,
            )
        )
    return frames


def _home_space(target: Target, stack_pointer: int) -> Optional[Tuple[int, ...]]:
    """The four words that the caller reserves for the callee's arguments (the x64 calling convention)."""
    data = target.memory.read_optional(stack_pointer, 32)
    if data is None:
        return None
    return tuple(int.from_bytes(data[offset : offset + 8], "little") for offset in range(0, 32, 8))


def _x64_places(target: Target, context: Context) -> Iterator[_Place]:
    from dumpkit.disassembly.capstone_library import decoder
    from dumpkit.kernel.stack_scan import StackScanner, best_way

    yield _Place(context.instruction_pointer, context.stack_pointer, CONTEXT)
    scanner = StackScanner(target, decoder("x64"))
    first = scanner.finder.find(dict(context.values), has_called=False)
    candidates = scanner.candidates(context.stack_pointer)
    if first is not None and first.address:
        candidates = [candidate for candidate in candidates if candidate.stack_pointer >= first.stack_pointer]
    previous = first
    for index in best_way(candidates):
        candidate = candidates[index]
        linked = previous is not None and previous.stack_pointer == candidate.stack_pointer
        yield _Place(candidate.address, candidate.stack_pointer, CODE if linked else SCAN)
        previous = candidate.link


def _arm64_places(target: Target, context: Context) -> Iterator[_Place]:
    """The chain of frame records that x29 starts: each holds the next one's address and a return address."""
    memory = target.memory
    yield _Place(context.instruction_pointer, context.stack_pointer, CONTEXT)
    record = context.frame_pointer
    for _ in range(MOST_FRAMES):
        following = memory.u64_optional(record)
        address = memory.u64_optional(record + 8)
        if following is None or not address:
            return
        # Return addresses of signed code carry an authentication code in their upper bits.
        if target.module_at(address) is None:
            address = address | 0xFFFF_8000_0000_0000 if address >> 47 & 1 else address & (1 << 47) - 1
        yield _Place(address & U64_MASK, record + 16, FRAME_POINTER)
        if following <= record:
            return
        record = following
