"""`.bugcheck`: the stop code and its arguments."""

from __future__ import annotations

from dumpkit.errors import CommandError
from dumpkit.numbers import quoted
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.registry import command
from dumpkit.session import Session
from dumpkit.target import Bugcheck

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Tuple


class BugcheckData(Record):
    """A stop code as the dump has it, and its four arguments."""

    code: Hex
    arguments: Tuple[Hex, ...]


def bugcheck_data(found: Bugcheck) -> BugcheckData:
    """A target's stop code as a result."""
    return BugcheckData(Hex(found.code), tuple(Hex(argument) for argument in found.parameters))


def bugcheck_lines(result: BugcheckData) -> Iterator[str]:
    yield f"Bugcheck code {result.code:08X}"
    yield "Arguments " + " ".join(quoted(argument) for argument in result.arguments)


@command(".bugcheck", category="Dump", summary="The stop code and its four arguments", render=bugcheck_lines)
def bugcheck(session: Session) -> BugcheckData:
    """Shows the bugcheck code and its arguments as the dump's header has them.

    A triage dump's code carries the bit 10000000.
    """
    found = session.dump.bugcheck
    if found is None:
        raise CommandError("This target did not bugcheck")
    return bugcheck_data(found)
