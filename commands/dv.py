"""`dv`: the parameters and local variables of a frame."""

from __future__ import annotations

from dumpkit.commands.frame import chosen_frame
from dumpkit.commands.frame_variables import VariableRow, variable_rows
from dumpkit.errors import CommandError
from dumpkit.numbers import quoted
from dumpkit.output import Line, Span
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session
from dumpkit.wildcards import matcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Tuple

#: How wide a name is.
_NAME_WIDTH = 15
_WHERE_WIDTH = 22


class VariableList(Record):
    """The parameters and variables of a frame."""

    frame: int
    variables: Tuple[VariableRow, ...]
    _options: str = ""


def variable_lines(result: VariableList) -> Iterator[Line]:
    options = result._options
    rows = list(result.variables)
    if "a" in options or "n" in options:
        rows.sort(key=lambda row: (row.address or 0) if "a" in options else row.name)
    for row in rows:
        pieces: List[str] = []
        if "i" in options:
            pieces.append(f"prv {'param' if row.is_parameter else 'local'} ")
        if "v" in options or "V" in options:
            pieces.append(quoted(row.address) if row.address is not None else f"{row.location or '<unknown>':<17}")
        width = _NAME_WIDTH
        if "V" in options:
            pieces.append(row.location or "")
            width = _WHERE_WIDTH - 1
        name = f"{row.type} {row.name}" if "t" in options else f"{row.name:>{width}}"
        yield (" ".join([*pieces, ""]), Span(name, "symbol"), f" = {row.value}")


def _split(text: str) -> Tuple[str, str]:
    """(letters of the options, pattern)."""
    options = ""
    text = text.strip()
    while text.startswith("/"):
        word, _, text = text.partition(" ")
        text = text.lstrip()
        unknown = [letter for letter in word[1:] if letter not in "tvViaAnNq"]
        if unknown:
            raise CommandError(f"dv: unknown option /{unknown[0]}", "dv [/t] [/v|/V] [/i] [/a|/n] [PATTERN]")
        options += word[1:]
    return options, text or "*"


@command(
    "dv",
    category="Stack",
    summary="The parameters and variables of the current frame",
    arguments=(Text("pattern", "options, then a name with * ? []", holds="nothing"),),
    render=variable_lines,
)
def dv(session: Session, pattern: str = "") -> VariableList:
    """Shows the parameters and local variables of the frame that .frame chose, as private symbols tell of them.

    /t  types   /v  where they are   /V  how they are found there   /i  which are parameters
    /a  by address   /n  by name

    A variable whose register is not known there, as most are behind a call, has no value.
    """
    options, wanted = _split(pattern)
    frame = chosen_frame(session)
    found = variable_rows(session.dump, frame.context)
    if not found:
        raise CommandError("Unable to enumerate locals: private symbols are required for locals")
    matches = matcher(wanted)
    return VariableList(session.frame, tuple(row for row in found if matches(row.name)), options)
