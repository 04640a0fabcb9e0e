"""Which threads wait for which executive resource: known by a look at every thread that waits for one.

waits = ResourceWaits(target)
waits.of(resource)
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, SymbolError
from dumpkit.kernel.lock_survey import LockSurvey
from dumpkit.kernel.obstacle import resource_obstacle
from dumpkit.kernel.resource import Resource
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.thread_sweep import ThreadSweep
from dumpkit.kernel.wait import wait_blocks
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Tuple


class ResourceWait(NamedTuple):
    """A thread that waits for a resource; whether exclusively, None where nothing tells."""

    thread: Thread
    is_exclusive: Optional[bool]
    #: By what it is known.
    evidence: str


class ResourceWaits:
    """The threads that wait for resources at one moment; looked for when first asked."""

    def __init__(self, target: Target, survey: Optional[LockSurvey] = None) -> None:
        self._target = target
        self.survey = survey if survey is not None else LockSurvey(target)
        self._found: Optional[Dict[int, List[ResourceWait]]] = None
        self._problems: List[str] = []

    def of(self, resource: Resource) -> Tuple[ResourceWait, ...]:
        """The threads that are known to wait for a resource."""
        if self._found is None:
            self._found = self._look()
        return tuple(self._found.get(resource.address, ()))

    @property
    def problems(self) -> Tuple[str, ...]:
        """What could not be read, as clauses."""
        return tuple(dict.fromkeys(self._problems))

    def _look(self) -> Dict[int, List[ResourceWait]]:
        found: Dict[int, List[ResourceWait]] = {}
        try:
            sweep = ThreadSweep(self._target)
        except SymbolError as error:
            self._problems.append(f"the threads that wait: {error}")
            return found
        for thread in sweep:
            try:
                if thread.state != "Waiting" or thread.wait_reason != "WrResource":
                    continue
                self._add(found, thread)
            except DumpkitError as error:
                self._problems.append(f"thread {thread.address:016x}: {error}")
        self._problems += sweep.problems
        return found

    def _add(self, found: Dict[int, List[ResourceWait]], thread: Thread) -> None:
        objects = tuple(block.object for block in wait_blocks(thread).blocks)
        obstacle = resource_obstacle(thread, objects, self.survey)
        if obstacle is None:
            self._problems.append(f"which resource thread {thread.address:016x} waits for is not known")
            return
        resource = Resource(self._target, obstacle.object)
        stack = (int(thread.tcb.StackLimit), int(thread.tcb.StackBase))
        is_exclusive = resource.is_waited_for(stack, objects)
        if is_exclusive is None and bool(resource.exclusive_waiters) != bool(resource.shared_waiters):
            is_exclusive = bool(resource.exclusive_waiters)
        found.setdefault(resource.address, []).append(ResourceWait(thread, is_exclusive, obstacle.evidence))
