"""PoolBigPageTable: tags and sizes of allocations of a page or more, which have no POOL_HEADER.

A hash table of _POOL_TRACKER_BIG_PAGES by the allocation's page number. The segment heap's hash is public
(yardenshafir's PoolViewer), so is the one before (ReactOS has the same). Bit 0 of Va is set in an entry that is free.
"""

from __future__ import annotations

from struct import pack

from dumpkit.errors import MemoryReadError
from dumpkit.kernel.pool.block import PAGE
from dumpkit.kernel.pool.header import Field, field
from dumpkit.memory import U64_MASK
from dumpkit.named_tuple import NamedTuple
from dumpkit.objects import MemberError
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

#: Entries of the largest table that is believed.
_MOST_ENTRIES = 1 << 24
#: Entries that are probed before the whole table is searched.
_MOST_PROBES = 64
_AT_ONCE = 1 << 20
_U32 = 0xFFFF_FFFF
_FREE = 1


class BigEntry(NamedTuple):
    """An entry of the table: an allocation at the virtual address `address`, `size` bytes."""

    address: int
    free: bool
    tag: int
    pool_type: Optional[int]
    size: int
    process: Optional[int]
    #: Virtual address of the entry itself.
    entry: int


class BigPages:
    """The table of a target. Raises SymbolError where its symbols do not have it."""

    def __init__(self, target: Target) -> None:
        self._memory = target.memory
        type = target.type("_POOL_TRACKER_BIG_PAGES")
        self._entry_size = type.size
        self._va, self._key, self._bytes = field(type, "Va"), field(type, "Key"), field(type, "NumberOfBytes")
        self._pool_type = _optional(type, "PoolType")
        self._billed = _optional(type, "ProcessBilled")
        #: Why the table cannot be used, or None.
        self.problem: Optional[str] = None
        self.table, self.count = 0, 0
        table = target.symbols.address_of("nt!PoolBigPageTable")
        size = target.symbols.address_of("nt!PoolBigPageTableSize")
        try:
            self.table, self.count = target.memory.u64(table), target.memory.u64(size)
        except MemoryReadError as error:
            self.problem = f"PoolBigPageTable cannot be read: {error.reason}"
        else:
            if not self.table or not 0 < self.count <= _MOST_ENTRIES:
                self.problem = f"PoolBigPageTable is not set up: {self.count:#x} entries at {self.table:016x}"
                self.count = 0

    @property
    def end(self) -> int:
        """First address behind the table."""
        return self.table + self.count * self._entry_size

    def find(self, address: int) -> Tuple[Optional[BigEntry], Optional[str]]:
        """The entry of the allocation that begins at an address; None, and why where the table is not all there."""
        if self.problem is not None:
            return None, self.problem
        for slot in self._slots(address):
            entry = self._probe(slot, address)
            if entry is not None:
                return entry, None
        return self._search(address)

    def _slots(self, address: int) -> Iterator[int]:
        page = address >> 12
        mixed = (page & _U32) * 0x9E5F
        yield mixed ^ mixed >> 32
        yield page >> 24 ^ page >> 16 ^ page >> 8 ^ page

    def _probe(self, slot: int, address: int) -> Optional[BigEntry]:
        for step in range(min(_MOST_PROBES, self.count)):
            place = self.table + (slot + step) % self.count * self._entry_size
            data = self._memory.read_optional(place, self._entry_size)
            if data is None:
                return None
            va = self._va.of(data)
            if va & ~_FREE & U64_MASK == address:
                return self._entry(data, place)
            if va == _FREE or not va:
                return None
        return None

    def _search(self, address: int) -> Tuple[Optional[BigEntry], Optional[str]]:
        """The entry, wherever it stands: hashes change, what an entry says does not."""
        missing = False
        wanted = (pack("<Q", address), pack("<Q", address | _FREE))
        step = _AT_ONCE // self._entry_size * self._entry_size
        for start in range(self.table, self.end, step):
            size = min(step, self.end - start)
            held = 0
            for place, data in self._memory.extents(start, size):
                held += len(data)
                for pattern in wanted:
                    at = data.find(pattern)
                    while at >= 0:
                        offset = place + at - self._va.offset - self.table
                        entry = self._memory.read_optional(self.table + offset, self._entry_size)
                        if offset >= 0 and offset % self._entry_size == 0 and entry is not None:
                            return self._entry(entry, self.table + offset), None
                        at = data.find(pattern, at + 1)
            missing = missing or held < size
        return None, "PoolBigPageTable is not all in the dump" if missing else None

    def _entry(self, data: bytes, place: int) -> BigEntry:
        va = self._va.of(data)
        return BigEntry(
            va & ~_FREE & U64_MASK,
            bool(va & _FREE),
            self._key.of(data),
            self._pool_type.of(data) if self._pool_type is not None else None,
            self._bytes.of(data),
            (self._billed.of(data) or None) if self._billed is not None else None,
            place,
        )

    def __iter__(self) -> Iterator[BigEntry]:
        """The entries in use that can be read, in the table's order."""
        size = self._entry_size
        step = _AT_ONCE // size * size
        for start in range(self.table, self.end, step):
            for place, data in self._memory.extents(start, min(step, self.end - start)):
                offset = -(place - self.table) % size
                while offset + size <= len(data):
                    row = data[offset : offset + size]
                    va = self._va.of(row)
                    if va and not va & _FREE:
                        yield self._entry(row, place + offset)
                    offset += size

    def containing(self, address: int) -> Optional[BigEntry]:
        """The entry in use whose allocation holds an address, whichever page of it that is on; None without one."""
        found: List[BigEntry] = [
            entry for entry in self if entry.address <= address < entry.address + max(entry.size, PAGE)
        ]
        return max(found, key=lambda entry: entry.address) if found else None


def _optional(type: object, name: str) -> Optional[Field]:
    try:
        return field(type, name)  # type: ignore[arg-type]
    except MemberError:
        return None
