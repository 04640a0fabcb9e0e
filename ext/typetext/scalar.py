"""Numbers, characters and enumerations as the debugger's engine prints them in `dt`."""

from __future__ import annotations

from math import copysign, isinf, isnan

from dumpkit.symbols.types import (
    BaseType,
    BitfieldType,
    EnumType,
)
from dumpkit.typetext.values import Value, hexadecimal, is_visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union


def base_text(number: Union[int, float, None], type: BaseType) -> str:
    """A scalar's value: 0n for signed numbers, 0x for others from ten on, characters with their letter."""
    if number is None:
        return "??"
    if isinstance(number, float):
        return f"{_float(number, 10 if type.size == 4 else 20)} "
    if type.kind == "char":
        return f"{number} '{_letter(number, 1)}'"
    if type.kind in ("uchar", "wchar"):
        return f"0x{number:x} '{_letter(number, type.size)}'" if number else "0 ''"
    if type.kind == "uint":
        return str(number) if number < 10 else hexadecimal(number)
    if type.kind == "hresult":
        return f"{number & 0xFFFFFFFF:x}"
    return f"0n{number}" if type.kind == "int" else str(number)


def _float(number: float, digits: int) -> str:
    """As %.*g of the C library that the engine uses: exponents of three digits, and its words for no numbers."""
    sign = "-" if copysign(1.0, number) < 0 else ""
    if isnan(number):
        return "-1.#IND" if sign else "1.#QNAN"
    if isinf(number):
        return f"{sign}1.#INF"
    text = f"{number:.{digits}g}"
    mantissa, mark, exponent = text.partition("e")
    return f"{mantissa}e{exponent[0]}{int(exponent[1:]):03d}" if mark else mantissa


def _letter(code: int, size: int) -> str:
    return chr(code) if code >= 0 and is_visible(code, size) else ""


def bitfield_text(value: Value) -> str:
    """A bitfield that could be read: its bits, and its number or its enumerator."""
    type = value.type
    number = value.number
    assert isinstance(type, BitfieldType)
    assert isinstance(number, int)
    text = f"0y{number:0{type.length}b}"
    if isinstance(type.base, EnumType):
        name = value.enumerator
        return f"{text} ( {number:x}, {name} )" if name is not None else f"{text} (No matching name)"
    return text if type.length < 5 else f"{text} ({f'0x{number:x}' if number else '0'})"


def enumeration_text(value: Value) -> str:
    """A value of an enumeration that could be read: its number, and its name where it has one."""
    type, number, name = value.type, value.number, value.enumerator
    assert isinstance(number, int)
    unsigned = number & (1 << 8 * type.size) - 1
    if name is not None:
        return f"{unsigned:x} ( {name} )"
    kind = "uchar" if type.size == 1 else "uint"
    return f"{base_text(unsigned, BaseType('', type.size, kind))} (No matching name)"


def enumerator_text(number: int, size: int) -> str:
    """The number of an enumerator in a listing: decimal below 0x8000, else hexadecimal."""
    return f"0n{number}" if number < 0x8000 else hexadecimal(number & (1 << 8 * size) - 1)
