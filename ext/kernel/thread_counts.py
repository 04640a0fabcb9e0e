"""How many threads of a process run, wait for a lock, for an answer, for a page: what `tl -t` counts."""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.wait import BLOCKED_REASONS
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterable, List, Tuple

#: Threads that could run if a processor were free.
READY_STATES = ("Ready", "DeferredReady", "Standby", "Rescheduled", "Transition")
#: Wait reasons by what they are counted as.
SUSPENDED_REASONS = ("Suspended", "WrSuspended")
MESSAGE_REASONS = ("WrLpcReply",)
PAGING_REASONS = ("PageIn", "WrPageIn", "WrPageOut", "WrVirtualMemory")
RESOURCE_REASONS = ("WrResource",)


class ThreadCounts(NamedTuple):
    """Numbers of threads; one may be in several."""

    total: int
    #: Threads of which nothing is known.
    unread: int
    suspended: int
    running: int
    ready: int
    blocked: int
    message: int
    paging: int
    resource: int
    #: Ticks of processor time of the threads.
    user_time: int
    kernel_time: int


_BY_REASON: Dict[str, str] = {
    **dict.fromkeys(SUSPENDED_REASONS, "suspended"),
    **dict.fromkeys(BLOCKED_REASONS, "blocked"),
    **dict.fromkeys(MESSAGE_REASONS, "message"),
    **dict.fromkeys(PAGING_REASONS, "paging"),
    **dict.fromkeys(RESOURCE_REASONS, "resource"),
}


def count_threads(threads: Iterable[Thread]) -> Tuple[ThreadCounts, List[Tuple[Thread, DumpkitError]]]:
    """The counts, and the threads that could not be read, each with the reason."""
    found = dict.fromkeys(ThreadCounts._fields, 0)
    unread: List[Tuple[Thread, DumpkitError]] = []
    for thread in threads:
        found["total"] += 1
        try:
            state = thread.state
            if state == "Running":
                found["running"] += 1
            elif state in READY_STATES:
                found["ready"] += 1
            elif state == "Waiting":
                kind = _BY_REASON.get(thread.wait_reason)
                if kind is not None:
                    found[kind] += 1
            found["user_time"] += thread.user_time
            found["kernel_time"] += thread.kernel_time
        except DumpkitError as error:
            unread.append((thread, error))
    found["unread"] = len(unread)
    return ThreadCounts(**found), unread
