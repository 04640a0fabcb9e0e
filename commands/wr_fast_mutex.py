"""`WrFastMutex` (mex): the threads that wait for a fast or guarded mutex, and who owns it."""

from __future__ import annotations

from dumpkit.commands.t_lines import UNKNOWN, thread_link
from dumpkit.commands.thread_row import RowMaker, ThreadRow, problem_lines, thread_table
from dumpkit.errors import DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.thread_sweep import ThreadSweep
from dumpkit.kernel.wait import FAST_MUTEX_REASONS, fast_mutex_of, wait_blocks
from dumpkit.output import Hex, Line
from dumpkit.record import Record
from dumpkit.registry import command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

_COLUMNS = "Process|PID|Thread|Id|CSwitches|User|Kernel|State|Time|Reason|Wait Function".split("|")


class FastMutexWait(Record):
    """A thread that waits for a mutex; addresses are virtual, None what is not known."""

    thread: ThreadRow
    mutex: Optional[Hex]
    owner: Optional[Hex]


class FastMutexWaits(Record):
    """The threads that wait for fast and guarded mutexes."""

    waits: Tuple[FastMutexWait, ...]
    problems: Tuple[str, ...]


def fast_mutex_lines(result: FastMutexWaits) -> Iterator[Line]:
    if result.waits:
        rows = [wait.thread for wait in result.waits]
        owners: List[Line] = [_owner_cell(wait) for wait in result.waits]
        yield from thread_table(rows, _COLUMNS, extra=("Waiting On", owners, len(_COLUMNS) - 1))
    yield f"Count: {len(result.waits)}"
    yield from problem_lines(result.problems)


def _owner_cell(wait: FastMutexWait) -> Line:
    if wait.owner is not None:
        return ("Owning Thread: ", thread_link(wait.owner))
    return UNKNOWN if wait.mutex is None else f"Fast Mutex: {wait.mutex:016x} (no owner)"


@command(
    "WrFastMutex",
    category="Kernel",
    summary="The threads that wait for a fast or guarded mutex, and its owner",
    render=fast_mutex_lines,
)
def wr_fast_mutex(session: Session) -> FastMutexWaits:
    """Lists the threads of all processes that wait for a fast or guarded mutex, with the thread that owns it.

    A thread that owns the mutex it waits for has acquired it twice, and waits for itself. t -a follows the owner.
    """
    gaps = Gaps()
    maker = RowMaker(gaps, functions=True)
    sweep = ThreadSweep(session.dump)
    waits = []
    for thread in sweep:
        try:
            if thread.state != "Waiting" or thread.wait_reason not in FAST_MUTEX_REASONS:
                continue
        except DumpkitError as error:
            gaps.add(f"thread {thread.address:016x}", error)
            continue
        mutex, owner = _mutex(thread, gaps)
        waits.append(FastMutexWait(maker.row(thread), mutex, owner))
    return FastMutexWaits(tuple(waits), (*sweep.problems, *gaps.lines()))


def _mutex(thread: Thread, gaps: Gaps) -> Tuple[Optional[Hex], Optional[Hex]]:
    """The mutex that a thread waits for, and the thread that owns it, as far as they are known."""
    what = f"what thread {thread.address:016x} waits for"
    blocks = gaps.read(what, lambda: wait_blocks(thread))
    if blocks is None:
        return None, None
    gaps.add(what, blocks.problem)
    found = (fast_mutex_of(thread.target, block.object) for block in blocks.blocks)
    mutex = next((each for each in found if each is not None), None)
    if mutex is None:
        return None, None
    owner = gaps.read(f"the owner of fast mutex {mutex.address:016x}", lambda: mutex.owner)
    return Hex(mutex.address), Hex(owner) if owner else None
