"""`as`, `aS`, `al`, `ad`: names that stand for text in what is typed behind them."""

from __future__ import annotations

from pathlib import Path

from dumpkit.arguments import take_word
from dumpkit.commands.printf import printf
from dumpkit.errors import CommandError, ExpressionError
from dumpkit.expression import parse_expression
from dumpkit.expression.tokens import skip_space
from dumpkit.output import plain
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator

_STRINGS = ("ma", "mu", "msa", "msu")
#: No alias is read from a larger file, in bytes.
_LARGEST = 1 << 20


class AliasList(Record):
    """The aliases by name."""

    aliases: Dict[str, str]


def alias_lines(result: AliasList) -> Iterator[str]:
    if not result.aliases:
        yield "No aliases"
        return
    yield "  Alias            Value  "
    yield " -------          ------- "
    for name in sorted(result.aliases):
        yield f" {name:<16} {result.aliases[name]} "


def _value(session: Session, option: str, name: str, rest: str, text: str) -> str:
    """What an alias stands for. Raises DumpkitError."""
    if option == "x":
        value, end = parse_expression(rest, session.scope)
        session.refuse_surplus(rest, end)
        return f"0x{value:x}"
    if option == "c":
        return "\n".join(plain(line) for line in session.commands.block(rest))
    if option in _STRINGS:
        shown = printf(session, f'"%{option}", {rest}').text
        if shown.startswith("<Win32 error"):
            raise ExpressionError("Memory access error", len(text), text, caret=True)
        return shown
    if option in ("e", "f"):
        session.refuse_if_confined("read a file or the environment")
    if option == "e":
        import os

        if rest.strip() not in os.environ:
            raise ExpressionError("No information found error", len(text), text, caret=True)
        return os.environ[rest.strip()]
    if option == "f":
        try:
            path = Path(rest.strip().strip('"')).expanduser()
            if path.stat().st_size > _LARGEST:
                raise CommandError(f"as: {path} is larger than {_LARGEST >> 20} MB")
            return path.read_text(encoding="utf-8", errors="replace").rstrip()
        except OSError as error:
            raise CommandError(f"as: {rest.strip()} cannot be read: {error.strerror}") from error
    return rest


def _define(session: Session, text: str = "") -> None:
    option = ""
    rest = text
    if text.startswith("/"):
        option, rest = text[1:].partition(" ")[0], text[1:].partition(" ")[2].lstrip()
        if option not in ("x", "c", "e", "f", *_STRINGS):
            raise ExpressionError("Syntax error", 1, text, caret=True)
    name, _, value = rest.partition(" ")
    if not name or not value.strip():
        raise ExpressionError("Syntax error", len(text), text, caret=True)
    session.aliases.named[name] = _value(session, option, name, value.strip(), text)


_HELP = """Makes a name stand for a text in what is typed from now on: {0} NAME TEXT.

The name is replaced where it stands alone, and as ${{NAME}} anywhere; in a block, in braces, when that is run.

/x EXPRESSION a number      /c COMMANDS what they print      /ma /mu ADDRESS the string there
/msa /msu ADDRESS that of an ANSI_STRING or UNICODE_STRING      /e an environment variable      /f a file
{1}
"""


def _register(name: str, end: str) -> None:
    def define(session: Session, text: str = "") -> None:
        _define(session, text)

    define.__doc__ = _HELP.format(name, end)
    command(
        name,
        category="Session",
        summary="Makes a name stand for a text",
        arguments=(Text("text", "[/x|/c|/ma|/mu|/msa|/msu|/e|/f] NAME TEXT", holds="nothing"),),
        needs_target=False,
        silent=True,
        raw=True,
    )(define)


_register("as", "The text goes to the end of the line.")
_register("aS", "The text ends at a semicolon.")


@command(
    "al", category="Session", summary="The aliases", render=alias_lines, needs_target=False, arguments=(), raw=False
)
def al(session: Session) -> AliasList:
    """Lists the names that as and aS defined, and what they stand for."""
    return AliasList(dict(session.aliases.named))


@command(
    "ad",
    category="Session",
    summary="Deletes an alias",
    arguments=(Text("name", "[/q] NAME or *", holds="nothing"),),
    needs_target=False,
    silent=True,
    raw=True,
)
def ad(session: Session, name: str = "") -> None:
    """Deletes an alias, or with * all of them; /q says nothing of one that is not there."""
    text = name
    is_quiet = text.startswith("/q")
    word, rest = take_word(text[2:] if is_quiet else text)
    if not word:
        raise ExpressionError("Syntax error", len(text), text, caret=True)
    named = session.aliases.named
    if word == "*":
        named.clear()
    elif named.pop(word, None) is None and not is_quiet:
        raise ExpressionError("No information found error", len(text) - len(rest), text, caret=True)
    session.refuse_surplus(text, skip_space(text, len(text) - len(rest)))
