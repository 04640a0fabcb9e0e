"""`.if .for .while .do .foreach .block .catch j z`: commands that run others, or leave them out."""

from __future__ import annotations

from dumpkit.command_line import read_block
from dumpkit.commands.foreach import foreach_lines, read_foreach
from dumpkit.errors import CommandError, DumpkitError, ExpressionError
from dumpkit.expression import parse_expression, refuse_surplus
from dumpkit.expression.evaluator import MISSING
from dumpkit.expression.tokens import skip_space
from dumpkit.output import Line, Span
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable, Iterator, List, Optional, Tuple

#: A loop that goes on longer never ends, as a rule.
MOST_ROUNDS = 1 << 20


class Left(ExpressionError):
    """What `.break`, `.continue` and `.leave` raise: an error only where nothing that they could leave is around."""

    def within(self, line: str, start: int, end: Optional[int] = None) -> ExpressionError:
        """Itself: the line is all that it names."""
        return self


class BlockLines(Record):
    """What the commands of a block show; each is run when its lines are asked for."""

    lines: Iterable[Line]


class _KeptLines:
    """Lines that are made when they are first gone through, and kept for the next time."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._waiting = lines
        self._made: List[Line] = []

    def __iter__(self) -> Iterator[Line]:
        yield from self._made
        for line in self._waiting:
            self._made.append(line)
            yield line


def kept(lines: Iterator[Line]) -> Iterable[Line]:
    """Lines that may be gone through several times, each made once, when it is asked for."""
    return _KeptLines(lines)


def block_lines(result: BlockLines) -> Iterable[Line]:
    return result.lines


def condition(session: Session, text: str, position: int) -> Tuple[bool, int]:
    """The truth of the expression at a place in a text, and the place behind it."""
    value, end = parse_expression(text, session.scope, position, MISSING)
    return value != 0, end


def _rounds(text: str) -> Iterator[int]:
    yield from range(MOST_ROUNDS)
    raise CommandError(f"{text[:40]}: {MOST_ROUNDS:,} rounds and no end")


def one_round(session: Session, body: str) -> Iterator[Line]:
    """A round of a loop's body, to its end or its `.continue`; `.break` is left to the loop."""
    try:
        yield from session.commands.block(body)
    except Left as left:
        if left.kind.startswith(".continue"):
            return
        raise


def until_left(lines: Iterator[Line], word: str) -> Iterator[Line]:
    """The lines up to where `.break` or `.leave` ends them."""
    try:
        yield from lines
    except Left as left:
        if not left.kind.startswith(word):
            raise


# --- Conditions --------------------------------------------------------------


def _chosen(session: Session, text: str) -> Tuple[Optional[str], int]:
    """The block of `.if (…) {…} .elsif (…) {…} .else {…}` that is to be run, and the place behind the last."""
    chosen: Optional[str] = None
    is_open = True
    position = 0
    while True:
        holds = True
        if is_open:
            truth, position = condition(session, text, position)
            holds = truth
        else:
            position = _behind_condition(text, position)
        block, position = read_block(text, position)
        if holds and is_open:
            chosen, is_open = block, False
        word = _next_word(text, position)
        if word == ".else":
            block, position = read_block(text, skip_space(text, position) + len(word))
            return (block if is_open else chosen), position
        if word != ".elsif":
            return chosen, position
        position = skip_space(text, position) + len(word)


def _behind_condition(text: str, position: int) -> int:
    """The place of the block behind a condition that need not be evaluated."""
    found = text.find("{", position)
    return found if found >= 0 else len(text)


def _next_word(text: str, position: int) -> str:
    place = skip_space(text, position)
    return next((word for word in (".elsif", ".else") if text[place:].lower().startswith(word)), "")


def _if(session: Session, text: str = "") -> BlockLines:
    """Runs the block behind the first condition that is not zero: .if (A) { … } .elsif (B) { … } .else { … }."""
    chosen, end = _chosen(session, text)
    session.refuse_surplus(text, end)
    return BlockLines(kept(session.commands.block(chosen or "")))


def _stray(session: Session, text: str = "") -> BlockLines:
    """Stands behind the block of .if."""
    name = session.line[: len(session.line) - len(text)].rstrip()
    raise ExpressionError("Syntax error", len(name), session.line, caret=True)


def _j(session: Session, text: str = "") -> BlockLines:
    """Runs the first command where a condition is not zero, else the second: j A 'COMMANDS' ; 'COMMANDS'."""
    truth, position = condition(session, text, 0)
    first, position = _quoted_commands(text, position)
    place = skip_space(text, position)
    second = _quoted_commands(text, place + 1)[0] if text[place : place + 1] == ";" else ""
    return BlockLines(kept(session.commands.block(first if truth else second)))


def _quoted_commands(text: str, position: int) -> Tuple[str, int]:
    """Commands in single quotes, or one up to a `;`, and the place behind them."""
    start = skip_space(text, position)
    if text[start : start + 1] == "'":
        end = text.find("'", start + 1)
        if end < 0:
            raise ExpressionError("Syntax error", start, text, caret=True)
        return text[start + 1 : end], end + 1
    end = text.find(";", start)
    end = end if end >= 0 else len(text)
    return text[start:end], end


# --- Loops -------------------------------------------------------------------


def _while(session: Session, text: str = "") -> BlockLines:
    """Runs a block as long as a condition is not zero: .while (A) { … }."""
    holds, position = condition(session, text, 0)
    body, end = read_block(text, position)
    session.refuse_surplus(text, end)

    def rounds() -> Iterator[Line]:
        still = holds
        for _ in _rounds(f".while {text}"):
            if not still:
                return
            yield from one_round(session, body)
            still = condition(session, text, 0)[0]

    return BlockLines(kept(until_left(rounds(), ".break")))


