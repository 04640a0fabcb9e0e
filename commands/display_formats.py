"""What the d commands show: their formats, lines of memory as data, and as text."""

from __future__ import annotations

from math import isfinite
from struct import unpack

from dumpkit.named_tuple import NamedTuple
from dumpkit.numbers import quoted
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, Optional, Tuple, Union

#: Where `da` and `du` stop when no zero does, in characters, and how many stand in a line.
TEXT_LIMIT = 384
TEXT_LINE = 32


class Format(NamedTuple):
    """How one of the commands shows memory."""

    #: Bytes of a unit; 0 stands for the pointer size.
    unit: int
    #: Units in a line.
    line: int
    #: Units shown where no length is given.
    default: int
    #: "number", "float", or "text".
    kind: str = "number"
    #: Whether ASCII characters stand behind the numbers.
    characters: bool = False
    #: What a value is followed to: "symbol", "p" (a pointer), "a" or "u" (text), or "".
    follow: str = ""


FORMATS: Dict[str, Format] = {
    "db": Format(1, 16, 0x80, characters=True),
    "dw": Format(2, 8, 0x40),
    "dW": Format(2, 8, 0x40, characters=True),
    "dd": Format(4, 4, 0x20),
    "dc": Format(4, 4, 0x20, characters=True),
    "dq": Format(8, 2, 0x10),
    "dp": Format(0, 2, 0x10),
    "df": Format(4, 4, 0x20, "float"),
    "dD": Format(8, 3, 0xF, "float"),
    "da": Format(1, TEXT_LINE, TEXT_LIMIT, "text"),
    "du": Format(2, TEXT_LINE, TEXT_LIMIT, "text"),
    "dds": Format(4, 1, 0x20, follow="symbol"),
    "ddp": Format(4, 1, 0x20, follow="p"),
    "dda": Format(4, 1, 0x20, follow="a"),
    "ddu": Format(4, 1, 0x20, follow="u"),
    "dqs": Format(8, 1, 0x10, follow="symbol"),
    "dps": Format(0, 1, 0x10, follow="symbol"),
    "dqp": Format(8, 1, 0x10, follow="p"),
    "dpp": Format(0, 1, 0x10, follow="p"),
    "dqa": Format(8, 1, 0x10, follow="a"),
    "dpa": Format(0, 1, 0x10, follow="a"),
    "dqu": Format(8, 1, 0x10, follow="u"),
    "dpu": Format(0, 1, 0x10, follow="u"),
}


SUMMARIES: Dict[str, str] = {
    "db": "Bytes and characters",
    "dw": "16-bit words",
    "dW": "16-bit words and characters",
    "dd": "32-bit words",
    "dc": "32-bit words and characters",
    "dq": "64-bit words",
    "dp": "Pointers",
    "df": "Single floats",
    "dD": "Double floats",
    "da": "A string of bytes",
    "du": "A string of UTF-16 characters",
    "dds": "32-bit words with their symbols",
    "ddp": "32-bit pointers and what they point to",
    "dda": "32-bit pointers and the strings that they point to",
    "ddu": "32-bit pointers and the UTF-16 strings that they point to",
    "dqs": "64-bit words with their symbols",
    "dps": "Pointers with their symbols",
    "dqp": "64-bit words and what they point to",
    "dpp": "Pointers and what they point to",
    "dqa": "64-bit words and the strings that they point to",
    "dpa": "Pointers and the strings that they point to",
    "dqu": "64-bit words and the UTF-16 strings that they point to",
    "dpu": "Pointers and the UTF-16 strings that they point to",
}


class Followed(Record):
    """What a value points to."""

    #: The eight bytes there, for ddp, dpp and dqp.
    value: Optional[Hex] = None
    #: The symbol of the value, or where it was followed of the value there.
    symbol: Optional[str] = None
    #: The string there, for dpa, dpu and their like; what cannot be read of it is question marks.
    text: Optional[str] = None

    @property
    def words(self) -> str:
        """As it is printed behind the value."""
        if self.text is not None:
            return f'"{self.text}"'
        pieces = (quoted(self.value) if self.value is not None else None, self.symbol)
        return " ".join(piece for piece in pieces if piece is not None)


