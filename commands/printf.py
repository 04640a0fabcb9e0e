"""`.printf`: text with numbers, symbols and strings of the target put into it."""

from __future__ import annotations

import re

from dumpkit.errors import DumpkitError, ExpressionError
from dumpkit.expression import parse_expression
from dumpkit.expression.tokens import skip_space
from dumpkit.numbers import quoted
from dumpkit.output import Line, Span, Unfinished
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Tuple

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "a": "\a", "f": "\f", "v": "\v", "0": "\0"}
_SPECIFICATION = re.compile(
    r"%(?P<flags>[-+ #0]*)(?P<width>\d+|\*)?(?:\.(?P<precision>\d+|\*))?"
    r"(?P<size>I64|I32|ll|l|hh|h|w|ms|m)?(?P<kind>.?)",
    re.DOTALL,
)
_INTEGERS = frozenset("diuxXo")
_STRINGS = frozenset("auMs")
_UNSUPPORTED = frozenset("sSn")
#: Characters of a string in the target that are shown.
_LONGEST = 4096
#: What stands for memory that cannot be read.
_UNREADABLE = "<Win32 error 0n30>"
_WIDEST = 1024

_TAG = re.compile(r'<(?:link|exec)\s+cmd="([^"]*)"[^>]*>(.*?)</(?:link|exec)>|</?[a-zA-Z][^>]*>', re.DOTALL)
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&"))


class Printed(Record):
    """What was printed; `text` may end within a line."""

    text: str
    _is_dml: bool = False


def printed_lines(result: Printed) -> Iterator[Line]:
    lines = result.text.split("\n")
    last = lines.pop()
    yield from (_marked(line) if result._is_dml else line for line in lines)
    if last:
        yield Unfinished(_bare(last) if result._is_dml else last)


def _bare(text: str) -> str:
    """Marked text without its marks."""
    text = _TAG.sub(lambda match: match.group(2) or "", text)
    for entity, character in _ENTITIES:
        text = text.replace(entity, character)
    return text


def _marked(line: str) -> Line:
    """A line of marked text: its links as links, other marks left out."""
    pieces: List[Span] = []
    position = 0
    for match in _TAG.finditer(line):
        if match.group(2) is None:
            continue
        pieces += [
            Span(_bare(line[position : match.start()])),
            Span(_bare(match.group(2)), None, _bare(match.group(1))),
        ]
        position = match.end()
    return (*pieces, Span(_bare(line[position:])))


def _read_format(text: str, position: int) -> Tuple[str, int]:
    """The text in the double quotes at a place, its escapes read, and the place behind them."""
    pieces: List[str] = []
    place = position + 1
    while place < len(text) and text[place] != '"':
        character = text[place]
        place += 1
        if character == "\\" and place < len(text):
            character = text[place]
            place += 1
            if character == "x":
                digits = re.compile("[0-9A-Fa-f]{1,4}").match(text, place)
                character = chr(int(digits.group(), 16)) if digits else "x"
                place = digits.end() if digits else place
            else:
                character = _ESCAPES.get(character, character)
        pieces.append(character)
    if place >= len(text):
        raise ExpressionError("Trailing quote missing", len(text), text, caret=True)
    return "".join(pieces), place + 1


