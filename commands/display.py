"""`db dw dd dq dp dc da du dps …`: memory as bytes, words, numbers, text and symbols."""

from __future__ import annotations

from struct import unpack
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from dumpkit.errors import CommandError
from dumpkit.expression import parse_range
from dumpkit.memory import AddressSpace
from dumpkit.numbers import quoted
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session

#: Where `da` and `du` stop when no zero does, in characters, and how many stand in a line.
_TEXT_LIMIT = 384
_TEXT_LINE = 32
#: A longer listing is a typing error; nobody reads it, and it would not fit into memory.
_MOST_LINES = 0x40000


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
    "da": Format(1, _TEXT_LINE, _TEXT_LIMIT, "text"),
    "du": Format(2, _TEXT_LINE, _TEXT_LIMIT, "text"),
    "dds": Format(4, 1, 0x20, follow="symbol"),
    "dqs": Format(8, 1, 0x10, follow="symbol"),
    "dps": Format(0, 1, 0x10, follow="symbol"),
    "dqp": Format(8, 1, 0x10, follow="p"),
    "dpp": Format(0, 1, 0x10, follow="p"),
    "dqa": Format(8, 1, 0x10, follow="a"),
    "dpa": Format(0, 1, 0x10, follow="a"),
    "dqu": Format(8, 1, 0x10, follow="u"),
    "dpu": Format(0, 1, 0x10, follow="u"),
}


class Row(Record):
    """A line of memory; a value that cannot be read is None."""

    address: Hex
    values: Tuple[Optional[Hex], ...]
    #: The characters of the line, where the command shows them.
    text: Optional[str] = None
    #: What the value points to: a symbol, the value there, or a string.
    meaning: Optional[str] = None


class MemoryRows(Record):
    """What a `d` command shows."""

    command: str
    rows: Tuple[Row, ...]
    _format: Format
    _line: int
    _is_physical: bool = False


class _Bytes:
    """A range of virtual memory read once; a hole is None."""

    def __init__(self, memory: AddressSpace, start: int, size: int) -> None:
        self.start = start
        self.data: List[Tuple[int, bytes]] = memory.read_partial(start, size)
        self.position = 0

    def read(self, address: int, size: int) -> Optional[bytes]:
        """`size` bytes, or None where one of them is missing; addresses must not go down between calls."""
        while self.position < len(self.data):
            begin, extent = self.data[self.position]
            if address < begin + len(extent):
                offset = address - begin
                whole = offset >= 0 and offset + size <= len(extent)
                return extent[offset : offset + size] if whole else None
            self.position += 1
        return None


def _character(value: int) -> str:
    """A byte or UTF-16 unit as the engine shows it: itself, or a dot."""
    if value < 0x80:
        return chr(value) if 0x20 <= value < 0x7F else "."
    if value > 0xFF and not 0xD800 <= value < 0xE000 and chr(value).isprintable():
        return chr(value)
    return "."


def _units(source: _Bytes, address: int, count: int, unit: int) -> List[Optional[Hex]]:
    values: List[Optional[Hex]] = []
    for position in range(count):
        data = source.read(address + position * unit, unit)
        values.append(Hex(int.from_bytes(data, "little")) if data is not None else None)
    return values


def _ascii(values: List[Optional[Hex]], unit: int) -> str:
    """The bytes of a line as characters, question marks for what cannot be read."""
    pieces = []
    for value in values:
        if value is None:
            pieces.append("?" * unit)
        else:
            pieces.extend(_character(byte) if byte < 0x80 else "." for byte in value.to_bytes(unit, "little"))
    return "".join(pieces)


def _read_text(memory: AddressSpace, start: int, limit: int, unit: int, line: int) -> Iterator[Row]:
    """Lines of a string up to its zero, or to `limit` characters."""
    source = _Bytes(memory, start, limit * unit)
    for offset in range(0, limit, line):
        address = start + offset * unit
        values = _units(source, address, min(line, limit - offset), unit)
        ends = 0 in values
        if ends:
            values = values[: values.index(Hex(0))]
        text = "".join("?" if value is None else _character(value) for value in values)
        yield Row(Hex(address), tuple(values), text)
        if ends:
            return


def _meaning(session: Session, value: Hex, follow: str) -> Optional[str]:
    """What a value points to, in the words of dps, dpp, dpa and dpu."""
    target = session.dump
    if follow == "symbol":
        place = target.symbols.nearest(value)
        return str(place) if place is not None else None
    if follow == "p":
        inner = target.memory.u64_optional(value)
        return quoted(inner) if inner is not None else None
    unit = 1 if follow == "a" else 2
    if not target.memory.read_prefix(value, unit):
        return None
    rows = list(_read_text(target.memory, value, _TEXT_LIMIT, unit, _TEXT_LIMIT))
    return f'"{rows[0].text}"' if rows and rows[0].text else None


def _physical(session: Session) -> AddressSpace:
    """The target's physical memory. Raises CommandError where it has none."""
    memory = session.dump.physical
    if memory is None:
        raise CommandError(f"no physical memory in this {session.dump.kind}: it holds virtual memory only")
    return memory


