"""What a waiting thread waits in: the first function of its stack that is not the kernel's own waiting."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Sequence

#: Functions of the kernel through which every wait goes.
_WAITING = frozenset(
    (
        "KiSwapContext",
        "KiSwapThread",
        "KiCommitThreadWait",
        "KeWaitForSingleObject",
        "KeWaitForMultipleObjects",
        "KeWaitForMutexObject",
        "KeWaitForGate",
        "KeWaitForAlertByThreadId",
        "KeWaitForKeyedEvent",
        "KeDelayExecutionThread",
        "KeRemoveQueue",
        "KeRemoveQueueEx",
        "KeRemovePriQueue",
        "KiAttemptFastRemovePriQueue",
        "KiDeliverApc",
        "KiSuspendThread",
    )
)


def blocker(names: Sequence[Optional[str]]) -> int:
    """The index of the blocking function among the names ("nt!KeWaitForSingleObject+0x233") of a stack's frames, the
    innermost first; 0 where all of them are the kernel's own.
    """
    for index, name in enumerate(names):
        if name is None:
            return index
        module, _, function = name.partition("!")
        if module != "nt" or function.partition("+")[0] not in _WAITING:
            return index
    return 0
