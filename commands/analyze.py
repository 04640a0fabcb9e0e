"""`analyze`: what crashed, where, and who is to blame."""

from __future__ import annotations

from os.path import basename

from dumpkit.code import current_line, instruction_at
from dumpkit.commands.analyze_facts import (
    AccessFacts,
    Analysis,
    Argument,
    BlackBoxFacts,
    BugcheckDescription,
    CulpritFacts,
    FailedInstruction,
    FailingContextFacts,
    RequestSubjectFacts,
    ThreadSubjectFacts,
)
from dumpkit.commands.analyze_text import analysis_lines, description_lines
from dumpkit.commands.contexts import exception_block, register_block
from dumpkit.commands.stack import StackFrame, frames_with_inlined
from dumpkit.costs import MEGABYTE, Costs, costs
from dumpkit.errors import CommandError, DumpkitError, RegisterError
from dumpkit.kernel.bugchecks import describe
from dumpkit.kernel.version import release_name
from dumpkit.memory import U64_MASK
from dumpkit.output import Hex, Line, hex_or_none
from dumpkit.registers import X64
from dumpkit.registry import Text, command
from dumpkit.session import Session
from dumpkit.target import Bugcheck, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

    from dumpkit.commands.analyze_hang import HangAnalysis
    from dumpkit.kernel.analysis.blame import Culprit
    from dumpkit.kernel.analysis.crash_analysis import CrashAnalysis
    from dumpkit.kernel.analysis.failing_context import FailingContext
    from dumpkit.kernel.analysis.subjects import RequestSubject, ThreadSubject
    from dumpkit.kernel.irql_findings import IrqlVerdict

_USAGE = "analyze [-v] [-f | -hang | -show [CODE [P1 [P2 [P3 [P4]]]]]]"
#: What ext.dll's !analyze has beside these: forms of its own output, and lists of known issues.
_REFUSED = ("-d", "-x", "-c", "-load", "-unload", "-z")


def description(code: int, parameters: Sequence[int]) -> BugcheckDescription:
    """The description of a bugcheck with four arguments; the code may carry the triage flag."""
    known = describe(code, parameters)
    arguments = tuple(Argument(Hex(value), label) for value, label in zip(parameters, known.labels))
    return BugcheckDescription(Hex(code), known.name, known.text, arguments)


class _Options:
    """The words behind `analyze`."""

    def __init__(self, session: Session, text: str) -> None:
        self.is_verbose = self.is_hang = self.is_forced = False
        #: The numbers behind -show: a code and its arguments; None without -show.
        self.shown: Optional[List[int]] = None
        words = text.split()
        while words:
            word = words.pop(0)
            option = word.lower().replace("/", "-", 1)
            if option == "-show":
                self.shown = self._numbers(session, words)
                return
            if (option[:2] == "-v" and option[2:].isdigit()) or option == "-v":
                self.is_verbose = True
            elif option in ("-hang", "-f"):
                self.is_hang |= option == "-hang"
                self.is_forced |= option == "-f"
            elif option.startswith(_REFUSED):
                raise CommandError(f"analyze: {word} is not supported; --json gives programs the result", _USAGE)
            else:
                raise CommandError(f"analyze: unknown option {word}", _USAGE)

    @staticmethod
    def _numbers(session: Session, words: Sequence[str]) -> List[int]:
        if len(words) > 5:
            raise CommandError("analyze: -show takes a code and at most four arguments", _USAGE)
        return [session.evaluate(word) for word in words]


def _shown(session: Session, numbers: List[int]) -> BugcheckDescription:
    if numbers:
        code, *parameters = numbers
        return description(code, (parameters + [0] * 4)[:4])
    found = session.dump.bugcheck
    if found is None:
        raise CommandError("This target did not bugcheck: analyze -show CODE shows any bugcheck", _USAGE)
    return description(found.code, found.parameters)


# --- The analysis as a result ------------------------------------------------


