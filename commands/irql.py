"""`!irql`: the interrupt request level at which each processor was stopped."""

from __future__ import annotations

from dumpkit.errors import CommandError, DumpkitError
from dumpkit.kernel.irql import irql_name, missing_symbol, other_evidence, saved_irql
from dumpkit.output import Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, Switch, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple


class Evidence(Record):
    """An IRQL that something else than the PRCB tells."""

    irql: int
    name: str
    source: str


class ProcessorIrql(Record):
    """The level of a processor; None with a `problem` where its PRCB does not tell it."""

    processor: int
    irql: Optional[int]
    name: Optional[str]
    meaning: Optional[str]
    problem: Optional[str] = None
    #: What else tells it, where the PRCB does not.
    evidence: Tuple[Evidence, ...] = ()


class SavedIrqls(Record):
    """One processor's level, or every one's."""

    processors: Tuple[ProcessorIrql, ...]
    #: Why no processor's level is known, where it is for one reason.
    problem: Optional[str] = None
    _verbose: bool = False


def irql_lines(result: SavedIrqls) -> Iterator[Line]:
    if result.problem is not None:
        yield f"Saved IRQL not available: {result.problem}"
    for each in result.processors:
        if each.irql is not None:
            meaning = f" [{each.meaning}]" if result._verbose else ""
            link = Span(f"0x{each.processor:x}", "address", f"~{each.processor}s")
            yield ("Debugger saved IRQL for processor ", link, f" -- {each.irql} ({each.name}){meaning}")
        elif each.problem is not None:
            yield f"Debugger saved IRQL for processor 0x{each.processor:x} -- not available: {each.problem}"
        for evidence in each.evidence:
            yield f"Processor 0x{each.processor:x}: {evidence.irql} ({evidence.name}) by {evidence.source}"


def _evidence(session: Session, processor: int) -> Tuple[Evidence, ...]:
    target = session.dump
    found = other_evidence(target, processor)
    return tuple(Evidence(each.level, irql_name(each.level, target.architecture).name, each.source) for each in found)


def _levels(session: Session, numbers: List[int], chosen: bool) -> Tuple[List[ProcessorIrql], Optional[str]]:
    """The levels of processors, and the one reason for which none is known, if there is one."""
    target = session.dump
    found: List[ProcessorIrql] = []
    for number in numbers:
        try:
            level = saved_irql(target, number)
        except DumpkitError as error:
            if missing_symbol(error):
                said = [
                    ProcessorIrql(each, None, None, None, None, evidence)
                    for each in numbers
                    for evidence in (_evidence(session, each),)
                    if evidence
                ]
                return said, str(error)
            crashed = chosen or number == target.current_processor
            evidence = _evidence(session, number) if crashed else ()
            found.append(ProcessorIrql(number, None, None, None, str(error), evidence))
        else:
            name = irql_name(level, target.architecture)
            found.append(ProcessorIrql(number, level, name.name, name.meaning))
    return found, None


@command(
    "irql",
    category="Kernel",
    summary="The IRQL at which each processor was stopped",
    arguments=(
        Switch("verbose", ("-v",), "what each level is for, too"),
        Expression("processor", "a processor's number; every processor without one"),
    ),
    render=irql_lines,
)
def irql(session: Session, processor: Optional[int] = None, verbose: bool = False) -> SavedIrqls:
    """Shows the interrupt request level that the kernel saved of a processor when it was stopped.

    Without a number it shows that of every processor; WinDbg shows the current one's alone. It lies in the
    processor's PRCB, at a place that only the kernel's symbols tell. Where they are missing, what the
    bugcheck and the saved cr8 say is shown instead.
    """
    count = max(1, session.dump.system.processors)
    if processor is not None and not 0 <= processor < count:
        raise CommandError("Cannot get PRCB address")
    numbers = [processor] if processor is not None else list(range(min(count, 2048)))
    found, problem = _levels(session, numbers, processor is not None)
    return SavedIrqls(tuple(found), problem, verbose)
