"""Whether a double fault came because the thread's stack was full: the usual cause of one."""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.kernel.analysis.evidence import Evidence
from dumpkit.kernel.analysis.failing_context import FailingContext
from dumpkit.kernel.bugchecks import Bugcheck
from dumpkit.memory import PAGE_SIZE
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

#: What a fault pushes: where less than this is left, the processor cannot deliver one (KTRAP_FRAME and handlers).
_ROOM = 0x200
#: A function's frame may lie this far below the limit: more is no overflow but a wild stack pointer.
_BELOW = 4 * PAGE_SIZE


def exhausted_stack(
    target: Target, bugcheck: Bugcheck, failing: Optional[FailingContext], evidence: Evidence
) -> Optional[int]:
    """The limit (virtual address) of the thread's stack, if the stack pointer of a double fault was at or below it."""
    if not bugcheck.rule("overflow") or failing is None or not failing.is_fault:
        return None
    from dumpkit.kernel.thread import current_thread

    pointer = failing.context.stack_pointer
    try:
        tcb = current_thread(target, target.current_processor).tcb
        limit, base = int(tcb.StackLimit), int(tcb.StackBase)
    except DumpkitError as error:
        evidence.lack("stack_overflow", error)
        return None
    if not limit - _BELOW <= pointer < limit + _ROOM:
        inside = "with room left on it" if limit <= pointer < base else "outside the thread's stack"
        evidence.lack("stack_overflow", f"rsp {pointer:016x} was {inside} ({limit:016x} to {base:016x})")
        return None
    evidence.note("stack_overflow", f"rsp {pointer:016x} was at the limit {limit:016x} of the thread's stack")
    return limit
