"""What `r` appends to the current instruction: the memory it is about to touch, and where it is about to go.

The rules are the engine's, found by running it on contexts made for the purpose:

* every memory operand that is read or written, as ` ds:002b:ffff9000`30000100=0908070605040302`: the
  segment, its selector where the context has one, the offset, and the bytes there as one number;
  `?` for each digit that cannot be read; `{nt!Name (fffff804`7ba00000)}` where an 8-byte value is
  exactly a symbol's address
* a conditional branch: `[br=1]` where it will be taken
* an indirect call or jump through a register: its target in braces
* nothing for string instructions under a repeat prefix, and nothing at all on ARM64
"""

from __future__ import annotations

from dumpkit.disassembly import masm
from dumpkit.disassembly.instruction import Instruction, MemoryOperand, SymbolNames
from dumpkit.errors import RegisterError
from dumpkit.memory import AddressSpace
from dumpkit.numbers import quoted
from dumpkit.registers import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Optional

_BRANCH_COLUMN = 72
_NOTE_COLUMN = 50


def effective_address_note(
    instruction: Instruction, context: Context, memory: AddressSpace, symbols: Optional[SymbolNames] = None
) -> str:
    """The text behind `instruction.line()` for the instruction about to execute in `context`; "" where there is none.

    Registers that the context does not hold count as zero, as they do for the engine (which says so
    above, with `.trap`); selectors that it does not hold are left out.
    """
    if context.architecture.name != "x64":
        return ""
    registers = _Zeroed(context)
    length = len(instruction.line())
    if instruction.is_conditional:
        taken = int(_is_taken(instruction.mnemonic, registers))
        return f"{' ' * (_BRANCH_COLUMN - length)} [br={taken}]"
    if instruction.target_register:
        return f" {{{_place(registers[instruction.target_register], symbols)}}}"
    if not instruction.memory or instruction.mnemonic.startswith("rep"):
        return ""
    notes = [_memory_note(instruction, operand, registers, memory, symbols) for operand in instruction.memory]
    text = "".join(notes)
    return f"{' ' * (_NOTE_COLUMN - length)}{text}" if text else ""


class _Zeroed(Context):
    """A context whose missing registers are zero."""

    def __init__(self, context: Context) -> None:
        super().__init__(context.architecture, context.values, context.stand_ins)

    def __getitem__(self, name: str) -> int:
        try:
            return super().__getitem__(name)
        except RegisterError:
            return 0


def _place(address: int, symbols: Optional[SymbolNames]) -> str:
    known = symbols(address) if symbols is not None else None
    return f"{known} ({quoted(address)})" if known else quoted(address)


def _memory_note(
    instruction: Instruction,
    operand: MemoryOperand,
    registers: Context,
    memory: AddressSpace,
    symbols: Optional[SymbolNames],
) -> str:
    size = _shown_size(instruction, operand)
    if not size:
        return ""
    segment = operand.segment or ("ss" if operand.base in ("rsp", "rbp") else "ds")
    selector = f":{registers.values[segment]:04x}" if segment in registers.values else ""
    address = operand.address(registers)
    data = memory.read_optional(address, size)
    if data is None:
        value = "??" * size
    else:
        content = int.from_bytes(data, "little")
        value = f"{content:0{2 * size}x}"
        known = symbols(content) if size == 8 and symbols is not None else None
        if known and not _has_offset(known):
            value = f"{{{known} ({quoted(content)})}}"
    return f" {segment}{selector}:{quoted(address)}={value}"


def _has_offset(known: str) -> bool:
    """Whether a name is that of a place behind a symbol: nt!Name+0x10."""
    _, plus, offset = known.rpartition("+0x")
    return bool(plus) and not offset.strip("0123456789abcdef")


_SILENT = ("lea", "nop", "invlpg", "prefetch", "clflush", "clwb", "xsave", "xrstor", "cldemote")
_SAVED_STATE = frozenset(["fldenv", "fnstenv", "frstor", "fnsave", "fxsave", "fxrstor", "fxsave64", "fxrstor64"])
#: Stores and loads of a byte or word that the engine shows in full registers.
_WIDENED = frozenset(["sldt", "str", "smsw", "pinsrb", "pextrb", "pinsrw", "pextrw"])


def _shown_size(instruction: Instruction, operand: MemoryOperand) -> int:
    """Bytes of a memory operand that the engine shows; not always those that the processor touches."""
    name = instruction.mnemonic.rpartition(" ")[2]
    if name.startswith(_SILENT):
        return 0
    if name in _SAVED_STATE or operand.size > 16:
        return 1
    encoding = masm.Encoding(instruction.raw)
    if name.lstrip("v") in _WIDENED or (name == "mov" and encoding.opcode == 0x8C):
        return 4
    if name in ("lar", "lsl"):
        return 8 if encoding.wide else 2 if 0x66 in encoding.prefixes else 4
    if encoding.opcode == 0x0F and _is_packed_integer(encoding.second):
        if operand.size == 16:
            return 4 if encoding.second <= 0x62 else 2
        return 4
    return operand.size


def _is_packed_integer(opcode: int) -> bool:
    """Whether 0F `opcode` is packed-integer arithmetic, of whose operand the engine shows the first element only."""
    if 0x60 <= opcode <= 0x6D or 0x74 <= opcode <= 0x76:
        return True
    return opcode in range(0xD1, 0xFF) and opcode not in (0xD6, 0xD7, 0xE6, 0xE7, 0xF0, 0xF7)


_CONDITIONS: Dict[str, Callable[[Context], bool]] = {
    "o": lambda r: bool(r["of"]),
    "b": lambda r: bool(r["cf"]),
    "e": lambda r: bool(r["zf"]),
    "be": lambda r: bool(r["cf"] or r["zf"]),
    "s": lambda r: bool(r["sf"]),
    "p": lambda r: bool(r["pf"]),
    "l": lambda r: r["sf"] != r["of"],
    "le": lambda r: bool(r["zf"] or r["sf"] != r["of"]),
}
_OPPOSITES = {"no": "o", "ae": "b", "ne": "e", "a": "be", "ns": "s", "np": "p", "ge": "l", "g": "le"}


def _is_taken(mnemonic: str, registers: Context) -> bool:
    """Whether a conditional branch will be taken."""
    name = mnemonic.rpartition(" ")[2]
    if name in ("jrcxz", "jecxz"):
        return registers["rcx" if name == "jrcxz" else "ecx"] == 0
    if name in masm.LOOPS:
        goes_on = registers["rcx"] != 1
        if name == "loop":
            return goes_on
        return goes_on and bool(registers["zf"]) == (name == "loope")
    condition = name[1:]
    if condition in _OPPOSITES:
        return not _CONDITIONS[_OPPOSITES[condition]](registers)
    return _CONDITIONS[condition](registers)
