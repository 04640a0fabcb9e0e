"""A number in every format: what `.formats` shows, and numbers as the engine prints them."""

from __future__ import annotations

from math import copysign, isinf, isnan
from struct import unpack

from dumpkit.clock import Zone, moment, session_time
from dumpkit.named_tuple import NamedTuple
from dumpkit.numbers import quoted, signed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

_U64 = (1 << 64) - 1

#: 100 ns units in a second.
_SECOND = 10_000_000

#: The first FILETIME of the year 30827: from there on the engine calls them invalid.
_FILETIME_END = 0x7FFE_1723_77A5_C000


def evaluation(value: int) -> str:
    """The line of `?`: "Evaluate expression: -1 = ffffffff`ffffffff"."""
    return f"Evaluate expression: {signed(value & _U64)} = {quoted(value)}"


def engine_float(number: float, digits: int = 6) -> str:
    """A floating-point number as the engine prints it with %g: 1e+008, -1.#IND, 1.#INF, 1.#QNAN.

    Exponents have at least three digits, ties are rounded away from zero, and a negative NaN of any kind
    is -1.#IND.
    """
    if isnan(number):
        return "-1.#IND" if copysign(1.0, number) < 0 else "1.#QNAN"
    if isinf(number):
        return "-1.#INF" if number < 0 else "1.#INF"
    exact = f"{abs(number):.60e}".replace(".", "")
    if exact[digits] == "5" and not exact[digits + 1 : 60].strip("0"):
        from decimal import ROUND_HALF_UP, Context

        number = float(Context(prec=digits, rounding=ROUND_HALF_UP).create_decimal(number))
    text = f"{number:.{digits}g}"
    mantissa, letter, exponent = text.partition("e")
    return f"{mantissa}e{exponent[0]}{exponent[1:]:0>3}" if letter else text


def characters(value: int) -> str:
    """The eight bytes of a number, the highest first, as characters; a dot for what is not ASCII text."""
    return "".join(chr(byte) if 0x20 <= byte <= 0x7F else "." for byte in (value & _U64).to_bytes(8, "big"))


def time_text(value: int, zone: Zone) -> str:
    """A number as the time that it may be, in a zone.

    One of 32 bits is a time_t, seconds since 1970; any other a FILETIME, 100 ns units since 1601, and
    shown with milliseconds and the zone.
    """
    value &= _U64
    if -(1 << 31) <= signed(value & _U64) <= 0xFFFF_FFFF:
        seconds = value & 0xFFFF_FFFF
        if seconds in (0, 0xFFFF_FFFE):
            return "unavailable"
        if seconds >> 31:
            return "***** Invalid"
        return str(moment(seconds, zone))
    if not 0 <= value < _FILETIME_END or value + zone.offset * 60 * _SECOND < 0:
        return "***** Invalid FILETIME"
    return session_time(value, zone)


class NumberFormats(NamedTuple):
    """A 64-bit number as `.formats` shows it."""

    hexadecimal: str
    decimal: str
    octal: str
    binary: str
    characters: str
    time: str
    #: The low and the high half as single floats, and the whole as a double.
    float_low: str
    float_high: str
    double: str

    def lines(self) -> Iterator[str]:
        """The block of the engine."""
        yield "Evaluate expression:"
        yield f"  Hex:     {self.hexadecimal}"
        yield f"  Decimal: {self.decimal}"
        yield f"  Octal:   {self.octal}"
        yield f"  Binary:  {self.binary}"
        yield f"  Chars:   {self.characters}"
        yield f"  Time:    {self.time}"
        yield f"  Float:   low {self.float_low} high {self.float_high}"
        yield f"  Double:  {self.double}"


def number_formats(value: int, zone: Zone) -> NumberFormats:
    """A number, taken modulo 2**64, in every format; its time is shown in `zone`."""
    value &= _U64
    data = value.to_bytes(8, "little")
    low, high = unpack("<2f", data)
    (double,) = unpack("<d", data)
    return NumberFormats(
        hexadecimal=quoted(value),
        decimal=str(signed(value & _U64)),
        octal=f"{value:022o}",
        binary=" ".join(f"{byte:08b}" for byte in reversed(data)),
        characters=characters(value),
        time=time_text(value, zone),
        float_low=engine_float(low),
        float_high=engine_float(high),
        double=engine_float(double),
    )
