"""`s`: bytes, numbers and text that are looked for in memory."""

from __future__ import annotations

import re

from dumpkit.commands.display_formats import FORMATS, MemoryRows, Row, memory_lines
from dumpkit.errors import CommandError, ExpressionError
from dumpkit.expression import Range, parse_expression, read_range
from dumpkit.expression.tokens import read_number, skip_space
from dumpkit.named_tuple import NamedTuple
from dumpkit.numbers import quoted
from dumpkit.output import Hex, Line
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

_OPTIONS = re.compile(r"-\s*(?:\[([^\]]*)\])?\s*(sa|su|[a-zA-Z])")
_FLAGS = re.compile(r"l(\d+)|[1n]|l")
_UNITS = {"b": 1, "a": 1, "sa": 1, "w": 2, "u": 2, "su": 2, "d": 4, "q": 8}
#: How a match is shown: by the d command of its unit, with characters.
_SHAPES = {1: "db", 2: "dW", 4: "dc", 8: "dq"}
#: Bytes shown of a match, and bytes read at a time.
_SHOWN, _AT_ONCE = 16, 1 << 20
#: The fewest characters of what -sa and -su take for text.
_SHORTEST = 3
#: Nobody reads more.
_MOST_MATCHES = 1 << 20


class Matches(Record):
    """Where what was looked for lies: virtual addresses."""

    addresses: Tuple[Hex, ...]
    #: Of -sa and -su: the text at each address.
    texts: Optional[Tuple[str, ...]]
    _rows: Optional[MemoryRows]
    _is_bare: bool


class _Wanted(NamedTuple):
    """The options of a call."""

    kind: str
    #: Whether addresses alone are shown.
    is_bare: bool
    shortest: int
    #: What follows the options.
    position: int


def matches_lines(result: Matches) -> Iterator[Line]:
    if result._is_bare:
        yield from (f"0x{quoted(address)}" for address in result.addresses)
    elif result.texts is not None:
        yield from (f'{quoted(address)}  "{text}"' for address, text in zip(result.addresses, result.texts))
    elif result._rows is not None:
        yield from memory_lines(result._rows)


def _caret(kind: str, position: int, text: str) -> ExpressionError:
    return ExpressionError(kind, position, text, caret=True)


def _read_options(text: str) -> _Wanted:
    kind, is_bare, shortest, position = "b", False, _SHORTEST, skip_space(text, 0)
    match = _OPTIONS.match(text, position)
    if match is None:
        if text[position : position + 1] == "-":
            raise _caret("Syntax error", position + 1, text)
        return _Wanted(kind, is_bare, shortest, position)
    flags, kind = match.group(1) or "", match.group(2)
    if kind == "v":
        raise CommandError("s: -v, which looks for objects of a class, is not there")
    if kind not in _UNITS:
        raise _caret("Syntax error", match.start(2), text)
    place = 0
    while place < len(flags):
        flag = _FLAGS.match(flags, place)
        if flag is None:
            raise _caret("Syntax error", match.start(1) + place, text)
        is_bare = is_bare or flag.group() == "1"
        shortest = int(flag.group(1)) if flag.group(1) else shortest
        place = flag.end()
    return _Wanted(kind, is_bare, max(shortest, 1), match.end())


def _read_values(session: Session, text: str, position: int, unit: int) -> Tuple[bytes, int]:
    """The numbers that are looked for, one behind the other, and the place behind them."""
    pieces: List[bytes] = []
    missing = _caret("Search pattern missing from", position, text)
    position = skip_space(text, position)
    while position < len(text):
        if text[position] == "-":
            raise missing
        try:
            number = read_number(text, position, session.radix, extend=unit == 8)
        except ExpressionError:
            number = None
        behind = number[1] if number is not None else position
        if number is None or text[behind : behind + 1] not in ("", " ", "\t"):
            number = parse_expression(text, session.scope, position)
        value, position = number
        if unit < 8 and value >> (8 * unit) not in (0, (1 << (64 - 8 * unit)) - 1 if unit == 4 else 0):
            raise _caret("Overflow error", position, text)
        pieces.append((value & (1 << 8 * unit) - 1).to_bytes(unit, "little"))
        position = skip_space(text, position)
    if not pieces:
        raise missing
    return b"".join(pieces), position


def _read_text(text: str, position: int, unit: int) -> Tuple[bytes, int]:
    """The text that is looked for, in double quotes or to the line's end, and the place behind it."""
    start = skip_space(text, position)
    if start == len(text):
        raise _caret("Search pattern missing from", position, text)
    end = len(text)
    behind = end
    if text[start] == '"':
        start, end = start + 1, text.find('"', start + 1)
        if end < 0:
            raise _caret("Trailing quote missing", len(text), text)
        behind = end + 1
    if end == start:
        raise _caret("Non-empty string required", start, text)
    return text[start:end].encode("utf-16-le" if unit == 2 else "utf-8"), behind


