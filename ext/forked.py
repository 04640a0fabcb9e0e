"""Work shared out among processes, where it pays and can be: its results come back in order."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Callable, Dict, Iterator, List, Optional

#: More processes than this would wait for the one that shows what they find.
_MOST = 8
#: Bytes that tell the length of the result behind them.
_LENGTH = 8


def in_order(work: Callable[[int], bytes], count: int) -> Iterator[bytes]:
    """`work(0)`, `work(1)` … `work(count - 1)`, by forked processes where there are processors for them.

    What no process could do is done here: so an error of `work` is raised here, and nothing but time is lost by
    a process that dies. `work` must not write anything.
    """
    number = min(_processors(), count, _MOST) if _may_fork() else 1
    pipes: Dict[int, BinaryIO] = {}
    processes: List[int] = []
    try:
        if number > 1:
            _start(work, count, number, pipes, processes)
        for item in range(count):
            pipe = pipes.get(item % number)
            result = _result(pipe) if pipe is not None else None
            yield work(item) if result is None else result
    finally:
        _end(pipes, processes)


def _may_fork() -> bool:
    """Whether a copy of this process would work: Windows has none, and other threads might hold locks in it."""
    threading = sys.modules.get("threading")
    return hasattr(os, "fork") and (threading is None or threading.active_count() == 1)


def _processors() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start(
    work: Callable[[int], bytes], count: int, number: int, pipes: Dict[int, BinaryIO], processes: List[int]
) -> None:
    """Start processes, each of which does every `number`th of the work."""
    for first in range(number):
        try:
            reader, writer = os.pipe()
        except OSError:
            return
        pipes[first] = os.fdopen(reader, "rb")
        try:
            process = os.fork()
        except OSError:
            os.close(writer)
            return
        if not process:
            try:
                _serve(work, range(first, count, number), writer, pipes)
            finally:
                # Nothing of the parent's, such as what is left in its buffers, may be ended a second time.
                os._exit(0)
        processes.append(process)
        os.close(writer)


def _serve(work: Callable[[int], bytes], items: range, writer: int, pipes: Dict[int, BinaryIO]) -> None:
    """What a process does. The interrupt of a terminal reaches it too, but it is the parent who answers."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for pipe in pipes.values():
        pipe.close()
    with os.fdopen(writer, "wb") as stream:
        for item in items:
            result = work(item)
            stream.write(len(result).to_bytes(_LENGTH, "little"))
            stream.write(result)
            stream.flush()


def _result(pipe: BinaryIO) -> Optional[bytes]:
    """The next result of a process, or None where it ended before it."""
    head = pipe.read(_LENGTH)
    if len(head) < _LENGTH:
        return None
    length = int.from_bytes(head, "little")
    result = pipe.read(length)
    return result if len(result) == length else None


def _end(pipes: Dict[int, BinaryIO], processes: List[int]) -> None:
    for pipe in pipes.values():
        pipe.close()
    if processes:
        import signal

        for process in processes:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
