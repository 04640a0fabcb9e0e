"""`verifier`: Driver Verifier's settings, its counts and the drivers that it watches.

Format: the example of the !verifier page in Microsoft's debugger documentation, and what verifier.exe shows of flags.
"""

from __future__ import annotations

from dumpkit.errors import CommandError
from dumpkit.gaps import Gaps
from dumpkit.kernel.verifier import ADDITIONAL_FLAGS, STANDARD_FLAGS, Verifier
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, Word, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, Optional, Tuple

_DRIVERS = 1
#: Flags whose logs the kernel keeps in structures that no public symbols describe.
_LOGS = 0x4 | 0x8 | 0x20 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800

#: Line -> member of _MM_DRIVER_VERIFIER_DATA.
_COUNTS = (
    ("RaiseIrqls", "RaiseIrqls"),
    ("AcquireSpinLocks", "AcquireSpinLocks"),
    ("Synch Executions", "SynchronizeExecutions"),
    ("Trims", "Trims"),
    ("Pool Allocations Attempted", "AllocationsAttempted"),
    ("Pool Allocations Succeeded", "AllocationsSucceeded"),
    ("Pool Allocations Succeeded SpecialPool", "AllocationsSucceededSpecialPool"),
    ("Pool Allocations With NO TAG", "AllocationsWithNoTag"),
    ("Pool Allocations Failed", "AllocationsFailed"),
    ("Resource Allocations Failed Deliberately", "AllocationsFailedDeliberately"),
)
#: Line -> members: how many, and their bytes.
_POOLS = (
    ("Current paged pool allocations", "CurrentPagedPoolAllocations", "PagedBytes"),
    ("Peak paged pool allocations", "PeakPagedPoolAllocations", "PeakPagedBytes"),
    ("Current nonpaged pool allocations", "CurrentNonPagedPoolAllocations", "NonPagedBytes"),
    ("Peak nonpaged pool allocations", "PeakNonPagedPoolAllocations", "PeakNonPagedBytes"),
)
#: Counts of the first kind, before those of pool.
_GENERAL = 4


class VerifierCount(Record):
    """A count; `bytes` of allocations. None where the Windows keeps none, or it cannot be read."""

    name: str
    count: Optional[Hex]
    bytes: Optional[Hex]


class VerifierDriver(Record):
    """A driver that was chosen for verification."""

    address: Hex
    name: Optional[str]
    loaded: bool
    loads: int
    unloads: int


class VerifierState(Record):
    """Driver Verifier."""

    level: Hex
    #: What it checks, in words.
    enabled: Tuple[str, ...]
    #: Bits of the level that no name is known of.
    unknown: Hex
    counts: Tuple[VerifierCount, ...]
    #: None where they were not asked for.
    drivers: Optional[Tuple[VerifierDriver, ...]]
    #: What could not be read and why, one line each.
    problems: Tuple[str, ...]


def verifier_lines(result: VerifierState) -> Iterator[Line]:
    yield ""
    yield f"Verify Flags Level 0x{result.level:08x}"
    yield ""
    yield "  STANDARD FLAGS:"
    yield f"    [{'X' if result.level else ' '}] (0x00000000) Automatic Checks"
    yield from _flag_lines(result.level, STANDARD_FLAGS)
    yield ""
    yield "  ADDITIONAL FLAGS:"
    yield from _flag_lines(result.level, ADDITIONAL_FLAGS)
    if result.unknown:
        yield f"    [X] (0x{result.unknown:08x}) Unknown"
    yield ""
    yield "    [X] Indicates flag is enabled"
    yield ""
    yield "Summary of All Verifier Statistics"
    yield ""
    for index, count in enumerate(result.counts):
        if index in (_GENERAL, len(_COUNTS)):
            yield ""
        yield _count_line(count)
    if result.drivers is not None:
        yield from _driver_lines(result.drivers)
    for problem in result.problems:
        yield (Span(problem, "dim"),)


def _flag_lines(level: int, names: Dict[int, str]) -> Iterator[str]:
    for bit, name in names.items():
        yield f"    [{'X' if level & bit else ' '}] (0x{bit:08x}) {name}"


def _count_line(count: VerifierCount) -> str:
    number = "?" if count.count is None else f"0x{count.count:x}"
    return f"{count.name:<38} {number}" + ("" if count.bytes is None else f" for {count.bytes:08X} bytes")


def _driver_lines(drivers: Tuple[VerifierDriver, ...]) -> Iterator[Line]:
    yield ""
    yield "Driver Verification List"
    yield ""
    yield f"{'Entry':<16} {'State':<8} {'Loads':>8} {'Unloads':>8} Module"
    yield ""
    for driver in drivers:
        state = "Loaded" if driver.loaded else "Unloaded"
        yield (
            Span(f"{driver.address:016x}", "address", f"dt nt!_VF_SUSPECT_DRIVER_ENTRY {driver.address:x}"),
            f" {state:<8} {driver.loads:08x} {driver.unloads:08x} {driver.name or '????'}",
        )


@command(
    "verifier",
    category="Kernel",
    summary="Driver Verifier: its settings, its counts, the drivers that it watches",
    arguments=(
        Expression("flags", "1: the drivers, too"),
        Word("image", "only the driver of this name", holds="nothing"),
    ),
    render=verifier_lines,
)
def verifier(session: Session, flags: int = 0, image: Optional[str] = None) -> VerifierState:
    """Shows what Driver Verifier checks and has counted; with 1 the drivers that were chosen for it, too.

    Its logs (4 to 800) are not shown: no public symbols describe them.
    """
    if flags & _LOGS:
        raise CommandError(
            "verifier: its logs (4, 8, 20 to 800) are not shown; 1 lists the drivers", "verifier [1 [IMAGE]]"
        )
    found = Verifier(session.dump)
    level = found.level
    gaps = Gaps()
    names = {**STANDARD_FLAGS, **ADDITIONAL_FLAGS}
    counts = [VerifierCount(name, _count(found, member, gaps), None) for name, member in _COUNTS]
    counts += [
        VerifierCount(name, _count(found, member, gaps), _count(found, size, gaps)) for name, member, size in _POOLS
    ]
    drivers = gaps.read("the list of verified drivers", found.drivers) if flags & _DRIVERS else None
    shown: Optional[Tuple[VerifierDriver, ...]] = None
    if drivers is not None:
        shown = tuple(
            VerifierDriver(Hex(each.address), each.name, each.is_loaded, each.loads, each.unloads)
            for each in drivers
            if image is None or (each.name or "").lower() == image.lower()
        )
    for problem in found.problems:
        gaps.add("Driver Verifier", problem)
    return VerifierState(
        Hex(level),
        tuple(name for bit, name in names.items() if level & bit),
        Hex(level & ~sum(names)),
        tuple(counts),
        shown,
        gaps.lines(),
    )


def _count(found: Verifier, member: str, gaps: Gaps) -> Optional[Hex]:
    value: Optional[int] = gaps.read("Driver Verifier's counts", lambda: found.count(member))
    return None if value is None else Hex(value)
