"""ARM64 instructions in the syntax of WinDbg's engine: that of Microsoft's assembler.

The decoding is capstone's, whose text is respelled: the platform's register names (xip0, xpr, fp,
lr), conditions at the end of the mnemonic, upper-case hex, bare branch targets. Where the engine
knows no name (atomics, pointer authentication, SVE), or writes sp for the zero register,
capstone's stands.
"""

from __future__ import annotations

import re

from dumpkit.disassembly.capstone_library import Decoder
from dumpkit.disassembly.instruction import Instruction, MemoryOperand, SymbolNames
from dumpkit.numbers import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple

_U64 = 0xFFFF_FFFF_FFFF_FFFF

#: Every instruction is one word.
SIZE = 4

#: Names that the Windows ABI gives to registers.
_REGISTERS = {
    **{"x16": "xip0", "x17": "xip1", "x18": "xpr", "x29": "fp", "x30": "lr"},
    **{"w16": "wip0", "w17": "wip1", "w18": "wpr", "w29": "wfp", "w30": "wlr"},
}
_REGISTER = re.compile(r"\b[xw](?:16|17|18|29|30)\b")
_NUMBER = re.compile(r"#(-?)(0x[0-9a-f]+|\d+)(?![0-9.])")
_FLOAT = re.compile(r"#(-?\d+\.\d+)")
_SHIFT = re.compile(r",(?=(?:lsl|lsr|asr|ror|msl|[us]xt[bhwx])\b)")
_SHIFTS = ("lsl", "lsr", "asr", "ror", "msl", "uxt", "sxt")
_MEMORY = re.compile(r"\[(\w+)(?:, ([^\]]*))?\]")

_LANE = re.compile(r"\[0x([a-f])\]")
_UNNAMED = re.compile(r"s\d_\d_c\d+_c\d+_\d")

_CONDITIONS = frozenset(
    ["eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le", "al", "nv"]
)
#: Instructions to whose name the engine appends the condition that is their last operand.
_CONDITIONAL = frozenset(
    ["csel", "csinc", "csinv", "csneg", "cset", "csetm", "cinc", "cinv", "cneg", "ccmp", "ccmn", "fcsel", "fccmp"]
) | {"fccmpe"}
#: Instructions whose last operand is an address.
_TO_ADDRESS = frozenset(["b", "bl", "cbz", "cbnz", "tbz", "tbnz", "adr", "adrp", "ldr", "ldrsw", "prfm"])
#: Instructions whose first operand, an operation, is in capitals.
_UPPER = frozenset(["prfm", "at", "dc", "ic", "tlbi"])
_BRANCHES = frozenset(["cbz", "cbnz", "tbz", "tbnz"])
_RETURNS = frozenset(["ret", "retaa", "retab", "eret"])
_CALLS = frozenset(["blr", "blraa", "blrab", "blraaz", "blrabz"])
_JUMPS = frozenset(["br", "braa", "brab", "braaz", "brabz"])

_ACCESSES = ("ld", "st", "cas", "swp", "prf")
_PAIRS = frozenset(["ldp", "stp", "ldnp", "stnp", "ldpsw", "ldxp", "ldaxp", "stxp", "stlxp"])
_REGISTER_SIZES = {"x": 8, "w": 4, "q": 16, "d": 8, "s": 4, "h": 2, "b": 1}

#: capstone's names of registers that a context knows by others.
_SPECIAL = {"x29": "fp", "x30": "lr"}


def columns(word: bytes, mnemonic: str, operands: str) -> str:
    """The word, mnemonic and operands in the columns of `u`."""
    text = f"{int.from_bytes(word, 'little'):08x} {mnemonic}"
    return f"{text:<20} {operands}" if operands else text


