"""The IRQLs at which routines of the kernel may be called, as Microsoft's DDI reference states them.

`irql_contracts.tsv` has a routine a line: the lowest and the highest level (31: any), whether the reference says
more in the routine's remarks, and the header that declares it. What it does not list is unknown.
"""

from __future__ import annotations

import os

from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional

#: What the table has as the highest level where there is none.
ANY_LEVEL = 31

_TABLE = os.path.join(os.path.dirname(__file__), "irql_contracts.tsv")
_SOURCE = "Microsoft's DDI reference"

#: Names in import tables and symbols -> the documented name of the same routine. wdm.h makes the documented one a
#: macro of the other on x64, or declares the fast call under it.
_ALIASES: Dict[str, str] = {
    "KfRaiseIrql": "KeRaiseIrql",
    "KzRaiseIrql": "KeRaiseIrql",
    "KfLowerIrql": "KeLowerIrql",
    "KzLowerIrql": "KeLowerIrql",
    "KfAcquireSpinLock": "KeAcquireSpinLock",
    "KfReleaseSpinLock": "KeReleaseSpinLock",
    "KefAcquireSpinLockAtDpcLevel": "KeAcquireSpinLockAtDpcLevel",
    "IofCompleteRequest": "IoCompleteRequest",
    "ObfDereferenceObject": "ObDereferenceObject",
    "IoAcquireRemoveLockEx": "IoAcquireRemoveLock",
    "IoReleaseRemoveLockEx": "IoReleaseRemoveLock",
    "IoReleaseRemoveLockAndWaitEx": "IoReleaseRemoveLockAndWait",
}
_cache: Dict[str, bytes] = {}


class Contract(NamedTuple):
    """The levels at which a routine may be called: from `minimum` to `maximum`, both included."""

    #: The documented name.
    routine: str
    minimum: int
    maximum: int
    #: Whether the routine's remarks restrict the levels further, or, below the minimum, may widen them.
    see_remarks: bool
    #: The header that declares it.
    header: str
    #: Where this is from, with the name that was looked up where that is another one.
    source: str
    #: The argument of a call that made `maximum` what it is, in words; "" where none did.
    condition: str = ""

    @property
    def is_floor_certain(self) -> bool:
        """Whether a call below the minimum breaks the contract.

        The reference writes "DISPATCH_LEVEL" for "DISPATCH_LEVEL or below" now and then. It means a floor where it
        says "or above", and where a lock that is held raised the level.
        """
        return self.minimum > 0 and (
            self.maximum == ANY_LEVEL or "AtDpcLevel" in self.routine or "Release" in self.routine
        )


def contract(routine: str) -> Optional[Contract]:
    """The contract of a routine by its bare name, or None where the reference does not state it.

    A system service that is documented under its Nt or its Zw name alone has the other one's: both names enter the
    same service, and `source` says so.
    """
    documented = _ALIASES.get(routine, routine)
    found = _row(documented, routine)
    if found is None and documented[:2] in ("Nt", "Zw") and documented[2:3].isupper():
        found = _row(("Zw" if documented[:2] == "Nt" else "Nt") + documented[2:], routine)
    return found


def _row(documented: str, asked: str) -> Optional[Contract]:
    table = _cache.get("")
    if table is None:
        with open(_TABLE, "rb") as file:
            table = _cache[""] = file.read()
    key = b"\n" + documented.encode("utf-8", "replace") + b"\t"
    start = table.find(key)
    if start < 0:
        return None
    line = table[start + 1 : table.index(b"\n", start + 1)].decode("ascii")
    name, minimum, maximum, remarks, header = line.split("\t")
    source = _SOURCE if name == asked else f"{_SOURCE}, {name}"
    return Contract(name, int(minimum), int(maximum), remarks == "1", header, source)