class _Facts:
    """Turns what the kernel model found out into a result."""

    def __init__(self, target: Target, analysis: CrashAnalysis) -> None:
        self._target = target
        self._analysis = analysis
        #: The lines of the stack, and the number of the line of each frame that was not inlined.
        self.frames: Tuple[StackFrame, ...] = ()
        self._numbers: List[int] = []
        if analysis.failing is not None:
            found: List[StackFrame] = []
            for _, rows in frames_with_inlined(target, analysis.failing.frames):
                found += rows
                self._numbers.append(len(found) - 1)
            self.frames = tuple(found)

    def failing(self) -> Optional[FailingContextFacts]:
        found = self._analysis.failing
        if found is None:
            return None
        block = register_block(self._target, found.context, found.address, incomplete=found.kind == "trap frame")
        address = Hex(found.address) if found.address is not None else None
        return FailingContextFacts(found.kind, address, found.is_fault, Hex(found.context.instruction_pointer), block)

    def access(self) -> Optional[AccessFacts]:
        found = self._analysis.access
        if found is None:
            return None
        instruction = Hex(found.instruction) if found.instruction is not None else None
        return AccessFacts(
            Hex(found.address),
            self._not_canonical(found.address),
            found.operation,
            instruction,
            self._analysis.region,
            found.source,
        )

    def _not_canonical(self, address: int) -> Optional[Hex]:
        """The address that the failing instruction made of its registers, if it is one that cannot be."""
        failing = self._analysis.failing
        if address != U64_MASK or failing is None or self._target.architecture is not X64:
            return None
        for operand in instruction_at(self._target, failing.context.instruction_pointer).memory:
            try:
                touched = operand.address(failing.context)
            except RegisterError:
                continue
            if touched >> 47 not in (0, U64_MASK >> 47):
                return Hex(touched)
        return None

    def failed_instruction(self) -> Optional[FailedInstruction]:
        """The instruction that could not be fetched, where that was the fault."""
        access, failing = self._analysis.access, self._analysis.failing
        if access is None or failing is None or access.address != access.instruction:
            return None
        if failing.context.instruction_pointer != access.address:
            return None
        target = self._target
        place = target.symbols.nearest(access.address)
        line = target.symbols.source_line(access.address)
        name = f"{place.module.name}!{place.name}" if place is not None and place.name is not None else None
        return FailedInstruction(
            name or (place.module.name if place is not None else None),
            Hex(place.displacement) if place is not None else Hex(0),
            f"{line.file} @ {line.line}" if line is not None else None,
            current_line(target, failing.context),
            self._analysis.is_paged_code,
        )

    def culprit(self) -> CulpritFacts:
        found: Culprit = self._analysis.culprit
        source = self._source(found.address) if found.address is not None else None
        return CulpritFacts(
            found.symbol,
            hex_or_none(found.offset),
            found.module,
            found.image,
            hex_or_none(found.base),
            self._numbers[found.frame] if found.frame is not None else None,
            source[0] if source is not None else None,
            source[1] if source is not None else None,
        )

    def _source(self, address: int) -> Optional[Tuple[str, int]]:
        """File and line at a virtual address: those of the innermost function that was inlined there, if any."""
        symbols = self._target.symbols
        for function in symbols.inlined(address):
            if function.file is not None:
                return function.file, function.line
        line = symbols.source_line(address)
        return (line.file, line.line) if line is not None else None


def _request_facts(found: Optional[RequestSubject]) -> Optional[RequestSubjectFacts]:
    if found is None:
        return None
    devices = tuple(Hex(device) for device in found.devices)
    return RequestSubjectFacts(Hex(found.address), found.major, found.minor, found.driver, devices)


def _thread_facts(found: Optional[ThreadSubject]) -> Optional[ThreadSubjectFacts]:
    if found is None:
        return None
    address, start = Hex(found.address), hex_or_none(found.start)
    return ThreadSubjectFacts(address, found.process, found.state, found.wait_reason, start, found.start_symbol)