class Row(Record):
    """A line of memory; a value that cannot be read is None."""

    address: Hex
    values: Tuple[Optional[Hex], ...]
    #: The characters of the line, where the command shows them.
    text: Optional[str] = None
    #: The values as floating-point numbers, where the command shows them so; text for NaN and infinity.
    numbers: Tuple[Union[float, str, None], ...] = ()
    #: What each value points to, where the command follows them; None for one that points nowhere.
    followed: Tuple[Optional[Followed], ...] = ()

    @property
    def meaning(self) -> Optional[str]:
        """What the first value points to, as it is printed."""
        first = self.followed[0] if self.followed else None
        return first.words if first is not None else None


class MemoryRows(Record):
    """What a `d` command shows."""

    command: str
    rows: Tuple[Row, ...]
    #: Letters behind a slash that mean nothing to it.
    unknown_options: Tuple[str, ...]
    _format: Format
    _line: int
    _is_physical: bool = False


def float_of(value: int, unit: int) -> float:
    """The floating-point number of 4 or 8 bytes that has these bits."""
    number: float = unpack("<f" if unit == 4 else "<d", value.to_bytes(unit, "little"))[0]
    return number


def float_data(value: Optional[int], unit: int) -> Union[float, str, None]:
    """The number as JSON can hold it: NaN and infinity in the engine's words."""
    if value is None:
        return None
    number = float_of(value, unit)
    if isfinite(number):
        return number
    from dumpkit.formats import engine_float

    return engine_float(number)


def _number(value: Optional[Hex], unit: int) -> str:
    if unit == 8:
        return quoted(value) if value is not None else "????????`????????"
    return f"{value:0{unit * 2}x}" if value is not None else "?" * unit * 2


def _float(value: Optional[Hex], unit: int) -> str:
    from dumpkit.formats import engine_float

    width, digits = (16, 8) if unit == 4 else (22, 12)
    if value is None:
        # The engine's own width of what cannot be read.
        return "?" * (24 if unit == 8 else width)
    return f"{engine_float(float_of(value, unit), digits):>{width}}"


def _byte_columns(row: Row) -> str:
    """Sixteen bytes with a dash in the middle."""
    cells = [_number(value, 1) for value in row.values]
    return " ".join(cells[:8]) + ("-" + " ".join(cells[8:]) if len(cells) > 8 else "")


def _followed_pieces(row: Row, unit: int) -> Iterator[Union[str, Span]]:
    """Each value of a line, and behind it what it points to."""
    for value, followed in zip(row.values, row.followed):
        yield f" {_number(value, unit)}"
        if followed is not None:
            yield " "
            yield Span(followed.words, "symbol")


def memory_lines(result: MemoryRows) -> Iterator[Line]:
    """What a d command prints."""
    shape, unit = result._format, result._format.unit or 8
    full = result._line * (unit * 2 + 1) - 1 if unit < 8 else result._line * 18 - 1
    for letter in result.unknown_options:
        yield f"Unknown option '{letter}'"
    for row in result.rows:
        address = Span(f"#{row.address:8x}" if result._is_physical else quoted(row.address), "address")
        if shape.kind == "text":
            yield (address, f'  "{row.text}"')
        elif shape.kind == "float":
            yield (address, "  ", " ".join(_float(value, unit) for value in row.values))
        elif shape.follow:
            yield (address, " ", *_followed_pieces(row, unit))
        else:
            numbers = _byte_columns(row) if unit == 1 else " ".join(_number(value, unit) for value in row.values)
            yield (address, f"  {numbers:<{full}}  {row.text}" if row.text is not None else f"  {numbers}")
