"""`db dw dd dq dp dc da du dps …`: memory as bytes, words, numbers, text and symbols."""

from __future__ import annotations

from dumpkit.commands.display_formats import (
    FORMATS,
    SUMMARIES,
    Followed,
    Format,
    MemoryRows,
    Row,
    float_data,
    memory_lines,
)
from dumpkit.errors import CommandError, ExpressionError
from dumpkit.expression import read_range
from dumpkit.expression.scope import NoMemory
from dumpkit.memory import AddressSpace
from dumpkit.named_tuple import NamedTuple
from dumpkit.output import Hex, Line
from dumpkit.registry import Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, List, Optional, Tuple

#: Where `dpa` and `dpu` stop when no zero does, in characters.
_FOLLOWED_LIMIT = 55
#: The most units that `/c` puts into a line.
_WIDEST_LINE = 0x100
#: A longer listing is a typing error; nobody reads it, and it would not fit into memory.
_MOST_LINES = 0x40000


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


def _character(value: int, unit: int) -> str:
    """A byte or UTF-16 unit as the engine shows it: itself, or a dot."""
    if value < 0x80:
        return chr(value) if 0x20 <= value < 0x7F else "."
    return chr(value) if unit == 2 and chr(value).isprintable() else "."


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
            pieces.extend(_character(byte, 1) for byte in value.to_bytes(unit, "little"))
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
        text = "".join("?" if value is None else _character(value, unit) for value in values)
        yield Row(Hex(address), tuple(values), text)
        if ends:
            return


def text_row(memory: AddressSpace, address: int, count: int, unit: int) -> Row:
    """A line of text of so many characters, zeros and what cannot be read among them."""
    values = _units(_Bytes(memory, address, count * unit), address, count, unit)
    return Row(Hex(address), tuple(values), "".join("?" if each is None else _character(each, unit) for each in values))


def _follow(session: Session, value: Optional[Hex], shape: Format) -> Optional[Followed]:
    """What a value points to, as dps, dpp, dpa and dpu want it; None where it points nowhere."""
    if value is None:
        return None
    # The engine takes 32 bits for the low half of an address with the sign of their own.
    address = value | 0xFFFF_FFFF_0000_0000 if shape.unit == 4 and value >> 31 else int(value)
    target = session.dump
    if shape.follow in ("symbol", "p"):
        inner = target.memory.u64_optional(address) if shape.follow == "p" else None
        if shape.follow == "p" and inner is None:
            return None
        place = target.symbols.nearest(address if inner is None else inner)
        symbol = str(place) if place is not None else None
        if inner is None and symbol is None:
            return None
        return Followed(Hex(inner) if inner is not None else None, symbol)
    unit = 1 if shape.follow == "a" else 2
    if len(target.memory.read_prefix(address, unit)) < unit:
        return None
    return Followed(text=next(_read_text(target.memory, address, _FOLLOWED_LIMIT, unit, _FOLLOWED_LIMIT)).text)


def _physical(session: Session) -> AddressSpace:
    """The target's physical memory. Raises CommandError where it has none."""
    memory = session.dump.physical
    if memory is None:
        raise CommandError(f"no physical memory in this {session.dump.kind}: it holds virtual memory only")
    return memory


class _Options(NamedTuple):
    """What stands before the range."""

    #: Units in a line, where `/c` says.
    width: Optional[int]
    unknown: Tuple[str, ...]
    range: str
    #: Whether addresses are physical ones: /p.
    is_physical: bool


def _read_options(session: Session, text: str) -> _Options:
    """Take the options from the arguments. Raises CommandError and ExpressionError."""
    width: Optional[int] = None
    unknown: List[str] = []
    is_physical = False
    rest = text
    while rest.startswith("/"):
        letter, rest = rest[1:2], rest[2:].lstrip()
        if letter == "c":
            width, rest = session.evaluate_prefix(rest)
            if not 0 < width <= _WIDEST_LINE:
                end = len(text[: len(text) - len(rest)].rstrip())
                raise ExpressionError("Illegal column count", end, text, caret=True)
        elif letter == "p":
            is_physical = True
        else:
            unknown.append(letter)
        rest = rest.lstrip()
    return _Options(width, tuple(unknown), rest, is_physical)


