"""Why a thread waits: from its wait blocks to the owner of what it waits for, and on to what that waits for.

    chain = wait_chain(thread)
    chain.root.causes[0].owners[0].thread

Each cause says by what it is known (`evidence`). What names no owner (an event, a semaphore, a queue) ends the way.
"""

from __future__ import annotations

from dumpkit.errors import MemoryReadError
from dumpkit.kernel.lock_survey import LockSurvey
from dumpkit.kernel.obstacle import obstacles, words_of
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.wait import is_thread, wait_blocks
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Set, Tuple

#: Threads that one answer follows, and how deep.
MOST_THREADS = 200
DEEPEST = 64


class Cause(NamedTuple):
    """A thing that a thread waits for.

    `kind` is a word ("mutant", "resource", "I/O request" …); `object` its virtual address, 0 where it has none;
    `owners` the threads that have it. `irp` is the request and `driver` who has that; `note` says what else is known.
    """

    kind: str
    object: int
    owners: Tuple[WaitNode, ...]
    evidence: str
    irp: int = 0
    driver: str = ""
    note: str = ""


class WaitNode(NamedTuple):
    """A thread on the way. `ending` says why the way ends here ("" where `causes` lead on)."""

    thread: Thread
    state: str
    causes: Tuple[Cause, ...]
    ending: str


class WaitChain(NamedTuple):
    """The answer: the tree of waits, and the cycles in it, each as its threads in the order of waiting."""

    root: WaitNode
    deadlocks: Tuple[Tuple[Thread, ...], ...]


def wait_chain(thread: Thread, survey: Optional[LockSurvey] = None) -> WaitChain:
    """Follow what a thread waits for; who asks for many threads gives them one `survey`.

    Raises MemoryReadError and SymbolError where not even its state is known.
    """
    walk = _Walk(thread.target, survey if survey is not None else LockSurvey(thread.target))
    root = walk.node(thread, [])
    return WaitChain(root, tuple(walk.deadlocks))


class _Walk:
    """Follows one thread's wait."""

    def __init__(self, target: Target, survey: LockSurvey) -> None:
        self._target = target
        self._survey = survey
        self._count = 0
        #: Threads that wait for any of several objects: a cycle through them may end otherwise.
        self._choosing: Set[int] = set()
        self.deadlocks: List[Tuple[Thread, ...]] = []

    def node(self, thread: Thread, path: List[Thread]) -> WaitNode:
        """A thread and what it waits for; `path` are the threads that wait for it."""
        if thread in path:
            return WaitNode(thread, "Waiting", (), self._cycle(tuple(path[path.index(thread) :])))
        self._count += 1
        if not is_thread(self._target, thread.address):
            return WaitNode(thread, "", (), "no thread is there")
        try:
            state = thread.state
            if state != "Waiting":
                return WaitNode(thread, state, (), _not_waiting(thread, state))
            if self._count > MOST_THREADS or len(path) >= DEEPEST:
                return WaitNode(thread, state, (), f"not followed: more than {MOST_THREADS} threads")
            found = list(obstacles(thread, self._survey))
            if len(found) > 1 and not wait_blocks(thread).is_for_all:
                self._choosing.add(thread.address)
        except MemoryReadError as error:
            return WaitNode(thread, "", (), f"it cannot be read: {error}")
        way = [*path, thread]
        causes = tuple(
            Cause(
                cause.kind,
                cause.object,
                tuple(self.node(Thread(self._target, owner), way) for owner in cause.owners),
                cause.evidence,
                cause.irp,
                cause.driver,
                cause.note,
            )
            for cause in found
        )
        return WaitNode(thread, state, causes, "" if causes else _without_cause(thread))

    def _cycle(self, cycle: Tuple[Thread, ...]) -> str:
        """Keep a cycle of threads that wait for each other; what to say of it."""
        for thread in cycle:
            if thread.address in self._choosing:
                return f"a cycle, but {thread.address:016x} waits for any of several objects"
        if not any(set(cycle) == set(known) for known in self.deadlocks):
            self.deadlocks.append(cycle)
        return "deadlock: it waits for itself" if len(cycle) == 1 else "deadlock: the threads above wait for each other"


def _not_waiting(thread: Thread, state: str) -> str:
    if thread.is_terminated or state == "Terminated":
        return "terminated: what it holds is never released"
    if state == "Running":
        return f"running on processor {thread.next_processor}"
    if state == "Standby":
        return f"next to run on processor {thread.next_processor}"
    return {"Ready": "ready to run: it waits for a processor", "DeferredReady": "about to be ready to run"}.get(
        state, f"in state {state}"
    )


def _without_cause(thread: Thread) -> str:
    reason = thread.wait_reason
    return words_of(reason) or f"no object that it waits for is known ({reason})"
