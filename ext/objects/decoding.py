"""Numbers out of bytes: the decoder of each scalar type, and values of enumerations that know their names."""

from __future__ import annotations

from struct import Struct

from dumpkit.symbols.types import BaseType, BitfieldType, EnumType, Type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional, Tuple

    from typing_extensions import TypeAlias

_INTEGERS = {
    (size, signed): Struct(f"<{letter if signed else letter.upper()}")
    for size, letter in ((1, "b"), (2, "h"), (4, "i"), (8, "q"))
    for signed in (True, False)
}
FLOATS = {4: Struct("<f"), 8: Struct("<d")}
SIGNED_KINDS = frozenset(("int", "char", "hresult"))

# Gives the number at an offset of some bytes; raises struct.error where they are too few.
Decoder: TypeAlias = "Callable[[bytes, int], Any]"


class EnumValue(int):
    """A value of an enumeration: an int that knows its name."""

    type: EnumType

    def __new__(cls, type: EnumType, value: int) -> EnumValue:
        made = super().__new__(cls, value)
        made.type = type
        return made

    @property
    def value(self) -> int:
        """The plain number."""
        return int(self)

    @property
    def name(self) -> Optional[str]:
        """The enumerator's name, or None where the enumeration has none of this value."""
        return self.type.name_of(int(self))

    def __str__(self) -> str:
        return self.name or str(int(self))

    def __repr__(self) -> str:
        return f"<{self.type.name}.{self.name or '?'}: {int(self)}>"


def decoder(type: Type) -> Optional[Decoder]:
    """The decoder of a type whose value is a number in place; None for records, arrays and pointers."""
    if isinstance(type, BaseType):
        unpack = _unpack(type.size, type.kind)
        return None if unpack is None else lambda data, offset: unpack(data, offset)[0]
    if isinstance(type, EnumType):
        return _enum_decoder(type)
    if isinstance(type, BitfieldType):
        whole = _unpack(type.size, "uint")
        if whole is None:
            return None
        position, mask = type.position, (1 << type.length) - 1
        base = type.base
        if isinstance(base, EnumType):
            return lambda data, offset: EnumValue(base, whole(data, offset)[0] >> position & mask)
        return lambda data, offset: whole(data, offset)[0] >> position & mask
    return None


def _unpack(size: int, kind: str) -> Optional[Callable[[bytes, int], Tuple[Any, ...]]]:
    layout = FLOATS.get(size) if kind == "float" else _INTEGERS.get((size, kind in SIGNED_KINDS))
    return None if layout is None else layout.unpack_from


def _enum_decoder(type: EnumType) -> Optional[Decoder]:
    unpack = _unpack(type.size, "int" if type.signed else "uint")
    return None if unpack is None else lambda data, offset: EnumValue(type, unpack(data, offset)[0])
