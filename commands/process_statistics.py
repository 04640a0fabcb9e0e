"""What `process` shows of a process's times and memory, with flag 1."""

from __future__ import annotations

from dumpkit.durations import long_duration, truncated_milliseconds
from dumpkit.gaps import Gaps
from dumpkit.kernel.process import Process
from dumpkit.kernel.ticks import tick_length
from dumpkit.numbers import padded
from dumpkit.output import Hex, Line, hex_or_none
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Optional

_DAY = 86_400_000
_PAGE_KB = 4


class ProcessStatistics(Record):
    """Times in milliseconds, sizes in pages where nothing else is said; what cannot be read is None."""

    vad_root: Optional[Hex]
    vads: Optional[int]
    clone_root: Optional[Hex]
    private_pages: Optional[int]
    modified_pages: Optional[int]
    locked_pages: Optional[int]
    device_map: Optional[Hex]
    token: Optional[Hex]
    elapsed: Optional[int]
    user_time: Optional[int]
    kernel_time: Optional[int]
    #: Bytes.
    paged_pool_quota: Optional[int]
    non_paged_pool_quota: Optional[int]
    working_set: Optional[int]
    minimum_working_set: Optional[int]
    maximum_working_set: Optional[int]
    peak_working_set: Optional[int]
    #: Bytes.
    virtual_size: Optional[int]
    peak_virtual_size: Optional[int]
    page_faults: Optional[int]
    memory_priority: Optional[int]
    base_priority: Optional[int]
    commit_charge: Optional[int]
    debug_port: Optional[Hex]
    job: Optional[Hex]


def process_statistics(process: Process, gaps: Gaps) -> ProcessStatistics:
    """The statistics of a process."""
    record = process.record

    def number(*paths: str) -> Optional[int]:
        for path in paths:
            value = record.get(path)
            if value is not None:
                return int(value)
        gaps.add(f"process {process.address:016x}", f"{paths[0]} is not known or cannot be read")
        return None

    def address(*paths: str) -> Optional[Hex]:
        return hex_or_none(number(*paths))

    tick = tick_length(process.target)
    user, kernel = number("Pcb.UserTime"), number("Pcb.KernelTime")
    token = number("Token.Object", "Token.Value")
    return ProcessStatistics(
        address("VadRoot.Root", "VadRoot"),
        number("VadCount", "VadRoot.NumberGenericTableElements"),
        address("CloneRoot.Root", "CloneRoot"),
        number("NumberOfPrivatePages"),
        number("ModifiedPageCount"),
        number("NumberOfLockedPages"),
        hex_or_none(gaps.read(f"the device map of process {process.address:016x}", lambda: process.device_map)),
        # The low bits of a fast reference count the references that are left in it.
        None if token is None else Hex(token & ~0xF),
        gaps.read(f"the age of process {process.address:016x}", lambda: _elapsed(process, record)),
        truncated_milliseconds(user, tick) if user is not None and tick is not None else None,
        truncated_milliseconds(kernel, tick) if kernel is not None and tick is not None else None,
        # PsNonPagedPool is 0, PsPagedPool 1 (Windows Internals).
        number("ProcessQuotaUsage[1]", "QuotaUsage[1]"),
        number("ProcessQuotaUsage[0]", "QuotaUsage[0]"),
        number("Vm.Instance.WorkingSetSize", "Vm.WorkingSetSize"),
        number("Vm.Instance.MinimumWorkingSetSize", "Vm.MinimumWorkingSetSize"),
        number("Vm.Instance.MaximumWorkingSetSize", "Vm.MaximumWorkingSetSize"),
        number("Vm.Instance.PeakWorkingSetSize", "Vm.PeakWorkingSetSize"),
        number("VirtualSize"),
        number("PeakVirtualSize"),
        number("Vm.Instance.PageFaultCount", "Vm.PageFaultCount"),
        number("Vm.Instance.Flags.MemoryPriority", "Vm.Flags.MemoryPriority"),
        number("Pcb.BasePriority"),
        number("CommitCharge"),
        address("DebugPort"),
        address("Job"),
    )


def _elapsed(process: Process, record: Any) -> Optional[int]:
    """Milliseconds since the process was made. Raises MemoryReadError."""
    now = process.target.system.system_time
    made = int(record.CreateTime.QuadPart)
    if now is None:
        return None
    # The idle process was never made.
    return (now - made) // 10_000 if 0 < made <= now else 0


def _shown(value: Optional[int]) -> str:
    return "????" if value is None else str(value)


def _kilobytes(pages: Optional[int]) -> str:
    return "????" if pages is None else f"{pages * _PAGE_KB}KB"


def _age(milliseconds: Optional[int]) -> str:
    if milliseconds is None:
        return "????"
    days, rest = divmod(milliseconds, _DAY)
    words = {0: "", 1: "1 Day "}.get(days, f"{days} Days ")
    return words + long_duration(rest)


def _megabytes(size: Optional[int]) -> str:
    return "????" if size is None else f"{size >> 20} Mb"


def statistics_lines(found: ProcessStatistics) -> Iterator[Line]:
    """As kdexts lays them out."""
    # How many clones a tree of them has is not counted here.
    clones = "0" if not found.clone_root else f"{found.clone_root:x}"
    yield (
        f"    VadRoot {padded(found.vad_root)} Vads {_shown(found.vads)} Clone {clones}"
        f" Private {_shown(found.private_pages)}. Modified {_shown(found.modified_pages)}."
        f" Locked {_shown(found.locked_pages)}."
    )
    yield f"    DeviceMap {padded(found.device_map)}"
    sets = (found.working_set, found.minimum_working_set, found.maximum_working_set)
    rows = (
        ("Token", padded(found.token)),
        ("ElapsedTime", _age(found.elapsed)),
        ("UserTime", "????" if found.user_time is None else long_duration(found.user_time)),
        ("KernelTime", "????" if found.kernel_time is None else long_duration(found.kernel_time)),
        ("QuotaPoolUsage[PagedPool]", _shown(found.paged_pool_quota)),
        ("QuotaPoolUsage[NonPagedPool]", _shown(found.non_paged_pool_quota)),
    )
    for name, text in rows:
        yield f"    {name:<34}{text}"
    yield (
        f"    Working Set Sizes (now,min,max)  ({', '.join(map(_shown, sets))}) ({', '.join(map(_kilobytes, sets))})"
    )
    memory_rows = (
        ("PeakWorkingSetSize", _shown(found.peak_working_set)),
        ("VirtualSize", _megabytes(found.virtual_size)),
        ("PeakVirtualSize", _megabytes(found.peak_virtual_size)),
        ("PageFaultCount", _shown(found.page_faults)),
        ("MemoryPriority", _priority(found.memory_priority)),
        ("BasePriority", _shown(found.base_priority)),
        ("CommitCharge", _shown(found.commit_charge)),
    )
    for name, text in memory_rows:
        yield f"    {name:<34}{text}"
    for name, place in (("DebugPort", found.debug_port), ("Job", found.job)):
        if place:
            yield f"    {name:<34}{place:016x}"


def _priority(priority: Optional[int]) -> str:
    if priority is None:
        return "????"
    return "BACKGROUND" if priority == 0 else "FOREGROUND"
