"""Walking the kernel's linked lists: bounded, loop-checked, and saying how the walk ended."""

from __future__ import annotations

from _collections_abc import Iterator

from dumpkit.errors import DumpkitError, MemoryReadError
from dumpkit.memory import U64_MASK
from dumpkit.objects import BoundType, MemberError, Record
from dumpkit.symbols.types import PointerType, RecordType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional, Set, Tuple, TypeVar

    _Item = TypeVar("_Item")

#: What `ended` says of a list that came back to its head, or to the null link of a singly linked one.
COMPLETE = "complete"


class ListWalk(Iterator[Record]):
    """The records of a list, one after the other.

    `head` is the virtual address of the list head, which is no member of a record; `member` is the
    link inside the records, perhaps a path ("Tail.Overlay.ListEntry"). The links are those of its
    type: Flink of a _LIST_ENTRY, Next of a _SINGLE_LIST_ENTRY, or a plain pointer.

    A damaged list ends with what it had: `ended` is None while walking, COMPLETE after the last
    record, else the reason as a clause. With `strict`, damage raises DumpkitError (MemoryReadError
    for memory) in the place of the end.
    """

    def __init__(
        self, type: BoundType, head: int, member: str, limit: int = 100_000, strict: bool = False, back: bool = False
    ) -> None:
        self.ended: Optional[str] = None
        self._type = type
        self._head = int(head) & U64_MASK
        self._limit = limit
        self._strict = strict
        self._memory = type.space.memory
        self._seen: Set[int] = set()
        self._offset, self._link, self._circular = _link_of(type, member, back)
        self._place = self._head

    @property
    def complete(self) -> bool:
        """Whether the whole list was walked and found sound."""
        return self.ended == COMPLETE

    def __iter__(self) -> ListWalk:
        return self

    def __next__(self) -> Record:
        if self.ended is not None:
            raise StopIteration
        try:
            place = self._memory.u64(self._place + self._link)
        except MemoryReadError as problem:
            self._end(f"link at {self._place:016x} cannot be read: {problem.reason}", problem)
            raise StopIteration from None
        if (place == self._head) if self._circular else place == 0:
            self.ended = COMPLETE
            raise StopIteration
        damage = self._damage(place)
        if damage is not None:
            self._end(damage, None)
            raise StopIteration
        self._seen.add(place)
        self._place = place
        record: Record = self._type.at(place - self._offset)
        return record

    def _damage(self, place: int) -> Optional[str]:
        if place == 0:
            return f"null link at {self._place:016x}"
        if place in self._seen or (not self._circular and place == self._head):
            return f"the list loops at {place:016x}"
        if len(self._seen) >= self._limit:
            return f"more than {self._limit} entries"
        return None

    def _end(self, reason: str, problem: Optional[MemoryReadError]) -> None:
        self.ended = reason
        if self._strict:
            raise problem or DumpkitError(f"list at {self._head:016x}: {reason}")


class ListOf(Iterator["_Item"]):
    """What the records of a list are to the kernel model: `item` makes each from its record's virtual address."""

    def __init__(self, walk: ListWalk, item: Callable[[int], _Item]) -> None:
        self._walk = walk
        self._item = item

    @property
    def ended(self) -> Optional[str]:
        """None while walking, COMPLETE behind the last item, else what is wrong with the list, as a clause."""
        return self._walk.ended

    @property
    def complete(self) -> bool:
        """Whether the whole list was walked and found sound."""
        return self._walk.complete

    def __next__(self) -> _Item:
        return self._item(next(self._walk).address)


def _link_of(type: BoundType, member: str, back: bool) -> Tuple[int, int, bool]:
    """(offset of the link in the record, offset of the pointer in the link, whether the list is circular)."""
    record = type.type
    found = record.path(member) if isinstance(record, RecordType) else None
    if found is None:
        raise MemberError(f"{type.name} has no member {member}")
    offset, link = found
    if isinstance(link, PointerType):
        return offset, 0, False
    if isinstance(link, RecordType):
        for name, circular in (("Blink" if back else "Flink", True), ("Next", False)):
            inner = link.find(name)
            if inner is not None and isinstance(inner[1], PointerType):
                return offset, inner[0], circular
    raise MemberError(f"{member} of {type.name} is no list link")
