"""x64 instructions in the syntax of WinDbg's engine: MASM with the engine's own spellings.

The decoding is capstone's; its Intel syntax is close enough that operands are respelled rather
than built anew. Where the engine knows no name (AVX-512, CET), capstone's stands.
"""

from __future__ import annotations

from dumpkit.disassembly import masm
from dumpkit.disassembly.capstone_library import Decoder
from dumpkit.disassembly.instruction import Instruction, MemoryOperand, SymbolNames
from dumpkit.numbers import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple

#: The longest instruction, in bytes.
MAX_SIZE = 15

_U64 = 0xFFFF_FFFF_FFFF_FFFF

#: Smaller numbers are never looked up as addresses.
_SMALLEST_NAMED = 0x10000

#: Where user mode sees KUSER_SHARED_DATA (ntddk.h); the engine knows the page by name without symbols.
_SHARED_USER_DATA = 0x7FFE0000


class X64Disassembler:
    """Decodes x64 code, one instruction at a time."""

    #: Bytes to hand to `decode` where they are there.
    max_size = MAX_SIZE

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def decode(self, code: bytes, address: int, symbols: Optional[SymbolNames] = None) -> Instruction:
        """The instruction at the start of `code`, whose first byte stands at the virtual `address`.

        Bytes that are no instruction give one of a single byte with the mnemonic "???"; so does an
        instruction that the end of `code` cuts off, with all the bytes there are; no bytes at all
        give one of length 0. `symbols` names targets of branches and addresses in operands.
        """
        code = code[:MAX_SIZE]
        found = self._decoder(code, address)
        if found is not None:
            return _Spelling(self._decoder, code[: found.size], address, symbols).spell(found.mnemonic, found.operands)
        if not code:
            return Instruction(address, b"", "???", "", "??              ???")
        raw = code if self._is_cut_off(code, address) else code[:1]
        return Instruction(address, raw, "???", "", masm.columns(raw, "???", ""))

    def length(self, code: bytes, address: int) -> int:
        """The length in bytes of the instruction at the start of `code`; 0 where there is none."""
        found = self._decoder(code[:MAX_SIZE], address)
        return found.size if found is not None else 0

    def _is_cut_off(self, code: bytes, address: int) -> bool:
        if len(code) >= MAX_SIZE:
            return False
        longer = self._decoder(code.ljust(MAX_SIZE, b"\0"), address)
        return longer is not None and longer.size > len(code)


