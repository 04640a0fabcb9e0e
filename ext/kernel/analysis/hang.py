"""Why a machine does not go on: the threads that others wait for, and what they wait for themselves."""

from __future__ import annotations

from dumpkit.errors import DumpkitError, SymbolError
from dumpkit.kernel.lock_survey import LockSurvey
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.thread_sweep import ThreadSweep
from dumpkit.kernel.wait_chain import WaitNode, wait_chain
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Sequence, Set, Tuple

#: No more threads than this are looked at.
MOST_THREADS = 50_000
#: Wait reasons of threads that wait for work or for time to pass: nobody holds what they wait for.
_IDLE_REASONS = frozenset("WrQueue DelayExecution WrDelayExecution Suspended WrSuspended WrTerminated".split())


class Blocker(NamedTuple):
    """A thing that a thread holds and others wait for."""

    #: "mutant", "fast mutex", "resource", "push lock" …
    kind: str
    #: Its virtual address, 0 where it has none.
    object: int
    owner: WaitNode
    #: The threads that wait for it, by virtual address, in the order in which they were met.
    waiters: Tuple[int, ...]
    evidence: str


class Hang(NamedTuple):
    """What was found."""

    #: The most waited for first.
    blockers: Tuple[Blocker, ...]
    #: Cycles of threads that wait for each other.
    deadlocks: Tuple[Tuple[int, ...], ...]
    #: How many threads were looked at, and how many of them wait for something that a thread holds.
    threads: int
    blocked: int
    #: What could not be read.
    problems: Tuple[str, ...]


def analyze_hang(target: Target) -> Hang:
    """Look at every thread. Raises SymbolError without the kernel's types."""
    search = _Search(target)
    sweep = ThreadSweep(target, most=MOST_THREADS)
    for thread in sweep:
        search.add(thread)
    return search.result(sweep.problems)


class _Search:
    def __init__(self, target: Target) -> None:
        self._found: Dict[Tuple[str, int, int], Tuple[WaitNode, str, List[int]]] = {}
        self._deadlocks: List[Tuple[int, ...]] = []
        self._count = 0
        self._blocked: Set[int] = set()
        self._locks = LockSurvey(target)
        self._problems: List[str] = []

    def add(self, thread: Thread) -> None:
        """Keep what a thread waits for, if another one holds it."""
        self._count += 1
        try:
            if thread.state != "Waiting" or thread.wait_reason in _IDLE_REASONS:
                return
            chain = wait_chain(thread, self._locks)
        except SymbolError:
            raise
        except DumpkitError as error:
            self._problems.append(f"thread {thread.address:016x}: {error}")
            return
        for cause in chain.root.causes:
            for owner in cause.owners:
                key = cause.kind, cause.object, owner.thread.address
                waiters = self._found.setdefault(key, (owner, cause.evidence, []))[2]
                waiters.append(thread.address)
                self._blocked.add(thread.address)
        for cycle in chain.deadlocks:
            members = tuple(member.address for member in cycle)
            if not any(set(members) == set(known) for known in self._deadlocks):
                self._deadlocks.append(members)

    def result(self, unlisted: Sequence[str]) -> Hang:
        """What was found; `unlisted` says which threads were not met."""
        blockers = [
            Blocker(kind, place, owner, tuple(waiters), evidence)
            for (kind, place, _), (owner, evidence, waiters) in self._found.items()
        ]
        blockers.sort(key=lambda blocker: -len(blocker.waiters))
        problems = tuple(dict.fromkeys((*self._problems, *unlisted)))
        return Hang(tuple(blockers), tuple(self._deadlocks), self._count, len(self._blocked), problems)


def process_of(thread: Thread) -> Optional[str]:
    """The name of a thread's process, or None where it cannot be read."""
    try:
        return thread.process.name
    except DumpkitError:
        return None