class Arm64Disassembler:
    """Decodes ARM64 code, one instruction at a time."""

    #: Bytes to hand to `decode` where they are there.
    max_size = SIZE

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def decode(self, code: bytes, address: int, symbols: Optional[SymbolNames] = None) -> Instruction:
        """The instruction at the start of `code`, whose first byte stands at the virtual `address`.

        A word that is no instruction gives one of four bytes with the mnemonic "???", less than a
        word one of length 0. `symbols` names the targets of branches and the addresses in operands.
        """
        raw = code[:SIZE]
        if len(raw) < SIZE:
            return Instruction(address, b"", "???", "", "?? ???")
        found = self._decoder(raw, address)
        if found is None:
            return Instruction(address, raw, "???", "", columns(raw, "???", ""))
        name, parts = _respell(int.from_bytes(raw, "little"), found.mnemonic, _split(found.operands))
        target = _literal(parts) if name in _TO_ADDRESS or _is_conditional_branch(name) else None
        printed = [_operand(part) for part in parts]
        if target is not None:
            known = symbols(target) if symbols is not None else None
            printed[-1] = f"{known} ({quoted(target)})" if known else quoted(target)
        operands = ",".join(printed)
        memory = _memory(name, found.operands, target, parts)
        flow, register = _flow(name, parts)
        return Instruction(
            address,
            raw,
            name,
            operands,
            columns(raw, name, operands),
            flow,
            target if flow else None,
            memory,
            register,
        )

    def length(self, code: bytes, address: int) -> int:
        """The length in bytes of the instruction at the start of `code`; 0 where there is not a whole word."""
        return SIZE if len(code) >= SIZE else 0


def _split(operands: str) -> List[str]:
    """Operands at their commas, but for those in brackets and braces and those before a shift."""
    parts: List[str] = []
    depth = start = 0
    for index, letter in enumerate(operands):
        if letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        elif letter == "," and not depth and not operands.startswith(_SHIFTS, index + 2):
            parts.append(operands[start:index].strip())
            start = index + 1
    if operands:
        parts.append(operands[start:].strip())
    return parts


def _literal(parts: List[str]) -> Optional[int]:
    """The virtual address that the last operand names, or None where it names none (or moves a base register)."""
    last = parts[-1]
    return int(last[1:], 0) if last.startswith("#") and "[" not in parts[-2 % len(parts)] else None


def _is_conditional_branch(name: str) -> bool:
    return name[0] == "b" and name[1:] in _CONDITIONS


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _respell(word: int, name: str, parts: List[str]) -> Tuple[str, List[str]]:
    """Aliases and operands in which the engine differs."""
    if name.startswith("b."):
        return ("b" if name == "b.al" else name.replace(".", "")), parts
    if name in _CONDITIONAL and parts[-1] in _CONDITIONS:
        return name + parts[-1], parts[:-1]
    if name in ("tbz", "tbnz"):
        return name, ["x" + parts[0][1:], *parts[1:]]
    if name == "ret" and not parts:
        return name, ["x30"]
    if name == "mov" and parts[1].startswith("#"):
        return _move(word, parts)
    if name == "mov" and parts[0][0] == "x" and parts[1].endswith("]"):
        return "umov", parts
    if name == "add" and parts[-1] == "#0" and word >> 23 & 0x7F == 0b0100010:
        return "mov", parts[:-1]
    if name in ("sshll", "sshll2") and parts[-1] == "#0":
        return name.replace("shl", "xt"), parts[:-1]
    if name == "ubfx" and parts[2] == "#0" and parts[3] in ("#8", "#0x10", "#0x20"):
        return {"#8": "uxtb", "#0x10": "uxth", "#0x20": "uxtw"}[parts[3]], [parts[0], "w" + parts[1][1:]]
    if not parts and name in ("clrex", "isb") and word >> 8 & 0xF == 0xF:
        return name, ["#0xf" if name == "clrex" else "sy"]
    if name in ("mrs", "msr"):
        return name, [f"#{word >> 5 & 0x7FFF:#x}" if _UNNAMED.fullmatch(part) else part for part in parts]
    if name in _UPPER:
        return name, [parts[0].upper() or f"#{word & 31:#x}", *parts[1:]]
    if name == "ext" and parts[-1] == "#8" and parts[0].endswith(".16b"):
        return "ext8", parts
    if parts and parts[0].startswith("{") and parts[-1].startswith("x"):
        return name, [*parts[:-1], f" {parts[-1]}"]
    return name, parts


