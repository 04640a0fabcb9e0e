"""Handle tables: a process's, the kernel's, and the one of process and thread ids (PspCidTable).

Layout: _HANDLE_TABLE and _HANDLE_TABLE_ENTRY in the kernel's symbols. The low two bits of TableCode are the number of
levels above the leaves; a leaf is a page of entries, the pages above hold pointers. A handle is four times its entry's
number, and a leaf's first entry stands for no handle. Since Windows 8.1 an entry has the header's address without its
low four and high sixteen bits (ObjectPointerBits), before that the pointer itself with flags in its low three bits.
Attributes: OBJ_PROTECT_CLOSE, OBJ_INHERIT and OBJ_AUDIT_OBJECT_CLOSE (ntdef.h, Windows Internals).
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, MemoryReadError, SymbolError
from dumpkit.memory import PAGE_SIZE, U64_MASK
from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.types import BitfieldType, RecordType
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, List, Optional, Tuple

    from typing_extensions import TypeAlias

PROTECT, INHERIT, AUDIT = 1, 2, 4
#: A handle has at most this many bits (Windows Internals: 16 million handles in a table).
_MOST_HANDLES = 1 << 24
#: Lists of free entries: one for each processor at most, and never more than this.
_MOST_FREE_LISTS = 128
_POINTER = 8
_LEVELS = 3
#: Bits that a kernel handle has above those of its number.
_KERNEL_BITS = 0xFFFF_FFFF_8000_0000


class Handle(NamedTuple):
    """An entry of a handle table."""

    value: int
    #: Virtual address of the entry.
    entry: int
    #: Virtual address of the object's header; of the object itself in the table of ids. 0 where the entry is free.
    pointer: int
    granted_access: int
    #: PROTECT, INHERIT, AUDIT.
    attributes: int
    #: Of a free entry: the next free one, as it stands there.
    next_free: int

    @property
    def is_free(self) -> bool:
        return not self.pointer


class HandleTable:
    """A handle table by its virtual address. Properties raise MemoryReadError, DumpkitError for what cannot be."""

    def __init__(self, target: Target, address: int) -> None:
        self.target = target
        self.address = int(address)
        self.record: Any = target.type("_HANDLE_TABLE").at(self.address)
        #: What could not be read while the entries were walked, as clauses.
        self.damage: List[str] = []

    @property
    def level(self) -> int:
        """How many levels of pages lie above the leaves: 0 to 2."""
        level = int(self.record.TableCode) & 3
        if level >= _LEVELS:
            raise DumpkitError(f"the handle table at {self.address:016x} is damaged: it says that it has level {level}")
        return level

    @property
    def root(self) -> int:
        """The virtual address of the topmost page."""
        return int(self.record.TableCode) & ~3

    @property
    def handle_count(self) -> Optional[int]:
        """How many handles are in use, or None where the table does not say."""
        count = self.record.get("HandleCount")
        if count is not None:
            return int(count)
        if "FreeLists" not in self.record:
            return None
        lists = self.record.FreeLists
        # A handle may be freed to another list than it was taken from: only the sum means anything.
        total = 0
        try:
            for number in range(self._free_lists):
                each = lists.element(number)
                if number and not self._is_free_list(each):
                    break
                total += int(each.HandleCount)
        except MemoryReadError:
            return None
        return total

    @property
    def _free_lists(self) -> int:
        """How many lists of free entries a table may have. Raises MemoryReadError."""
        try:
            place = self.target.symbols.address_of("nt!ExpFreeListCount")
        except SymbolError:
            return 1
        count = self.target.memory.u32(place)
        return count if 0 < count <= _MOST_FREE_LISTS else 1

    def _is_free_list(self, each: Any) -> bool:
        """Whether what follows the first list is another: not every table has as many as ExpFreeListCount says."""
        ends = (int(each.FirstFreeHandleEntry), int(each.LastFreeHandleEntry))
        return all(not end or (end >> 47 == 0x1FFFF and not end & 0xF) for end in ends)

    @property
    def limit(self) -> int:
        """The first handle for which there is no page."""
        return min(int(self.record.NextHandleNeedingPool), 4 * _MOST_HANDLES)

    def entry(self, handle: int) -> Handle:
        """The entry of a handle, a kernel handle's high bits aside. Raises DumpkitError where it has none."""
        number = (handle & ~_KERNEL_BITS if handle & 0x8000_0000 else handle) >> 2
        layout = self._layout
        per_leaf = PAGE_SIZE // layout.size
        page = self.root
        span = per_leaf * (PAGE_SIZE // _POINTER) ** self.level
        if number >= span or 4 * number >= self.limit or not number % per_leaf:
            raise DumpkitError(f"{handle:04x}: no such handle in the table at {self.address:016x}")
        for _ in range(self.level):
            span //= PAGE_SIZE // _POINTER
            page = self.target.memory.u64(page + _POINTER * (number // span))
            number %= span
            if not page:
                raise DumpkitError(f"{handle:04x}: no such handle in the table at {self.address:016x}")
        place = page + number * layout.size
        return layout.handle(handle, place, self.target.memory.read(place, layout.size))

    def __iter__(self) -> Iterator[Handle]:
        """Every entry, free ones too, by its handle; what cannot be read is left out and told in `damage`."""
        layout = self._layout
        per_leaf = PAGE_SIZE // layout.size
        self.damage = []
        for number, page in self._leaves(self.root, self.level, 0, per_leaf):
            data = self.target.memory.read_prefix(page, PAGE_SIZE)
            if len(data) < PAGE_SIZE:
                missing = 4 * (number + len(data) // layout.size)
                self.damage.append(f"handles {missing:04x} and on: {self.target.memory.explain(page + len(data))}")
            for index in range(1, len(data) // layout.size):
                value = 4 * (number + index)
                if value >= self.limit:
                    return
                at = index * layout.size
                yield layout.handle(value, page + at, data[at : at + layout.size])

    def _leaves(self, page: int, level: int, number: int, per_leaf: int) -> Iterator[Tuple[int, int]]:
        """(number of its first entry, virtual address) of each leaf."""
        if 4 * number >= self.limit:
            return
        if not level:
            yield number, page
            return
        span = per_leaf * (PAGE_SIZE // _POINTER) ** (level - 1)
        data = self.target.memory.read_prefix(page, PAGE_SIZE)
        if len(data) < PAGE_SIZE:
            self.damage.append(f"handles {4 * number:04x} and on: {self.target.memory.explain(page + len(data))}")
        for index in range(len(data) // _POINTER):
            below = int.from_bytes(data[index * _POINTER : (index + 1) * _POINTER], "little")
            if below:
                yield from self._leaves(below, level - 1, number + index * span, per_leaf)

    @property
    def _layout(self) -> _EntryLayout:
        type = self.target.type("_HANDLE_TABLE_ENTRY").type
        if not isinstance(type, RecordType) or not 0 < type.size <= PAGE_SIZE // 2:
            raise SymbolError("_HANDLE_TABLE_ENTRY is no record in these symbols")
        return _EntryLayout(type)


Take: TypeAlias = "Callable[[int], int]"


class _EntryLayout:
    """Where an entry's members are in its bytes taken as one number: thousands are read at once."""

    def __init__(self, type: RecordType) -> None:
        self.size = type.size
        self._object = _taker(type, "ObjectPointerBits")
        self._pointer = None if self._object is not None else _taker(type, "Object")
        self._access = _taker(type, "GrantedAccessBits") or _taker(type, "GrantedAccess") or _zero
        self._attributes = _taker(type, "Attributes")
        self._next = _taker(type, "NextFreeHandleEntry") or _taker(type, "NextFreeTableEntry") or _zero

    def handle(self, value: int, place: int, data: bytes) -> Handle:
        number = int.from_bytes(data, "little")
        attributes = self._attributes(number) if self._attributes is not None else 0
        if self._object is not None:
            bits = self._object(number) << 4
            pointer = bits | U64_MASK & ~0xFFFF_FFFF_FFFF if bits >> 47 else bits
        else:
            raw = self._pointer(number) if self._pointer is not None else 0
            # Bit 0 is the entry's lock; the two above it are attributes, that of protection is with the access.
            pointer, attributes = raw & ~7, raw & (INHERIT | AUDIT)
        return Handle(value, place, pointer, self._access(number), attributes, self._next(number))


def _zero(number: int) -> int:
    return 0


def _taker(type: RecordType, name: str) -> Optional[Take]:
    """What takes a member out of the record as a number, or None where it has no such member."""
    found = type.find(name)
    if found is None:
        return None
    offset, member = found
    if isinstance(member, BitfieldType):
        shift, width = 8 * offset + member.position, member.length
    else:
        shift, width = 8 * offset, 8 * member.size
    mask = (1 << width) - 1
    return lambda number: number >> shift & mask


def kernel_handle_table(target: Target) -> HandleTable:
    """The table of the kernel's own handles. Raises MemoryReadError, SymbolError."""
    return HandleTable(target, target.memory.u64(target.symbols.address_of("nt!ObpKernelHandleTable")))


def id_table(target: Target) -> HandleTable:
    """The table of process and thread ids, whose entries lead to the objects. Raises MemoryReadError, SymbolError."""
    return HandleTable(target, target.memory.u64(target.symbols.address_of("nt!PspCidTable")))
