"""Interrupt request levels: their names, and the level that a processor had when the debugger stopped it.

Names and numbers: wdm.h of the Windows Driver Kit, which gives x64 and ARM64 the same levels, but for
CMCI_LEVEL, which x64 alone has. Levels without a name are those of devices.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, SymbolError
from dumpkit.named_tuple import NamedTuple
from dumpkit.registers import X64, Architecture
from dumpkit.target import Bugcheck, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional

PASSIVE_LEVEL, APC_LEVEL, DISPATCH_LEVEL, CMCI_LEVEL = 0, 1, 2, 5
SYNCH_LEVEL, CLOCK_LEVEL, IPI_LEVEL, HIGH_LEVEL = 12, 13, 14, 15


class IrqlName(NamedTuple):
    """What a level is called, and what its header says it is for."""

    name: str
    meaning: str


#: The debugger calls PASSIVE_LEVEL by its other name.
_NAMES: Dict[int, IrqlName] = {
    PASSIVE_LEVEL: IrqlName("LOW_LEVEL", "Lowest interrupt level"),
    APC_LEVEL: IrqlName("APC_LEVEL", "APC interrupt level"),
    DISPATCH_LEVEL: IrqlName("DISPATCH_LEVEL", "Dispatcher level"),
    CMCI_LEVEL: IrqlName("CMCI_LEVEL", "CMCI handler level"),
    SYNCH_LEVEL: IrqlName("SYNCH_LEVEL", "Synchronization level"),
    CLOCK_LEVEL: IrqlName("CLOCK_LEVEL", "Interval clock level"),
    IPI_LEVEL: IrqlName("IPI_LEVEL", "Interprocessor interrupt level"),
    HIGH_LEVEL: IrqlName("HIGH_LEVEL", "Highest interrupt level"),
}
_DEVICE = IrqlName("DIRQL", "Device interrupt level")
_NONE = IrqlName("INVALID", "No interrupt request level")

#: Bugchecks one of whose parameters is the IRQL -> its place from 1 (Microsoft's bug check reference).
_IRQL_PARAMETER = {0x0A: 2, 0x20: 3, 0x4A: 2, 0xC5: 2, 0xD0: 2, 0xD1: 2, 0xD3: 2, 0xD4: 2, 0xE1: 2}
_VERIFIER = 0xC4
#: Its first parameter has the IRQL above the one that was expected, and that above a number.
_UNEXPECTED = 0xC8
#: Set in the stop code of a triage dump.
_TRIAGE = 0x1000_0000


def irql_name(level: int, architecture: Architecture = X64) -> IrqlName:
    """The name of an IRQL on an architecture; the levels of devices are all called DIRQL."""
    if level == CMCI_LEVEL and architecture is not X64:
        return _DEVICE
    return _NAMES.get(level, _DEVICE if DISPATCH_LEVEL < level < HIGH_LEVEL else _NONE)


def saved_irql(target: Target, processor: int) -> int:
    """The IRQL of a processor when it stopped, as the kernel saved it for the debugger: KPRCB.DebuggerSavedIRQL.

    Raises DumpkitError: SymbolError where no symbols tell where it lies, MemoryReadError where its page is missing.
    """
    prcb = target.prcb_address(processor)
    level: int = target.type("_KPRCB").at(prcb).DebuggerSavedIRQL
    return level


class IrqlEvidence(NamedTuple):
    """An IRQL that something else than the PRCB tells, and what tells it."""

    level: int
    source: str


def bugcheck_irql(bugcheck: Optional[Bugcheck]) -> Optional[IrqlEvidence]:
    """The IRQL that a bugcheck's parameters give, of those that do."""
    if bugcheck is None:
        return None
    code = bugcheck.code & ~_TRIAGE
    if code == _UNEXPECTED:
        return IrqlEvidence(bugcheck.parameters[0] >> 16 & 0xFF, f"Arg1 of bugcheck {code:X}")
    place = _IRQL_PARAMETER.get(code) or _verifiers_parameter(bugcheck)
    if place is None:
        return None
    # Above the byte that is the level stands what else the kernel knew, where it knew it.
    return IrqlEvidence(bugcheck.parameters[place - 1] & 0xFF, f"Arg{place} of bugcheck {code:X}")


def _verifiers_parameter(bugcheck: Bugcheck) -> Optional[int]:
    """The place of the IRQL among the parameters of Driver Verifier's bugcheck, of those rules that give it."""
    if bugcheck.code & ~_TRIAGE != _VERIFIER:
        return None
    from dumpkit.kernel.bugchecks import describe

    rule = describe(_VERIFIER, bugcheck.parameters).rule("irql")
    return int(rule[0][0]) if rule else None


def other_evidence(target: Target, processor: int) -> List[IrqlEvidence]:
    """What else says at which IRQL a processor was: the bugcheck, for the one that crashed, and its saved cr8.

    The processors that the crashing one stopped were raised to HIGH_LEVEL by that: it says nothing of them.
    """
    found = []
    crashed = processor == target.current_processor
    if crashed:
        evidence = bugcheck_irql(target.bugcheck)
        if evidence is not None:
            found.append(evidence)
    try:
        context = target.context(processor)
    except DumpkitError:
        return found
    if "cr8" in context.values and (crashed or context["cr8"] < HIGH_LEVEL):
        found.append(IrqlEvidence(context["cr8"], "cr8 as saved when the processor was stopped"))
    return found


def missing_symbol(error: DumpkitError) -> bool:
    """Whether the saved IRQL is not known for want of symbols, not of memory."""
    return isinstance(error, SymbolError)
