"""`!strings`: the readable text of a module or of a range of memory."""

from __future__ import annotations

from array import array
from functools import partial
from itertools import compress
from sys import byteorder

from dumpkit.commands.imports import chosen_module
from dumpkit.errors import CommandError
from dumpkit.expression import parse_range
from dumpkit.forked import in_order
from dumpkit.kernel.strings import (
    SHORTEST,
    SLICE,
    FoundString,
    Part,
    Piece,
    StringSearch,
    memory_pieces,
    module_pieces,
    slices,
    unread,
)
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Option, Switch, Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable, Iterator, Optional, Sequence

_USAGE = "strings [-n MIN] [-a | -u] -m MODULE | START END | START L COUNT"
#: What a command without END or COUNT looks through, in bytes.
_DEFAULT = 0x1000


class Strings(Record):
    """The strings of a range of virtual addresses, found while they are gone through."""

    module: Optional[str]
    start: Hex
    #: Bytes.
    size: Hex
    #: Characters.
    minimum: int
    strings: Iterable[FoundString]
    #: Why none of the range can be read, where that is so.
    problem: Optional[str] = None
    #: The searches of its parts, for those who show all of them.
    _parts: Sequence[StringSearch] = ()


def strings_lines(result: Strings) -> Iterator[Line]:
    if result.problem is not None:
        yield (Span(f"Nothing of it can be read: {result.problem}", "warning"),)
    parts = result._parts
    for text in in_order(lambda number: "".join(map(_text, parts[number].parts())).encode(), len(parts)):
        if text:
            yield from text[:-1].decode().split("\n")


def _text(part: Part) -> str:
    """The lines of a part of memory, made together: a loop over hundreds of thousands would take twice as long.

    White space at the end of a string is left out, a line end in it begins a new line. A carriage return that
    begins no line end is shown as \\r, one that does as a line of its own.
    """
    addresses, texts = part.addresses, part.texts
    if part.wide:
        places = part.places()
        addresses, texts = [address for address, _ in places], [text for _, text in places]
    texts = [text.rstrip() for text in texts]
    if not all(texts):
        addresses, texts = list(compress(addresses, texts)), list(filter(None, texts))
    if not texts:
        return ""
    numbers = array("Q", addresses)
    if byteorder == "little":
        numbers.byteswap()
    # An address, a space, a text, a line end, and so on.
    pieces = ["\n"] * (4 * len(texts))
    pieces[0::4] = numbers.tobytes().hex(" ", 8).split(" ")
    pieces[1::4] = [" "] * len(texts)
    pieces[2::4] = texts
    lines = "".join(pieces)
    return lines.replace("\r\n", "\n\n").replace("\r", "\\r") if "\r" in lines else lines


@command(
    "strings",
    category="Memory",
    summary="The readable text of a module or a range",
    arguments=(
        Option("module", ("-m",), "the module to look through: its name, or an address in it", holds="module"),
        Option("minimum", ("-n",), "the fewest characters of a string (5)"),
        Switch("ascii", ("-a",), "ASCII only"),
        Switch("wide", ("-u",), "UTF-16 only"),
        Text("range", "START END, or START L COUNT"),
    ),
    render=strings_lines,
)
def strings(
    session: Session,
    range: str = "",
    module: Optional[str] = None,
    minimum: Optional[str] = None,
    ascii: bool = False,
    wide: bool = False,
) -> Strings:
    r"""Shows the strings of a module (-m) or of a range of addresses, with their addresses.

    A string is a run of at least five (-n) printable characters, tabs and line ends, in ASCII or UTF-16; its
    white space at the end is left out. A carriage return that no line feed follows is shown as \r. What memory
    lacks of a module is read from the image's file, where the symbol path leads to it.
    """
    target = session.dump
    least = _minimum(minimum)
    if ascii and wide:
        raise CommandError("strings: -a and -u exclude each other", _USAGE)
    pieces: Callable[[int, int], Iterator[Piece]]
    problem: Optional[str] = None
    if module is not None:
        if range:
            raise CommandError(f"strings: -m MODULE or a range, not both: '{range}'", _USAGE)
        chosen = chosen_module(session, module, "strings")
        name, start, size = chosen.name, chosen.base, chosen.size
        pieces = partial(module_pieces, target, chosen)
        image, is_missing = target.image(chosen), unread(target, start, size) is not None
        # The file of a large module is found, or even fetched, here: not by each of the processes that need it.
        file = image.file if is_missing or size > SLICE else None
        problem = image.missing if is_missing and file is None else None
    elif range:
        name = None
        start, size = parse_range(range, session.scope, _DEFAULT, 1)
        pieces = partial(memory_pieces, target.memory)
        problem = unread(target, start, size)
    else:
        raise CommandError("strings: MODULE or a range is missing", _USAGE)
    search = partial(StringSearch, minimum=least, ascii=ascii or not wide, wide=wide or not ascii)
    parts = [search(part) for part in slices(pieces, start, size)]
    return Strings(name, Hex(start), Hex(size), least, search(partial(pieces, start, size)), problem, parts)


def _minimum(text: Optional[str]) -> int:
    """The fewest characters, in decimal as everywhere where strings are looked for."""
    if text is None:
        return SHORTEST
    if not text.isdigit() or not 0 < int(text) <= 0x1000:
        raise CommandError(f"strings: '{text}' is no number of characters from 1 to 4096", _USAGE)
    return int(text)
