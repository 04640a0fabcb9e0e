"""Every thread of a machine, process by process, and what kept some of them from being found.

sweep = ThreadSweep(target)
for thread in sweep:
    thread.state
sweep.problems
"""

from __future__ import annotations

from collections.abc import Iterator

from dumpkit.errors import DumpkitError, MemoryReadError
from dumpkit.kernel.process import Process, idle_process, processes
from dumpkit.kernel.thread import Thread
from dumpkit.objects import MemberError
from dumpkit.objects.lists import ListOf
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, List, Optional, Sequence

#: No more threads than this are looked at.
MOST_THREADS = 200_000


class ProcessSweep(Iterator[Process]):
    """The idle process and then every active one; `problems` says why there may be more, as clauses."""

    def __init__(self, target: Target, with_idle: bool = True) -> None:
        """Raises SymbolError where the processes cannot be listed at all."""
        self.problems: List[str] = []
        self._idle = idle_process(target) if with_idle else None
        self._walk: Optional[ListOf[Process]] = processes(target)

    def __next__(self) -> Process:
        if self._idle is not None:
            idle, self._idle = self._idle, None
            return idle
        if self._walk is None:
            raise StopIteration
        process = next(self._walk, None)
        if process is None:
            if not self._walk.complete:
                self.problems.append(f"the end of the list of processes: {self._walk.ended}")
            self._walk = None
            raise StopIteration
        return process


class ThreadSweep(Iterator[Thread]):
    """The threads of processes, of every one where none are named; `problems` says what was not found, as clauses."""

    def __init__(
        self, target: Target, of: Optional[Sequence[Process]] = None, with_idle: bool = False, most: int = MOST_THREADS
    ) -> None:
        """Raises SymbolError where the processes cannot be listed at all."""
        self._problems: List[str] = []
        self._sweep = ProcessSweep(target, with_idle) if of is None else None
        self._threads = self._all(of if of is not None else (self._sweep or ()), most)

    @property
    def problems(self) -> List[str]:
        """What was met so far."""
        return self._problems + (self._sweep.problems if self._sweep is not None else [])

    def __next__(self) -> Thread:
        return next(self._threads)

    def _all(self, of: Iterable[Process], most: int) -> Iterator[Thread]:
        count = 0
        for process in of:
            what = f"the threads of process {process.address:016x}"
            try:
                walk = process.threads()
            except MemoryReadError as error:
                self._problems.append(f"{what}: {error}")
                continue
            for thread in walk:
                if count >= most:
                    self._problems.append(f"only {most} threads were looked at")
                    return
                count += 1
                yield thread
            if not walk.complete:
                self._problems.append(f"{what}: {walk.ended}")


def find_thread(target: Target, tid: int) -> Optional[Thread]:
    """The first thread of an id in any active process, or None.

    Raises SymbolError where the threads cannot be listed at all, DumpkitError where not all of them can be read.
    """
    unread: Optional[str] = None
    sweep = ThreadSweep(target)
    for thread in sweep:
        try:
            if thread.tid == tid:
                return thread
        except (MemoryReadError, MemberError) as error:
            unread = unread or f"thread {thread.address:016x}: {error}"
    unread = next(iter(sweep.problems), unread)
    if unread is not None:
        raise DumpkitError(f"No thread that can be read has the id {tid:x}, but not every one can: {unread}")
    return None


def process_of(thread: Thread) -> Optional[Process]:
    """A thread's process, or None where it cannot be read."""
    try:
        return thread.process
    except DumpkitError:
        return None
