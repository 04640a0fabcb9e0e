"""`!strings`: the readable text of a module or of a range of memory."""

from __future__ import annotations

from typing import Callable, Dict, Iterable, Iterator, Optional

from dumpkit.commands.imports import chosen_module
from dumpkit.errors import CommandError
from dumpkit.expression import parse_range
from dumpkit.kernel.strings import (
    SHORTEST,
    FoundString,
    Piece,
    StringSearch,
    memory_pieces,
    module_pieces,
    unread,
)
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Option, Switch, Text, command
from dumpkit.session import Session

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


class _Pages(Dict[int, str]):
    """The digits of addresses but their last three, by page: formatting them anew for each string would cost most."""

    def __missing__(self, page: int) -> str:
        self.clear()
        digits = self[page] = f"{page:013x}"
        return digits


#: Characters before the text of a line.
_BEFORE = 17


def _tidied(line: str) -> Iterator[str]:
    """The lines of one with white space at its end or line ends in it, none where there is nothing else.

    A carriage return that begins no line end is shown as \\r, one that does as a line of its own.
    """
    line = line.rstrip()
    if len(line) > _BEFORE:
        yield from line.replace("\r\n", "\n\n").replace("\r", "\\r").split("\n")


def strings_lines(result: Strings) -> Iterator[Line]:
    if result.problem is not None:
        yield (Span(f"Nothing of it can be read: {result.problem}", "warning"),)
    search = result.strings
    assert isinstance(search, StringSearch)
    pages = _Pages()
    last = [f"{offset:03x} " for offset in range(0x1000)]
    for part in search.parts():
        if part.wide or part.signatures:
            lines = [pages[address >> 12] + last[address & 0xFFF] + text for address, text in part.places()]
        else:
            base, text = part.base, part.text
            lines = [
                pages[(address := base + run.start()) >> 12] + last[address & 0xFFF] + text[run.start() : run.end()]
                for run in part.runs
            ]
        for line in lines:
            if line.isprintable() and line[-1] != " ":
                yield line
            else:
                yield from _tidied(line)


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
    pieces: Callable[[], Iterator[Piece]]
    problem: Optional[str] = None
    if module is not None:
        if range:
            raise CommandError(f"strings: -m MODULE or a range, not both: '{range}'", _USAGE)
        chosen = chosen_module(session, module, "strings")
        name, start, size = chosen.name, chosen.base, chosen.size
        pieces = lambda: module_pieces(target, chosen)  # noqa: E731
        if unread(target, start, size) is not None and target.image(chosen).file is None:
            problem = target.image(chosen).missing
    elif range:
        name = None
        start, size = parse_range(range, session.scope, _DEFAULT, 1)
        pieces = lambda: memory_pieces(target.memory, start, size)  # noqa: E731
        problem = unread(target, start, size)
    else:
        raise CommandError("strings: MODULE or a range is missing", _USAGE)
    search = StringSearch(pieces, least, ascii or not wide, wide or not ascii)
    return Strings(name, Hex(start), Hex(size), least, search, problem)


def _minimum(text: Optional[str]) -> int:
    """The fewest characters, in decimal as everywhere where strings are looked for."""
    if text is None:
        return SHORTEST
    if not text.isdigit() or not 0 < int(text) <= 0x1000:
        raise CommandError(f"strings: '{text}' is no number of characters from 1 to 4096", _USAGE)
    return int(text)