def _extents(session: Session, wanted: Range, unit: int, overlap: int) -> Iterator[Tuple[int, bytes]]:
    """The memory of a range piece by piece, each going on `overlap` bytes into the next one."""
    memory = session.dump.memory
    position, end = wanted.start, min(wanted.start + wanted.count * unit, 1 << 64)
    while position < end:
        size = min(_AT_ONCE, end - position)
        yield from memory.read_partial(position, min(size + overlap, end - position))
        position += size


def _found(session: Session, wanted: Range, pattern: bytes, unit: int) -> List[int]:
    addresses: List[int] = []
    known = -1
    for base, data in _extents(session, wanted, unit, len(pattern) - 1):
        place = data.find(pattern)
        while place >= 0:
            address = base + place
            if address > known and (address - wanted.start) % unit == 0:
                addresses.append(address)
                known = address
                if len(addresses) > _MOST_MATCHES:
                    raise CommandError(f"s: more than {_MOST_MATCHES:,} matches")
            place = data.find(pattern, place + 1)
    return addresses


def _texts(session: Session, wanted: Range, unit: int, shortest: int) -> List[Tuple[int, str]]:
    """The readable texts of a range, from each place on where one begins."""
    character = rb"[\x20-\x7e]" if unit == 1 else rb"(?:[\x20-\x7e]\x00)"
    pattern = re.compile(character + b"{%d,}" % shortest)
    found: List[Tuple[int, str]] = []
    for base, data in session.dump.memory.read_partial(wanted.start, wanted.count * unit):
        for match in pattern.finditer(data):
            found.append((base + match.start(), match.group().decode("ascii" if unit == 1 else "utf-16-le")))
    return found


def _rows(session: Session, addresses: List[int], unit: int) -> MemoryRows:
    """The line of memory at each match."""
    shape = FORMATS[_SHAPES[unit]]
    rows = []
    for address in addresses:
        data = session.dump.memory.read_prefix(address, _SHOWN)
        values: List[Optional[Hex]] = [
            Hex(int.from_bytes(data[at : at + unit], "little")) if at + unit <= len(data) else None
            for at in range(0, _SHOWN, unit)
        ]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data).ljust(_SHOWN, "?")
        rows.append(Row(Hex(address), tuple(values), text if shape.characters else None))
    return MemoryRows(_SHAPES[unit], tuple(rows), (), shape, _SHOWN // unit, False)


def _range(session: Session, text: str, position: int, kind: str, unit: int) -> Tuple[Range, str]:
    """The range, and the text with the L of its length as the debugger quotes it."""
    # A text that is looked for may look like a length.
    quote = text.find('"', position) if kind in ("a", "u") else -1
    part = text if quote < 0 else text[:quote]
    if skip_space(part, position) == len(part):
        raise _caret("Search pattern missing from", position, text)
    found = read_range(part, session.scope, 0x80, unit, position=position)
    return found, (found.text + text[len(part) :] if found.text is not None else text)


@command(
    "s",
    category="Memory",
    summary="Looks for bytes, numbers or text",
    arguments=(Text("request", "[-[FLAGS]b|w|d|q|a|u|sa|su] RANGE WHAT"),),
    render=matches_lines,
    raw=True,
)
def s(session: Session, request: str = "") -> Matches:
    """Looks for something in a range of memory, and shows the memory at each place where it is.

    s RANGE 4d 5a           bytes, one behind the other          s -w, s -d, s -q   numbers of 2, 4 and 8 bytes
    s -a RANGE "text"       text of bytes                        s -u RANGE "text"  UTF-16
    s -sa RANGE             whatever text of 3 and more characters is there; s -su in UTF-16; s -[l8]sa of 8 and more

    RANGE is ADDRESS L COUNT (in units of what is looked for) or ADDRESS END; `L?` is needed for more than 256 MB.
    s -[1]d RANGE 5 shows addresses only, as .foreach likes them. What the dump does not hold is passed over.
    """
    wanted = _read_options(request)
    unit = _UNITS[wanted.kind]
    where, text = _range(session, request, wanted.position, wanted.kind, unit)
    if wanted.kind in ("sa", "su"):
        session.refuse_surplus(text, where.end)
        found = _texts(session, where, unit, wanted.shortest)
        addresses = tuple(Hex(address) for address, _ in found)
        return Matches(addresses, tuple(each for _, each in found), None, wanted.is_bare)
    if not where.given:
        raise _caret("Search pattern missing from", len(text), text)
    read = _read_text(text, where.end, unit) if wanted.kind in ("a", "u") else None
    pattern, end = read if read is not None else _read_values(session, text, where.end, unit)
    session.refuse_surplus(text, end)
    places = _found(session, where, pattern, unit)
    rows = None if wanted.is_bare else _rows(session, places, unit)
    return Matches(tuple(map(Hex, places)), None, rows, wanted.is_bare)
