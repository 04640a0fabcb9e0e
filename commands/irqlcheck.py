"""`irqlcheck`: the IRQL of each frame and call, against the levels at which what is called may be called."""

from __future__ import annotations

from dumpkit.errors import CommandError, DumpkitError
from dumpkit.kernel.irql_evidence import StackReader
from dumpkit.kernel.irql_findings import FrameFacts, IrqlVerdict, RaiseSite, Violation
from dumpkit.kernel.irql_measured import measure, measure_wait
from dumpkit.kernel.irql_module import CallTerms, ImportTerms, ModuleTerms, module_terms
from dumpkit.kernel.irql_return import routine_that_returned
from dumpkit.kernel.irql_verdict import stack_verdict
from dumpkit.kernel.stack import walk_stack
from dumpkit.output import Line, Span
from dumpkit.record import Record
from dumpkit.registry import Switch, Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Sequence, Tuple, Union

#: Calls behind the cause that are named one by one.
_MOST_AHEAD = 2
_MOST_BYSTANDERS = 6


class IrqlCheck(Record):
    """What was checked, and one of the two results."""

    subject: str
    stack: Optional[IrqlVerdict]
    module: Optional[ModuleTerms]
    _broken_only: bool = False


def irqlcheck_lines(result: IrqlCheck) -> Iterator[Line]:
    yield (Span(f"IRQL contracts of {result.subject}", "heading"),)
    if result.stack is not None:
        yield ""
        yield from _frame_lines(result.stack.frames)
        yield ""
        yield from verdict_lines(result.stack)
    if result.module is not None:
        yield from _module_lines(result.module, result._broken_only)


# --- The verdict ----------------------------------------------------------------


def verdict_lines(verdict: IrqlVerdict) -> Iterator[Line]:
    """The verdict in a few lines; `analyze` ends with them."""
    if verdict.cause is not None:
        yield from _cause_lines(verdict, verdict.cause)
        return
    measured = f"IRQL: {verdict.measured}" if verdict.measured is not None else "IRQL: not in the dump"
    if verdict.returned is not None:
        yield f"{measured}; {verdict.returned} returned at it, and was not called at it"
    else:
        yield f"{measured}; no call on the stack is known to break an IRQL contract"
    if verdict.raised is not None:
        yield ("  raised by:  ", *_raise_pieces(verdict.raised))
    if verdict.begins is not None:
        begins = verdict.begins
        yield ("  begins:     ", _place(begins.place, begins.address), f" calls {begins.routine} at {begins.level}")
    for each in verdict.possible[:_MOST_AHEAD]:
        yield ("  may be:     ", *_call_pieces(each), f" ({each.certainty})")
    if verdict.unknown is not None:
        yield f"  not known:  {verdict.unknown}"


def _cause_lines(verdict: IrqlVerdict, cause: Violation) -> Iterator[Line]:
    who = cause.module
    yield (Span(f"IRQL: {who} called {cause.routine} at {cause.level}, which needs {cause.needs}", "error"),)
    if cause.raised is not None:
        yield ("  raised by:  ", *_raise_pieces(cause.raised))
    else:
        yield f"  raised by:  not known: {verdict.unknown or 'no code of the functions on the stack raises to it'}"
    yield ("  cause:      ", *_call_pieces(cause))
    for each in verdict.ahead[:_MOST_AHEAD]:
        yield ("  next:       ", *_call_pieces(each))
    if len(verdict.ahead) > _MOST_AHEAD:
        rest = len(verdict.ahead) - _MOST_AHEAD
        yield ("              and ", str(rest), " more: ", Span(f"irqlcheck {who}", "symbol", f"irqlcheck {who}"))
    if verdict.bystanders:
        names = ", ".join(verdict.bystanders[:_MOST_BYSTANDERS])
        more = " …" if len(verdict.bystanders) > _MOST_BYSTANDERS else ""
        yield f"  bystanders: {names}{more} ran at the level that they were called at"


def _place(text: str, address: int) -> Span:
    return Span(text, "symbol", f"u {address:x}")


def _raise_pieces(raised: RaiseSite) -> Sequence[Union[str, Span]]:
    place = _place(raised.place, raised.address)
    if raised.is_root:
        return (place, f" calls {raised.routine} at {raised.level}")
    verb = "writes cr8" if raised.routine == "mov cr8" else f"calls {raised.routine}"
    if raised.is_perhaps:
        return ("perhaps ", place, f", which {verb}: {raised.level} behind it")
    return (place, f" {verb}: {raised.level}")


def _call_pieces(each: Violation) -> Sequence[Union[str, Span]]:
    return (_place(each.place, each.address), f" calls {each.routine} at {each.level}; needs {each.needs}")


# --- A stack --------------------------------------------------------------------


def _frame_lines(frames: Sequence[FrameFacts]) -> Iterator[Line]:
    rows = [(" #", "Child-SP", "IRQL", "Known by", "Function", "Calls", "Needs", "Verdict")]
    for frame in frames:
        calls = (frame.routine or "", frame.needs, frame.verdict or "") if frame.needs is not None else ("", "", "")
        start = f"{frame.number:02x}", f"{frame.stack_pointer:016x}", frame.level, frame.known_by
        rows.append((*start, frame.function, *calls))
    widths = _widths(rows)
    yield (Span(_row(rows[0], widths), "heading"),)
    for frame, row in zip(frames, rows[1:]):
        before = _row((*row[:4], ""), widths)
        behind = _row(row[4:], widths[4:])[len(frame.function) :].rstrip()
        bad = (frame.verdict or "").startswith("too")
        function = Span(frame.function, "symbol", f"u {frame.instruction:x}")
        yield (before, function, Span(behind, "error") if bad else behind)


