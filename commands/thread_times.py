"""The times in the block that kdexts shows of a thread."""

from __future__ import annotations

from dumpkit.durations import day_duration, long_duration, truncated_milliseconds
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.ticks import tick_length
from dumpkit.output import Line
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional

#: What stands for a text or number that the dump does not hold.
UNKNOWN = "????"


class ThreadTimes(Record):
    """Times in ticks and milliseconds; None where the dump does not hold the clock's."""

    wait_start: int
    ticks: Optional[int]
    waited: Optional[int]
    context_switches: int
    ideal_processor: Optional[int]
    user: Optional[int]
    kernel: Optional[int]


def thread_times(thread: Thread) -> ThreadTimes:
    """A thread's times. Raises MemoryReadError and SymbolError where its record does not give them."""
    tick, ticks = tick_length(thread.target), thread.wait_ticks

    def milliseconds(number: Optional[int]) -> Optional[int]:
        return None if number is None or tick is None else truncated_milliseconds(number, tick)

    return ThreadTimes(
        thread.wait_time,
        ticks,
        milliseconds(ticks),
        thread.context_switches,
        thread.ideal_processor,
        milliseconds(thread.user_time),
        milliseconds(thread.kernel_time),
    )


def thread_time_lines(times: ThreadTimes) -> Iterator[Line]:
    """As kdexts writes them."""
    ticks = UNKNOWN if times.ticks is None else str(times.ticks)
    span = f" ({day_duration(times.waited)})" if times.ticks and times.waited is not None else ""
    yield f"{'Wait Start TickCount':<26}{times.wait_start:<15}Ticks: {ticks}{span}"
    ideal = number_text(times.ideal_processor)
    yield f"{'Context Switch Count':<26}{times.context_switches:<15}IdealProcessor: {ideal}"
    for name, spent in (("UserTime", times.user), ("KernelTime", times.kernel)):
        yield f"{name:<26}{UNKNOWN if spent is None else long_duration(spent)}"


def number_text(value: Optional[int]) -> str:
    """A number in decimal, or a question mark for one that the dump does not hold."""
    return "?" if value is None else str(value)
