"""Whose call broke an IRQL contract: the verdict on a stack, as data."""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.kernel.call_names import Routine
from dumpkit.kernel.irql import APC_LEVEL, PASSIVE_LEVEL, bugcheck_irql
from dumpkit.kernel.irql_contracts import Contract
from dumpkit.kernel.irql_evidence import (
    BELIEVED,
    CALLEE,
    CALLER,
    NO_IMAGE,
    ROOT,
    FrameLevel,
    StackLevels,
    StackReader,
    against,
)
from dumpkit.kernel.irql_findings import (
    CERTAIN,
    IF_UNCHANGED,
    SCANNED,
    SOME_PATH,
    TOO_HIGH,
    UNFOLLOWED,
    Finding,
    FrameFacts,
    IrqlVerdict,
    RaiseSite,
    Violation,
    check,
    is_within,
    needs,
    terms_of_call,
    violation,
)
from dumpkit.kernel.irql_flow import Call
from dumpkit.kernel.irql_level import UNKNOWN, Change, Level, Way, exactly, level_name
from dumpkit.kernel.irql_measured import measure
from dumpkit.kernel.irql_return import raise_before_return, routine_that_returned
from dumpkit.kernel.irql_roots import root_of
from dumpkit.kernel.paged_code import paged_section
from dumpkit.kernel.x64_walk import SCAN
from dumpkit.output import Hex
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, Optional, Sequence, Tuple

    from dumpkit.kernel.irql_measured import Measured
    from dumpkit.kernel.stack import Frame

#: Bugchecks that are about the IRQL: of these even an open question is worth a line.
IRQL_BUGCHECKS = frozenset((0x08, 0x09, 0x0A, 0x4A, 0xB8, 0xC8, 0xD1, 0xD3, 0xD4))
#: Of these those whose arguments 1 and 4 are the memory that was touched, and the instruction.
_FETCHES = frozenset((0x0A, 0xD1))
_TRIAGE = 0x1000_0000
_MOST_FRAMES = 256
_MOST_NAMED = 4


def irql_verdict(target: Target, frames: Optional[Sequence[Frame]] = None) -> Optional[IrqlVerdict]:
    """The verdict on the failing stack: `frames` innermost first, those of the crashing processor where not given.

    None where the bugcheck is not about the IRQL and no contract was broken.
    """
    bugcheck = target.bugcheck
    is_asked = bugcheck is not None and bugcheck.code & ~_TRIAGE in IRQL_BUGCHECKS
    is_asked = is_asked or bugcheck_irql(bugcheck) is not None
    processor = target.current_processor
    if not is_asked:
        # At PASSIVE_LEVEL everything may be called; this is told without a look at the stack.
        level = measure(target, (), processor)
        if level is None or level.level == PASSIVE_LEVEL:
            return None
    if frames is None:
        from dumpkit.kernel.stack import walk_stack

        try:
            frames = walk_stack(target, target.context(processor), _MOST_FRAMES)
        except DumpkitError as error:
            return _nothing(str(error)) if is_asked else None
    reader = StackReader(target)
    verdict = stack_verdict(reader, frames, measure(target, frames, processor), routine_that_returned(target))
    return verdict if is_asked or verdict.cause is not None else None


def _nothing(reason: str) -> IrqlVerdict:
    return IrqlVerdict(None, None, None, (), (), (), None, None, None, reason, ())


