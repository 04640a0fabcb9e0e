"""What the watchdog of deferred procedure calls saw: which DPC ran, for how long, and where it was found running.

DPC_WATCHDOG_GLOBAL_TRIAGE_BLOCK is wdm.h's; the rest are members of the kernel's _KPRCB, by its symbols.
"""

from __future__ import annotations

from struct import Struct, unpack

from dumpkit.errors import DumpkitError, MemoryReadError
from dumpkit.kernel.analysis.evidence import Evidence
from dumpkit.kernel.bugchecks import Bugcheck
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple

#: Signature, revision, size, offset of the profile's pointer in a KPRCB, length of a profile.
_BLOCK = Struct("<IHHII")
_SIGNATURE = 0xAEBECEDE
#: Bytes of a profile that are looked at.
_LONGEST_PROFILE = 0x20000
#: Routines of a profile that are told.
_MOST_SAMPLES = 8


class ProfiledRoutine(Record):
    """A routine that the watchdog's profile has return addresses in."""

    symbol: str
    count: int


class DpcWatchdog(Record):
    """A processor that the watchdog stopped; what cannot be read is None. Times are in clock ticks."""

    processor: int
    #: Whether one DPC ran too long, and not all that ran at DISPATCH_LEVEL together.
    is_single: bool
    ticks: Optional[int]
    limit: Optional[int]
    #: The DPC routine that ran, and its symbol; None where none did.
    routine: Optional[Hex]
    symbol: Optional[str]
    #: DPCs that wait in the processor's normal queue.
    waiting: Optional[int]
    #: The routines of the watchdog's profile, those first that it has most addresses in.
    profile: Tuple[ProfiledRoutine, ...]


def dpc_watchdog(
    target: Target, bugcheck: Bugcheck, parameters: Sequence[int], evidence: Evidence
) -> Optional[DpcWatchdog]:
    """What is known; None for a bugcheck that is not the watchdog's."""
    for kind, ticks, limit, block in bugcheck.rule("dpc"):
        return _watchdog(
            target, kind == "single", [_argument(parameters, each) for each in (ticks, limit, block)], evidence
        )
    return None


def _argument(parameters: Sequence[int], number: str) -> Optional[int]:
    return parameters[int(number) - 1] if number != "-" else None


def _watchdog(target: Target, is_single: bool, arguments: Sequence[Optional[int]], evidence: Evidence) -> DpcWatchdog:
    processor = target.current_processor
    ticks, limit, block = arguments
    routine: Optional[int] = None
    waiting: Optional[int] = None
    profile: Tuple[ProfiledRoutine, ...] = ()
    try:
        prcb = target.type("_KPRCB").at(target.prcb_address(processor))
        if ticks is None:
            ticks = int(prcb.DpcWatchdogCount)
            evidence.note("dpc_ticks", f"_KPRCB.DpcWatchdogCount of processor {processor}")
        waiting = int(prcb.DpcData.element(0).DpcQueueDepth)
        routine = _routine(prcb, processor, evidence)
        profile = _profile(target, prcb, block, evidence)
    except DumpkitError as error:
        evidence.lack("dpc", error)
    place = target.symbols.nearest(routine) if routine is not None else None
    symbol = str(place) if place is not None else None
    return DpcWatchdog(
        processor, is_single, ticks, limit, Hex(routine) if routine is not None else None, symbol, waiting, profile
    )


def _routine(prcb: Any, processor: int, evidence: Evidence) -> Optional[int]:
    """The DPC routine that a processor is in."""
    if not int(prcb.DpcRoutineActive):
        evidence.lack("dpc_routine", f"processor {processor} runs no DPC: a thread or an interrupt raised its IRQL")
        return None
    if "CurrentDpcRoutine" not in prcb:
        evidence.lack("dpc_routine", "this kernel does not keep which DPC it runs")
        return None
    routine = int(prcb.CurrentDpcRoutine)
    if not routine:
        evidence.lack("dpc_routine", "_KPRCB.CurrentDpcRoutine is null")
        return None
    evidence.note("dpc_routine", f"_KPRCB.CurrentDpcRoutine of processor {processor}")
    return routine


def _profile(target: Target, prcb: Any, block: Optional[int], evidence: Evidence) -> Tuple[ProfiledRoutine, ...]:
    """The routines of the profile that the triage block leads to."""
    if not block:
        return ()
    try:
        signature, _, _, offset, length = _BLOCK.unpack(target.memory.read(block, _BLOCK.size))
        if signature != _SIGNATURE:
            evidence.lack("dpc_profile", f"{block:016x} is no DPC_WATCHDOG_GLOBAL_TRIAGE_BLOCK")
            return ()
        start = target.memory.u64(prcb.address + offset)
    except MemoryReadError as error:
        evidence.lack("dpc_profile", error)
        return ()
    data = target.memory.read_prefix(start, min(length, _LONGEST_PROFILE)) if start else b""
    found: Dict[str, int] = {}
    for address in unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8]):
        module = target.module_at(address)
        if module is not None:
            place = target.symbols.nearest(address)
            name = f"{module.name}!{place.name}" if place is not None and place.name else module.name
            found[name] = found.get(name, 0) + 1
    if found:
        evidence.note("dpc_profile", f"the watchdog's profile at {start:016x}")
    else:
        evidence.lack("dpc_profile", "the watchdog's profile has no address in a module")
    ranked: List[Tuple[str, int]] = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return tuple(ProfiledRoutine(name, count) for name, count in ranked[:_MOST_SAMPLES])
