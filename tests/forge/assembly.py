"""A small x64 assembler: prologues that unwind, calls, padding, and raw bytes for the rest.

Encodings as the Intel and AMD manuals give them, and of several possible ones the one that MSVC chooses.
"""

from __future__ import annotations

from struct import pack
from typing import List, NamedTuple, Optional, Sequence, Tuple, Union

from tests.forge.unwind import (
    REGISTERS,
    Alloc,
    MachineFrame,
    Operation,
    Push,
    Save,
    SaveXmm,
    SetFrame,
    Unwind,
    stack_use,
)

#: The name of a function, label or variable of the image, "module!name" for an import's IAT slot, or an RVA.
Target = Union[str, int]

#: Recommended multi-byte no-operations, by length.
_NOPS = (
    b"",
    b"\x90",
    b"\x66\x90",
    b"\x0f\x1f\x00",
    b"\x0f\x1f\x40\x00",
    b"\x0f\x1f\x44\x00\x00",
    b"\x66\x0f\x1f\x44\x00\x00",
    b"\x0f\x1f\x80\x00\x00\x00\x00",
    b"\x0f\x1f\x84\x00\x00\x00\x00\x00",
    b"\x66\x0f\x1f\x84\x00\x00\x00\x00\x00",
)


class Fixup(NamedTuple):
    """A 32-bit displacement at `offset` in the code, to be filled with the distance from its end to the target."""

    offset: int
    target: Target


def _memory(register: int, base: str, displacement: int) -> Tuple[bytes, int, int]:
    """(ModRM with what follows it, REX.R, REX.B) for [base+displacement]."""
    number = REGISTERS.index(base)
    sib = b"\x24" if number & 7 == 4 else b""
    if displacement == 0 and number & 7 != 5:
        mode, tail = 0x00, b""
    elif -128 <= displacement <= 127:
        mode, tail = 0x40, pack("<b", displacement)
    else:
        mode, tail = 0x80, pack("<i", displacement)
    return bytes([mode | (register & 7) << 3 | number & 7]) + sib + tail, register >> 3, number >> 3


def _mov(opcode: int, register: str, base: str, displacement: int) -> bytes:
    """A 64-bit instruction between a register and memory."""
    modrm, rex_r, rex_b = _memory(REGISTERS.index(register), base, displacement)
    return bytes([0x48 | rex_r << 2 | rex_b, opcode]) + modrm


def _movaps(opcode: int, number: int, displacement: int) -> bytes:
    modrm, rex_r, _ = _memory(number, "rsp", displacement)
    return (b"\x44" if rex_r else b"") + bytes([0x0F, opcode]) + modrm


def _move_stack(add: bool, size: int) -> bytes:
    extension = 0xC4 if add else 0xEC
    if size <= 127:
        return bytes([0x48, 0x83, extension, size])
    return bytes([0x48, 0x81, extension]) + pack("<I", size)


