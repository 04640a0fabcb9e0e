"""Driver Verifier: what it checks, what it has counted, and the drivers that it watches.

_MM_DRIVER_VERIFIER_DATA (nt!MmVerifierData) and _VF_SUSPECT_DRIVER_ENTRY (nt!VfSuspectDriversList) of the kernel's
symbols; the bits of Level are those of Microsoft's Driver Verifier documentation (verifier /flags).
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, SymbolError
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

#: Flag -> its name, those of the standard settings first.
STANDARD_FLAGS: Dict[int, str] = {
    0x1: "Special pool",
    0x2: "Force IRQL checking",
    0x8: "Pool tracking",
    0x10: "I/O verification",
    0x20: "Deadlock detection",
    0x80: "DMA checking",
    0x100: "Security checks",
    0x800: "Miscellaneous checks",
    0x20000: "DDI compliance checking",
}
ADDITIONAL_FLAGS: Dict[int, str] = {
    0x4: "Randomized low resources simulation",
    0x200: "Force pending I/O requests",
    0x400: "IRP logging",
    0x2000: "Invariant MDL checking for stack",
    0x4000: "Invariant MDL checking for driver",
    0x8000: "Power framework delay fuzzing",
    0x10000: "Port/miniport interface checking",
    0x40000: "Systematic low resources simulation",
    0x80000: "DDI compliance checking (additional)",
    0x200000: "NDIS/WIFI verification",
    0x800000: "Kernel synchronization delay fuzzing",
    0x1000000: "VM switch verification",
    0x2000000: "Code integrity checks",
}
#: Nobody verifies more drivers.
_MOST_DRIVERS = 10_000


class VerifiedDriver(NamedTuple):
    """A driver that was chosen for verification: its entry's virtual address, its name, how often it was loaded."""

    address: int
    name: Optional[str]
    loads: int
    unloads: int

    @property
    def is_loaded(self) -> bool:
        """Whether it is loaded now."""
        return self.loads > self.unloads


class Verifier:
    """Driver Verifier's state. Properties raise MemoryReadError and SymbolError."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.problems: List[str] = []
        place = target.symbols.address_of("nt!MmVerifierData")
        self.record: Any = target.type("_MM_DRIVER_VERIFIER_DATA").at(place)

    @property
    def level(self) -> int:
        """The flags: what it checks; 0 where it is off."""
        return int(self.record.Level)

    def count(self, name: str) -> Optional[int]:
        """A count of its own; None where this Windows keeps none of that name. Raises MemoryReadError."""
        try:
            return int(self.record.member(name))
        except SymbolError:
            return None

    def drivers(self) -> Tuple[VerifiedDriver, ...]:
        """The drivers that were chosen; none where all are. `problems` says where the list is not whole."""
        head = self.target.symbols.address_of("nt!VfSuspectDriversList")
        walk = self.target.list(head, "_VF_SUSPECT_DRIVER_ENTRY", "Links", _MOST_DRIVERS)
        found = []
        for entry in walk:
            found.append(VerifiedDriver(entry.address, self._name(entry), int(entry.Loads), int(entry.Unloads)))
        if not walk.complete:
            self.problems.append(f"the list of verified drivers: {walk.ended}")
        return tuple(found)

    def _name(self, entry: Any) -> Optional[str]:
        try:
            return str(entry.BaseName.text())
        except DumpkitError as error:
            self.problems.append(f"the name of driver {entry.address:016x}: {error}")
            return None
