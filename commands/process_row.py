"""A process as mex lists it: memory, times, handles; `tl` and `p` show them."""

from __future__ import annotations

from dumpkit.durations import rounded_milliseconds, truncated_milliseconds
from dumpkit.kernel.process import Process
from dumpkit.kernel.thread_counts import ThreadCounts
from dumpkit.kernel.ticks import tick_length
from dumpkit.output import Hex
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

_PAGE = 0x1000


class ProcessMemory(Record):
    """Bytes; what cannot be read is None."""

    virtual_size: Optional[int]
    peak_virtual_size: Optional[int]
    shared_commit: Optional[int]
    awe: Optional[int]
    commit: Optional[int]
    paged_pool_quota: Optional[int]
    non_paged_pool_quota: Optional[int]


class ProcessTimes(Record):
    """Milliseconds in all of the process's threads, those that have ended included."""

    user: Optional[int]
    kernel: Optional[int]
    total: Optional[int]


class ProcessRow(Record):
    """A process; what was not asked for, or cannot be read, is None."""

    process: Hex
    pid: Optional[int]
    name: Optional[str]
    #: The service in it, or the group of services, by its command line.
    service: Optional[str] = None
    session: Optional[int] = None
    user: Optional[str] = None
    #: The modules that were asked for.
    modules: Tuple[str, ...] = ()
    threads: Optional[ThreadCounts] = None
    memory: Optional[ProcessMemory] = None
    times: Optional[ProcessTimes] = None
    thread_count: Optional[int] = None
    handle_count: Optional[int] = None
    #: FILETIME, UTC.
    create_time: Optional[Hex] = None
    command_line: Optional[str] = None


def is_zombie(process: Process) -> bool:
    """Whether a process has ended and is only still referenced. Raises MemoryReadError."""
    record = process.record
    return bool(record.get("ExitTime.QuadPart", 0)) and not record.get("ActiveThreads", 0)


def process_memory(process: Process) -> ProcessMemory:
    """The memory of a process in bytes; what cannot be read is None."""
    record = process.record

    def number(unit: int, *paths: str) -> Optional[int]:
        found = next((value for value in map(record.get, paths) if value is not None), None)
        return None if found is None else int(found) * unit

    return ProcessMemory(
        number(1, "VirtualSize"),
        number(1, "PeakVirtualSize"),
        number(_PAGE, "SharedCommitCharge"),
        _awe(process),
        number(_PAGE, "CommitCharge"),
        # PsNonPagedPool is 0, PsPagedPool 1 (Windows Internals).
        number(1, "ProcessQuotaUsage[1]", "QuotaUsage[1]"),
        number(1, "ProcessQuotaUsage[0]", "QuotaUsage[0]"),
    )


def _awe(process: Process) -> Optional[int]:
    """The bytes of physical memory that a process has allocated by AWE; None where its record is not there."""
    info = process.record.get("AweInfo")
    if not info:
        return 0
    pages = process.record.get("AweInfo.VadPhysicalPages")
    return None if pages is None else int(pages) * _PAGE


def process_times(process: Process, counts: Optional[ThreadCounts]) -> Optional[ProcessTimes]:
    """The processor time of a process: its own account holds what its ended threads had used."""
    tick = tick_length(process.target)
    user, kernel = process.record.get("Pcb.UserTime"), process.record.get("Pcb.KernelTime")
    if tick is None or user is None or kernel is None or counts is None:
        return None
    user, kernel = int(user) + counts.user_time, int(kernel) + counts.kernel_time
    # mex cuts the one and rounds the other.
    return ProcessTimes(
        truncated_milliseconds(user, tick),
        rounded_milliseconds(kernel, tick),
        truncated_milliseconds(user + kernel, tick),
    )


def handle_count(process: Process) -> Optional[int]:
    """The handles of a process, 0 without a table. Raises MemoryReadError, SymbolError."""
    from dumpkit.kernel.handle_table import HandleTable

    table = process.object_table
    return HandleTable(process.target, table).handle_count if table else 0


def session_number(process: Process) -> Optional[int]:
    """The session of a process, 0 of one that belongs to none; None where it cannot be read."""
    session = process.record.get("Session")
    return 0 if session is not None and not session else process.session_id
