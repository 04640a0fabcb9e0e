"""What the process that dumpkit runs in has cost so far: time, input and output, memory.

Each number is 0 where the system does not tell it.
"""

from __future__ import annotations

import os
import sys
import time

from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict

MEGABYTE = 1 << 20


class Costs(NamedTuple):
    """Costs from the start of the process to a moment."""

    #: Seconds of processor time, and seconds that passed.
    processor: float
    elapsed: float
    #: Bytes read, written, and moved by other calls.
    read: int
    written: int
    other: int
    #: The most memory in bytes that was in use at once.
    peak_memory: int


def costs() -> Costs:
    """The costs up to now."""
    if sys.platform == "win32":
        return _of_windows()
    transfers = _transfers()
    return Costs(
        time.process_time(),
        _age(),
        transfers.get("rchar", 0),
        transfers.get("wchar", 0),
        0,
        _peak_memory(),
    )


def _file(path: str) -> str:
    """The text of one of Linux's process files; empty where there is none."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _transfers() -> Dict[str, int]:
    found: Dict[str, int] = {}
    for line in _file("/proc/self/io").splitlines():
        name, _, value = line.partition(":")
        if value.strip().isdigit():
            found[name] = int(value)
    return found


def _age() -> float:
    """Seconds since the process began: Linux says it; elsewhere its own processor time is the least it can be."""
    uptime = _file("/proc/uptime").split()
    fields = _file("/proc/self/stat").rpartition(")")[2].split()
    if not uptime or len(fields) < 20 or not hasattr(os, "sysconf"):
        return time.process_time()
    # Field 22 of the file, in clock ticks since the system started.
    return max(0.0, float(uptime[0]) - int(fields[19]) / os.sysconf("SC_CLK_TCK"))


def _peak_memory() -> int:
    for line in _file("/proc/self/status").splitlines():
        if line.startswith("VmPeak:"):
            return int(line.split()[1]) * 1024
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:
        return 0
    return int(getrusage(RUSAGE_SELF).ru_maxrss)


if sys.platform == "win32":

    def _of_windows() -> Costs:
        """What Windows counts of this process: GetProcessIoCounters, GetProcessTimes, GetProcessMemoryInfo."""
        from ctypes import WinDLL, byref, c_uint64, c_void_p, create_string_buffer, sizeof
        from struct import unpack_from

        kernel = WinDLL("kernel32")
        kernel.GetCurrentProcess.restype = c_void_p
        process = c_void_p(kernel.GetCurrentProcess())
        # IO_COUNTERS: operations of reading, writing and others, then the bytes of each.
        counters = (c_uint64 * 6)()
        kernel.GetProcessIoCounters(process, byref(counters))
        created, rest, now = c_uint64(), [c_uint64() for _ in range(3)], c_uint64()
        kernel.GetProcessTimes(process, byref(created), *(byref(each) for each in rest))
        kernel.GetSystemTimeAsFileTime(byref(now))
        # PROCESS_MEMORY_COUNTERS of 64-bit Windows: its size first, PeakPagefileUsage last.
        memory = create_string_buffer((72).to_bytes(4, "little"), 72)
        kernel.K32GetProcessMemoryInfo(process, memory, sizeof(memory))
        peak: int = unpack_from("<Q", memory, 64)[0]
        age = max(0, now.value - created.value) / 1e7
        return Costs(time.process_time(), age, counters[3], counters[4], counters[5], peak)
