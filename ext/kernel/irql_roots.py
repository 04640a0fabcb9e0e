"""Functions of the kernel that are known to call others at certain IRQLs: where a stack's levels begin.

What calls thread routines, DPCs, interrupt service routines and APCs, and at which level those run, is in Windows
Internals (part 1, chapters 3 and 4; part 2, chapter 8) and in Microsoft's "Managing Hardware Priorities"; the
functions' names are those of public symbols.
"""

from __future__ import annotations

from dumpkit.kernel.irql import APC_LEVEL, DISPATCH_LEVEL, HIGH_LEVEL, IPI_LEVEL, PASSIVE_LEVEL
from dumpkit.kernel.irql_level import Level
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Sequence, Tuple


class Root(NamedTuple):
    """The level at which a function of the kernel calls what it is there to call, and what that is."""

    level: Level
    calls: str


def _exactly(level: int) -> Level:
    return Level(level, level)


_DEVICE = Level(DISPATCH_LEVEL + 1, HIGH_LEVEL)

#: Names of the kernel's functions; those that begin so, where a `*` stands behind.
_ROOTS: Sequence[Tuple[Sequence[str], Root]] = (
    (("PspSystemThreadStartup",), Root(_exactly(PASSIVE_LEVEL), "thread routines")),
    (("ExpWorkerThread",), Root(_exactly(PASSIVE_LEVEL), "work items")),
    (
        (
            "KiRetireDpcList",
            "KxRetireDpcList",
            "KiExecuteAllDpcs",
            "KiProcessExpiredTimerList",
            "KiTimerExpiration",
            "KiExpireTimer2",
        ),
        Root(_exactly(DISPATCH_LEVEL), "DPCs"),
    ),
    (
        (
            "KiInterruptDispatch*",
            "KiInterruptSubDispatch*",
            "KiChainedDispatch*",
            "KiScanInterruptObjectList",
            "KiCallInterruptServiceRoutine",
        ),
        Root(_DEVICE, "interrupt service routines"),
    ),
    (("KiIpiGenericCallTarget", "KiIpiProcessRequests"), Root(_exactly(IPI_LEVEL), "what another processor asked for")),
    # It holds the cancel spin lock then.
    (("IoCancelIrp",), Root(_exactly(DISPATCH_LEVEL), "cancel routines")),
    (("KiDeliverApc",), Root(Level(PASSIVE_LEVEL, APC_LEVEL), "APCs")),
)

#: The routine of the threads that threaded DPCs run in: at PASSIVE_LEVEL, or where they are not enabled as others.
_THREADED = "KiExecuteDpc"
_THREADED_DPCS = Root(Level(PASSIVE_LEVEL, DISPATCH_LEVEL), "threaded DPCs")

#: Where the kernel calls the service that a system call asks for.
_SERVICE = ("KiSystemService*", "KiSystemCall64*", "KiServiceInternal")
#: What lies between a kernel routine's call of a Zw routine and the service: at the caller's level.
_PASSAGE = ("KiServiceLinkage", "KiSystemService*", "KiServiceInternal")
#: What the names of functions have in them that handle an interrupt, not an exception: they run above the level it came
#: at, and save that in the trap frame.
_INTERRUPT = ("Interrupt", "IsrThunk", "Ipi")
#: What a thread that waits has called and not returned from.
_WAIT = (
    "KiSwapContext",
    "SwapContext*",
    "KiSwapThread",
    "KiCommitThreadWait",
    "KeWaitFor*",
    "KeDelayExecutionThread",
)


def _is_one_of(name: str, patterns: Sequence[str]) -> bool:
    return any(name.startswith(each[:-1]) if each.endswith("*") else name == each for each in patterns)


def root_of(name: str, caller: str = "") -> Optional[Root]:
    """What is known of the calls that a kernel's function makes, by the bare names of it and of its caller."""
    if _THREADED in (name, caller):
        return _THREADED_DPCS
    return next((root for names, root in _ROOTS if _is_one_of(name, names)), None)


def is_service(name: str) -> bool:
    """Whether a function calls system services: at PASSIVE_LEVEL, where user mode asked for them."""
    return _is_one_of(name, _SERVICE)


def is_interrupt(name: str) -> bool:
    """Whether a function of that bare name handles interrupts."""
    return name.startswith(("Ki", "Kx")) and any(word in name for word in _INTERRUPT)


def is_wait(name: str) -> bool:
    """Whether a function of that bare name is one of those that put a thread to wait."""
    return _is_one_of(name, _WAIT)


def is_passage(name: str) -> bool:
    """Whether a function hands a call on to a system service as it came."""
    return _is_one_of(name, _PASSAGE)
