"""`oldest`: the threads that have waited longest, and for what."""

from __future__ import annotations

from typing import Iterator, List, Optional, Tuple

from dumpkit.durations import short_duration
from dumpkit.kernel.process import processes
from dumpkit.kernel.ticks import tick_length
from dumpkit.output import Hex, Line, Span, table
from dumpkit.record import Record
from dumpkit.registry import Option, command
from dumpkit.session import Session


class Waiting(Record):
    """A thread that waits. Its address is virtual, the time milliseconds."""

    thread: Hex
    process: str
    reason: Optional[str]
    time: Optional[int]


class Oldest(Record):
    """What `oldest` shows; `--json` writes these fields, and those of `Waiting`, by their names."""

    waiting: Tuple[Waiting, ...]


def oldest_lines(result: Oldest) -> Iterator[Line]:
    """The result as text: data and its looks are two things."""
    rows: List[List[str]] = [["Thread", "Process", "Reason", "Time"]]
    for each in result.waiting:
        time = short_duration(each.time) if each.time is not None else "?"
        rows.append([f"{each.thread:016x}", each.process, each.reason or "?", time])
    lines = list(table(rows, right=(3,)))
    yield (Span(lines[0], "heading"),)
    for each, line in zip(result.waiting, lines[1:]):
        # A click on the address, where there are clicks, shows the thread.
        yield (Span(line[:16], "address", f"t {each.thread:x}"), line[16:])


@command(
    "oldest",
    category="Kernel",
    summary="The threads that have waited longest",
    arguments=(Option("count", ("-n",), "how many", kind="expression"),),
    render=oldest_lines,
)
def oldest(session: Session, count: Optional[int] = None) -> Oldest:
    """Shows the threads that have waited longest, ten of them where -n does not say otherwise."""
    target = session.dump
    tick = tick_length(target)
    found: List[Waiting] = []
    for process in processes(target):
        for thread in process.threads():
            if thread.state != "Waiting":
                continue
            ticks = thread.wait_ticks
            time = ticks * tick // 10_000 if ticks is not None and tick is not None else None
            found.append(Waiting(Hex(thread.address), process.name, thread.wait_reason, time))
    found.sort(key=lambda each: (-(each.time or 0), each.thread))
    return Oldest(tuple(found[: count if count is not None else 10]))