def _stack_command(failing: Optional[FailingContext]) -> str:
    if failing is not None and failing.kind == "context record":
        return f".cxr 0x{failing.address:x} ; kb"
    if failing is not None and failing.kind == "thread":
        return f".thread 0x{failing.address:x} ; kb"
    if failing is not None and failing.kind == "processor":
        return f"~{failing.address}s ; kb"
    return ".cxr; .ecxr ; kb"


def _cost_keys(before: Costs, after: Costs) -> Dict[str, str]:
    """What the analysis cost, and what had been spent before it."""
    numbers = {
        "Analysis.CPU.mSec": (after.processor - before.processor) * 1000,
        "Analysis.Elapsed.mSec": (after.elapsed - before.elapsed) * 1000,
        "Analysis.IO.Other.Mb": (after.other - before.other) / MEGABYTE,
        "Analysis.IO.Read.Mb": (after.read - before.read) / MEGABYTE,
        "Analysis.IO.Write.Mb": (after.written - before.written) / MEGABYTE,
        "Analysis.Init.CPU.mSec": before.processor * 1000,
        "Analysis.Init.Elapsed.mSec": before.elapsed * 1000,
        "Analysis.Memory.CommitPeak.Mb": after.peak_memory / MEGABYTE,
    }
    return {key: str(max(0, round(number))) for key, number in numbers.items()}


def _status_text(status: Optional[int]) -> Optional[str]:
    from dumpkit.kernel.status import ntstatus_text

    return None if status is None else ntstatus_text(status)


def _irql_verdict(target: Target, analysis: CrashAnalysis) -> Tuple[Optional[IrqlVerdict], Tuple[Line, ...]]:
    """What the IRQL contracts say of the failing stack, and the lines that say it; nothing where there is no case."""
    from dumpkit.kernel.irql import PASSIVE_LEVEL, bugcheck_irql, saved_irql

    if bugcheck_irql(target.bugcheck) is None:
        try:
            if saved_irql(target, target.current_processor) == PASSIVE_LEVEL:
                return None, ()
        except DumpkitError:
            # Neither the bugcheck nor the kernel tells the level: there is nothing to hold contracts against.
            return None, ()
    from dumpkit.kernel.irql_verdict import irql_verdict

    frames = analysis.failing.frames if analysis.failing is not None else None
    verdict = irql_verdict(target, frames)
    if verdict is None:
        return None, ()
    from dumpkit.commands.irqlcheck import verdict_lines

    return verdict, tuple(verdict_lines(verdict))


def _next(analysis: CrashAnalysis) -> Tuple[Tuple[str, str], ...]:
    """What the bugcheck's description recommends: a command and what it shows, a line each.

    A command that takes an argument of the bugcheck is left out where that is 0.
    """
    found: List[Tuple[str, str]] = []
    for line in analysis.bugcheck.rules.get("next", "").splitlines():
        command, words = line.split(": ", 1)
        wanted = [(f"{{{number}}}", value) for number, value in enumerate(analysis.parameters, 1)]
        if any(mark in command and not value for mark, value in wanted):
            continue
        for mark, value in wanted:
            command = command.replace(mark, f"{value:x}")
        found.append((command, words))
    return tuple(found)


