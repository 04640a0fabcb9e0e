"""The parameters and variables of the function that a context stands in, as `dv`, `kp` and `kP` show them."""

from __future__ import annotations

from dumpkit.errors import RegisterError
from dumpkit.memory import U64_MASK, AddressSpace
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.registers import Context
from dumpkit.symbol_text import c_name, value_text
from dumpkit.symbols.types import BaseType, PointerType
from dumpkit.typetext.values import Reader, Value, is_character

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

    from dumpkit.symbols.symbol_file import LocalVariable
    from dumpkit.target import Target

_UNKNOWN = "<value unavailable>"


class VariableRow(Record):
    """A parameter or variable; `address` is virtual, None for one in a register."""

    name: str
    type: str
    is_parameter: bool
    address: Optional[Hex]
    #: `@rsp+0x0110` or `@rcx`; None where the symbols do not say where it is.
    location: Optional[str]
    #: As the debugger prints it.
    value: str


class _Register(AddressSpace):
    """A register's bytes at an address where nothing else is, and the target's memory for what it points to."""

    PLACE = 0x8000_0000_0000_0000

    def __init__(self, memory: AddressSpace, value: int) -> None:
        self._memory = memory
        self._data = value.to_bytes(16, "little")

    def read_prefix(self, address: int, size: int) -> bytes:
        if self.PLACE <= address < self.PLACE + len(self._data):
            return self._data[address - self.PLACE :][:size]
        return self._memory.read_prefix(address, size)

    def explain(self, address: int) -> str:
        return self._memory.explain(address)


def variable_rows(target: Target, context: Context) -> List[VariableRow]:
    """The parameters and variables of the function that a context stands in, each with its value there."""
    return [_row(target, context, each) for each in target.symbols.variables(context.instruction_pointer)]


def _row(target: Target, context: Context, variable: LocalVariable) -> VariableRow:
    words = c_name(variable.type)
    register = variable.register
    known = register is not None and _is_known(context, register)
    address: Optional[Hex] = None
    location = None
    value = _UNKNOWN
    if register is not None and variable.offset is not None:
        location = f"@{register}{'-' if variable.offset < 0 else '+'}0x{abs(variable.offset):04x}"
        if known:
            address = Hex((context[register] + variable.offset) & U64_MASK)
            value = _value_text(Value(Reader(target.memory, hex), variable.type, address))
    elif register is not None:
        location = f"@{register}"
        if known:
            memory = _Register(target.memory, context[register])
            value = _value_text(Value(Reader(memory, hex), variable.type, _Register.PLACE))
    return VariableRow(variable.name, words, variable.is_parameter, address, location, value)


def _value_text(value: Value) -> str:
    """A variable's value as `x` shows it, but for a byte of zero and a pointer to no text, which have their quotes."""
    type = value.type
    text = value_text(value)
    if isinstance(type, BaseType) and type.kind == "uchar" and value.number == 0:
        return "0x00 ''"
    if isinstance(type, PointerType) and is_character(type.target) and not text.endswith('"'):
        return f'{text} ""'
    return text


def _is_known(context: Context, register: str) -> bool:
    """Whether a context holds a register itself, and no stand-in for it."""
    try:
        return Context(context.architecture, context.values)[register] is not None
    except RegisterError:
        return False


def parameter_texts(target: Target, context: Context) -> Optional[List[str]]:
    """`void * Context = 0xffffb507`729e3040` for each parameter of the function that a context stands in.

    None where no private symbols tell of its variables.
    """
    rows = variable_rows(target, context)
    if not rows:
        return None
    return [f"{row.type} {row.name} = {row.value}" for row in rows if row.is_parameter]
