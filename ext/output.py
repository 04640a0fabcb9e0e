"""How results reach people and programs: lines of text, colour, DML and JSON."""

from __future__ import annotations

from _collections_abc import Iterable
from itertools import islice

from dumpkit.errors import UnwritableError
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Optional, Sequence, SupportsInt, TextIO, Union

    from typing_extensions import TypeAlias


class Span(NamedTuple):
    """A piece of a line with a meaning: `style` names it, `command` is what a click on it runs."""

    text: str
    style: Optional[str] = None
    command: Optional[str] = None


#: A line of output without its line end. Most are plain strings.
Line: TypeAlias = "Union[str, Sequence[Union[str, Span]]]"


class Unfinished(str):
    """The last line of a command's output where it has no line end: what is shown next goes on behind it."""

    __slots__ = ()


class Hex(int):
    """A number that people read in hexadecimal: an address, a register, a code. JSON and `repr` give it as "0x…"."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{self:#x}"

    __str__ = int.__repr__


def hex_or_none(value: Optional[SupportsInt]) -> Optional[Hex]:
    """A number as Hex; what is not known, None, stays None."""
    return None if value is None else Hex(int(value))


#: ANSI SGR codes by style.
STYLES = {
    "address": "36",
    "symbol": "33",
    "heading": "1",
    "good": "32",
    "warning": "33",
    "error": "31",
    "dim": "2",
    "changed": "31",
    "prompt": "1;34",
}

#: Lines that are written together.
_AT_ONCE = 256

#: What must not reach a terminal from a dump's memory: C0 and C1 controls but tab.
_CONTROLS = dict.fromkeys((*range(9), *range(0x0B, 0x20), *range(0x7F, 0xA0)), ".")


def printable(text: str) -> str:
    """The text with control characters, which a hostile dump could use on a terminal, shown as dots."""
    # Nearly every line has none, and is asked cheaply.
    return text if text.isprintable() else text.translate(_CONTROLS)


def plain(line: Line) -> str:
    """A line as bare text."""
    if isinstance(line, str):
        return printable(line)
    return printable("".join(piece if isinstance(piece, str) else piece.text for piece in line))


def _are_shown_as_they_are(lines: Sequence[Line]) -> bool:
    """Whether lines are plain text without any control character but tab: asked for all together, which is cheaper."""
    try:
        return "".join(lines).replace("\t", "").isprintable()  # type: ignore[arg-type]
    except TypeError:
        # One has pieces.
        return False


def ansi(line: Line) -> str:
    """A line with the colours of a terminal."""
    if isinstance(line, str):
        return printable(line)
    pieces: List[str] = []
    for piece in line:
        if isinstance(piece, str):
            pieces.append(printable(piece))
        else:
            code = STYLES.get(piece.style or "")
            text = printable(piece.text)
            pieces.append(f"\x1b[{code}m{text}\x1b[0m" if code and text else text)
    return "".join(pieces)


def dml(line: Line) -> str:
    """A line in the Debugger Markup Language: commands become links."""
    pieces = (line,) if isinstance(line, str) else line
    parts: List[str] = []
    for piece in pieces:
        span = Span(piece) if isinstance(piece, str) else piece
        text = _escape(printable(span.text))
        parts.append(f'<link cmd="{_escape(span.command)}">{text}</link>' if span.command else text)
    return "".join(parts)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def data(value: Any) -> Any:
    """A result as JSON can hold it: dataclasses and named tuples as objects, `Hex` and bytes as hex strings."""
    if value is None or isinstance(value, (bool, str, float)):
        return value
    if isinstance(value, Hex):
        return f"0x{value:x}" if value >= 0 else f"-0x{-value:x}"
    if isinstance(value, int):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    names = getattr(value, "_fields", None)
    if names is None:
        names = getattr(value, "__dataclass_fields__", None)
    if names is not None:
        return {name: data(getattr(value, name)) for name in names if not name.startswith("_")}
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(data(key)): data(item) for key, item in value.items()}
    # What is found while it is gone through counts as a list, too.
    if isinstance(value, Iterable):
        return [data(item) for item in value]
    return str(value)


class Output:
    """Where a session's lines go: a stream, and a log beside it while one is open."""

    def __init__(self, stream: TextIO, colour: bool = False) -> None:
        self.stream = stream
        self.colour = colour
        self.log: Optional[TextIO] = None
        #: Whether the last line shown is unfinished.
        self.is_within_line = False

    def line(self, line: Line) -> None:
        """Write one line."""
        self._write((line,))

    def lines(self, lines: Iterable[Line]) -> None:
        """Write lines, some at a time: a write for each would cost more than making it."""
        iterator = iter(lines)
        while True:
            some: List[Line] = []
            try:
                some.extend(islice(iterator, _AT_ONCE))
            finally:
                # What was made before an error is not lost by it.
                self._write(some)
            if len(some) < _AT_ONCE:
                return

    def _write(self, lines: Sequence[Line]) -> None:
        show = ansi if self.colour else plain
        shown = lines if _are_shown_as_they_are(lines) else [show(line) for line in lines]
        try:
            # All of them are strings.
            self.stream.write("\n".join([*shown, ""])[: self._to_end(lines)])  # type: ignore[list-item]
            if self.log is not None:
                self.log.write("".join([plain(line) + "\n" for line in lines])[: self._to_end(lines)])
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritable(error) from error

    def _to_end(self, lines: Sequence[Line]) -> Optional[int]:
        """Where the text of some lines is cut: before the line end of an unfinished one."""
        if lines:
            self.is_within_line = type(lines[-1]) is Unfinished
        return -1 if self.is_within_line and lines else None

    def flush(self) -> None:
        """Let everything written so far be seen, an unfinished line ended. A full disk may be noticed here only."""
        if self.is_within_line:
            self._write(("",))
        try:
            self.stream.flush()
            if self.log is not None:
                self.log.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritable(error) from error


def _unwritable(error: OSError) -> UnwritableError:
    return UnwritableError(f"Cannot write output: {error.strerror or error}")


def linked_table(rows: Sequence[Sequence[Line]], right: Sequence[int] = (), indent: str = "") -> Iterator[Line]:
    """As `table`, of cells that may have meanings and links in them, each line behind `indent`."""
    if not rows:
        return
    texts = [[plain(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in texts) for column in range(len(texts[0]))]
    last = len(widths) - 1
    for row, text in zip(rows, texts):
        pieces: List[Union[str, Span]] = [indent]
        for column, cell in enumerate(row):
            padding = " " * (widths[column] - len(text[column]))
            if column in right:
                pieces.append(padding)
            pieces += [cell] if isinstance(cell, str) else cell
            if column != last:
                pieces.append(" " if column in right else padding + " ")
        yield tuple(pieces)


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = (), gap: str = " ") -> Iterator[str]:
    """Rows in columns as mex prints them: each as wide as its widest cell, the last one not padded.

    `right` names the columns (from 0) that are right-aligned.
    """
    if not rows:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    last = len(widths) - 1
    for row in rows:
        cells = []
        for column, cell in enumerate(row):
            if column in right:
                cells.append(cell.rjust(widths[column]))
            else:
                cells.append(cell if column == last else cell.ljust(widths[column]))
        yield gap.join(cells)
