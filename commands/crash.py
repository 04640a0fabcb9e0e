"""`crash` (mex): the machine, its bugcheck and the stack that crashed."""

from __future__ import annotations

from dumpkit.commands.bugcheck import BugcheckData, bugcheck_data, bugcheck_lines
from dumpkit.commands.di import DumpInfo, di, dump_info_lines
from dumpkit.commands.stack import StackTrace, k, stack_lines
from dumpkit.errors import DumpkitError
from dumpkit.output import Line, Span
from dumpkit.record import Record
from dumpkit.registry import command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple

_RULE = "=" * 44


class CrashReport(Record):
    """What a crash is known by; what the dump does not hold is None."""

    dump: DumpInfo
    bugcheck: Optional[BugcheckData]
    stack: Optional[StackTrace]
    #: What cannot be shown, and why.
    problems: Tuple[str, ...]


def crash_lines(result: CrashReport) -> Iterator[Line]:
    yield from _head("Dump Info")
    yield from dump_info_lines(result.dump)
    yield ""
    yield from _head("Bugcheck details")
    if result.bugcheck is not None:
        yield from bugcheck_lines(result.bugcheck)
    else:
        yield "This target did not bugcheck"
    yield ""
    yield from _head("Crashing Stack")
    if result.stack is not None:
        yield from stack_lines(result.stack)
    for problem in result.problems:
        yield (Span(problem, "dim"),)


def _head(title: str) -> Iterator[Line]:
    yield (Span(title, "heading"),)
    yield _RULE


@command("crash", category="Dump", summary="The machine, its bugcheck and the crashing stack", render=crash_lines)
def crash(session: Session) -> CrashReport:
    """Shows what di, .bugcheck and kn show: the machine, what stopped it, and the stack of the current context."""
    found = session.dump.bugcheck
    problems = []
    stack: Optional[StackTrace] = None
    try:
        stack = k(session, "n")
    except DumpkitError as error:
        problems.append(f"The stack cannot be shown: {error}")
    return CrashReport(di(session), bugcheck_data(found) if found is not None else None, stack, tuple(problems))