def stack_verdict(
    reader: StackReader, frames: Sequence[Frame], measured: Optional[Measured], returned: Optional[int] = None
) -> IrqlVerdict:
    """The verdict on a stack whose frames are given innermost first.

    `returned` is the virtual address of a routine that returned at the measured level, and should not have.
    """
    levels = reader.levels(frames, measured)
    found = [*_violations(reader, levels), *_pageable_call(reader, levels)]
    cause = next((each for each in found if each.certainty == CERTAIN), None)
    bystanders: Tuple[str, ...] = ()
    ahead: Tuple[Violation, ...] = ()
    if cause is not None and cause.frame is not None:
        bystanders = _bystanders(levels, cause)
        ahead = tuple(_ahead(reader, levels, cause))
    begins = _begin(levels) if cause is None else None
    raised: Optional[RaiseSite] = None
    if cause is None and measured is not None:
        raised = raise_of(reader, levels.frames, measured.frame)
        raised = raise_before_return(reader, returned, measured.level) if returned is not None else raised
    return IrqlVerdict(
        f"{level_name(measured.level)} ({measured.source})" if measured is not None else None,
        measured.level if measured is not None else None,
        cause,
        tuple(each for each in found if each.certainty != CERTAIN) if cause is None else (),
        ahead,
        bystanders,
        begins,
        reader.name_of(returned) if returned is not None else None,
        raised if raised is not None and not raised.is_root else None,
        _unknown(levels, cause) if cause is None or cause.raised is None else None,
        tuple(_facts(number, each) for number, each in enumerate(levels.frames)),
    )


def _facts(number: int, here: FrameLevel) -> FrameFacts:
    routine = here.call.routine if here.call is not None else None
    terms = terms_of_call(here.call)
    finding = _weighed(here, check([here.level], terms)) if terms is not None else None
    verdict = None
    if terms is not None and here.known_by:
        verdict = finding.certainty if finding is not None else "ok" if is_within(here.level, terms) else None
        if finding is not None and finding.certainty == CERTAIN:
            verdict = finding.kind
    return FrameFacts(
        number,
        Hex(here.frame.stack_pointer),
        Hex(here.frame.instruction_pointer),
        place_of(here),
        str(here.level),
        here.level.low,
        here.level.high,
        here.known_by,
        routine.shown if routine is not None else None,
        needs(terms) if terms is not None else None,
        verdict,
        here.problem,
    )


def place_of(here: FrameLevel) -> str:
    """A frame's function with the distance into it."""
    return f"{here.function}+0x{here.displacement:x}" if here.displacement else here.function


def _violations(reader: StackReader, levels: StackLevels) -> Iterator[Violation]:
    """The calls of drivers on the stack that break a contract or may, outermost first.

    The kernel's calls of its own routines are left out: contracts are for drivers, and the kernel calls deeper.
    """
    frames = levels.frames
    innermost = levels.measured.frame if levels.measured is not None else len(frames)
    for index in range(len(frames) - 1, -1, -1):
        here = frames[index]
        if here.call is None or here.module in ("nt", "") or here.frame.is_interrupted:
            continue
        terms = terms_of_call(here.call)
        finding = _finding(here, terms) if terms is not None else None
        if finding is None and terms is not None and index > innermost and levels.measured is not None:
            finding = _unless_raised(here, terms, levels.measured.level)
        if finding is not None and terms is not None:
            place = reader.name_of(here.call.address)
            if here.call.address == here.call.return_address:
                place += " (return address)"
            raised = raise_of(reader, frames, index)
            yield violation(place, here.module, here.call, here.level, terms, finding, index, raised)


def _pageable_call(reader: StackReader, levels: StackLevels) -> Iterator[Violation]:
    """The call of a function that was paged out, where the bugcheck says that its instructions could not be fetched.

    Only there: pageable code that its driver has locked into memory may be called at DISPATCH_LEVEL.
    """
    bugcheck = reader.target.bugcheck
    if bugcheck is None or bugcheck.code & ~_TRIAGE not in _FETCHES:
        return
    for index, (here, caller) in enumerate(zip(levels.frames, levels.frames[1:]), 1):
        address = here.frame.instruction_pointer
        if {bugcheck.parameters[0], bugcheck.parameters[3]} != {address}:
            continue
        try:
            section = paged_section(reader.target, address)
        except DumpkitError:
            return
        if section is None or caller.module in ("nt", ""):
            return
        condition = f"it is in section {section}, which is pageable"
        terms = Contract(here.function, PASSIVE_LEVEL, APC_LEVEL, False, "", "the fault itself", condition)
        finding = check([here.level], terms)
        if finding is None:
            return
        finding = _weighed(caller, finding) or finding
        routine = Routine(here.function, (here.function.rpartition("!")[2],), address)
        call = caller.call or Call(caller.frame.instruction_pointer, caller.frame.instruction_pointer, None)
        raised = raise_of(reader, levels.frames, index)
        place = reader.name_of(call.address)
        yield violation(place, caller.module, call._replace(routine=routine), here.level, terms, finding, index, raised)
        return


