"""The values of C++ expressions: numbers of the engine's types, pointers, and objects in memory."""

from __future__ import annotations

from math import inf
from struct import pack, unpack

from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.types import ArrayType, BaseType, BitfieldType, EnumType, PointerType, RecordType, Type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Union

    from dumpkit.memory import AddressSpace

U64 = (1 << 64) - 1


class Kind(NamedTuple):
    """What a number is."""

    name: str
    #: Bytes.
    size: int
    signed: bool
    is_float: bool = False


BOOL = Kind("bool", 1, False)
CHAR = Kind("char", 1, True)
UNSIGNED_CHAR = Kind("unsigned char", 1, False)
SHORT = Kind("short", 2, True)
UNSIGNED_SHORT = Kind("unsigned short", 2, False)
INT = Kind("int", 4, True)
UNSIGNED_INT = Kind("unsigned int", 4, False)
INT64 = Kind("int64", 8, True)
UNSIGNED_INT64 = Kind("unsigned int64", 8, False)
LONG = Kind("long", 4, True)
UNSIGNED_LONG = Kind("unsigned long", 4, False)
WCHAR = Kind("wchar_t", 2, False)
FLOAT = Kind("float", 4, True, True)
DOUBLE = Kind("double", 8, True, True)
BY_SIZE = {
    (1, True): CHAR,
    (1, False): UNSIGNED_CHAR,
    (2, True): SHORT,
    (2, False): UNSIGNED_SHORT,
    (4, True): INT,
    (4, False): UNSIGNED_INT,
    (8, True): INT64,
    (8, False): UNSIGNED_INT64,
}
#: Digits of a floating-point number.
_DIGITS = {4: 10, 8: 20}


class CppValue(NamedTuple):
    """A value and its type; `str` is how `??` shows a number."""

    kind: Kind
    #: Sign-extended where the type has a sign; of an object in memory, its virtual address.
    number: Union[int, float]
    #: Whether what it comes from had more bits than its type; the engine then writes 0x before single digits too.
    cut: bool = False
    #: A pointer, record, array or enumeration; None for plain numbers.
    type: Optional[Type] = None
    #: Where in virtual memory it lies, if anywhere.
    address: Optional[int] = None

    @property
    def integer(self) -> int:
        """The number, a float cut to its whole part. ValueError and OverflowError for NaN and infinity."""
        return int(self.number)

    def __str__(self) -> str:
        name, size, is_signed, is_float = self.kind
        number = self.number
        if is_float or isinstance(number, float):
            from dumpkit.formats import engine_float

            return f"{name} {engine_float(float(number), _DIGITS[size])}"
        if self.kind is BOOL:
            return f"bool {'true' if number else 'false'}"
        if size == 1 or self.kind is WCHAR:
            character = chr(number) if 0x20 <= number < 0x7F else ""
            return f"{name} {f'0n{number}' if is_signed else f'0x{number:02x}'} '{character}'"
        if is_signed:
            return f"{name} 0n{number}"
        if number < 10 and not self.cut:
            return f"{name} {number}"
        if number >> 32:
            return f"{name} 0x{number >> 32:08x}`{number & 0xFFFFFFFF:08x}"
        return f"{name} 0x{number:x}"


def _single(number: float) -> float:
    """The nearest number that four bytes hold; infinity for one that is too large."""
    try:
        single: float = unpack("<f", pack("<f", number))[0]
    except OverflowError:
        return inf if number > 0 else -inf
    return single


def make(kind: Kind, number: Union[int, float]) -> CppValue:
    """A value cut to the size of its type."""
    if kind.is_float:
        return CppValue(kind, _single(float(number)) if kind.size == 4 else float(number))
    bits = kind.size * 8
    whole = int(number)
    low = whole & (1 << bits) - 1
    cut = (whole & U64) != low
    if kind.signed and low >> (bits - 1):
        low -= 1 << bits
    return CppValue(kind, low, cut)


def pointer(type: PointerType, number: int) -> CppValue:
    """A pointer."""
    return CppValue(UNSIGNED_INT64, number & U64, False, type)


#: Name of a type in C++ -> what its numbers are.
BASE_KINDS = {
    **{kind.name: kind for kind in (*BY_SIZE.values(), BOOL, LONG, UNSIGNED_LONG, WCHAR, FLOAT, DOUBLE)},
    "__int64": INT64,
    "unsigned __int64": UNSIGNED_INT64,
    "long long": INT64,
    "unsigned long long": UNSIGNED_INT64,
    "signed char": CHAR,
    "unsigned": UNSIGNED_INT,
}
_KIND_WORDS = {"char": "char", "unsigned char": "uchar", "wchar_t": "wchar", "bool": "bool"}


def base_type(kind: Kind) -> BaseType:
    """The type of a kind of numbers, as symbols have it."""
    words = "float" if kind.is_float else "int" if kind.signed else "uint"
    return BaseType(kind.name, kind.size, _KIND_WORDS.get(kind.name, words))


VOID = BaseType("void", 0, "void")


def kind_of(type: Type) -> Kind:
    """What a base type, an enumeration or a bit field holds."""
    if isinstance(type, BitfieldType):
        return kind_of(type.base)
    if isinstance(type, EnumType):
        return BY_SIZE.get((type.size, type.signed), INT)
    if isinstance(type, BaseType):
        if type.kind == "wchar":
            return WCHAR
        if type.kind == "float":
            return FLOAT if type.size == 4 else DOUBLE
        known = BASE_KINDS.get(type.name)
        if known is not None and known.size == type.size:
            return known
        if type.kind == "bool":
            return BOOL
        return BY_SIZE.get((type.size, type.kind in ("int", "char", "hresult")), UNSIGNED_INT64)
    return UNSIGNED_INT64


def cast(value: CppValue, type: Type) -> CppValue:
    """A value as another type. ValueError where there is no way: an object cast to a number."""
    if isinstance(type, PointerType):
        return pointer(type, value.integer)
    if isinstance(type, (RecordType, ArrayType)) or isinstance(value.type, RecordType):
        raise ValueError
    kind = kind_of(type)
    number = value.number if kind.is_float else int(bool(value.number)) if kind is BOOL else value.integer
    made = make(kind, number)
    return made._replace(type=type) if isinstance(type, EnumType) else made


def loaded(memory: AddressSpace, type: Type, address: int) -> CppValue:
    """The object of a type at a virtual address. Raises MemoryReadError for what is read at once: all but records."""
    address &= U64
    if isinstance(type, (RecordType, ArrayType)):
        return CppValue(UNSIGNED_INT64, address, False, type, address)
    data = memory.read(address, type.size)
    kind = kind_of(type)
    if kind.is_float:
        return CppValue(kind, unpack("<f" if kind.size == 4 else "<d", data)[0], False, None, address)
    bits = int.from_bytes(data, "little")
    if isinstance(type, BitfieldType):
        return make(kind, bits >> type.position & (1 << type.length) - 1)
    typed = type if isinstance(type, (PointerType, EnumType)) else None
    return make(kind, bits)._replace(type=typed, address=address)