class Code:
    """Machine code being written. Every method appends and gives the Code back."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.fixups: List[Fixup] = []
        self.operations: List[Tuple[int, Operation]] = []
        self.prologue_size = 0

    def __len__(self) -> int:
        return len(self.data)

    def raw(self, data: bytes) -> Code:
        """Any bytes."""
        self.data += data
        return self

    def hex(self, text: str) -> Code:
        """Any bytes, in hexadecimal."""
        return self.raw(bytes.fromhex(text))

    # Prologue and epilogue

    def prologue(self, *operations: Operation) -> Code:
        """The instructions that do these operations, remembered for the unwind codes."""
        used = sum(stack_use(operation) for operation in operations)
        for operation in operations:
            used -= stack_use(operation)
            self.raw(_instruction(operation, used))
            self.operations.append((len(self.data), operation))
        self.prologue_size = len(self.data)
        if self.prologue_size > 0xFF:
            raise ValueError(f"a prologue of {self.prologue_size} bytes; 255 are the most")
        return self

    def epilogue(self) -> Code:
        """What undoes the prologue, with its return."""
        operations = [operation for _, operation in self.operations]
        for operation in operations:
            if isinstance(operation, Save):
                self.load(operation.register, "rsp", operation.offset)
            elif isinstance(operation, SaveXmm):
                self.raw(_movaps(0x28, operation.number, operation.offset))
        for operation in reversed(operations):
            if isinstance(operation, Alloc):
                self.raw(_move_stack(True, operation.size))
            elif isinstance(operation, Push):
                self.pop(operation.register)
        trap = [operation for operation in operations if isinstance(operation, MachineFrame)]
        if trap:
            return self.raw((_move_stack(True, 8) if trap[0].error_code else b"") + b"\x48\xcf")
        return self.ret()

    def unwind(self) -> Optional[Unwind]:
        """The UNWIND_INFO of what was written; None for a leaf function."""
        return Unwind(tuple(self.operations), self.prologue_size) if self.operations else None

    # Instructions

    def push(self, register: str) -> Code:
        """push register"""
        return self.raw(_instruction(Push(register), 0))

    def pop(self, register: str) -> Code:
        """pop register"""
        number = REGISTERS.index(register)
        return self.raw((b"\x41" if number > 7 else b"") + bytes([0x58 | number & 7]))

    def load(self, register: str, base: str, displacement: int = 0) -> Code:
        """mov register,[base+displacement]"""
        return self.raw(_mov(0x8B, register, base, displacement))

    def store(self, register: str, base: str, displacement: int = 0) -> Code:
        """mov [base+displacement],register"""
        return self.raw(_mov(0x89, register, base, displacement))

    def lea(self, register: str, base: str, displacement: int = 0) -> Code:
        """lea register,[base+displacement]"""
        return self.raw(_mov(0x8D, register, base, displacement))

    def move(self, to: str, source: str) -> Code:
        """mov to,source"""
        target, origin = REGISTERS.index(to), REGISTERS.index(source)
        rex = 0x48 | (target >> 3) << 2 | origin >> 3
        return self.raw(bytes([rex, 0x8B, 0xC0 | (target & 7) << 3 | origin & 7]))

    def load_address(self, register: str, target: Target) -> Code:
        """lea register,[target]"""
        number = REGISTERS.index(register)
        return self._relative(bytes([0x48 | (number >> 3) << 2, 0x8D, 0x05 | (number & 7) << 3]), target)

    def load_from(self, register: str, target: Target) -> Code:
        """mov register,[target]"""
        number = REGISTERS.index(register)
        return self._relative(bytes([0x48 | (number >> 3) << 2, 0x8B, 0x05 | (number & 7) << 3]), target)

    def call(self, target: Target) -> Code:
        """call target"""
        return self._relative(b"\xe8", target)

    def call_import(self, target: Target) -> Code:
        """call qword ptr [slot], and the 5-byte no-operation that kernel images of today have behind it"""
        return self._relative(b"\xff\x15", target).raw(_NOPS[5])

    def call_through(self, target: Target) -> Code:
        """call qword ptr [slot]"""
        return self._relative(b"\xff\x15", target)

    def jump(self, target: Target) -> Code:
        """jmp target"""
        return self._relative(b"\xe9", target)

    def jump_through(self, target: Target) -> Code:
        """jmp qword ptr [slot]"""
        return self._relative(b"\x48\xff\x25", target)

    def ret(self) -> Code:
        """ret"""
        return self.raw(b"\xc3")

    def int3(self, count: int = 1) -> Code:
        """int 3, `count` times"""
        return self.raw(b"\xcc" * count)

    def nop(self, size: int) -> Code:
        """No-operations of `size` bytes in all."""
        while size > 0:
            piece = min(size, 9)
            self.raw(_NOPS[piece])
            size -= piece
        return self

    def nop_to(self, offset: int) -> Code:
        """No-operations up to an offset from the function's start."""
        if offset < len(self.data):
            raise ValueError(f"the code is already {len(self.data):#x} bytes long, beyond offset {offset:#x}")
        return self.nop(offset - len(self.data))

    def call_returning_at(self, offset: int, target: Target) -> Code:
        """No-operations and a call whose return address is `offset`."""
        return self.nop_to(offset - 5).call(target)

    def call_through_returning_at(self, offset: int, target: Target) -> Code:
        """No-operations and a call through a slot (an import's) whose return address is `offset`."""
        return self.nop_to(offset - 6).call_through(target)

    def _relative(self, opcode: bytes, target: Target) -> Code:
        self.raw(opcode)
        self.fixups.append(Fixup(len(self.data), target))
        return self.raw(bytes(4))


def _instruction(operation: Operation, below: int) -> bytes:
    """The instruction of a prologue's operation; RSP will yet move `below` bytes down."""
    if isinstance(operation, Push):
        number = REGISTERS.index(operation.register)
        return (b"\x41" if number > 7 else b"") + bytes([0x50 | number & 7])
    if isinstance(operation, Alloc):
        return _move_stack(False, operation.size)
    if isinstance(operation, SetFrame):
        if operation.offset == 0:
            return _set_frame(operation.register)
        return _mov(0x8D, operation.register, "rsp", operation.offset)
    if isinstance(operation, Save):
        return _mov(0x89, operation.register, "rsp", operation.offset - below)
    if isinstance(operation, SaveXmm):
        return _movaps(0x29, operation.number, operation.offset - below)
    return b""


def _set_frame(register: str) -> bytes:
    number = REGISTERS.index(register)
    return bytes([0x48 | (number >> 3) << 2, 0x8B, 0xC4 | (number & 7) << 3])


def frame_code(
    frame: int, calls: Sequence[Tuple[int, Target]] = (), size: int = 0, saves: Sequence[str] = (), home: int = 0
) -> Code:
    """A whole function with a frame of `frame` bytes between RSP in its body and its return address.

    It pushes the registers in `saves`, calls each target so that the call returns at the offset that stands
    beside it, and is at least `size` bytes long. The first `home` arguments are stored in their home space.
    """
    code = Code()
    for register, place in list(zip(("rcx", "rdx", "r8", "r9"), (8, 16, 24, 32)))[:home]:
        code.store(register, "rsp", place)
    room = frame - 8 * len(saves)
    code.prologue(*[Push(register) for register in saves], *([Alloc(room)] if room else []))
    for offset, target in calls:
        code.call_returning_at(offset, target)
    ending = Code()
    ending.operations = code.operations
    code.nop_to(max(len(code), size - len(ending.epilogue())))
    code.epilogue()
    return code.int3(max(0, size - len(code)))
