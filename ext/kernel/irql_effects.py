"""Routines that return at another IRQL than they were called at.

What each does: Microsoft's DDI reference; which argument it takes the level in, and where it leaves the old one:
wdm.h, ntifs.h, ndis.h and wdf.h with the x64 calling convention.
"""

from __future__ import annotations

from dumpkit.kernel.irql_level import APC, DEVICE, DISPATCH, Level, exactly
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional


class Raise(NamedTuple):
    """Raises to `level`, or where that is None, to what the register `argument` holds.

    The old level is in al afterwards, or where the register `saved_at` points, or the lock keeps it.
    """

    level: Optional[Level] = None
    argument: str = ""
    saved_at: str = ""
    #: Whether it may do nothing: it tries.
    may_fail: bool = False
    returns_old: bool = False


class Restore(NamedTuple):
    """Goes back to the level in the register `argument`, or to that from before the raise that it undoes."""

    argument: str = ""


_FROM_LOCK = Raise(DISPATCH)
_RETURNING = Raise(DISPATCH, returns_old=True)
_LEVEL_IN_CL = Raise(None, "rcx", returns_old=True)

RAISES: Dict[str, Raise] = {
    "KeRaiseIrql": Raise(None, "rcx", "rdx"),
    "KfRaiseIrql": _LEVEL_IN_CL,
    "KzRaiseIrql": _LEVEL_IN_CL,
    "KeRaiseIrqlToDpcLevel": _RETURNING,
    "KeRaiseIrqlToSynchLevel": Raise(exactly(12), returns_old=True),
    "KeAcquireSpinLock": Raise(DISPATCH, saved_at="rdx"),
    "KeAcquireSpinLockRaiseToDpc": _RETURNING,
    "KfAcquireSpinLock": _RETURNING,
    "KeAcquireSpinLockForDpc": _RETURNING,
    "KeAcquireInStackQueuedSpinLock": _FROM_LOCK,
    "KeAcquireQueuedSpinLock": _RETURNING,
    "KeAcquireInterruptSpinLock": Raise(DEVICE, returns_old=True),
    "ExAcquireSpinLockExclusive": _RETURNING,
    "ExAcquireSpinLockShared": _RETURNING,
    "ExAcquireFastMutex": Raise(APC),
    "ExTryToAcquireFastMutex": Raise(APC, may_fail=True),
    "IoAcquireCancelSpinLock": Raise(DISPATCH, saved_at="rcx"),
    "IoAcquireVpbSpinLock": Raise(DISPATCH, saved_at="rcx"),
    "NdisAcquireSpinLock": _FROM_LOCK,
    "NdisAcquireReadWriteLock": _FROM_LOCK,
    "WdfSpinLockAcquire": _FROM_LOCK,
    # An interrupt's lock and an object's may be ones that do not raise.
    "WdfInterruptAcquireLock": Raise(Level(0, 12)),
    "WdfObjectAcquireLock": Raise(Level(0, 2)),
}

RESTORES: Dict[str, Restore] = {
    "KeLowerIrql": Restore("rcx"),
    "KfLowerIrql": Restore("rcx"),
    "KzLowerIrql": Restore("rcx"),
    "KeReleaseSpinLock": Restore("rdx"),
    "KfReleaseSpinLock": Restore("rdx"),
    "KeReleaseSpinLockForDpc": Restore("rdx"),
    "KeReleaseInStackQueuedSpinLock": Restore(),
    "KeReleaseQueuedSpinLock": Restore("rdx"),
    "KeReleaseInterruptSpinLock": Restore("rdx"),
    "ExReleaseSpinLockExclusive": Restore("rdx"),
    "ExReleaseSpinLockShared": Restore("rdx"),
    "ExReleaseFastMutex": Restore(),
    "IoReleaseCancelSpinLock": Restore("rcx"),
    "IoReleaseVpbSpinLock": Restore("rcx"),
    "NdisReleaseSpinLock": Restore(),
    "NdisReleaseReadWriteLock": Restore(),
    "WdfSpinLockRelease": Restore(),
    "WdfInterruptReleaseLock": Restore(),
    "WdfObjectReleaseLock": Restore(),
}


class Callback(NamedTuple):
    """A routine that takes the address of another one, in a register, and has it called at a level."""

    register: str
    level: Level
    #: What is called so: "DPC routine".
    kind: str


CALLBACKS: Dict[str, Callback] = {
    "KeInitializeDpc": Callback("rdx", DISPATCH, "DPC routine"),
    "IoInitializeTimer": Callback("rdx", DISPATCH, "timer routine"),
    "IoConnectInterrupt": Callback("rdx", DEVICE, "interrupt service routine"),
    "KeSynchronizeExecution": Callback("rdx", DEVICE, "synchronized routine"),
    "KeIpiGenericCall": Callback("rcx", exactly(14), "routine for every processor"),
}

#: Routines that do not return: no path goes on behind a call of one.
NO_RETURN = frozenset(
    "KeBugCheck KeBugCheckEx KiBugCheckDispatch ExRaiseStatus RtlRaiseStatus ExRaiseAccessViolation"
    " ExRaiseDatatypeMisalignment __report_gsfailure __report_rangecheckfailure PsTerminateSystemThread"
    " RtlFailFast DbgRaiseAssertionFailure".split()
)
