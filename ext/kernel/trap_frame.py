"""Trap frames: the registers that the kernel saves when a trap, an interrupt or a system call enters it."""

from __future__ import annotations

from dumpkit.errors import MemoryReadError, SymbolError
from dumpkit.registers import X64, Context
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Mapping, Tuple

#: Register -> (member of KTRAP_FRAME, its offset and size in bytes in ntddk.h for AMD64).
_X64_MEMBERS: Dict[str, Tuple[str, int, int]] = {
    "mxcsr": ("MxCsr", 0x2C, 4),
    "rax": ("Rax", 0x30, 8),
    "rcx": ("Rcx", 0x38, 8),
    "rdx": ("Rdx", 0x40, 8),
    "r8": ("R8", 0x48, 8),
    "r9": ("R9", 0x50, 8),
    "r10": ("R10", 0x58, 8),
    "r11": ("R11", 0x60, 8),
    **{f"xmm{number}": (f"Xmm{number}", 0x70 + 16 * number, 16) for number in range(6)},
    "rbp": ("Rbp", 0x158, 8),
    "rip": ("Rip", 0x168, 8),
    "cs": ("SegCs", 0x170, 2),
    "efl": ("EFlags", 0x178, 4),
    "rsp": ("Rsp", 0x180, 8),
    "ss": ("SegSs", 0x188, 2),
}
_X64_SIZE = 0x190
#: Where the processor's own part begins.
RIP_OFFSET = _X64_MEMBERS["rip"][1]
#: ExceptionActive, and what it is where a system service made the frame (0 an interrupt, 1 an exception).
_EXCEPTION_ACTIVE, _SERVICE = 0x2B, 2

#: The same in ntddk.h for ARM64: x19 to x28 are the exception frame's.
_ARM64_MEMBERS: Dict[str, Tuple[str, int, int]] = {
    "psr": ("Spsr", 0x90, 4),
    "sp": ("Sp", 0x98, 8),
    **{f"x{number}": (f"X{number}", 0xA0 + 8 * number, 8) for number in range(19)},
    "lr": ("Lr", 0x138, 8),
    "fp": ("Fp", 0x140, 8),
    "pc": ("Pc", 0x148, 8),
}
_ARM64_SIZE = 0x150

#: Frames end with what the processor itself pushes; rounded up to this they have the size that was reserved.
_ALIGNMENT = 0x10


def trap_frame(target: Target, address: int) -> Context:
    """The registers that the KTRAP_FRAME at a virtual address holds.

    The layout is that of the kernel's symbols, of ntddk.h where there are none. Registers that the kernel does not
    save there (rbx, rsi, rdi and r12 to r15; x19 to x28) are zero as in the debugger, but stand-ins: `values` of the
    context lacks them. Raises MemoryReadError.
    """
    architecture = target.architecture
    members, size = (_X64_MEMBERS, _X64_SIZE) if architecture is X64 else (_ARM64_MEMBERS, _ARM64_SIZE)
    offset = _offsets(target, members)
    frame = target.memory.read(address, max(size, *(offset(name) + members[name][2] for name in members)))
    values = {}
    for name, (_, _, width) in members.items():
        start = offset(name)
        values[name] = int.from_bytes(frame[start : start + width], "little")
    return Context(architecture, values).zero_filled()


def is_service_frame(target: Target, address: int) -> bool:
    """Whether the x64 KTRAP_FRAME at a virtual address was made for a system service. Raises MemoryReadError."""
    return target.memory.u8(address + _EXCEPTION_ACTIVE) == _SERVICE


def _offsets(target: Target, members: Mapping[str, Tuple[str, int, int]]) -> Callable[[str], int]:
    """What gives the offset of a register's member: the kernel's symbols, or the headers' layout."""
    try:
        type = target.type("_KTRAP_FRAME")
        known = {name: type.offset(member) for name, (member, _, _) in members.items() if member in type}
    except SymbolError:
        known = {}
    return lambda name: known.get(name, members[name][1])


def is_trap_frame(target: Target, address: int) -> bool:
    """Whether what lies at a virtual address can be a trap frame: its rip in a module or user mode, its rsp above it.

    Nothing in a KTRAP_FRAME says that it is one.
    """
    try:
        context = trap_frame(target, address)
    except MemoryReadError:
        return False
    if address % 8:
        return False
    instruction, stack = context.instruction_pointer, context.stack_pointer
    if target.architecture is X64:
        if (context["cs"], context["ss"] & 0xFFF8) == (0x33, 0x28):
            return instruction >> 47 == 0
        if context["cs"] != 0x10 or context["ss"] not in (0, 0x18):
            return False
    return target.module_at(instruction) is not None and address < stack