def _finding(here: FrameLevel, terms: Contract) -> Optional[Finding]:
    """What is wrong with a frame's call: by the level that is known, or else by that of one of its paths."""
    finding = check([here.level], terms)
    if finding is None and len(here.ways) > 1 and here.level.low != here.level.high:
        finding = check([way.level for way in here.ways], terms)
        if finding is not None and finding.certainty == CERTAIN:
            finding = Finding(finding.kind, SOME_PATH)
    return _weighed(here, finding)


def _unless_raised(here: FrameLevel, terms: Contract, measured: int) -> Optional[Finding]:
    """What is wrong with a call whose level is not known, if what was measured further in was the level there, too."""
    if here.known_by not in ("", CALLER, CALLEE) or not here.level.low < here.level.high >= measured:
        return None
    finding = check([exactly(measured)], terms)
    certain = finding is not None and (finding.kind, finding.certainty) == (TOO_HIGH, CERTAIN)
    return Finding(TOO_HIGH, IF_UNCHANGED) if certain else None


def _weighed(here: FrameLevel, finding: Optional[Finding]) -> Optional[Finding]:
    """A finding about a frame's call, no surer than the frame and its level are."""
    if finding is None or finding.certainty != CERTAIN:
        return finding
    if here.frame.found_by == SCAN:
        return Finding(finding.kind, SCANNED)
    return Finding(finding.kind, IF_UNCHANGED) if here.known_by == BELIEVED else finding


def raise_of(reader: StackReader, frames: Sequence[FrameLevel], index: int) -> Optional[RaiseSite]:
    """What the level of a frame is from, followed outwards to the frame whose code set it, or where a stack begins.

    None where a frame on the way does not tell.
    """
    for number in range(index, len(frames)):
        here = frames[number]
        if here.known_by == ROOT:
            if not here.level.covers(frames[index].level):
                return None
            return _begin_at(frames, number)
        ways = _possible_ways(frames, number)
        changes = list(dict.fromkeys(way.by for way in ways))
        if len(changes) != 1:
            perhaps = next((change for change in changes if change is not None), None)
            believed = next((way.believed for way in here.ways if way.believed), 0)
            if perhaps is None and not ways and believed:
                perhaps = Change(believed, UNFOLLOWED)
            return _site(reader, perhaps, frames[index].level, number, True) if perhaps is not None else None
        change = changes.pop()
        if change is not None:
            return _site(reader, change, frames[index].level, number)
        if any(way.level.pops for way in ways):
            return None
    return None


def _possible_ways(frames: Sequence[FrameLevel], number: int) -> Sequence[Way]:
    """What a frame's code says of its level, without what the level that is known excludes."""
    here = frames[number]
    if not here.level.is_exact:
        return here.ways
    entry = frames[number + 1].level if number + 1 < len(frames) else UNKNOWN
    return [way for way in here.ways if against(way.level, entry).covers(here.level)]


def _site(
    reader: StackReader, change: Change, level: Level, frame: Optional[int], is_perhaps: bool = False
) -> RaiseSite:
    place = reader.name_of(change.address)
    return RaiseSite(place, Hex(change.address), change.routine, str(level), frame, is_perhaps=is_perhaps)


