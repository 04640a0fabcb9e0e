"""Symbols as the engine's `x` and `ln` print them: what stands behind a name, and types in the words of C.

Formats: the output of dbgeng (10.0.15063) for public and private PDBs.
"""

from __future__ import annotations

from dumpkit.numbers import quoted
from dumpkit.symbols.types import (
    ArrayType,
    BaseType,
    BitfieldType,
    EnumType,
    FunctionType,
    PointerType,
    RecordType,
    Type,
)
from dumpkit.target import Target
from dumpkit.target_symbols import FoundSymbol
from dumpkit.typetext.scalar import base_text, enumeration_text
from dumpkit.typetext.values import Reader, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

NO_PARAMETERS = "(<no parameter info>)"
NO_TYPE = "= <no type information>"


def c_name(type: Type) -> str:
    """A type in the words of C: "struct _DEVICE *", "unsigned long"."""
    if isinstance(type, PointerType):
        target = c_name(type.target)
        return f"{target}*" if target.endswith("*") else f"{target} *"
    if isinstance(type, ArrayType):
        sizes = ""
        element: Type = type
        while isinstance(element, ArrayType):
            sizes += f"[{element.count}]"
            element = element.element
        return f"{c_name(element)} {sizes}"
    if isinstance(type, BitfieldType):
        return c_name(type.base)
    if isinstance(type, FunctionType):
        return "<function>"
    if isinstance(type, RecordType):
        return f"{type.kind} {type.name}"
    if isinstance(type, EnumType):
        return f"enum {type.name}"
    if isinstance(type, BaseType) and (type.kind == "wchar" or not type.name):
        return "wchar_t" if type.kind == "wchar" else type.kind
    return type.name


def behind_name(found: FoundSymbol, type: Optional[Type], target: Target) -> str:
    """What stands behind a symbol's name: parameters of a function, the value of a variable."""
    if isinstance(type, FunctionType):
        return f"({', '.join(c_name(argument) for argument in type.arguments) or 'void'})"
    if type is None:
        # Of symbols that do not say what they are, most are functions; so the engine takes them.
        return NO_TYPE if found.is_function is False else NO_PARAMETERS
    return f"= {value_text(Value(Reader(target.memory, hex), type, found.address))}"


def value_text(value: Value) -> str:
    """A variable's value: its number, the address that it holds, or the name of its record."""
    type = value.type
    if isinstance(type, RecordType):
        return c_name(type)
    if isinstance(type, ArrayType):
        text = value.string
        return c_name(type) if text is None else f'{c_name(type)} "{text}"'
    number = value.number
    if number is None:
        return "<Memory access error>"
    if isinstance(type, PointerType):
        target = value.target
        text = target.string if target is not None else None
        return f"0x{quoted(int(number))}" + (f' "{text}"' if text is not None else "")
    if isinstance(type, EnumType):
        return enumeration_text(value)
    return base_text(number, type) if isinstance(type, BaseType) else f"0x{number:x}"
