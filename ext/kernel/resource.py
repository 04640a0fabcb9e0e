"""Executive resources (ERESOURCE): who owns them, and who waits.

    for resource in resources(target):
        resource.owners()

Layout: _ERESOURCE and _OWNER_ENTRY in the kernel's symbols; the meaning of Flag and of an owner's low bits in wdm.h
(ResourceOwnedExclusive; ExSetResourceOwnerPointer sets the two low bits of what is no thread). Since Windows 8 the
waiters are chained through words on their stacks; before, they wait for a semaphore and an event of the resource.
"""

from __future__ import annotations

from functools import partial

from dumpkit.errors import DumpkitError, MemoryReadError
from dumpkit.memory import U64_MASK
from dumpkit.named_tuple import NamedTuple
from dumpkit.objects.lists import ListOf
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Optional, Tuple

#: ResourceOwnedExclusive and ResourceNeverExclusive in Flag (wdm.h).
OWNED_EXCLUSIVE = 0x80
#: A table of owners is no larger than this; 16 bytes each.
MOST_OWNERS = 0x4000
#: No machine has more resources.
MOST_RESOURCES = 1_000_000
_POINTER_BITS = 3


class Owner(NamedTuple):
    """An owner of a resource: `thread` is a virtual address, `times` how often it has acquired it."""

    thread: int
    times: int
    #: False for a pointer that a driver set as the owner in its thread's place.
    is_thread: bool = True


class Owners(NamedTuple):
    """The owners of a resource; `problem` says what of them cannot be read, as a clause."""

    owners: Tuple[Owner, ...]
    problem: Optional[str] = None


class ResourceWaiters(NamedTuple):
    """The places, on their stacks, of the threads that wait: virtual addresses, the next to be served first."""

    exclusive: Tuple[int, ...]
    shared: Tuple[int, ...]


class Resource:
    """An ERESOURCE by its virtual address. Properties raise MemoryReadError where it cannot be read."""

    def __init__(self, target: Target, address: int) -> None:
        self.target = target
        self.address = int(address) & U64_MASK
        self.record: Any = target.type("_ERESOURCE").at(self.address)

    def __repr__(self) -> str:
        return f"Resource at {self.address:016x}"

    @property
    def is_listed(self) -> bool:
        """Whether its neighbours in the list of all resources lead back to it."""
        links = self.record.SystemResourcesList
        memory = self.target.memory
        place = links.address
        return bool(
            memory.u64_optional(int(links.Flink) + 8) == place and memory.u64_optional(int(links.Blink)) == place
        )

    @property
    def is_owned(self) -> bool:
        """Whether anybody owns it."""
        return int(self.record.ActiveCount) != 0

    @property
    def is_exclusive(self) -> bool:
        """Whether one thread owns it, and shares it with none."""
        return bool(int(self.record.Flag) & OWNED_EXCLUSIVE)

    @property
    def contention_count(self) -> int:
        """How often a thread had to wait for it."""
        return int(self.record.ContentionCount)

    @property
    def shared_waiters(self) -> int:
        """NumberOfSharedWaiters."""
        return int(self.record.NumberOfSharedWaiters)

    @property
    def exclusive_waiters(self) -> int:
        """NumberOfExclusiveWaiters."""
        return int(self.record.NumberOfExclusiveWaiters)

    def owners(self) -> Owners:
        """Its owners: the one in the resource itself, and those of its table."""
        record = self.record
        found: List[Owner] = []
        problem = None
        try:
            _add(found, record.OwnerEntry)
            if not self.is_exclusive:
                for entry in self._table():
                    _add(found, entry)
        except MemoryReadError as error:
            problem = f"the table of owners cannot be read: {error}"
        except _TableError as error:
            problem = str(error)
        return Owners(tuple(found), problem)

    def _table(self) -> Iterator[Any]:
        table = self.record.OwnerTable
        if not table:
            return
        # The first entry holds nothing but the table's size.
        size = int(table.TableSize)
        if size > MOST_OWNERS:
            raise _TableError(f"the table of owners at {table.address:016x} says that it has {size} entries")
        entries = self.target.type("_OWNER_ENTRY")
        for index in range(1, size):
            yield entries.at(table.address + index * entries.size)

    def waiters(self) -> ResourceWaiters:
        """Where the waiters' chains lead, as far as the counts of waiters say that there are any."""
        return ResourceWaiters(
            self._chain("ExclusiveWaiters", self.exclusive_waiters), self._chain("SharedWaiters", self.shared_waiters)
        )

    def _chain(self, member: str, count: int) -> Tuple[int, ...]:
        """Up to `count` places of a chain: on the waiters' stacks, or before Windows 8 the object they wait for."""
        memory = self.target.memory
        place = memory.u64_optional(self.record.address_of(member))
        found: List[int] = []
        while place and place >> 63 and place not in found and len(found) < min(count, MOST_OWNERS):
            found.append(place)
            if self.waits_on_objects:
                break
            place = memory.u64_optional(place)
        return tuple(found)

    @property
    def waits_on_objects(self) -> bool:
        """Whether waiters wait for a semaphore and an event of the resource (before Windows 8)."""
        from dumpkit.symbols.types import PointerType, RecordType

        found = self.record.type.find("ExclusiveWaiters")
        if found is None or not isinstance(found[1], PointerType):
            return False
        pointee = found[1].target
        return isinstance(pointee, RecordType) and pointee.name == "_KEVENT"

    def is_waited_for(self, stack: Tuple[int, int], objects: Tuple[int, ...]) -> Optional[bool]:
        """Whether a thread waits for it: True exclusively, False shared, None where it does not.

        `stack` is the thread's, from limit to base, `objects` what it waits for; virtual addresses.
        """
        waiters = self.waiters()
        for places, is_exclusive in ((waiters.exclusive, True), (waiters.shared, False)):
            for place in places:
                if place in objects or stack[0] <= place < stack[1]:
                    return is_exclusive
        return None


class _TableError(DumpkitError):
    """A table of owners that cannot be one."""


def _add(found: List[Owner], entry: Any) -> None:
    owner, count = int(entry.OwnerThread), int(entry.OwnerCount)
    if owner and count:
        found.append(Owner(owner & ~_POINTER_BITS, count, owner & _POINTER_BITS != _POINTER_BITS))


def resources(target: Target) -> ListOf[Resource]:
    """Every executive resource (ExpSystemResourcesList).

    Raises SymbolError where the list or _ERESOURCE is not known.
    """
    head = target.symbols.address_of("nt!ExpSystemResourcesList")
    walk = target.list(head, "_ERESOURCE", "SystemResourcesList", MOST_RESOURCES)
    return ListOf(walk, partial(Resource, target))
