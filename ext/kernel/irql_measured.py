"""The IRQL that a dump tells of a stack: of the instruction that faulted, of a processor, of a thread's wait."""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.kernel.irql import HIGH_LEVEL, bugcheck_irql, saved_irql
from dumpkit.kernel.irql_roots import is_wait
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Sequence

    from dumpkit.kernel.stack import Frame
    from dumpkit.kernel.thread import Thread


class Measured(NamedTuple):
    """A level that was measured: at a frame of the stack, by its index."""

    frame: int
    level: int
    #: "Arg2 of bugcheck D1", "KPRCB.DebuggerSavedIRQL" …
    source: str


def measure(target: Target, frames: Sequence[Frame], processor: int) -> Optional[Measured]:
    """The level that the dump tells of a stack whose context is a processor's, or a fault's on it.

    A bugcheck that names a level names that of the instruction that faulted; what the processor saved was saved in
    KeBugCheckEx, which exceptions reach without changing it.
    """
    if processor == target.current_processor:
        evidence = bugcheck_irql(target.bugcheck)
        if evidence is not None and evidence.level <= HIGH_LEVEL:
            return Measured(_faulting_frame(target, frames), evidence.level, evidence.source)
    level: Optional[int]
    try:
        level, source = saved_irql(target, processor), "KPRCB.DebuggerSavedIRQL"
    except DumpkitError:
        level = _saved_cr8(target, processor)
        source = "cr8 as it was saved"
    if level is None or level > HIGH_LEVEL:
        return None
    if processor != target.current_processor and level > 2:
        # A processor that another one stopped was interrupted for that: the level is the interrupt's.
        return None
    return Measured(0, level, source)


def _faulting_frame(target: Target, frames: Sequence[Frame]) -> int:
    """The frame that the bugcheck's fourth parameter names, or else the innermost that was interrupted."""
    bugcheck = target.bugcheck
    address = bugcheck.parameters[3] if bugcheck is not None else 0
    for index, frame in enumerate(frames):
        if frame.instruction_pointer == address:
            return index
    return next((index for index, frame in enumerate(frames) if frame.is_interrupted), 0)


def measure_wait(thread: Thread, frames: Sequence[Frame]) -> Optional[Measured]:
    """The level at which a waiting thread called its wait: KTHREAD.WaitIrql, measured at the frame that called it."""
    try:
        if thread.state != "Waiting":
            return None
        level = thread.tcb.get("WaitIrql")
    except DumpkitError:
        return None
    if level is None or not 0 <= int(level) <= HIGH_LEVEL:
        return None
    symbols = thread.target.symbols
    for index, frame in enumerate(frames):
        place = symbols.nearest(frame.instruction_pointer)
        if place is None or not is_wait(place.name or ""):
            return Measured(index, int(level), "KTHREAD.WaitIrql") if index else None
    return None


def _saved_cr8(target: Target, processor: int) -> Optional[int]:
    try:
        return target.context(processor).values.get("cr8")
    except DumpkitError:
        return None