def _show(session: Session, name: str, shape: Format, text: str, is_physical: bool = False) -> MemoryRows:
    memory = _physical(session) if is_physical else session.dump.memory
    family = "!d" if is_physical else "d"
    unit = shape.unit or 8
    line = shape.line
    if text.startswith("/c"):
        width, text = session.evaluate_prefix(text[2:].lstrip())
        line = width if 0 < width <= 0x100 else line
        text = text.lstrip()
    start = _start(session, family) if not text else None
    begin, count = parse_range(text, session.scope, shape.default, unit, default_start=start)
    if count > _MOST_LINES * line:
        raise CommandError(f"{name}: {count:,} units are more than can be shown at once ({_MOST_LINES * line:,})")
    rows: List[Row] = []
    if shape.kind == "text":
        rows.extend(_read_text(memory, begin, count, unit, line))
        end = rows[-1].address + (len(rows[-1].values) + 1) * unit if rows else begin
    else:
        source = _Bytes(memory, begin, count * unit)
        for offset in range(0, count, line):
            address = begin + offset * unit
            values = _units(source, address, min(line, count - offset), unit)
            characters = _ascii(values, unit) if shape.characters else None
            followed = _meaning(session, values[0], shape.follow) if shape.follow and values[0] is not None else None
            rows.append(Row(Hex(address), tuple(values), characters, followed))
        end = begin + count * unit
    session.positions[family] = end & 0xFFFF_FFFF_FFFF_FFFF
    if not is_physical:
        session.last_display = name
    return MemoryRows(name, tuple(rows), shape, line, is_physical)


def _start(session: Session, family: str) -> int:
    """Where a command without an address goes on; at first, virtual memory at the current instruction."""
    known = session.positions.get(family)
    if known is not None:
        return known
    return session.context.instruction_pointer if family == "d" else 0


def _number(value: Optional[Hex], unit: int) -> str:
    if unit == 8:
        return quoted(value) if value is not None else "????????`????????"
    return f"{value:0{unit * 2}x}" if value is not None else "?" * unit * 2


def _float(value: Optional[Hex], unit: int) -> str:
    from dumpkit.formats import engine_float

    width, digits = (16, 8) if unit == 4 else (22, 12)
    if value is None:
        return "?" * width
    number: float = unpack("<f" if unit == 4 else "<d", value.to_bytes(unit, "little"))[0]
    return f"{engine_float(number, digits):>{width}}"


def _byte_columns(row: Row) -> str:
    """Sixteen bytes with a dash in the middle."""
    cells = [_number(value, 1) for value in row.values]
    return " ".join(cells[:8]) + ("-" + " ".join(cells[8:]) if len(cells) > 8 else "")


def memory_lines(result: MemoryRows) -> Iterator[Line]:
    shape, unit = result._format, result._format.unit or 8
    full = result._line * (unit * 2 + 1) - 1 if unit < 8 else result._line * 18 - 1
    for row in result.rows:
        address = Span(f"#{row.address:8x}" if result._is_physical else quoted(row.address), "address")
        if shape.kind == "text":
            yield (address, f'  "{row.text}"')
        elif shape.kind == "float":
            yield (address, "  ", " ".join(_float(value, unit) for value in row.values))
        elif shape.follow:
            pieces: List[Any] = [address, "  ", _number(row.values[0], unit)]
            if row.meaning is not None:
                pieces += [" ", Span(row.meaning, "symbol")]
            yield tuple(pieces)
        else:
            numbers = _byte_columns(row) if unit == 1 else " ".join(_number(value, unit) for value in row.values)
            yield (address, f"  {numbers:<{full}}  {row.text}" if row.text is not None else f"  {numbers}")


_HELP = """Shows memory from an address on: {0} RANGE, where RANGE is `ADDRESS`, `ADDRESS L COUNT` or `ADDRESS END`.

Without a range it goes on behind what the last d command showed. `/c N` sets the units in a line. What
cannot be read is shown as question marks; `address ADDRESS` says why.
"""


def _register(name: str, shape: Format, summary: str) -> None:
    def show(session: Session, range: str = "") -> MemoryRows:
        return _show(session, name, shape, range)

    show.__doc__ = _HELP.format(name)
    decorate: Callable[[Any], Any] = command(
        name,
        category="Memory",
        summary=summary,
        arguments=(Text("range", "ADDRESS [L COUNT | END]"),),
        render=memory_lines,
        glued=True,
    )
    decorate(show)


_PHYSICAL_HELP = """Shows physical memory: {0} RANGE, where RANGE is `ADDRESS`, `ADDRESS L COUNT` or `ADDRESS END`.

Dumps that keep whole pages have it; a minidump has none. Addresses are printed behind a #.
"""


def _register_physical(name: str, shape: Format) -> None:
    def show(session: Session, range: str = "") -> MemoryRows:
        return _show(session, name, shape, range, is_physical=True)

    show.__doc__ = _PHYSICAL_HELP.format(name)
    decorate: Callable[[Any], Any] = command(
        name,
        category="Memory",
        summary=f"{_SUMMARIES[name[1:]]}, of physical memory",
        arguments=(Text("range", "PHYSICAL ADDRESS [L COUNT | END]"),),
        render=memory_lines,
    )
    decorate(show)


_SUMMARIES = {
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
    "dqs": "64-bit words with their symbols",
    "dps": "Pointers with their symbols",
    "dqp": "64-bit words and what they point to",
    "dpp": "Pointers and what they point to",
    "dqa": "64-bit words and the strings that they point to",
    "dpa": "Pointers and the strings that they point to",
    "dqu": "64-bit words and the UTF-16 strings that they point to",
    "dpu": "Pointers and the UTF-16 strings that they point to",
}

for _name, _shape in FORMATS.items():
    _register(_name, _shape, _SUMMARIES[_name])
for _name in ("db", "dw", "dd", "dc", "dq", "dp"):
    _register_physical(f"!{_name}", FORMATS[_name])


@command(
    "d",
    category="Memory",
    summary="As the last d command, from where it ended",
    arguments=(Text("range", "ADDRESS [L COUNT | END]"),),
    render=memory_lines,
)
def display_again(session: Session, range: str = "") -> MemoryRows:
    """Shows memory in the format of the last d command, bytes at first."""
    name = session.last_display
    shape = FORMATS.get(name)
    if shape is None:
        raise CommandError(f"d: no format {name}")
    return _show(session, name, shape, range)
