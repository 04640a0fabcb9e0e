"""Functions of the kernel that are known to call others at certain IRQLs: where a stack's levels begin.

What calls thread routines, DPCs, interrupt service routines and APCs, and at which level those run, is in Windows
Internals (part 1, chapters 3 and 4; part 2, chapter 8) and in Microsoft's "Managing Hardware Priorities"; the
functions' names are those of public symbols.
"""

from __future__ import annotations

import re

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

#: Whole names of the kernel's functions.
_ROOTS: Sequence[Tuple[str, Root]] = (
    ("PspSystemThreadStartup", Root(_exactly(PASSIVE_LEVEL), "thread routines")),
    ("ExpWorkerThread", Root(_exactly(PASSIVE_LEVEL), "work items")),
    (
        "KiRetireDpcList|KxRetireDpcList|KiExecuteAllDpcs|KiProcessExpiredTimerList|KiTimerExpiration|KiExpireTimer2",
        Root(_exactly(DISPATCH_LEVEL), "DPCs"),
    ),
    (
        r"KiInterruptDispatch\w*|KiInterruptSubDispatch\w*|KiChainedDispatch\w*|KiScanInterruptObjectList"
        r"|KiCallInterruptServiceRoutine",
        Root(_DEVICE, "interrupt service routines"),
    ),
    ("KiIpiGenericCallTarget|KiIpiProcessRequests", Root(_exactly(IPI_LEVEL), "what another processor asked for")),
    # It holds the cancel spin lock then.
    ("IoCancelIrp", Root(_exactly(DISPATCH_LEVEL), "cancel routines")),
    ("KiDeliverApc", Root(Level(PASSIVE_LEVEL, APC_LEVEL), "APCs")),
)
_PATTERNS = [(re.compile(names), root) for names, root in _ROOTS]

#: Where the kernel calls the service that a system call asks for.
_SERVICE = re.compile(r"KiSystemService\w*|KiSystemCall64\w*|KiServiceInternal")
#: What lies between a kernel routine's call of a Zw routine and the service: at the caller's level.
_PASSAGE = re.compile(r"KiServiceLinkage|KiSystemService\w*|KiServiceInternal")
#: An interrupt, not an exception: its handler runs above the level it came at, and saves that in the trap frame.
_INTERRUPT = re.compile(r"K[ix]\w*(Interrupt|InterruptDispatch|IsrThunk|Ipi|IpiInterrupt)\w*")
#: What a thread that waits has called and not returned from.
_WAIT = re.compile(r"KiSwapContext|SwapContext\w*|KiSwapThread|KiCommitThreadWait|KeWaitFor\w+|KeDelayExecutionThread")


def root_of(name: str) -> Optional[Root]:
    """What is known of the calls that a kernel's function of that bare name makes."""
    return next((root for pattern, root in _PATTERNS if pattern.fullmatch(name)), None)


def is_service(name: str) -> bool:
    """Whether a function calls system services: at PASSIVE_LEVEL, where user mode asked for them."""
    return _SERVICE.fullmatch(name) is not None


def is_interrupt(name: str) -> bool:
    """Whether a function of that bare name handles interrupts."""
    return _INTERRUPT.fullmatch(name) is not None


def is_wait(name: str) -> bool:
    """Whether a function of that bare name is one of those that put a thread to wait."""
    return _WAIT.fullmatch(name) is not None


def is_passage(name: str) -> bool:
    """Whether a function hands a call on to a system service as it came."""
    return _PASSAGE.fullmatch(name) is not None