def _bystanders(levels: StackLevels, cause: Violation) -> Tuple[str, ...]:
    """The modules that the cause's call led into, outermost first; the kernel has no name to clear."""
    found: Dict[str, None] = {}
    for here in reversed(levels.frames[: cause.frame]):
        if here.module not in ("", "nt", cause.module):
            found[here.module] = None
    return tuple(found)


def _ahead(reader: StackReader, levels: StackLevels, cause: Violation) -> Iterator[Violation]:
    """Calls that lie behind those of the stack, in the functions from the raise to the cause, innermost first."""
    last = cause.raised.frame if cause.raised is not None and cause.raised.frame is not None else cause.frame
    for index in range(cause.frame or 0, (last or 0) + 1):
        here = levels.frames[index]
        if here.module != cause.module or here.call is None:
            continue
        outer = levels.frames[index + 1].level if index + 1 < len(levels.frames) else None
        yield from _calls_behind(reader, here, here.call.address, outer)


def _calls_behind(reader: StackReader, here: FrameLevel, behind: int, entry: Optional[Level]) -> Iterator[Violation]:
    """The calls of a frame's function behind a virtual address that break a contract, in order.

    `entry` is the level at the function's start, None where that is not known.
    """
    if reader.flows is None:
        return
    flow = reader.flows.flow_at(here.frame.instruction_pointer)
    if flow is None:
        return
    # What the same raise brought to the frame's call, it brought to the calls behind that.
    same = {way.by: here.level for way in here.ways if way.by is not None} if len(here.ways) == 1 else {}
    for address in sorted(flow.calls):
        call = flow.calls[address]
        terms = terms_of_call(call) if address > behind else None
        if terms is None:
            continue
        ways = [_way_level(way, entry, same) for way in flow.ways(address)]
        finding = check(ways, terms)
        if finding is not None and finding.certainty in (CERTAIN, SOME_PATH):
            yield violation(reader.name_of(address), here.module, call, ways[0], terms, finding)


def _way_level(way: Way, entry: Optional[Level], same: Dict[Change, Level]) -> Level:
    if way.by is not None and way.by in same and not way.level.is_exact:
        return same[way.by]
    return against(way.level, entry) if entry is not None else way.level


def _begin(levels: StackLevels) -> Optional[RaiseSite]:
    """What the stack's levels begin with: the innermost function of the kernel that sets one."""
    for number, here in enumerate(levels.frames):
        if here.known_by == ROOT:
            return _begin_at(levels.frames, number)
    return None


def _begin_at(frames: Sequence[FrameLevel], number: int) -> RaiseSite:
    """The frame of the kernel's that a stack's levels begin with, as what they are from."""
    here = frames[number]
    outer = frames[number + 1].function if number + 1 < len(frames) else ""
    root = root_of(here.function.rpartition("!")[2], outer.rpartition("!")[2])
    calls = root.calls if root is not None else "system services of user mode"
    return RaiseSite(place_of(here), Hex(here.frame.instruction_pointer), calls, str(here.level), number, True)


def _unknown(levels: StackLevels, cause: Optional[Violation]) -> Optional[str]:
    """What keeps the levels of drivers' frames, or who raised before a cause, from being known; outermost first."""
    missing: Dict[str, None] = {}
    others: Dict[str, None] = {}
    first = cause.frame or 0 if cause is not None else 0
    for here in reversed(levels.frames[first:]):
        if here.module in ("", "nt") or not here.problem or (cause is None and here.level.is_exact):
            continue
        if here.problem == NO_IMAGE:
            missing[here.module] = None
        else:
            others[f"{here.function}: {here.problem}"] = None
    said = list(others)[:1]
    if missing:
        names = list(missing)
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        said.insert(
            0, f"the code of {', '.join(names[:_MOST_NAMED])}{more}: neither the dump nor the symbol path has it"
        )
    return "; ".join(said) or None
