"""What only a look at every thread and every resource tells of locks: made when it is first asked for, then kept.

survey = LockSurvey(target)
survey.owner_of(push_lock)
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, MemoryReadError, SymbolError
from dumpkit.kernel.lock_entry import lock_entries
from dumpkit.kernel.process import processes
from dumpkit.kernel.resource import Resource, resources
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional, Tuple

#: Contended resources that are kept.
_MOST_CONTENDED = 10_000


class LockSurvey:
    """The locks of a machine at one moment."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._owners: Optional[Dict[int, int]] = None
        self._contended: Optional[Tuple[Resource, ...]] = None

    def owner_of(self, lock: int) -> Optional[int]:
        """The virtual address of the thread whose lock entries say that it has acquired a lock; None where none do."""
        if self._owners is None:
            self._owners = self._find_owners()
        return self._owners.get(lock)

    def _find_owners(self) -> Dict[int, int]:
        found: Dict[int, int] = {}
        try:
            for process in processes(self._target):
                for thread in process.threads():
                    try:
                        for entry in lock_entries(thread):
                            if entry.is_acquired:
                                found.setdefault(entry.lock, thread.address)
                    except MemoryReadError:
                        continue
        except (SymbolError, MemoryReadError):
            # As far as the lists go: what they do not hold has no owner known.
            pass
        return found

    @property
    def contended(self) -> Tuple[Resource, ...]:
        """The executive resources that threads wait for."""
        if self._contended is None:
            self._contended = tuple(self._find_contended())
        return self._contended

    def _find_contended(self) -> Tuple[Resource, ...]:
        found = []
        try:
            for resource in resources(self._target):
                try:
                    if resource.exclusive_waiters or resource.shared_waiters:
                        found.append(resource)
                except MemoryReadError:
                    continue
                if len(found) >= _MOST_CONTENDED:
                    break
        except DumpkitError:
            pass
        return tuple(found)