class _Spelling:
    """One instruction on its way from capstone's syntax to the engine's."""

    def __init__(self, decoder: Decoder, raw: bytes, address: int, symbols: Optional[SymbolNames]) -> None:
        self.decoder = decoder
        self.raw = raw
        self.address = address
        self.symbols = symbols
        self.encoding = masm.Encoding(raw)
        self.memory: List[MemoryOperand] = []
        self.target: Optional[int] = None
        self.target_register = ""

    def spell(self, mnemonic: str, operands: str) -> Instruction:
        name = mnemonic.rpartition(" ")[2]
        if name in masm.IMPLIED:
            name, operands = masm.IMPLIED[name]
        name, parts = self._respell(name, operands.split(", ") if operands else [])
        flow = self._flow(name, parts)
        if self.target is not None:
            printed = self._name(self.target) or quoted(self.target)
        else:
            size = self._size(parts)
            printed = ",".join([self._operand(name, part, parts, size) for part in parts])
        prefix = self._prefix(name, mnemonic)
        if prefix:
            name = f"{prefix} {name}"
        text = masm.columns(self.raw, name, printed)
        return Instruction(
            self.address, self.raw, name, printed, text, flow, self.target, tuple(self.memory), self.target_register
        )

    def _respell(self, name: str, parts: List[str]) -> Tuple[str, List[str]]:
        """Names and operand orders in which the engine differs."""
        name = masm.RENAMED.get(name, name)
        opcode = self.encoding.opcode
        if 0x86 <= opcode <= 0x97 and name in ("xchg", "nop"):
            return self._exchange(name, parts)
        if name in ("movq", "vmovq") and self.encoding.wide and self.encoding.second in (0x6E, 0x7E):
            return (name if 0xF3 in self.encoding.prefixes else f"{name[:-1]}d"), parts
        if name in masm.ACCUMULATING and len(parts) == 1:
            size = self._size(parts)
            return name, parts if name == "idiv" and size == 8 else [masm.ACCUMULATORS[size], *parts]
        if opcode != 0x0F and name in masm.STRING:
            return name[:-1], [part for part in parts if "[" in part or part == "dx"]
        if 0xD8 <= opcode <= 0xDF:
            return name, masm.floating_operands(name, opcode, parts)
        if opcode in (0xD0, 0xD1) and len(parts) == 1:
            return name, [*parts, "1"]
        if opcode == 0x8E and masm.WIDTHS.get(parts[-1], 0) > 16:
            return name, [parts[0], masm.word_register(parts[-1])]
        return name, parts

    def _exchange(self, name: str, parts: List[str]) -> Tuple[str, List[str]]:
        """xchg prints its operands in the other order, and is not called nop where it has a size."""
        if name == "xchg":
            return name, parts[::-1]
        if self.encoding.wide:
            return "xchg", ["rax", "rax"]
        return ("xchg", ["ax", "ax"]) if 0x66 in self.encoding.prefixes else (name, parts)

    def _flow(self, name: str, parts: List[str]) -> str:
        """What the instruction does to control flow; notes its target, where it names one."""
        if name in masm.RETURNS:
            return "return"
        if name in ("call", "jmp"):
            flow = "call" if name == "call" else "jump"
        elif name[0] == "j" or name in masm.LOOPS:
            flow = "conditional"
        elif name == "xbegin":
            flow = ""
        else:
            return ""
        operand = parts[0] if parts else ""
        if operand[:1].isdigit():
            self.target = int(operand, 0) & _U64
        elif operand in masm.WIDTHS:
            self.target_register = operand
        return flow

    def _size(self, parts: List[str]) -> int:
        """Bits that an immediate is printed in: those of the first operand that has a size."""
        for part in parts:
            width = masm.WIDTHS.get(part)
            if width:
                return width
            word, space, _ = part.partition(" ptr ")
            if space:
                return 8 * masm.SIZES.get(word, 8)
        return 64

    def _operand(self, name: str, part: str, parts: List[str], size: int) -> str:
        if part in masm.WIDTHS:
            return part
        if part[:1].isdigit() or part[:1] == "-":
            return self._immediate(name, int(part, 0), size)
        if "[" in part:
            return self._memory(name, part, parts)
        return "st" if part == "st(0)" else part

    def _immediate(self, name: str, value: int, size: int) -> str:
        if name == "enter":
            size = 16 if value >= 0 else 8
        value &= (1 << size) - 1
        known = self._name(value) if value >= _SMALLEST_NAMED else ""
        return f"offset {known}" if known else masm.number(value)

    def _name(self, value: int) -> str:
        """Name and address of a named virtual address; "" for any other."""
        known = self.symbols(value) if self.symbols is not None else None
        if not known:
            if value >> 12 != _SHARED_USER_DATA >> 12:
                return ""
            offset = value - _SHARED_USER_DATA
            known = f"SharedUserData+0x{offset:x}" if offset else "SharedUserData"
        return f"{known} ({quoted(value)})"

    def _memory(self, name: str, part: str, parts: List[str]) -> str:
        """An operand in memory: "qword ptr gs:[rax + 8] {k1}"; size, segment, and masks (AVX-512) may be missing."""
        before, _, behind = part.partition("[")
        inner, _, rest = behind.rpartition("]")
        word, _, segment = before.rpartition("ptr ")
        word = self._size_word(name, word.rstrip(), parts)
        operand, printed = self._address(inner)
        self.memory.append(operand._replace(segment=segment.rstrip(":"), size=masm.SIZES.get(word, 0)))
        pointer = f"{word} ptr " if word else ""
        return f"{pointer}{segment}{printed}{rest}"

    def _size_word(self, name: str, word: str, parts: List[str]) -> str:
        """The word before `ptr`."""
        known = masm.KEYWORDS.get(name)
        if known is not None:
            return known
        if word == "qword" and name not in masm.QWORD:
            if name in masm.DOUBLE_TO_INTEGER or any(part.startswith(masm.VECTOR) for part in parts):
                return "mmword"
        elif word == "xword":
            return "tbyte"
        elif not word and name in ("call", "jmp", "lss", "lfs", "lgs"):
            return "tbyte" if self.encoding.wide else "dword" if 0x66 in self.encoding.prefixes else "fword"
        return word

    def _address(self, inner: str) -> Tuple[MemoryOperand, str]:
        """What stands between the brackets: read, and printed with its brackets."""
        base = index = printed = ""
        scale, displacement, sign = 1, 0, 1
        for term in inner.split(" "):
            if term in ("+", "-"):
                sign = 1 if term == "+" else -1
            elif term[:1].isdigit():
                displacement = sign * int(term, 0)
            elif not term.startswith(("riz", "eiz")):
                register, _, factor = term.partition("*")
                if factor or base:
                    index, scale = register, int(factor or "1")
                else:
                    base = register
                printed += f"+{term}" if printed else term
        width = 32 if 0x67 in self.encoding.prefixes else 64
        if base in ("rip", "eip"):
            target = (self.address + len(self.raw) + displacement) & _U64
            return MemoryOperand("", "", "", 1, target, 0, width), f"[{self._name(target) or quoted(target)}]"
        if not printed:
            return self._absolute(displacement, width)
        operand = MemoryOperand("", base, index, scale, displacement, 0, width)
        known = self._name(displacement & _U64) if abs(displacement) >= _SMALLEST_NAMED else ""
        if known:
            return operand, f"{known}[{printed}]"
        if displacement:
            printed += f"-{masm.number(-displacement)}" if displacement < 0 else f"+{masm.number(displacement)}"
        return operand, f"[{printed}]"

    def _absolute(self, displacement: int, width: int) -> Tuple[MemoryOperand, str]:
        value = displacement & ((1 << width) - 1)
        operand = MemoryOperand("", "", "", 1, value, 0, width)
        known = self._name(value) if value >= _SMALLEST_NAMED else ""
        if not known:
            # mov with a 64-bit offset (A0 to A3) prints all of it.
            known = f"{value:016X}h" if 0xA0 <= self.encoding.opcode <= 0xA3 else masm.number(value)
        return operand, f"[{known}]"

    def _prefix(self, name: str, mnemonic: str) -> str:
        """The prefix as a word: lock, a repetition, or a hint; "" where there is none or it is part of the opcode."""
        prefixes = self.encoding.prefixes
        if not prefixes:
            return ""
        if 0xF0 in prefixes:
            return "lock"
        repeat = 0xF2 if 0xF2 in prefixes else 0xF3 if 0xF3 in prefixes else 0
        if repeat:
            return self._repetition(name, mnemonic, repeat)
        if name[0] == "j" and name != "jmp":
            hints = {0x2E: "hnt", 0x3E: "ht"}
            return next((hints[byte] for byte in reversed(prefixes) if byte in hints), "")
        return ""

    def _repetition(self, name: str, mnemonic: str, repeat: int) -> str:
        if name in masm.REPEATED and self.encoding.opcode != 0x0F:
            if repeat == 0xF2:
                return "repne"
            return "repe" if name in ("cmps", "scas") else "rep"
        if self._is_mandatory(mnemonic, repeat):
            return ""
        if name in masm.LOCKABLE:
            return "xacquire" if repeat == 0xF2 else "xrelease"
        if repeat == 0xF3:
            return "xrelease" if name == "mov" and self.encoding.opcode != 0x0F else "rep"
        branches = name in ("call", "jmp", "ret") or (name[0] == "j" and name not in ("jrcxz", "jecxz"))
        return "bnd" if branches else "repne"

    def _is_mandatory(self, mnemonic: str, repeat: int) -> bool:
        """Whether F2 or F3 selects the instruction: without it the bytes mean another one, or none."""
        at = self.encoding.prefixes.index(repeat)
        without = self.decoder(self.raw[:at] + self.raw[at + 1 :], self.address)
        return without is None or without.mnemonic.rpartition(" ")[2] != mnemonic.rpartition(" ")[2]
