"""Processes that look at dumps side by side: one dump that crashes or stalls its process costs its own row only."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
from multiprocessing.connection import Connection, wait
from time import monotonic

from dumpkit.named_tuple import NamedTuple
from dumpkit.triage.row import Row, bad_row, row_of
from dumpkit.triage.sources import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from typing import Dict, Iterator, List, NoReturn, Optional, Sequence, Set, Tuple

#: How far ahead of the row that is due next dumps are looked at, for each worker.
_AHEAD = 32
#: Seconds between two looks whether the parent is still there.
_LISTEN = 1.0
#: No alarm is set further ahead, in seconds.
_LONGEST = 1_000_000
#: Seconds that a worker has to tidy up when it is ended.
_GRACE = 3.0


class Settings(NamedTuple):
    """How dumps are looked at."""

    symbols: Optional[str] = None
    offline: bool = False
    #: Seconds that one dump may take.
    limit: float = 300.0


class _Worker:
    """A process and the pipe to it, with what it is working on."""

    def __init__(self, settings: Settings) -> None:
        context = multiprocessing.get_context()
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(theirs, os.getpid(), settings), daemon=True)
        self.process.start()
        theirs.close()
        self.index: Optional[int] = None
        self.source: Optional[Source] = None
        self.deadline = 0.0

    def begin(self, index: int, source: Source, limit: float) -> None:
        self.index, self.source = index, source
        self.deadline = monotonic() + limit
        self.connection.send(source)

    def end(self) -> None:
        self.connection.close()
        self.process.terminate()
        # It deletes what it has unpacked; where it cannot, the system ends it.
        self.process.join(_GRACE)
        self.process.kill()
        self.process.join()


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit


def _work(connection: Connection, parent: int, settings: Settings) -> None:
    """The worker's loop: a source in, its row out, until the other side closes the pipe or is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    while True:
        # A forked process has the pipe's other end as well: that the parent was killed does not close it.
        while not connection.poll(_LISTEN):
            if os.getppid() != parent:
                return
        try:
            source = connection.recv()
        except (EOFError, OSError):
            return
        if hasattr(signal, "alarm"):
            # Where nobody is left to end it.
            signal.alarm(int(min(settings.limit, _LONGEST)) + 10)
        connection.send(row_of(source, settings.symbols, settings.offline))
        # A dump's objects refer to each other in circles, and the command line lets these wait.
        gc.collect()


def rows(sources: Sequence[Source], settings: Settings, jobs: int) -> Iterator[Tuple[int, Row]]:
    """(index, row) of every source, in the order in which they are done.

    No more than `_AHEAD` rows a worker are kept back by one that takes long. Raises nothing for a bad dump.
    """
    if len(sources) <= 1:
        for index, source in enumerate(sources):
            yield index, row_of(source, settings.symbols, settings.offline)
        return
    workers: List[_Worker] = []
    try:
        workers.extend(_Worker(settings) for _ in range(min(jobs, len(sources))))
        yield from _share(sources, settings, workers)
    finally:
        for worker in workers:
            worker.end()


def _share(sources: Sequence[Source], settings: Settings, workers: List[_Worker]) -> Iterator[Tuple[int, Row]]:
    waiting = iter(enumerate(sources))
    unfinished: Set[int] = set()
    first_unfinished = 0
    following: Optional[Tuple[int, Source]] = next(waiting, None)
    while following is not None or unfinished:
        for worker in workers:
            if (
                worker.index is None
                and following is not None
                and following[0] - first_unfinished < _AHEAD * len(workers)
            ):
                worker.begin(*following, settings.limit)
                unfinished.add(following[0])
                following = next(waiting, None)
        for index, row in _finished(workers, settings):
            unfinished.discard(index)
            yield index, row
        first_unfinished = min(unfinished, default=following[0] if following is not None else 0)


def _finished(workers: List[_Worker], settings: Settings) -> Iterator[Tuple[int, Row]]:
    """The rows of workers that are done, waiting for one; a worker that died or takes too long is replaced."""
    busy: Dict[Connection, int] = {
        worker.connection: at for at, worker in enumerate(workers) if worker.index is not None
    }
    soonest = min(workers[at].deadline for at in busy.values())
    ready = wait(list(busy), timeout=max(soonest - monotonic(), 0.0))
    for connection in [each for each in busy if each in ready] or list(busy):
        worker = workers[busy[connection]]
        assert worker.index is not None and worker.source is not None
        index, source = worker.index, worker.source
        if connection in ready:
            try:
                row = worker.connection.recv()
                worker.index = worker.source = None
            except (EOFError, OSError):
                worker.process.join()
                row = bad_row(source, f"the process that read it ended with status {worker.process.exitcode}")
                worker.end()
                workers[busy[connection]] = _Worker(settings)
        elif monotonic() >= worker.deadline:
            row = bad_row(source, f"gave no result in {settings.limit:g} s")
            worker.end()
            workers[busy[connection]] = _Worker(settings)
        else:
            continue
        yield index, row