def _do(session: Session, text: str = "") -> BlockLines:
    """Runs a block once, and again as long as a condition is not zero: .do { … } (A)."""
    body, behind = read_block(text, 0)

    def rounds() -> Iterator[Line]:
        for _ in _rounds(f".do {text}"):
            yield from one_round(session, body)
            holds, end = condition(session, text, behind)
            if not holds:
                refuse_surplus(text, end)
                return

    return BlockLines(kept(until_left(rounds(), ".break")))


def _for(session: Session, text: str = "") -> BlockLines:
    """Runs FIRST, and then a block and NEXT as long as a condition is not zero: .for (FIRST; A; NEXT) { … }."""
    opened = skip_space(text, 0)
    if text[opened : opened + 1] != "(":
        raise ExpressionError("Syntax error", opened, text, caret=True)
    first_end = text.find(";", opened)
    closed = _closing_parenthesis(text, opened)
    if first_end < 0 or closed is None:
        raise ExpressionError("Syntax error", opened + 1, text, caret=True)
    body, end = read_block(text, closed + 1)
    next_start = text.find(";", first_end + 1, closed)
    after = text[next_start + 1 : closed] if next_start >= 0 else ""
    session.refuse_surplus(text, end)

    def rounds() -> Iterator[Line]:
        yield from session.commands.block(text[opened + 1 : first_end])
        for _ in _rounds(f".for {text}"):
            if not condition(session, text, first_end + 1)[0]:
                return
            yield from one_round(session, body)
            yield from session.commands.block(after)

    return BlockLines(kept(until_left(rounds(), ".break")))


def _closing_parenthesis(text: str, position: int) -> Optional[int]:
    depth = 0
    for place in range(position, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if not depth:
            return place
    return None


def _foreach(session: Session, text: str = "") -> BlockLines:
    """Runs a block for each word that other commands print, or of a text or a file.

    .foreach (NAME { COMMANDS }) { … ${NAME} … }, .foreach /s (NAME "TEXT") { … }, .foreach /f (NAME "FILE") { … }.
    /pS N leaves out the first N words, /ps N so many behind each that is taken.
    """
    wanted = read_foreach(session, text)
    session.refuse_surplus(text, wanted.end)

    def rounds() -> Iterator[Line]:
        for body in foreach_lines(session, wanted):
            yield from one_round(session, body)

    return BlockLines(kept(until_left(rounds(), ".break")))


# --- Blocks ------------------------------------------------------------------


def _block(session: Session, text: str = "") -> BlockLines:
    """Runs the commands of a block; aliases that were defined before it are replaced in it: .block { … }."""
    body, end = read_block(text, 0)
    session.refuse_surplus(text, end)
    return BlockLines(kept(session.commands.block(body)))


def _catch(session: Session, text: str = "") -> BlockLines:
    """Runs a block; an error in it, or `.leave`, ends the block alone: .catch { … }."""
    body, end = read_block(text, 0)
    session.refuse_surplus(text, end)

    def lines() -> Iterator[Line]:
        try:
            yield from session.commands.block(body)
        except Left:
            raise
        except DumpkitError as error:
            said = error.pointed(session.prompt) if isinstance(error, ExpressionError) else str(error)
            yield from ((Span(line, "error"),) for line in said.split("\n"))

    return BlockLines(kept(until_left(lines(), ".leave")))


def _register_leaving(name: str, around: str, summary: str) -> None:
    def leave(session: Session) -> None:
        raise Left(f"{name} outside of {around}", len(session.line), session.line, caret=True)

    leave.__doc__ = f"{summary}."
    command(name, category="Session", summary=summary, needs_target=False, silent=True)(leave)


_register_leaving(".break", "scope error", "Ends the loop around it")
_register_leaving(".continue", "scope error", "Goes on with the next round of the loop around it")
_register_leaving(".leave", ".catch error", "Ends the .catch around it")

_CONDITION_HELP = "a MASM expression and blocks of commands in braces"


def _register(name: str, run: Callable[..., BlockLines], summary: str, help: str = _CONDITION_HELP) -> None:
    command(
        name,
        category="Session",
        summary=summary,
        arguments=(Text("text", help, holds="command"),),
        render=block_lines,
        needs_target=False,
        raw=True,
        glued=name == "j",
    )(run)


_register(".if", _if, "Runs commands where a condition holds")
_register(".elsif", _stray, "Another condition of .if")
_register(".else", _stray, "What .if runs where no condition holds")
_register(".while", _while, "Runs commands as long as a condition holds")
_register(".do", _do, "Runs commands, and again as long as a condition holds")
_register(".for", _for, "Runs commands as long as a condition holds, and one behind each round")
_register(
    ".foreach", _foreach, "Runs commands for each word of a text", '(NAME {COMMANDS} | "TEXT" | "FILE") {COMMANDS}'
)
_register(".block", _block, "Runs commands, aliases replaced", "commands in braces")
_register(".catch", _catch, "Runs commands; an error ends no more than them", "commands in braces")
_register("j", _j, "Runs one command or the other", "a condition, and commands in single quotes with a ; between them")


@command(
    "z",
    category="Session",
    summary="Runs the line again as long as a condition holds",
    arguments=(Text("text", "a MASM expression"),),
    needs_target=False,
    silent=True,
    raw=True,
    glued=True,
)
def z(session: Session, text: str = "") -> None:
    """Runs the line that it stands in again, where its condition is not zero: r $t0=@$t0+1; z (@$t0 < 3)."""
    value, end = parse_expression(text, session.scope, 0, MISSING)
    session.refuse_surplus(text, end)
    session.again = value != 0