def crash_result(session: Session, verbose: bool, forced: bool = False) -> Analysis:
    """The analysis of the target's bugcheck. Raises CommandError where it has none and that is not `forced`."""
    from dumpkit.kernel.analysis.crash_analysis import analyze_crash

    target = session.dump
    bugcheck = target.bugcheck or (Bugcheck(0, (0, 0, 0, 0)) if forced else None)
    if bugcheck is None:
        raise CommandError("This target did not bugcheck: analyze -f looks at it all the same, -hang at what blocks")
    before = costs()
    analysis = analyze_crash(target, bugcheck.code, bugcheck.parameters)
    facts = _Facts(target, analysis)
    exception = analysis.exception
    pool = analysis.pool
    irql, irql_lines = _irql_verdict(target, analysis)
    return Analysis(
        description=description(bugcheck.code, bugcheck.parameters),
        file=basename(target.name.replace("\\", "/")),
        virtual_machine=analysis.virtual_machine,
        dump_attributes=hex_or_none(analysis.dump_attributes),
        access=facts.access(),
        failed_instruction=facts.failed_instruction(),
        pool_address=(pool.label, Hex(pool.address), pool.region) if pool is not None else None,
        allocation=analysis.allocation,
        allocation_before=analysis.allocation_before,
        exception_address=hex_or_none(exception[0]) if exception is not None else None,
        exception=exception_block(target, exception[1]) if exception is not None else None,
        failing_context=facts.failing(),
        exhausted_stack=hex_or_none(analysis.exhausted_stack),
        black_boxes=tuple(BlackBoxFacts(box.name, box.command, box.size) for box in analysis.black_boxes),
        process=analysis.process,
        subject=hex_or_none(analysis.subject.address) if analysis.subject is not None else None,
        subject_name=analysis.subject.name if analysis.subject is not None else None,
        exit_status=hex_or_none(analysis.subject.exit_status) if analysis.subject is not None else None,
        exit_status_text=_status_text(analysis.subject.exit_status) if analysis.subject is not None else None,
        ended_by=analysis.subject.ended_by if analysis.subject is not None else None,
        device=hex_or_none(analysis.device),
        driver=hex_or_none(analysis.driver),
        request=_request_facts(analysis.request),
        thread=_thread_facts(analysis.thread),
        message=analysis.message,
        hardware=analysis.hardware,
        watchdog=analysis.watchdog,
        plug_and_play=analysis.plug_and_play,
        status=hex_or_none(analysis.status),
        status_text=_status_text(analysis.status),
        frames=facts.frames,
        stack_command=_stack_command(analysis.failing),
        culprit=facts.culprit(),
        bucket=analysis.bucket,
        bucket_hash=analysis.bucket_hash,
        version=analysis.version,
        branch=analysis.branch,
        platform=target.architecture.name if target.architecture.name != "ARM64" else "arm64",
        system=release_name(target.system.build),
        keys={**analysis.keys, **_cost_keys(before, costs())},
        evidence=analysis.evidence,
        unknown=analysis.unknown,
        next=_next(analysis),
        irql=irql,
        _is_verbose=verbose,
        _irql_lines=irql_lines,
    )


def analyze_lines(result: Any) -> Iterator[Line]:
    """The lines of whatever `analyze` was asked for."""
    if isinstance(result, BugcheckDescription):
        yield from description_lines(result)
    elif isinstance(result, Analysis):
        yield from analysis_lines(result)
    else:
        from dumpkit.commands.analyze_hang import hang_lines

        yield from hang_lines(result)


@command(
    "analyze",
    category="Dump",
    summary="What crashed, where, and who is to blame",
    arguments=(Text("options", "-v, -f, -hang, or -show with a bugcheck's code and arguments"),),
    render=analyze_lines,
    needs_target=False,
)
def analyze(session: Session, options: str = "") -> Union[Analysis, BugcheckDescription, HangAnalysis]:
    """Analyses the bugcheck: its arguments, the failing context, instruction and address, the stack, and the
    first frame that is not the kernel's own plumbing, with its module and its failure bucket.

    -v     everything; without it a summary
    -f     the exception is analysed even where the target did not bugcheck
    -hang  threads that block others, instead of a crash
    -show  what a bugcheck's code and arguments mean: this dump's, or `-show CODE [P1 [P2 [P3 [P4]]]]`

    --json gives, beside all that is shown, what each statement rests on (`evidence`) and why others cannot be made
    (`unknown`).
    """
    wanted = _Options(session, options)
    if wanted.shown is not None:
        return _shown(session, wanted.shown)
    if session.target is None:
        raise CommandError("analyze needs a dump: start dumpkit with the path of one")
    if wanted.is_hang:
        from dumpkit.commands.analyze_hang import hang_result

        return hang_result(session.target)
    return crash_result(session, wanted.is_verbose, wanted.is_forced)
