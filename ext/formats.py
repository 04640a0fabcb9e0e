"""A number in every format: what `.formats` shows, and numbers as the engine prints them."""

from __future__ import annotations

from math import copysign, isinf, isnan
from struct import unpack
from typing import Iterator, NamedTuple, Tuple

from dumpkit.clock import Zone
from dumpkit.numbers import quoted
from dumpkit.operators import signed

_U64 = (1 << 64) - 1

#: 100 ns units between 1601 and 1970, in a second, and in a millisecond.
_EPOCH = 116_444_736_000_000_000
_SECOND = 10_000_000
_MILLISECOND = 10_000

#: The first FILETIME of the year 30827: from there on the engine calls them invalid.
_FILETIME_END = 0x7FFE_1723_77A5_C000

_DAYS = ("Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


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
        number *= 1 + 2.0**-40
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
        return _moment(seconds + zone.offset * 60, "")
    shifted = value + zone.offset * 60 * _SECOND
    if not 0 <= value < _FILETIME_END or shifted < 0:
        return "***** Invalid FILETIME"
    seconds, fraction = divmod(shifted - _EPOCH, _SECOND)
    return f"{_moment(seconds, f'.{fraction // _MILLISECOND:03d}')} ({zone})"


def _moment(seconds: int, fraction: str) -> str:
    """Seconds since 1970 as `Thu Jan  1 00:00:01 1970`, for any year: Python's datetime ends with 9999."""
    days, rest = divmod(seconds, 86_400)
    year, month, day = _civil(days)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}{fraction}"
    return f"{_DAYS[days % 7]} {_MONTHS[month - 1]} {day:2d} {clock} {year}"


def _civil(days: int) -> Tuple[int, int, int]:
    """Year, month and day of a day counted from 1970-01-01 in the Gregorian calendar.

    Years are counted from March here, so that the leap day is the last of its year.
    """
    era, day_of_era = divmod(days + 719_468, 146_097)
    year = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    return year + era * 400 + (month >= 10), month + 3 if month < 10 else month - 9, day


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
