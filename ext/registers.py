"""Register files: the CONTEXT of a processor or thread, x64 and ARM64.

Layouts: CONTEXT and ARM64_NT_CONTEXT in winnt.h.
"""

from __future__ import annotations

from struct import unpack_from

from dumpkit.errors import DumpFormatError, RegisterError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterable, Mapping, Optional, Tuple


class Architecture:
    """An instruction set: its names, and the places of its registers in a CONTEXT record."""

    def __init__(
        self,
        name: str,
        machine: int,
        words: str,
        context_size: int,
        layout: Iterable[Tuple[str, int, int]],
        aliases: Mapping[str, str],
    ) -> None:
        #: Short name: "x64" or "ARM64".
        self.name = name
        #: IMAGE_FILE_MACHINE_* of the dump header and of images.
        self.machine = machine
        #: As the version line of WinDbg says it.
        self.words = words
        self.context_size = context_size
        #: register -> (offset in CONTEXT, size in bytes)
        self.layout: Dict[str, Tuple[int, int]] = {n: (o, s) for n, o, s in layout}
        #: other spelling -> register (whole registers only; parts are in `PARTS`)
        self.aliases = dict(aliases)

    def __repr__(self) -> str:
        return f"Architecture({self.name})"


def _row(names: str, offset: int, size: int) -> Iterable[Tuple[str, int, int]]:
    return [(name, offset + size * i, size) for i, name in enumerate(names.split())]


X64 = Architecture(
    "x64",
    0x8664,
    "x64",
    0x4D0,
    [
        ("contextflags", 0x30, 4),
        ("mxcsr", 0x34, 4),
        *_row("cs ds es fs gs ss", 0x38, 2),
        ("efl", 0x44, 4),
        *_row("dr0 dr1 dr2 dr3 dr6 dr7", 0x48, 8),
        *_row("rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15 rip", 0x78, 8),
        *_row(" ".join(f"xmm{i}" for i in range(16)), 0x1A0, 16),
    ],
    {"eflags": "efl", **{f"kdr{i}": f"dr{i}" for i in (0, 1, 2, 3, 6, 7)}},
)

#: The x87 registers in an x64 CONTEXT, XMM_SAVE_AREA32 in winnt.h: register -> (offset, size in bytes). The MMX
#: registers are the low halves of st0 to st7.
X87: Dict[str, Tuple[int, int]] = {
    "fpcw": (0x100, 2),
    "fpsw": (0x102, 2),
    "fptw": (0x104, 1),
    **{f"st{i}": (0x120 + 16 * i, 10) for i in range(8)},
    **{f"mm{i}": (0x120 + 16 * i, 8) for i in range(8)},
}

ARM64 = Architecture(
    "ARM64",
    0xAA64,
    "ARM 64-bit (AArch64)",
    0x390,
    [
        ("contextflags", 0x0, 4),
        ("psr", 0x4, 4),
        *_row(" ".join(f"x{i}" for i in range(29)), 0x8, 8),
        ("fp", 0xF0, 8),
        ("lr", 0xF8, 8),
        ("sp", 0x100, 8),
        ("pc", 0x108, 8),
        *_row(" ".join(f"v{i}" for i in range(32)), 0x110, 16),
        ("fpcr", 0x310, 4),
        ("fpsr", 0x314, 4),
    ],
    {"cpsr": "psr", "x29": "fp", "x30": "lr"},
)

BY_MACHINE = {X64.machine: X64, ARM64.machine: ARM64}


def _x64_parts() -> Dict[str, Tuple[str, int, int]]:
    """Parts of x64 registers: name -> (register, shift in bits, width in bits)."""
    parts: Dict[str, Tuple[str, int, int]] = {}
    for letter in "abcd":
        whole = f"r{letter}x"
        parts[f"e{letter}x"] = (whole, 0, 32)
        parts[f"{letter}x"] = (whole, 0, 16)
        parts[f"{letter}l"] = (whole, 0, 8)
        parts[f"{letter}h"] = (whole, 8, 8)
    for name in ("si", "di", "bp", "sp"):
        parts[f"e{name}"] = (f"r{name}", 0, 32)
        parts[name] = (f"r{name}", 0, 16)
        parts[f"{name}l"] = (f"r{name}", 0, 8)
    parts["eip"] = ("rip", 0, 32)
    parts["ip"] = ("rip", 0, 16)
    for number in range(8, 16):
        parts[f"r{number}d"] = (f"r{number}", 0, 32)
        parts[f"r{number}w"] = (f"r{number}", 0, 16)
        parts[f"r{number}b"] = (f"r{number}", 0, 8)
    flags = (("cf", 0), ("pf", 2), ("af", 4), ("zf", 6), ("sf", 7), ("tf", 8), ("if", 9), ("df", 10), ("of", 11))
    for flag, bit in flags:
        parts[flag] = ("efl", bit, 1)
    parts["iopl"] = ("efl", 12, 2)
    parts["vif"] = ("efl", 19, 1)
    parts["vip"] = ("efl", 20, 1)
    parts["fl"] = ("efl", 0, 16)
    return parts