def _widths(rows: Sequence[Sequence[str]]) -> List[int]:
    return [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]


def _row(row: Sequence[str], widths: Sequence[int]) -> str:
    return " ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths)), row[-1]])


# --- A module -------------------------------------------------------------------


def _module_lines(result: ModuleTerms, broken_only: bool) -> Iterator[Line]:
    for problem in result.problems:
        yield (Span(f"Not known: {problem}", "warning"),)
    if not broken_only:
        yield ""
        yield from _import_lines(result.imports)
    calls = [call for call in result.calls if not broken_only or (call.verdict or "ok") != "ok"]
    yield ""
    if calls:
        yield from _call_lines(calls)
        yield ""
    verdicts = [call.verdict or "" for call in result.calls]
    bad = sum(1 for verdict in verdicts if verdict.startswith("too") and not verdict.endswith("path"))
    some = sum(1 for verdict in verdicts if verdict.endswith("path"))
    text = f"{result.functions} functions followed, {len(verdicts)} calls of routines with a contract: "
    text += f"{bad} broken, {some} on some path"
    yield text + (f"; {result.incomplete} functions not on every path" if result.incomplete else "")


def _import_lines(imports: Sequence[ImportTerms]) -> Iterator[Line]:
    if not imports:
        yield "No imports are known"
        return
    rows = [("Slot", "Needs", "Remarks", "Calls", "Routine")]
    for each in imports:
        remarks = "see remarks" if each.see_remarks else ""
        calls = str(each.calls) if each.calls is not None else ""
        rows.append((f"{each.slot:016x}", each.needs or "unknown", remarks, calls, each.routine))
    widths = _widths(rows)
    yield (Span(_row(rows[0], widths), "heading"),)
    for row in rows[1:]:
        yield _row(row, widths)


def _call_lines(calls: Sequence[CallTerms]) -> Iterator[Line]:
    rows: List[Tuple[str, ...]] = [("Call", "IRQL", "Routine", "Needs", "Verdict", "Place")]
    for call in calls:
        verdict = call.verdict or ""
        rows.append((f"{call.address:016x}", call.level, call.routine, call.needs, verdict, call.place))
    widths = _widths(rows)
    yield (Span(_row(rows[0], widths), "heading"),)
    for call, row in zip(calls, rows[1:]):
        text = _row(row, widths)[17 : -len(call.place)]
        address = Span(row[0], "address", f"u {call.address:x}")
        because = f" [{call.because}]" if call.because is not None else ""
        style = "error" if (call.verdict or "").startswith("too") else None
        yield (address, " ", Span(text, style), Span(call.place, "symbol", f"ub {call.address:x}"), because)


# --- The command ----------------------------------------------------------------


@command(
    "irqlcheck",
    category="Kernel",
    summary="IRQL contracts against the levels of a stack or a driver",
    arguments=(
        Switch("broken", ("-b",), "of a module, only the calls that break a contract or may"),
        Text("what", "a module, or the address of a thread; the failing stack where nothing is given", holds="module"),
    ),
    render=irqlcheck_lines,
)
def irqlcheck(session: Session, what: str = "", broken: bool = False) -> IrqlCheck:
    """Shows at which IRQL each frame of a stack ran, and which call broke the contract of what it called.

    The levels come from what the dump measured (bugcheck, saved IRQL), from what the stack begins with (a
    thread routine: PASSIVE_LEVEL, a DPC: DISPATCH_LEVEL), and from the functions' code, where its image is in
    the dump or on the symbol path: their raises and releases are followed on every path. The contracts are
    those of Microsoft's DDI reference; a routine that it does not list is unknown.

    Known by: measured, root (what the kernel calls there), code, caller (no lower than its caller's), callee
    (no higher than that of what it called), believed (as measured further in, if no call that could not be
    followed changed it).
    Verdict: ok, too high, too low, depends (the routine's remarks say when), nothing where nothing is known.

    irqlcheck                    the failing stack
    irqlcheck ffffb507729e3040   a thread's stack
    irqlcheck TestDriver         a driver's imports, and each call in its code with the IRQL known there
    irqlcheck -b TestDriver      only the calls that break a contract or may
    """
    target = session.dump
    what = what.strip()
    if not what:
        return _failing_stack(session)
    module = target.module_called(what)
    if module is not None:
        return IrqlCheck(f"module {module.name}", None, module_terms(target, module), broken)
    address = session.evaluate(what)
    module = target.module_at(address)
    if module is not None:
        return IrqlCheck(f"module {module.name}", None, module_terms(target, module), broken)
    return _thread(session, address)


def _failing_stack(session: Session) -> IrqlCheck:
    target = session.dump
    processor = target.current_processor
    frames = walk_stack(target, target.context(processor))
    measured = measure(target, frames, processor)
    verdict = stack_verdict(StackReader(target), frames, measured, routine_that_returned(target))
    return IrqlCheck(f"the failing stack, processor {processor}", verdict, None)


def _thread(session: Session, address: int) -> IrqlCheck:
    from dumpkit.kernel.thread import Thread

    target = session.dump
    thread = Thread(target, address)
    try:
        if not thread.is_valid:
            raise CommandError(f"irqlcheck: {address:016x} is neither a module nor a thread")
    except CommandError:
        raise
    except DumpkitError as error:
        raise CommandError(f"irqlcheck: {address:016x} is neither a module nor a thread: {error}") from error
    processor = thread.processor()
    frames = walk_stack(target, thread.context())
    measured = measure(target, frames, processor) if processor is not None else measure_wait(thread, frames)
    verdict = stack_verdict(StackReader(target), frames, measured)
    return IrqlCheck(f"thread {address:016x}", verdict, None)
