"""The engine's MASM dialect for x64: numbers, columns, and the names in which it differs from capstone.

Every table here was found by comparing with the engine's `u`, opcode map by opcode map.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, FrozenSet, List

#: Bytes of a memory operand by the word before `ptr`.
SIZES = {
    "byte": 1,
    "word": 2,
    "dword": 4,
    "fword": 6,
    "qword": 8,
    "mmword": 8,
    "tbyte": 10,
    "oword": 16,
    "xmmword": 16,
    "ymmword": 32,
    "zmmword": 64,
}

RENAMED = {
    "movabs": "mov",
    "sysexitq": "sysexit",
    "fstpnce": "fstp1",
    "fdisi8087_nop": "fdisi",
    "fucompi": "fucomip",
    "fcompi": "fcomip",
    "lcall": "call",
    "ljmp": "jmp",
}

#: Names and operands where capstone leaves the operands unsaid.
IMPLIED = {
    "int3": ("int", "3"),
    "xlatb": ("xlat", "byte ptr [rbx]"),
    "monitor": ("monitor", "rax, rcx, rdx"),
    "mwait": ("mwait", "rax, rcx"),
}


def _words(text: str) -> FrozenSet[str]:
    return frozenset(text.split())


#: The word before `ptr` where it is not capstone's; "" prints the bare brackets.
KEYWORDS: Dict[str, str] = {
    **dict.fromkeys(_words("sgdt sidt lgdt lidt"), "tbyte"),
    **dict.fromkeys(_words("cmpxchg16b invept invvpid invpcid bndmov vbroadcastf128 vbroadcasti128"), "oword"),
    **dict.fromkeys(_words("bndldx bndcu bndcl bndstx bndcn bndmk"), "qword"),
    **dict.fromkeys(_words("vpgatherdd vpgatherqd vgatherdps vgatherqps"), "dword"),
    **dict.fromkeys(_words("vpgatherdq vpgatherqq vgatherdpd vgatherqpd"), "qword"),
    **dict.fromkeys(_words("invlpg prefetch prefetchw prefetchnta prefetcht0 prefetcht1 prefetcht2"), ""),
    **dict.fromkeys(_words("clflush clflushopt clwb frstor fnsave fldenv fnstenv xsave xrstor xsaveopt"), ""),
    **dict.fromkeys(_words("fxsave fxrstor fxsave64 fxrstor64"), ""),
    "comisd": "mmword",
    "vcomisd": "mmword",
}

#: Instructions on 8-byte vectors or doubles whose memory operand is `qword ptr` all the same.
QWORD = _words(
    "movlps movlpd movhps movhpd movd movntsd cvtsi2sd cvtsi2ss pinsrq pextrq extractps vmovsd vmovlps vmovhps "
    "vmovlpd vmovhpd vmovd vcvtsi2ss vcvtsi2sd vpinsrq vpextrq vextractps"
)
DOUBLE_TO_INTEGER = _words("cvtsd2si cvttsd2si vcvtsd2si vcvttsd2si")
VECTOR = tuple(f"{size}mm{digit}" for size in ("", "x", "y", "z") for digit in range(10))

#: What may be locked: an F2 or F3 prefix in front of these is read as a hint of transactional memory.
LOCKABLE = _words("add or adc sbb and sub xor xchg inc dec neg not bt btc btr bts cmpxchg cmpxchg8b xadd")

REPEATED = _words("ins outs movs stos lods cmps scas")
STRING = frozenset(name + size for name in REPEATED for size in "bwdq")

#: Instructions that print the accumulator, which capstone implies.
ACCUMULATING = _words("mul div idiv")
ACCUMULATORS = {8: "al", 16: "ax", 32: "eax", 64: "rax"}

#: x87 instructions that print the top of the stack, which capstone implies.
TOP_FIRST = _words("fadd fmul fsub fsubr fdiv fdivr fcomi fucomi fcomip fucomip")
TOP_LAST = _words("faddp fmulp fsubp fsubrp fdivp fdivrp")

LOOPS = _words("loop loope loopne")
RETURNS = _words("ret retf retfq iret iretd iretq sysret sysretq sysexit")


def _widths() -> Dict[str, int]:
    widths: Dict[str, int] = {}
    for letter in "abcd":
        widths.update({f"r{letter}x": 64, f"e{letter}x": 32, f"{letter}x": 16, f"{letter}l": 8, f"{letter}h": 8})
    for name in ("si", "di", "bp", "sp"):
        widths.update({f"r{name}": 64, f"e{name}": 32, name: 16, f"{name}l": 8})
    for index in range(8, 16):
        widths.update({f"r{index}": 64, f"r{index}d": 32, f"r{index}w": 16, f"r{index}b": 8})
    return widths


#: Bits of a general register by its name.
WIDTHS = _widths()


def word_register(name: str) -> str:
    """The low 16 bits of a general register of 32 or 64."""
    return f"{name.rstrip('d')}w" if name[1:2].isdigit() else name[1:]


def number(value: int) -> str:
    """A number in MASM's way: bare below 0Ah, else hex with `h`, and a 0 in front of a letter."""
    if value < 10:
        return str(value)
    digits = f"{value:X}"
    return f"0{digits}h" if digits[0] > "9" else f"{digits}h"


def columns(raw: bytes, mnemonic: str, operands: str) -> str:
    """Bytes, mnemonic and operands in the columns of `u`.

    The bytes take 15 columns, the mnemonic 7; longer bytes push the mnemonic, which then gives up
    its own padding as long as it has any.
    """
    text = f"{raw.hex():<15} {mnemonic}"
    if not operands:
        return text
    column = 23 if len(raw) < 8 else 24
    return f"{text:<{column}} {operands}"


#: Legacy prefixes (Intel SDM volume 2, 2.1.1).
LEGACY_PREFIXES = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3")


class Encoding:
    """The bytes of an instruction before its operands; `raw` is the whole of one that capstone accepts."""

    __slots__ = ("opcode", "prefixes", "second", "wide")

    def __init__(self, raw: bytes) -> None:
        start, last = 0, len(raw) - 1
        while start < last and raw[start] in LEGACY_PREFIXES:
            start += 1
        #: Legacy prefixes: segment, size, lock and repetition.
        self.prefixes = raw[:start]
        #: Whether REX.W or VEX.W is set.
        self.wide = False
        if raw[start] & 0xF0 == 0x40 and start < last:
            self.wide = bool(raw[start] & 8)
            start += 1
        #: First opcode byte; 0x0F begins the other maps, 0xC4, 0xC5 and 0x62 the VEX and EVEX ones.
        self.opcode = raw[start]
        #: The opcode byte in the map that 0F or VEX selects; 0 in the one-byte map.
        self.second = 0
        if self.opcode == 0x0F and start < last:
            self.second = raw[start + 1]
        elif self.opcode == 0xC5 and start + 2 <= last:
            self.second = raw[start + 2]
        elif self.opcode == 0xC4 and start + 3 <= last:
            self.wide, self.second = raw[start + 2] >= 0x80, raw[start + 3]


def floating_operands(name: str, opcode: int, operands: List[str]) -> List[str]:
    """Operands of an x87 instruction, with the top of the stack named where the engine names it."""
    if len(operands) == 1 and "[" not in operands[0]:
        if name in TOP_FIRST and opcode in (0xD8, 0xDB, 0xDF):
            return ["st", *operands]
        if name in TOP_LAST:
            return [*operands, "st"]
    return operands[:1] if name == "fstp1" else operands