def _arm64_parts() -> Dict[str, Tuple[str, int, int]]:
    """Parts of ARM64 registers: name -> (register, shift in bits, width in bits)."""
    parts = {f"w{i}": (f"x{i}", 0, 32) for i in range(29)}
    parts["w29"] = ("fp", 0, 32)
    parts["w30"] = ("lr", 0, 32)
    for flag, bit in (("nf", 31), ("zf", 30), ("cf", 29), ("vf", 28)):
        parts[flag] = ("psr", bit, 1)
    return parts


PARTS = {"x64": _x64_parts(), "ARM64": _arm64_parts()}

#: What the x64 calling convention lets a callee change.
VOLATILE = ("rax", "rcx", "rdx", "r8", "r9", "r10", "r11")


class Context:
    """The registers of one processor or thread at one moment.

    `values` maps lower-case register names to unsigned integers: what the source holds. For some of those
    that it does not hold (a trap frame saves only some), the debugger shows something nevertheless: they
    are in `stand_ins`, which are read as the registers are, and which nothing should be concluded from.
    Asking for a register that is in neither raises RegisterError.
    """

    def __init__(
        self, architecture: Architecture, values: Mapping[str, int], stand_ins: Optional[Mapping[str, int]] = None
    ) -> None:
        self.architecture = architecture
        self.values = dict(values)
        self.stand_ins: Mapping[str, int] = stand_ins if stand_ins is not None else {}
        #: XMM_SAVE_AREA32 up to the xmm registers; empty where the source does not hold it.
        self.x87 = b""

    @classmethod
    def from_bytes(cls, architecture: Architecture, record: bytes) -> Context:
        """Decode a CONTEXT record. Raises DumpFormatError where it is shorter than its layout."""
        if len(record) < architecture.context_size:
            raise DumpFormatError(
                f"context record of {len(record)} bytes, {architecture.context_size} expected for {architecture.name}"
            )
        values = {}
        for name, (offset, size) in architecture.layout.items():
            if size == 8:
                values[name] = unpack_from("<Q", record, offset)[0]
            else:
                values[name] = int.from_bytes(record[offset : offset + size], "little")
        context = cls(architecture, values)
        context.x87 = bytes(record[0x100:0x1A0]) if architecture is X64 else b""
        return context

    def floating(self, name: str) -> Optional[int]:
        """The value of an x87 or MMX register; None where the source does not hold them, or has none of that name."""
        place = X87.get(name)
        if place is None or not self.x87:
            return None
        offset, size = place
        return int.from_bytes(self.x87[offset - 0x100 : offset - 0x100 + size], "little")

    def __getitem__(self, name: str) -> int:
        """The value of a register, part of a register, flag or alias, by its debugger name in any case."""
        key = name.lower()
        value = self.values.get(key)
        if value is not None:
            return value
        for values in (self.values, self.stand_ins):
            value = self._found(values, key)
            if value is not None:
                return value
        raise RegisterError(f"no register {name} in this {self.architecture.name} context")

    def _found(self, values: Mapping[str, int], name: str) -> Optional[int]:
        """The value of a register, part or alias among some registers, or None."""
        key = self.architecture.aliases.get(name, name)
        if key in values:
            return values[key]
        part = PARTS[self.architecture.name].get(key)
        if part is None or part[0] not in values:
            return None
        whole, shift, width = part
        return values[whole] >> shift & (1 << width) - 1

    def shown(self, name: str) -> Optional[int]:
        """The value of a whole register, or what stands for it; None where there is neither."""
        value = self.values.get(name)
        return value if value is not None else self.stand_ins.get(name)

    def __contains__(self, name: str) -> bool:
        try:
            self[name]
        except RegisterError:
            return False
        return True

    def zero_filled(self) -> Context:
        """The same context, zero standing in for each register that it does not hold."""
        zeros = {name: 0 for name in self.architecture.layout if name not in self.values}
        return Context(self.architecture, self.values, zeros)

    @property
    def instruction_pointer(self) -> int:
        """rip or pc: a virtual address."""
        return self["rip" if self.architecture is X64 else "pc"]

    @property
    def stack_pointer(self) -> int:
        """rsp or sp: a virtual address."""
        return self["rsp" if self.architecture is X64 else "sp"]

    @property
    def frame_pointer(self) -> int:
        """rbp or fp: a virtual address."""
        return self["rbp" if self.architecture is X64 else "fp"]
