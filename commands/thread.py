"""`thread` (kdexts' `!thread`): a thread with its waits, requests, times and stack."""

from __future__ import annotations

from dumpkit.commands.process_block import ProcessBlock, process_block, process_block_lines
from dumpkit.commands.thread_block import THREADS, WAITS, ThreadBlock, thread_block, thread_block_lines
from dumpkit.errors import CommandError
from dumpkit.gaps import Gaps
from dumpkit.kernel.thread import Thread, thread_at
from dumpkit.kernel.thread_sweep import find_thread
from dumpkit.output import Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, Switch, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple

_CURRENT = 0xFFFF_FFFF_FFFF_FFFF


class ThreadWithProcess(Record):
    """A thread, and with -p its process."""

    thread: ThreadBlock
    process: Optional[ProcessBlock]
    #: What could not be read and why, one line each.
    problems: Tuple[str, ...]


def thread_lines(result: ThreadWithProcess) -> Iterator[Line]:
    if result.process is not None:
        yield from process_block_lines(result.process)
        yield ""
    yield from thread_block_lines(result.thread)
    if result.problems:
        yield ""
        for problem in result.problems:
            yield (Span(problem, "dim"),)


def chosen_thread(session: Session, address: Optional[int], is_tid: bool) -> Thread:
    """The thread at an address, of an id, or the current one. Raises DumpkitError where there is none."""
    target = session.dump
    if address is None or address == _CURRENT:
        return Thread(target, session.thread_address)
    if is_tid:
        found = find_thread(target, address)
        if found is None:
            raise CommandError(f"No thread has the id {address:x}")
        return found
    return thread_at(target, address)


@command(
    "thread",
    category="Kernel",
    summary="A thread as kdexts shows it: waits, requests, times, stack",
    arguments=(
        Switch("with_process", ("-p",), "its process too"),
        Switch("is_tid", ("-t",), "ADDRESS is a thread id"),
        Expression("address", "the thread; the current one where it is left out or -1"),
        Expression("flags", "2 waits, 4 (with 2) details and stack, 8 no arguments in it; 6 by default"),
    ),
    render=thread_lines,
)
def thread(
    session: Session,
    with_process: bool = False,
    is_tid: bool = False,
    address: Optional[int] = None,
    flags: int = WAITS | THREADS,
) -> ThreadWithProcess:
    """Shows a thread. FLAGS are bits:

    2   what it waits for
    4   with 2: requests, times, priorities and the stack
    8   the stack without arguments
    10  accepted: a thread's stack is always read in its own process

    `t` shows the same as mex does, and `t -a` why a thread waits.
    """
    found = chosen_thread(session, address, is_tid)
    gaps = Gaps()
    process = process_block(found.process, gaps) if with_process else None
    block = thread_block(found, flags, gaps)
    return ThreadWithProcess(block, process, gaps.lines())
