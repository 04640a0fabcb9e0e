"""Types written down by hand: short forms that make objects of the type model (dumpkit.symbols.types).

node = struct("_NODE", 0x10, [("Next", 0, pointer(lambda: node)), ("Flags", 8, bits(ULONG, 0, 3))])
"""

from __future__ import annotations

from functools import partial
from typing import Callable, Sequence, Tuple, Union

from dumpkit.symbols.types import (
    ArrayType,
    BaseType,
    BitfieldType,
    EnumType,
    FunctionType,
    Member,
    PointerType,
    RecordType,
    Type,
)

VOID = BaseType("void", 0, "void")
CHAR, UCHAR = BaseType("char", 1, "char"), BaseType("unsigned char", 1, "uchar")
SHORT, USHORT = BaseType("short", 2, "int"), BaseType("unsigned short", 2, "uint")
INT, UINT = BaseType("int", 4, "int"), BaseType("unsigned int", 4, "uint")
LONG, ULONG = BaseType("long", 4, "int"), BaseType("unsigned long", 4, "uint")
LONGLONG, ULONGLONG = BaseType("long long", 8, "int"), BaseType("unsigned long long", 8, "uint")
WCHAR, BOOL, HRESULT = BaseType("wchar", 2, "wchar"), BaseType("bool", 1, "bool"), BaseType("HRESULT", 4, "hresult")
FLOAT, DOUBLE = BaseType("float", 4, "float"), BaseType("double", 8, "float")

#: (name, offset, type)
Field = Tuple[str, int, Type]


def _constant(value: Type) -> Callable[[], Type]:
    return lambda: value


def pointer(target: Union[Type, Callable[[], Type]]) -> PointerType:
    """A 64-bit pointer to a type, or to what a function gives (for a type that is not made yet)."""
    return PointerType(_constant(target) if isinstance(target, Type) else target, 8)


def array(element: Type, count: int) -> ArrayType:
    """`count` elements in a row."""
    return ArrayType(_constant(element), count, element.size * count)


def bits(base: Type, position: int, length: int) -> BitfieldType:
    """`length` bits of an integer from bit `position` on."""
    return BitfieldType(_constant(base), position, length, base.size)


def struct(name: str, size: int, fields: Sequence[Field] = (), kind: str = "struct") -> RecordType:
    """A structure, or another kind of record. Without size and fields it is only declared."""
    return RecordType(name, size, kind, partial(_members, fields))


def union(name: str, size: int, fields: Sequence[Field]) -> RecordType:
    """A union."""
    return struct(name, size, fields, "union")


def enum(name: str, enumerators: Sequence[Tuple[str, int]], size: int = 4, signed: bool = True) -> EnumType:
    """An enumeration."""
    return EnumType(name, size, signed, lambda: enumerators)


def function(result: Type, *arguments: Type) -> FunctionType:
    """A function's type."""
    return FunctionType(_constant(result), lambda: arguments)


def _members(fields: Sequence[Field]) -> Sequence[Member]:
    return [Member(name, offset, _constant(type)) for name, offset, type in fields]