class _Printer:
    """Fills one format with the expressions behind it."""

    def __init__(self, session: Session, text: str, position: int) -> None:
        self.session = session
        self.text = text
        self.position = position

    def fail(self, kind: str) -> ExpressionError:
        return ExpressionError(kind, self.position, self.text, caret=True)

    def argument(self) -> int:
        """The value of the next expression, behind its comma."""
        self.position = skip_space(self.text, self.position)
        if self.text[self.position : self.position + 1] != ",":
            raise self.fail("Comma expected")
        value, self.position = parse_expression(self.text, self.session.scope, self.position + 1)
        return value

    def filled(self, format: str) -> str:
        """The text. Raises ExpressionError, what was printed before it in `found`."""
        pieces: List[str] = []
        position = 0
        for match in _SPECIFICATION.finditer(format):
            pieces.append(format[position : match.start()])
            position = match.end()
            try:
                pieces.append(self._one(match))
            except ExpressionError as error:
                error.found = Printed("".join(pieces))
                raise
        return "".join([*pieces, format[position:]])

    def _one(self, match: re.Match[str]) -> str:
        kind, size = match["kind"], match["size"] or ""
        if match.group() == "%%":
            return "%"
        if kind in _UNSUPPORTED and size not in ("m", "ms"):
            raise self.fail("Unsupported format type")
        width, precision = self._count(match["width"]), self._count(match["precision"])
        value = self.argument()
        flags = match["flags"]
        if size in ("m", "ms") and kind in _STRINGS:
            return self._string(value, size, kind)
        if kind == "y":
            return self._symbol(value, size)
        layout = flags + (str(width) if width else "") + (f".{precision}" if match["precision"] else "")
        if kind in _INTEGERS:
            return _integer(value, layout, size, kind)
        if kind in "pN" and kind:
            digits = format(value, "016x") if width is None else format(value, "x")
            return self._padded(digits.upper() if kind == "N" else digits, flags, width)
        if kind in "cC" and kind:
            return self._padded(chr(value & (0xFF if kind == "c" else 0xFFFF)), flags, width)
        if kind in "feEgG" and kind:
            from struct import pack, unpack

            return f"%{layout}{kind}" % unpack("<d", pack("<Q", value))
        raise self.fail("Unknown format control character")

    def _count(self, text: str) -> int:
        """A width or precision, * being the next argument's; None where it is not given."""
        if not text:
            return None  # type: ignore[return-value]
        return min(self.argument() if text == "*" else int(text), _WIDEST)

    @staticmethod
    def _padded(text: str, flags: str, width: int) -> str:
        if not width:
            return text
        return text.ljust(width) if "-" in flags else text.rjust(width, "0" if "0" in flags else " ")

    def _symbol(self, address: int, size: str) -> str:
        symbols = self.session.dump.symbols
        place = symbols.nearest(address)
        shown = f"{place} ({quoted(address)})" if place is not None else quoted(address)
        line = symbols.source_line(address) if size == "l" and place is not None else None
        return f"{shown} [{line.file} @ {line.line}]" if line is not None else shown

    def _string(self, address: int, size: str, kind: str) -> str:
        """The string at an address, or that of the ANSI_STRING or UNICODE_STRING there."""
        memory = self.session.dump.memory
        unit, limit = (2 if kind == "u" else 1), _LONGEST
        try:
            if size == "ms":
                header = memory.read(address, 16)
                limit = int.from_bytes(header[:2], "little") // unit
                address = int.from_bytes(header[8:], "little")
            data = memory.read_prefix(address, limit * unit)
        except DumpkitError:
            return _UNREADABLE
        if limit and not data:
            return _UNREADABLE
        text = data[: len(data) // unit * unit].decode("utf-16-le" if unit == 2 else "cp1252", "replace")
        return text.partition("\0")[0]


def _integer(value: int, layout: str, size: str, kind: str) -> str:
    """A number as C prints it: 32 bits of it, or as many as its size says."""
    bits = {"I64": 64, "h": 16, "hh": 16}.get(size, 32)
    value &= (1 << bits) - 1
    if kind in "di" and value >> (bits - 1):
        value -= 1 << bits
    if kind == "o":
        # Octal has the prefix 0 in C and 0o here.
        return f"%{layout.replace('#', '')}o" % value
    return f"%{layout}{'d' if kind in 'iu' else kind}" % value


@command(
    ".printf",
    category="Session",
    summary="Prints numbers, symbols and strings in a format",
    arguments=(Text("text", '[/D] "FORMAT" [, EXPRESSION, ...]'),),
    render=printed_lines,
    needs_target=False,
    raw=True,
)
def printf(session: Session, text: str = "") -> Printed:
    """Prints a text, with expressions put in for what begins with a %: .printf "%p: %d\\n", @rsp, 5.

    %d %i %u %x %X %o 32 bits of a number   %I64d and the like 64   %hd and the like 16
    %p %N an address     %y %ly its symbol, and source line     %c a character     %f %e %g a double
    %ma %mu the string there, of bytes or UTF-16     %msa %msu that of an ANSI_STRING or UNICODE_STRING

    /D reads <link cmd="COMMAND">TEXT</link> as a link.
    """
    position = skip_space(text, 0)
    is_dml = False
    while text[position : position + 1] == "/":
        option = text[position + 1 : position + 2]
        if option not in ("D", "o"):
            raise ExpressionError("Syntax error", position + 1, text, caret=True)
        is_dml = is_dml or option == "D"
        while position < len(text) and text[position] not in " \t":
            position += 1
        position = skip_space(text, position)
    if text[position : position + 1] != '"':
        raise ExpressionError("Quotes required", position, text, caret=True)
    form, position = _read_format(text, position)
    if not form:
        raise ExpressionError("Non-empty string required", position - 1, text, caret=True)
    printer = _Printer(session, text, position)
    shown = printer.filled(form)
    session.refuse_surplus(text, printer.position)
    return Printed(shown, is_dml)