def _read_rows(
    session: Session, memory: AddressSpace, shape: Format, begin: int, count: int, line: int
) -> Iterator[Row]:
    """Lines of numbers."""
    unit = shape.unit or 8
    source = _Bytes(memory, begin, count * unit)
    for offset in range(0, count, line):
        address = begin + offset * unit
        values = _units(source, address, min(line, count - offset), unit)
        characters = _ascii(values, unit) if shape.characters else None
        numbers = tuple([float_data(value, unit) for value in values]) if shape.kind == "float" else ()
        followed = tuple([_follow(session, value, shape) for value in values]) if shape.follow else ()
        yield Row(Hex(address), tuple(values), characters, numbers, followed)


def _show(session: Session, name: str, shape: Format, text: str, is_physical: bool = False) -> MemoryRows:
    memory = _physical(session) if is_physical else session.dump.memory
    family = "!d" if is_physical else "d"
    unit = shape.unit or 8
    options = _read_options(session, text)
    if options.is_physical and not is_physical:
        memory = session.dump.physical or NoMemory()
    line = options.width or shape.line
    start = _start(session, family) if not options.range else None
    wanted = read_range(options.range, session.scope, shape.default, unit, default_start=start)
    session.refuse_surplus(wanted.text or options.range, wanted.end)
    begin, count = wanted.start, wanted.count
    if count > _MOST_LINES * line:
        raise CommandError(f"{name}: {count:,} units are more than can be shown at once ({_MOST_LINES * line:,})")
    if shape.kind == "text":
        rows = list(_read_text(memory, begin, count, unit, line))
        shown = sum(len(row.values) for row in rows)
        # Behind the zero that ends the text, where one does.
        end = begin + (shown + 1 if shown < count else shown) * unit
    else:
        rows = list(_read_rows(session, memory, shape, begin, count, line))
        end = begin + count * unit
    session.positions[family] = end & 0xFFFF_FFFF_FFFF_FFFF
    if not is_physical:
        session.last_display = name
    return MemoryRows(name, tuple(rows), options.unknown, shape, line, is_physical)


def _refuse_extension(session: Session, name: str) -> None:
    """Raise CommandError where a command for virtual memory was called as an extension: `!du`.

    Users of WinDbg expect physical memory there, or nothing.
    """
    if session.line.startswith("!"):
        raise CommandError(f"No such extension: !{name}; {name} shows virtual memory, !db !dw !dd !dc !dq !dp physical")


def _start(session: Session, family: str) -> int:
    """Where a command without an address goes on; at first, virtual memory at the current instruction."""
    known = session.positions.get(family)
    if known is not None:
        return known
    return session.context.instruction_pointer if family == "d" else 0


_HELP = """Shows memory from an address on: {0} RANGE, where RANGE is `ADDRESS`, `ADDRESS L COUNT` or `ADDRESS END`.

Without a range it goes on behind what the last d command showed. `/c N` sets the units in a line, `/p` reads
physical memory. What
cannot be read is shown as question marks: the dump does not hold it, or it was paged out.
"""


def _register(name: str, shape: Format, summary: str) -> None:
    def show(session: Session, range: str = "") -> MemoryRows:
        _refuse_extension(session, name)
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
        summary=f"{SUMMARIES[name[1:]]}, of physical memory",
        arguments=(Text("range", "PHYSICAL ADDRESS [L COUNT | END]"),),
        render=memory_lines,
    )
    decorate(show)


for _name, _shape in FORMATS.items():
    _register(_name, _shape, SUMMARIES[_name])
for _name in ("db", "dw", "dd", "dc", "dq", "dp"):
    _register_physical(f"!{_name}", FORMATS[_name])


def _again_lines(result: object) -> Iterator[Line]:
    if isinstance(result, MemoryRows):
        return memory_lines(result)
    from dumpkit.commands.bits import Bits, bits_lines

    assert isinstance(result, Bits)
    return bits_lines(result)


@command(
    "d",
    category="Memory",
    summary="As the last d command, from where it ended",
    arguments=(Text("range", "ADDRESS [L COUNT | END]"),),
    render=_again_lines,
)
def display_again(session: Session, range: str = "") -> object:
    """Shows memory in the format of the last d command, bytes at first."""
    _refuse_extension(session, "d")
    name = session.last_display
    shape = FORMATS.get(name)
    if shape is None:
        # The binary displays have a module of their own.
        from dumpkit.commands.bits import show_bits

        return show_bits(session, name, range)
    return _show(session, name, shape, range)
