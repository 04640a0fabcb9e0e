"""`!ddt`: memory as types, as mex shows it: numbers in both radixes, and what values mean."""

from __future__ import annotations

from dumpkit.commands.dt import NameList, Signature, TypeView, type_lines, understood, view
from dumpkit.errors import CommandError
from dumpkit.output import Line
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session
from dumpkit.typetext.ddt import DdtDump
from dumpkit.typetext.request import USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Union


class Annotated(Record):
    """What `dt` would show for the same words, to be shown as mex does."""

    result: Union[TypeView, Signature, NameList]
    _dump: Optional[DdtDump] = None


def annotated_lines(result: Annotated) -> Iterator[Line]:
    if result._dump is not None:
        yield from result._dump.lines()
    else:
        yield from type_lines(result.result)


@command(
    "ddt",
    category="Symbols",
    summary="As dt, with numbers in both radixes and remarks",
    arguments=(Text("request", USAGE[3:].replace("dt", "ddt"), holds="type"),),
    render=annotated_lines,
    raw=True,
)
def ddt(session: Session, request: str = "") -> Annotated:
    """Shows what dt shows for the same words, as mex's ddt does: ddt nt!_EPROCESS ADDRESS FIELD.

    Numbers stand there in both radixes, times as dates, and pointers with what they lead to: the process of a
    thread, the tag of a pool allocation.
    """
    if request.split()[:1] in (["-h"], ["-?"], []):
        raise CommandError("ddt wants the name of a type", USAGE.replace("dt ", "ddt ", 1))
    return annotated(session, request)


def annotated(session: Session, request: str) -> Annotated:
    """What ddt shows for the words of a request. Raises CommandError, ExpressionError, SymbolError."""
    result = view(session, understood(request))
    dump = result._dump if isinstance(result, TypeView) else None
    if dump is None:
        return Annotated(result)
    from dumpkit.kernel.pointer_remark import pointer_remark

    return Annotated(result, DdtDump(request.strip(), dump, pointer_remark(session.dump)))
