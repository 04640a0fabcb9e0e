"""A routine that returned at another IRQL than it was called at: what its code raised to and did not lower again."""

from __future__ import annotations

from dumpkit.kernel.irql_findings import RaiseSite
from dumpkit.kernel.irql_level import exactly
from dumpkit.output import Hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from dumpkit.kernel.irql_evidence import StackReader
    from dumpkit.target import Target


def routine_that_returned(target: Target) -> Optional[int]:
    """The virtual address of the routine that returned at a wrong level, where the bugcheck is about that."""
    bugcheck = target.bugcheck
    if bugcheck is None:
        return None
    from dumpkit.kernel.bugchecks import describe

    for routine, *parameter in describe(bugcheck.code, bugcheck.parameters).rule("returned"):
        address = bugcheck.parameters[int(routine) - 1]
        if address and parameter:
            from dumpkit.kernel.io.work_item import work_routine

            address = work_routine(target, address, bugcheck.parameters[int(parameter[0]) - 1])
        return address or None
    return None


def raise_before_return(reader: StackReader, routine: int, level: int) -> Optional[RaiseSite]:
    """The instruction of a routine's code that raised to the level which it returned at; None where none is known."""
    flow = reader.flows.flow_at(routine) if reader.flows is not None else None
    for exit in flow.exits if flow is not None else ():
        if exit.by is not None and not exit.level.is_relative and exit.level.covers(exactly(level)):
            change = exit.by
            place = reader.name_of(change.address)
            return RaiseSite(
                place,
                Hex(change.address),
                change.routine,
                str(exactly(level)),
                None,
                is_perhaps=not exit.level.is_exact,
            )
    return None
