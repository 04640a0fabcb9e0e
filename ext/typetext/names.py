"""Types in the words of `dt`: Uint4B, Ptr64 _EPROCESS, Pos 0, 8 Bits."""

from __future__ import annotations

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


def base_name(type: BaseType) -> str:
    """A scalar type as `dt` names it: Uint4B, Char, Void."""
    if type.kind in ("int", "uint"):
        return f"{'Uint' if type.kind == 'uint' else 'Int'}{type.size}B"
    named = {"void": "Void", "char": "Char", "uchar": "UChar", "wchar": "Wchar", "bool": "Bool", "float": "Float"}
    return named.get(type.kind, "HRESULT")


def type_text(type: Type, verbose: bool = False, block: bool = False, indent: str = "   ") -> str:
    """What stands behind the colon for a type alone; `verbose` and `block` are -v and -b."""
    if isinstance(type, BaseType):
        return base_name(type)
    if isinstance(type, PointerType):
        head = f"Ptr{8 * type.size} "
        return head if block else head + ("to " if verbose else "") + type_text(type.target, verbose, block, indent)
    if isinstance(type, ArrayType):
        return ("" if block else f"[{type.count}] ") + type_text(type.element, verbose, block, indent)
    if isinstance(type, BitfieldType):
        plural = "" if type.length == 1 else "s"
        return f"{'Bitfield ' if verbose else ''}Pos {type.position}, {type.length} Bit{plural}"
    if isinstance(type, RecordType):
        return described(type) if verbose else type.name
    if isinstance(type, EnumType):
        return f"{described_enum(type)}\n" if verbose else type.name
    return f"{indent} {result_name(type)} "


def lead(type: Type, verbose: bool = False, block: bool = False) -> str:
    """The arrays and pointers before the name of what they hold: "[2] Ptr64 "."""
    if isinstance(type, PointerType):
        return f"Ptr{8 * type.size} {'to ' if verbose else ''}{lead(type.target, verbose, block)}"
    if isinstance(type, ArrayType):
        return ("" if block else f"[{type.count}] ") + lead(type.element, verbose, block)
    return ""


def described(type: RecordType) -> str:
    """-v: the kind, name and size of a record."""
    count = len(type.members) if type.element_count is None else type.element_count
    return f"{type.kind} {type.name}, {count} elements, 0x{type.size:x} bytes"


def described_enum(type: EnumType) -> str:
    """-v: the name of an enumeration and the number of its enumerators."""
    return f"Enum {type.name},  {len(type.enumerators)} total enums"


def result_name(type: Type) -> str:
    """The result of a function type in the words of C; <function> where the symbols do not say."""
    return c_words(type.result) if isinstance(type, FunctionType) else "<function>"


def c_words(type: Type) -> str:
    """A type in the words that `dt` has for results and parameters: "_DEVICE*", "unsigned long"."""
    if isinstance(type, PointerType):
        return f"{c_words(type.target)}*"
    if isinstance(type, (FunctionType, ArrayType, BitfieldType)) or not type.name:
        return "<function>"
    if isinstance(type, BaseType):
        name = type.name.replace("long long", "int64").replace("__int64", "int64")
        return {"wchar": "wchar_t", "f32": "float", "signed char": "char"}.get(name, name)
    return type.name
