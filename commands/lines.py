"""`.lines`: whether source lines are shown."""

from __future__ import annotations

from dumpkit.record import Record
from dumpkit.registry import Switch, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator


class Lines(Record):
    """Whether source lines are shown from now on."""

    shown: bool


def _lines_lines(result: Lines) -> Iterator[str]:
    yield f"Line number information will {'' if result.shown else 'not '}be loaded"


@command(
    ".lines",
    category="Symbols",
    summary="Shows source lines, or does not",
    arguments=(
        Switch("enable", ("-e",), "show them, as at first"),
        Switch("disable", ("-d",), "do not"),
        Switch("toggle", ("-t",), "the other way than before, as without an option"),
    ),
    render=_lines_lines,
    needs_target=False,
)
def lines(session: Session, enable: bool = False, disable: bool = False, toggle: bool = False) -> Lines:
    """Says whether k, u, ub and uf show source lines, where symbols give them."""
    session.lines = enable or (not disable and not session.lines)
    return Lines(session.lines)