def _move(word: int, parts: List[str]) -> Tuple[str, List[str]]:
    """mov of a constant: the engine prints what movz, movn and orr make of it before it is cut to the register."""
    if word >> 23 & 0x3F == 0b100100:
        if not word >> 31:
            return "mov", [parts[0], f"#{int(parts[1][1:], 0) & 0xFFFFFFFF:#x}"]
        return ("mov" if word >> 22 & 1 else "movi"), parts
    value = (word >> 5 & 0xFFFF) << 16 * (word >> 21 & 3)
    if word >> 29 & 3 == 0:
        value = _signed(~value & _U64)
    return "mov", [parts[0], f"#{value:#x}" if value >= 0 else f"#-{-value:#x}"]


def _operand(part: str) -> str:
    """One operand in the engine's spelling."""
    part = _NUMBER.sub(_number, part.replace(", ", ","))
    if "[0x" in part:
        part = _LANE.sub(lambda match: f"[{int(match.group(1), 16)}]", part)
    if "." in part:
        part = _FLOAT.sub(lambda match: f"#{float(match.group(1)):g}", part)
    if "," in part:
        part = part if part.startswith("{") else _SHIFT.sub(" ", part)
        if part.endswith(("xtw]", "xtx]")):
            part = f"{part[:-1]} #0]"
    return _REGISTER.sub(lambda match: _REGISTERS[match.group()], part)


def _number(match: re.Match[str]) -> str:
    value = int(match.group(2), 0)
    value = -value if match.group(1) else _signed(value)
    sign = "-" if value < 0 else ""
    value = abs(value)
    return f"#{sign}{value}" if value < 10 else f"#{sign}0x{value:X}"


def _flow(name: str, parts: List[str]) -> Tuple[str, str]:
    """(flow, register of an indirect target)."""
    if name == "bl":
        return "call", ""
    if name == "b":
        return "jump", ""
    if name in _BRANCHES or _is_conditional_branch(name):
        return "conditional", ""
    if name in _RETURNS:
        return "return", ""
    if name in _CALLS or name in _JUMPS:
        register = parts[0] if parts else ""
        return ("call" if name in _CALLS else "jump"), _SPECIAL.get(register, register)
    return "", ""


def _memory(name: str, operands: str, target: Optional[int], parts: List[str]) -> Tuple[MemoryOperand, ...]:
    """The memory operand of a load, store or atomic; writing back to the base is not told."""
    if not name.startswith(_ACCESSES):
        return ()
    size = _access_size(name, parts)
    if target is not None:
        return (MemoryOperand("", "", "", 1, target, size),)
    match = _MEMORY.search(operands)
    if match is None:
        return ()
    index, scale, displacement, extend = "", 1, 0, ""
    for term in (match.group(2) or "").split(", "):
        word, _, amount = term.partition(" ")
        if word.startswith("#"):
            displacement = _signed(int(word[1:], 0))
        elif word in ("lsl", "uxtw", "sxtw", "sxtx"):
            extend = "" if word == "lsl" else word
            scale = 1 << int(amount.lstrip("#") or "0", 0)
        elif word not in ("xzr", "wzr"):
            index = word
    base = _SPECIAL.get(match.group(1), match.group(1))
    return (MemoryOperand("", base, _SPECIAL.get(index, index), scale, displacement, size, 64, extend),)


def _access_size(name: str, parts: List[str]) -> int:
    """Bytes that a load or store moves; 0 for a prefetch and for vector forms with a register list."""
    if not parts or name.startswith("prf") or parts[0].startswith("{"):
        return 0
    pair = 2 if name in _PAIRS else 1
    if name.endswith("sw"):
        return 4 * pair
    if name.endswith("b") and name != "ldrab":
        return 1
    if name.endswith("h"):
        return 2
    # A store-exclusive names its status register first.
    moved = parts[1] if name in ("stxr", "stlxr", "stxp", "stlxp") and len(parts) > 1 else parts[0]
    return _REGISTER_SIZES.get(moved[:1], 0) * pair
