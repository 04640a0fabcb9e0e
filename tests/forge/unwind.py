"""How an x64 function sets up its frame: the operations of a prologue, as instructions and as unwind codes.

Layout: UNWIND_INFO, UNWIND_CODE and RUNTIME_FUNCTION of Microsoft's "x64 exception handling". An operation is
described once; its instruction and its unwind codes both follow from that description.
"""

from __future__ import annotations

from struct import pack
from typing import NamedTuple, Optional, Sequence, Tuple, Union

REGISTERS = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16)))
#: UNW_FLAG_*
EXCEPTION_HANDLER, TERMINATION_HANDLER, CHAINED = 1, 2, 4


class Push(NamedTuple):
    """push register"""

    register: str


class Alloc(NamedTuple):
    """sub rsp,size; size in bytes, a multiple of 8."""

    size: int


class SetFrame(NamedTuple):
    """lea register,[rsp+offset]; offset a multiple of 16, up to 240."""

    register: str
    offset: int = 0


class Save(NamedTuple):
    """mov [rsp+…],register; `offset` is where the register lies, from RSP once the prologue is done."""

    register: str
    offset: int


class SaveXmm(NamedTuple):
    """movaps [rsp+…],xmmN; `offset` as in Save, a multiple of 16."""

    number: int
    offset: int


class MachineFrame(NamedTuple):
    """What the processor pushed for a trap or an interrupt, no instruction: with an error code or without."""

    error_code: bool = False


Operation = Union[Push, Alloc, SetFrame, Save, SaveXmm, MachineFrame]


class Unwind(NamedTuple):
    """The UNWIND_INFO of a function or of a part of one."""

    #: (offset behind the instruction in the function, operation), in the order of the code.
    operations: Sequence[Tuple[int, Operation]] = ()
    prologue_size: int = 0
    #: Another function's name (or RVA) whose unwinding goes on where this part's ends.
    chained_to: Union[str, int, None] = None
    #: Name or RVA of a language-specific handler, its flags, and what lies behind it.
    handler: Union[str, int, None] = None
    handler_flags: int = EXCEPTION_HANDLER
    handler_data: bytes = b""
    #: With epilogues (version 2): the size of one in bytes, and where each begins, in bytes from the function's end.
    epilogue_size: int = 0
    epilogues: Sequence[int] = ()


def stack_use(operation: Operation) -> int:
    """How far an operation moves RSP down, in bytes."""
    if isinstance(operation, Push):
        return 8
    return operation.size if isinstance(operation, Alloc) else 0


def _codes(at: int, operation: Operation) -> Tuple[bytes, ...]:
    """The 16-bit unwind codes of one operation."""

    def code(kind: int, info: int) -> bytes:
        return pack("<BB", at, kind | info << 4)

    if isinstance(operation, Push):
        return (code(0, REGISTERS.index(operation.register)),)
    if isinstance(operation, Alloc):
        return _alloc_codes(operation.size, code(2, operation.size // 8 - 1 & 0xF), code(1, 0), code(1, 1))
    if isinstance(operation, SetFrame):
        return (code(3, 0),)
    if isinstance(operation, MachineFrame):
        return (code(10, int(operation.error_code)),)
    near, scale = (4, 8) if isinstance(operation, Save) else (8, 16)
    register = operation.number if isinstance(operation, SaveXmm) else REGISTERS.index(operation.register)
    if operation.offset % scale:
        raise ValueError(f"{operation} lies at no multiple of {scale}")
    if operation.offset // scale <= 0xFFFF:
        return code(near, register), pack("<H", operation.offset // scale)
    return code(near + 1, register), pack("<I", operation.offset)


def _alloc_codes(size: int, small: bytes, large: bytes, huge: bytes) -> Tuple[bytes, ...]:
    if size % 8 or size <= 0:
        raise ValueError(f"an allocation of {size} bytes: not a multiple of 8")
    if size <= 128:
        return (small,)
    if size // 8 <= 0xFFFF:
        return large, pack("<H", size // 8)
    return huge, pack("<I", size)


def _epilogue_codes(unwind: Unwind) -> Tuple[bytes, ...]:
    """UWOP_EPILOG: the first says the size and whether one ends the function; the others where they begin."""
    if not unwind.epilogues:
        return ()
    at_end = unwind.epilogue_size in unwind.epilogues
    codes = [pack("<BB", unwind.epilogue_size, 6 | int(at_end) << 4)]
    for offset in unwind.epilogues:
        if not at_end or offset != unwind.epilogue_size:
            codes.append(pack("<BB", offset & 0xFF, 6 | (offset >> 8) << 4))
    if len(codes) % 2:
        codes.append(pack("<BB", 0, 6))
    return tuple(codes)


def unwind_info(unwind: Unwind, handler_rva: int = 0, chain: Optional[Tuple[int, int, int]] = None) -> bytes:
    """UNWIND_INFO as it lies in .xdata; `chain` is the RUNTIME_FUNCTION (three RVAs) of what it is chained to."""
    frames = [operation for _, operation in unwind.operations if isinstance(operation, SetFrame)]
    frame = REGISTERS.index(frames[0].register) | frames[0].offset // 16 << 4 if frames else 0
    flags = CHAINED if chain else unwind.handler_flags if unwind.handler is not None else 0
    version = 2 if unwind.epilogues else 1
    described = b"".join(b"".join(_codes(at, operation)) for at, operation in reversed(unwind.operations))
    codes = b"".join(_epilogue_codes(unwind)) + described
    head = pack("<BBBB", version | flags << 3, unwind.prologue_size, len(codes) // 2, frame)
    data = head + codes + bytes(len(codes) % 4)
    if chain:
        return data + pack("<III", *chain)
    if flags:
        return data + pack("<I", handler_rva) + unwind.handler_data
    return data


def unwind_info_size(unwind: Unwind) -> int:
    """How many bytes `unwind_info` gives, before anything's RVA is known."""
    return len(unwind_info(unwind, 0, (0, 0, 0) if unwind.chained_to is not None else None))
