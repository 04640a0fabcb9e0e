"""IRQL contracts held against levels: what is wrong with a call, and the records of what was found."""

from __future__ import annotations

from dumpkit.kernel.irql import APC_LEVEL, PASSIVE_LEVEL
from dumpkit.kernel.irql_conditions import otherwise, with_arguments
from dumpkit.kernel.irql_contracts import ANY_LEVEL, Contract, contract
from dumpkit.kernel.irql_level import Level, level_name
from dumpkit.named_tuple import NamedTuple
from dumpkit.output import Hex
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Sequence, Tuple

    from dumpkit.kernel.call_names import Routine
    from dumpkit.kernel.irql_flow import Call

#: How sure a finding is.
CERTAIN = "certain"
#: On one path of the code at least, not on every one.
SOME_PATH = "some path"
#: The level is one at which the routine may be called under conditions that its remarks state.
DEPENDS = "depends"
#: The level was measured further in, and a call that could not be followed may have changed it since.
IF_UNCHANGED = "if nothing it called raised"
#: The frame was found by a scan of the stack: it may be left over from an earlier call.
SCANNED = "scanned frame"

#: What a RaiseSite says of a call that could not be followed, where nothing that could be raised.
UNFOLLOWED = "what could not be followed"

TOO_HIGH = "too high"
TOO_LOW = "too low"


class RaiseSite(Record):
    """The instruction that a level is from; addresses are virtual."""

    #: The function with the distance into it: `TestDriver!FileCreationThread+0x3a`.
    place: str
    address: Hex
    #: The routine that it calls, "mov cr8", UNFOLLOWED, or what the kernel calls at that level: "DPCs".
    routine: str
    level: str
    #: The index of its frame on the stack, None where it is not on one.
    frame: Optional[int]
    is_root: bool = False
    #: Whether the level may be from elsewhere: other paths lead there, or what it calls could not be followed.
    is_perhaps: bool = False


class Violation(Record):
    """A call at an IRQL that the routine's contract does not allow, or allows on conditions."""

    #: The caller with the distance of the call into it, and its module's debugger name.
    place: str
    module: str
    address: Hex
    routine: str
    #: The level there, and what the contract asks for, both in words.
    level: str
    lowest: int
    highest: int
    needs: str
    kind: str
    certainty: str
    #: Where the contract is from.
    source: str
    #: The index of the caller's frame; None for a call that is not on the stack.
    frame: Optional[int] = None
    raised: Optional[RaiseSite] = None


class FrameFacts(Record):
    """A frame with its level and the contract of what it calls."""

    number: int
    stack_pointer: Hex
    instruction: Hex
    function: str
    #: The level in words, the range, and how it is known.
    level: str
    lowest: int
    highest: int
    known_by: str
    routine: Optional[str]
    needs: Optional[str]
    #: "ok", CERTAIN and the like; None where there is no contract or no level to hold against it.
    verdict: Optional[str]
    problem: str


class IrqlVerdict(Record):
    """What a stack tells of the IRQL."""

    #: The level that was measured, in words with its source, or None.
    measured: Optional[str]
    measured_level: Optional[int]
    #: The outermost call of a driver that breaks a contract.
    cause: Optional[Violation]
    #: Calls that may break one, where none certainly does.
    possible: Tuple[Violation, ...]
    #: Calls behind the cause in the same driver's code that would break one, too.
    ahead: Tuple[Violation, ...]
    #: The debugger's names of modules that ran at the level that another one brought.
    bystanders: Tuple[str, ...]
    #: What the levels of the stack begin with, where no cause was found.
    begins: Optional[RaiseSite]
    #: The routine that returned at that level, where the bugcheck is about that.
    returned: Optional[str]
    #: What the measured level is from, where no cause was found.
    raised: Optional[RaiseSite]
    #: Why nothing more is known.
    unknown: Optional[str]
    frames: Tuple[FrameFacts, ...]


def needs(terms: Contract) -> str:
    """The levels of a contract in words: "PASSIVE_LEVEL", "<= APC_LEVEL", ">= DISPATCH_LEVEL"."""
    if terms.maximum >= ANY_LEVEL:
        return f">= {level_name(terms.minimum)}" if terms.minimum else "any level"
    if terms.minimum == terms.maximum:
        return level_name(terms.maximum) + _because(terms)
    if terms.minimum == PASSIVE_LEVEL:
        return f"<= {level_name(terms.maximum)}{_because(terms)}"
    return f"{level_name(terms.minimum)} to {level_name(terms.maximum)}"


def _because(terms: Contract) -> str:
    return f" as {terms.condition}" if terms.condition else ""


class Finding(NamedTuple):
    """What is wrong with a call, and how sure that is."""

    kind: str
    certainty: str


def check(levels: Sequence[Level], terms: Contract) -> Optional[Finding]:
    """What is wrong with a call that is made at one of these levels; None where nothing is known to be."""
    worst: List[Optional[Finding]] = [_check(level, terms) for level in levels]
    bad = [finding for finding in worst if finding is not None and finding.certainty == CERTAIN]
    if bad:
        return bad[0] if len(bad) == len(worst) else Finding(bad[0].kind, SOME_PATH)
    return next((finding for finding in worst if finding is not None), None)


def _check(level: Level, terms: Contract) -> Optional[Finding]:
    if level.is_relative:
        return None
    if level.low > terms.maximum:
        return Finding(TOO_HIGH, CERTAIN)
    if level.high < terms.minimum:
        certain = terms.is_floor_certain and not (terms.see_remarks and terms.maximum < ANY_LEVEL and level.low > 0)
        return Finding(TOO_LOW, CERTAIN if certain else DEPENDS)
    if terms.see_remarks and APC_LEVEL <= level.low == terms.maximum > terms.minimum:
        return Finding(TOO_HIGH, DEPENDS)
    return None


def is_within(level: Level, terms: Contract) -> bool:
    """Whether a routine may be called at every level that is possible."""
    return not level.is_relative and terms.minimum <= level.low and level.high <= terms.maximum


def terms_of(routine: Optional[Routine]) -> Optional[Contract]:
    """The contract of a routine by any of its names, or None."""
    if routine is None:
        return None
    return next((found for found in map(contract, routine.names) if found is not None), None)


def terms_of_call(call: Optional[Call]) -> Optional[Contract]:
    """The contract of what is called, with the arguments of the call as far as they are known; or None."""
    terms = terms_of(call.routine) if call is not None else None
    return with_arguments(terms, call.arguments) if call is not None and terms is not None else terms


def violation(
    place: str,
    module: str,
    call: Call,
    level: Level,
    terms: Contract,
    finding: Finding,
    frame: Optional[int] = None,
    raised: Optional[RaiseSite] = None,
) -> Violation:
    """The record of a finding."""
    wanted = needs(terms)
    if finding.certainty == DEPENDS and otherwise(terms.routine):
        wanted += f", and {otherwise(terms.routine)}"
    return Violation(
        place,
        module,
        Hex(call.address),
        call.routine.shown if call.routine is not None else "",
        str(level),
        level.low,
        level.high,
        wanted,
        finding.kind,
        finding.certainty,
        terms.source,
        frame,
        raised,
    )
