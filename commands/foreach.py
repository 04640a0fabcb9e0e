"""What `.foreach` goes through: the words of other commands' output, of a text, or of a file."""

from __future__ import annotations

from pathlib import Path

from dumpkit.aliases import replaced
from dumpkit.command_line import read_block
from dumpkit.errors import CommandError, DumpkitError, ExpressionError
from dumpkit.expression.tokens import skip_space
from dumpkit.named_tuple import NamedTuple
from dumpkit.output import plain
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Tuple

#: No file of words is larger, in bytes.
_LARGEST = 64 << 20


class Foreach(NamedTuple):
    """A call of `.foreach`."""

    #: What stands for a word in the body.
    name: str
    #: "command", "text" or "file", and which.
    kind: str
    source: str
    body: str
    #: Words left out at first, and behind each that is taken.
    first: int
    between: int
    #: The place behind it.
    end: int


def _fail(text: str, position: int) -> ExpressionError:
    return ExpressionError("Syntax error", position, text, caret=True)


def read_foreach(session: Session, text: str) -> Foreach:
    """Read the arguments of `.foreach`. Raises ExpressionError."""
    kind, first, between, position = _read_options(session, text)
    if text[position : position + 1] != "(":
        raise _fail(text, position)
    start = end = skip_space(text, position + 1)
    while end < len(text) and text[end] not in ' \t{(")':
        end += 1
    name = text[start:end]
    if not name:
        raise _fail(text, start)
    if kind == "command":
        source, end = read_block(text, end)
    else:
        source, end = _read_quoted(text, skip_space(text, end))
    end = skip_space(text, end)
    if text[end : end + 1] != ")":
        raise _fail(text, end)
    body, end = read_block(text, end + 1)
    return Foreach(name, kind, source, body, first, between, end)


def _read_options(session: Session, text: str) -> Tuple[str, int, int, int]:
    kind, first, between = "command", 0, 0
    position = skip_space(text, 0)
    while text[position : position + 1] == "/":
        option = text[position + 1 : position + 3]
        if option in ("pS", "ps"):
            start = skip_space(text, position + 3)
            position = next((place for place in range(start, len(text)) if text[place] in " \t("), len(text))
            value = session.evaluate(text[start:position])
            first, between = (value, between) if option == "pS" else (first, value)
        elif option[:1] in ("s", "f"):
            kind = "text" if option[0] == "s" else "file"
            position += 2
        else:
            raise _fail(text, position + 1)
        position = skip_space(text, position)
    return kind, first, between, position


def _read_quoted(text: str, position: int) -> Tuple[str, int]:
    if text[position : position + 1] == '"':
        end = text.find('"', position + 1)
        if end > 0:
            return text[position + 1 : end], end + 1
    else:
        end = text.find(")", position)
        if end > position:
            return text[position:end].strip(), end
    raise _fail(text, position)


def _words(session: Session, wanted: Foreach) -> List[str]:
    if wanted.kind == "text":
        return wanted.source.split()
    if wanted.kind == "file":
        session.refuse_if_confined("read a file")
        try:
            path = Path(wanted.source).expanduser()
            if path.stat().st_size > _LARGEST:
                raise CommandError(f".foreach: {wanted.source} is larger than {_LARGEST >> 20} MB")
            return path.read_text(encoding="utf-8", errors="replace").split()
        except OSError as error:
            raise CommandError(f"Unable to read file content {wanted.source}: {error.strerror}") from error
    lines: List[str] = []
    try:
        lines.extend(plain(line) for line in session.commands.block(wanted.source))
    except DumpkitError as error:
        # The debugger is silent about it; the words so far are gone through.
        session.report(error)
    return " ".join(lines).split()


def foreach_lines(session: Session, wanted: Foreach) -> Iterator[str]:
    """The block for each word, the name replaced by it."""
    for word in _words(session, wanted)[wanted.first :: wanted.between + 1]:
        yield replaced(wanted.body, {wanted.name: word})
