"""UNWIND_INFO: what the prologue of an x64 function does to its stack and registers.

Layouts: RUNTIME_FUNCTION, UNWIND_INFO and UNWIND_CODE of Microsoft's "x64 exception handling". Version 2, in which
most images of today are, adds codes that say where the epilogues are; they are not in that document: as LLVM's
readobj (Apache 2.0) decodes them. Everything is bounded by the count of codes, which is a byte.
"""

from __future__ import annotations

from struct import Struct

from dumpkit.errors import UnwindError
from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.module_image import ModuleImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Sequence, Tuple

#: UNW_FLAG_CHAININFO
_CHAINED = 4

# UWOP_*
PUSH = 0
ALLOC_LARGE = 1
ALLOC_SMALL = 2
SET_FRAME = 3
SAVE = 4
SAVE_FAR = 5
_EPILOGUE = 6
_SPARE = 7
SAVE_XMM = 8
SAVE_XMM_FAR = 9
MACHINE_FRAME = 10
#: How many 16-bit slots each takes, its own one among them; ALLOC_LARGE with info 1 has one more.
_SLOTS = (1, 2, 1, 1, 2, 3, 2, 3, 2, 3, 1)

#: The numbers of registers in unwind codes and instructions.
REGISTERS = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16)))

_RUNTIME_FUNCTION = Struct("<III")
_MOST_SLOTS = 255


class RuntimeFunction(NamedTuple):
    """A function, or a part of one, in an image's exception directory: RVAs; `end` is behind its last byte."""

    begin: int
    end: int
    #: Where its UNWIND_INFO lies.
    unwind_info: int


class UnwindCode(NamedTuple):
    """One operation of a prologue."""

    #: Behind its instruction, in bytes from the function's begin.
    offset: int
    #: One of the numbers above.
    operation: int
    #: A register's number, or whether a machine frame has an error code.
    info: int
    #: Bytes allocated, or the offset in the frame that a register is saved at.
    operand: int = 0

    @property
    def stack_use(self) -> int:
        """How far it moves the stack pointer down, in bytes."""
        if self.operation == PUSH:
            return 8
        return self.operand if self.operation in (ALLOC_SMALL, ALLOC_LARGE) else 0


class UnwindInfo(NamedTuple):
    """The unwind data of a function or of a part of one."""

    version: int
    prologue_size: int
    #: The register that holds the frame's address, or None: it is the stack pointer.
    frame_register: Optional[str]
    #: How far above the frame's address it points, in bytes.
    frame_offset: int
    #: The prologue's operations, last one first.
    codes: Sequence[UnwindCode]
    #: Size in bytes of every epilogue from its first pop on, and how far before the function's end each begins.
    epilogue_size: int
    epilogues: Sequence[int]
    #: What unwinding goes on with where this part's codes end.
    chained: Optional[RuntimeFunction]


def read_runtime_function(image: ModuleImage, rva: int) -> RuntimeFunction:
    """The RUNTIME_FUNCTION at an RVA. Raises UnwindError where it cannot be read."""
    data = image.read(rva, _RUNTIME_FUNCTION.size)
    if len(data) < _RUNTIME_FUNCTION.size:
        raise UnwindError(f"the function table of {image.name} cannot be read at RVA 0x{rva:x}")
    return RuntimeFunction(*_RUNTIME_FUNCTION.unpack(data))


def read_unwind_info(image: ModuleImage, rva: int) -> UnwindInfo:
    """The UNWIND_INFO at an RVA. Raises UnwindError where it cannot be read or is none."""
    place = f"the unwind data of {image.name} at RVA 0x{rva:x}"
    data = image.read(rva, 4 + 2 * _MOST_SLOTS + 2 + _RUNTIME_FUNCTION.size)
    if len(data) < 4 or len(data) < 4 + 2 * data[2]:
        raise UnwindError(f"{place} cannot be read")
    version, flags = data[0] & 7, data[0] >> 3
    if version not in (1, 2):
        raise UnwindError(f"{place} has the unknown version {version}")
    slots = [(data[at], data[at + 1]) for at in range(4, 4 + 2 * data[2], 2)]
    size, epilogues, first = _epilogues(slots) if version == 2 else (0, [], 0)
    frame = data[3]
    chained: Optional[RuntimeFunction] = None
    if flags & _CHAINED:
        at = 4 + (2 * data[2] + 3 & ~3)
        if len(data) < at + _RUNTIME_FUNCTION.size:
            raise UnwindError(f"{place} cannot be read")
        chained = RuntimeFunction(*_RUNTIME_FUNCTION.unpack_from(data, at))
    return UnwindInfo(
        version,
        data[1],
        REGISTERS[frame & 15] if frame & 15 else None,
        (frame >> 4) * 16,
        tuple(_codes(slots[first:], place)),
        size,
        tuple(epilogues),
        chained,
    )


def _epilogues(slots: Sequence[Tuple[int, int]]) -> Tuple[int, List[int], int]:
    """The size of an epilogue, where each begins, and how many slots say it: pairs of them, the last one padded.

    The first slot has the size, and whether one epilogue ends the function; the others have 12-bit distances.
    """
    count = 0
    while count < len(slots) and slots[count][1] & 15 == _EPILOGUE:
        count += 2
    count = min(count, len(slots))
    if not count:
        return 0, [], 0
    size, at_end = slots[0][0], slots[0][1] >> 4 & 1
    found = [size] if at_end else []
    found += [low | (high >> 4) << 8 for low, high in slots[1:count] if low or high >> 4]
    return size, found, count


def _codes(slots: Sequence[Tuple[int, int]], place: str) -> List[UnwindCode]:
    codes = []
    at = 0
    while at < len(slots):
        offset, operation, info = slots[at][0], slots[at][1] & 15, slots[at][1] >> 4
        if operation >= len(_SLOTS):
            raise UnwindError(f"{place} has the unknown operation {operation}")
        taken = _SLOTS[operation] + (operation == ALLOC_LARGE and info == 1)
        if at + taken > len(slots) or (operation == ALLOC_LARGE and info > 1):
            raise UnwindError(f"{place} is damaged: operation {operation} is cut off")
        words = [low | high << 8 for low, high in slots[at + 1 : at + taken]]
        # Version 1 once had 6 and 7 for halves of XMM registers: nothing that a caller's frame depends on.
        if operation not in (_EPILOGUE, _SPARE):
            codes.append(UnwindCode(offset, operation, info, _operand(operation, info, words)))
        at += taken
    return codes


def _operand(operation: int, info: int, words: Sequence[int]) -> int:
    if operation == ALLOC_SMALL:
        return 8 * info + 8
    if not words:
        return 0
    if len(words) == 2:
        return words[0] | words[1] << 16
    return words[0] * (16 if operation == SAVE_XMM else 8)
