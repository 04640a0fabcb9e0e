"""`dyb`, `dyd`: memory in binary; `dl`: a list, entry by entry."""

from __future__ import annotations

from dumpkit.errors import CommandError, ExpressionError
from dumpkit.expression import parse_expression, read_range
from dumpkit.numbers import quoted
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

_WIDEST_LINE = 0x100
_MOST_UNITS = 1 << 16
_HEADINGS = {
    1: ("                   " + " ".join(["76543210"] * 4), "                   " + " ".join(["--------"] * 4)),
    4: (
        "                    3          2          1          0",
        "                   10987654 32109876 54321098 76543210",
        "                   " + " ".join(["--------"] * 4),
    ),
}


class BitRow(Record):
    """A line of memory; a value that cannot be read is None."""

    address: Hex
    values: Tuple[Optional[Hex], ...]


class Bits(Record):
    """Memory in binary."""

    unit: int
    rows: Tuple[BitRow, ...]
    _line: int = 4


def bits_lines(result: Bits) -> Iterator[Line]:
    yield from ((Span(line, "heading"),) for line in _HEADINGS[result.unit])
    digits = 2 * result.unit
    for row in result.rows:
        binary = " ".join(_binary(value, result.unit) for value in row.values)
        numbers = " ".join(f"{value:0{digits}x}" if value is not None else "?" * digits for value in row.values)
        yield f"{quoted(row.address)}  {binary:<{9 * result.unit * result._line - 1}}  {numbers}"


def _binary(value: Optional[Hex], unit: int) -> str:
    if value is None:
        return " ".join(["????????"] * unit)
    return " ".join(f"{byte:08b}" for byte in value.to_bytes(unit, "big"))


def show_bits(session: Session, name: str, text: str) -> Bits:
    """What dyb or dyd shows. Raises DumpkitError."""
    unit = 1 if name == "dyb" else 4
    line = 4 if unit == 1 else 1
    if text.startswith("/c"):
        line, text = session.evaluate_prefix(text[2:].lstrip())
        text = text.lstrip()
        if not 0 < line <= _WIDEST_LINE:
            raise CommandError(f"{name}: {line} columns are more than {_WIDEST_LINE}, or none")
    start = session.positions.get("d") if not text else None
    if not text and start is None:
        start = session.context.instruction_pointer
    wanted = read_range(text, session.scope, 0x20 if unit == 1 else 8, unit, default_start=start)
    session.refuse_surplus(wanted.text or text, wanted.end)
    if wanted.count > _MOST_UNITS:
        raise CommandError(f"{name}: {wanted.count:,} units are more than can be shown at once ({_MOST_UNITS:,})")
    memory = session.dump.memory
    values: List[Optional[Hex]] = []
    for at in range(wanted.count):
        data = memory.read_prefix((wanted.start + at * unit) & 0xFFFF_FFFF_FFFF_FFFF, unit)
        values.append(Hex(int.from_bytes(data, "little")) if len(data) == unit else None)
    session.positions["d"] = (wanted.start + wanted.count * unit) & 0xFFFF_FFFF_FFFF_FFFF
    session.last_display = name
    rows = [BitRow(Hex(wanted.start + at * unit), tuple(values[at : at + line])) for at in range(0, wanted.count, line)]
    return Bits(unit, tuple(rows), line)


_HELP = """Shows memory in binary, the bits of each number above them: {0} RANGE; /c N sets how many stand in a line."""


def _register(name: str, summary: str) -> None:
    def show(session: Session, range: str = "") -> Bits:
        return show_bits(session, name, range)

    show.__doc__ = _HELP.format(name)
    command(
        name,
        category="Memory",
        summary=summary,
        arguments=(Text("range", "ADDRESS [L COUNT | END]"),),
        render=bits_lines,
        glued=True,
    )(show)


_register("dyb", "Bytes in binary")
_register("dyd", "32-bit words in binary")


# --- Lists -------------------------------------------------------------------

#: Entries shown where no number is given, and words of each.
_ENTRIES, _WORDS = 0x20, 4
_MOST_ENTRIES, _MOST_WORDS = 0x10000, 0x1000


class ListEntry(Record):
    """An entry of a list: its virtual address, and the words there."""

    address: Hex
    words: Tuple[Optional[Hex], ...]


class ListEntries(Record):
    """The entries of a list in its order."""

    entries: Tuple[ListEntry, ...]


def list_lines(result: ListEntries) -> Iterator[Line]:
    for entry in result.entries:
        for at in range(0, len(entry.words), 2):
            words = " ".join(quoted(word) if word is not None else _MISSING for word in entry.words[at : at + 2])
            yield (Span(quoted(entry.address + 8 * at), "address"), f"  {words}")


_MISSING = "????????`????????"


def _walk(session: Session, text: str, link: int) -> ListEntries:
    address, position = parse_expression(text, session.scope, 0, "Address expression missing from")
    numbers = [_ENTRIES, _WORDS]
    for index in range(2):
        if text[position:].strip():
            numbers[index], position = parse_expression(text, session.scope, position)
    session.refuse_surplus(text, position)
    if not (0 < numbers[0] <= _MOST_ENTRIES and 0 < numbers[1] <= _MOST_WORDS):
        raise ExpressionError("Overflow error", position, text, caret=True)
    memory = session.dump.memory
    entries: List[ListEntry] = []
    seen = set()
    while len(entries) < numbers[0] and address not in seen:
        following = memory.u64_optional(address + link)
        if following is None:
            break
        seen.add(address)
        words = [memory.u64_optional((address + 8 * at) & 0xFFFF_FFFF_FFFF_FFFF) for at in range(numbers[1])]
        entries.append(ListEntry(Hex(address), tuple(Hex(word) if word is not None else None for word in words)))
        address = following
    return ListEntries(tuple(entries))


_LIST_HELP = """Follows a list of LIST_ENTRY or SINGLE_LIST_ENTRY from an address on, and shows the words of each entry.

{0} ADDRESS [ENTRIES [WORDS]]: 20 entries and 4 words of each at most where nothing is said. It ends where the list
comes back to an entry, or leads to memory that the dump does not hold. dl goes forwards, dlb backwards.
"""


def _register_list(name: str, link: int, summary: str) -> None:
    def walk(session: Session, text: str = "") -> ListEntries:
        return _walk(session, text, link)

    walk.__doc__ = _LIST_HELP.format(name)
    command(
        name,
        category="Memory",
        summary=summary,
        arguments=(Text("text", "ADDRESS [ENTRIES [WORDS]]"),),
        render=list_lines,
        raw=True,
    )(walk)


_register_list("dl", 0, "A list, entry by entry")
_register_list("dlb", 8, "A list backwards, entry by entry")
