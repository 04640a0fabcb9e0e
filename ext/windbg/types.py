"""Types that pykd describes as types of dumpkit: for a PDB that WinDbg could read and dumpkit cannot.

pykd's names of numbers: "UInt4B", "Int8B", "Char", "WChar", "Bool", "Float", "Void".
"""

from __future__ import annotations

import re

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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Sequence, Tuple

_NUMBER = re.compile(r"(U?)Int(\d)B")
_KINDS = {
    "Void": ("void", "void"),
    "Char": ("char", "char"),
    "Int1B": ("char", "char"),
    "UInt1B": ("unsigned char", "uchar"),
    "WChar": ("wchar_t", "wchar"),
    "Bool": ("bool", "bool"),
    "Float": ("float", "float"),
    "Double": ("double", "float"),
    "Hresult": ("HRESULT", "hresult"),
    "Long": ("long", "int"),
    "ULong": ("unsigned long", "uint"),
}
_SIGNED = {2: "short", 4: "long", 8: "__int64"}


def type_of(info: Any) -> Type:
    """The type that a pykd.typeInfo describes; what it refers to is followed when it is asked for."""
    size = 0 if info.isVoid() or info.isFunction() else int(info.size())
    if info.isBitField():
        # The base of a bit field is its name up to the colon: "UInt4B:7".
        base = _number(str(info.name()).partition(":")[0], size)
        return BitfieldType(lambda: base, int(info.bitOffset()), int(info.bitWidth()), size)
    if info.isPointer():
        return PointerType(lambda: type_of(info.deref()), size)
    if info.isArray():
        count = int(info.getNumberFields())
        return ArrayType(lambda: type_of(info.field(0)), count, size)
    if info.isEnum():
        return EnumType(str(info.name()), size, True, lambda: _enumerators(info))
    if info.isUserDefined():
        return RecordType(str(info.name()), size, _record_kind(info), lambda: _members(info))
    if info.isFunction():
        return _function()
    return _number(str(info.name()), size)


def _number(name: str, size: int) -> BaseType:
    known = _KINDS.get(name)
    if known is not None:
        return BaseType(known[0], size, known[1])
    match = _NUMBER.fullmatch(name)
    if match is None:
        return BaseType(name, size, "uint")
    word = _SIGNED.get(int(match.group(2)), name)
    return BaseType(f"unsigned {word}" if match.group(1) else word, size, "uint" if match.group(1) else "int")


def _function() -> FunctionType:
    return FunctionType(lambda: BaseType("void", 0, "void"), lambda: ())


def _enumerators(info: Any) -> Sequence[Tuple[str, int]]:
    return [(str(name), int(getattr(info, name))) for name, _ in info.fields()]


def _record_kind(info: Any) -> str:
    """pykd does not tell a union from a struct: one of several members that all begin at 0 is taken for a union."""
    names = [name for name, field in info.members() if not info.isStaticField(name)]
    offsets = [int(info.fieldOffset(name)) for name in names]
    return "union" if len(offsets) > 1 and not any(offsets) else "struct"


def _members(info: Any) -> List[Member]:
    found: List[Member] = []
    for name, offset, base in info.baseClasses():
        found.append(Member(str(name), int(offset), lambda base=base: type_of(base), "base"))  # type: ignore[misc]
    for name, field in info.members():
        if info.isStaticField(name):
            continue
        follow = lambda field=field: type_of(field)  # noqa: E731
        found.append(Member(str(name), int(info.fieldOffset(name)), follow))
    return found
