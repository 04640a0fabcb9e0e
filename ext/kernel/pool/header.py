"""POOL_HEADER: the sixteen bytes in front of an allocation smaller than a page.

Members and their bits are those of the kernel's symbols. What PoolType's bits mean is in public analyses of the
pool: 1 paged, 2 in use, 4 cache aligned, 8 charged to a process's quota. ProcessBilled is encoded as
process ^ ExpPoolQuotaCookie ^ address of the header since Windows 8, where the cookie exists.
"""

from __future__ import annotations

from struct import iter_unpack

from dumpkit.errors import MemoryReadError, SymbolError
from dumpkit.memory import U64_MASK
from dumpkit.named_tuple import NamedTuple
from dumpkit.objects import BoundType, MemberError
from dumpkit.symbols.types import BitfieldType, RecordType
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, Optional

PAGED, IN_USE, CACHE_ALIGNED, QUOTA = 1, 2, 4, 8
#: The highest bit of a tag: the allocation may be freed only with its tag.
PROTECTED = 0x8000_0000


class Field(NamedTuple):
    """A number in a record: `offset` bytes from its start, `size` bytes, of them the bits `mask` from `shift` on."""

    offset: int
    size: int
    shift: int
    mask: int

    def of(self, data: bytes, at: int = 0) -> int:
        """The number in the record that begins at `data[at]`."""
        start = at + self.offset
        return int.from_bytes(data[start : start + self.size], "little") >> self.shift & self.mask


def field(type: BoundType, path: str) -> Field:
    """Where a member of a record is, by its path. Raises MemberError where the type has none of that name."""
    found = type.type.path(path) if isinstance(type.type, RecordType) else None
    if found is None:
        raise MemberError(f"{type.name or 'unnamed type'} has no member {path}")
    offset, member = found
    if isinstance(member, BitfieldType):
        return Field(offset, member.size, member.position, (1 << member.length) - 1)
    return Field(offset, member.size, 0, (1 << 8 * member.size) - 1)


class PoolHeader(NamedTuple):
    """A POOL_HEADER at the virtual address `address`; sizes in bytes."""

    address: int
    previous_size: int
    size: int
    pool_type: int
    #: The tag's four bytes as a number, the bit for protected tags included.
    tag: int
    #: ProcessBilled as it stands there.
    billed: int

    @property
    def in_use(self) -> bool:
        """Whether the header says that its block is allocated."""
        return bool(self.pool_type & IN_USE)


class PoolHeaders:
    """Reads POOL_HEADERs of a target. Raises SymbolError where the kernel's symbols do not have the type."""

    def __init__(self, target: Target) -> None:
        type = target.type("_POOL_HEADER")
        self._memory = target.memory
        self._target = target
        #: Bytes of a header; sizes in it count in these.
        self.unit = type.size
        self._fields: Dict[str, Field] = {
            name: field(type, name) for name in ("PreviousSize", "BlockSize", "PoolType", "PoolTag", "ProcessBilled")
        }
        self._cookie: Optional[int] = None
        self._cookie_known = False

    def at(self, address: int) -> PoolHeader:
        """The header at a virtual address. Raises MemoryReadError."""
        return self.parse(self._memory.read(address, self.unit), 0, address)

    def parse(self, data: bytes, at: int, address: int) -> PoolHeader:
        """The header in `data[at:]`, which lies at the virtual address `address`."""
        fields = self._fields
        return PoolHeader(
            address,
            fields["PreviousSize"].of(data, at) * self.unit,
            fields["BlockSize"].of(data, at) * self.unit,
            fields["PoolType"].of(data, at),
            fields["PoolTag"].of(data, at),
            fields["ProcessBilled"].of(data, at),
        )

    def tags(self, data: bytes, at: int) -> Iterator[int]:
        """The tags of the headers that stand behind each other in `data[at:]`, read without anything else of them."""
        tag = self._fields["PoolTag"]
        whole = (len(data) - at) // self.unit * self.unit
        every = iter_unpack(f"<{tag.offset}xI{self.unit - tag.offset - tag.size}x", data[at : at + whole])
        return (number for (number,) in every)

    def process(self, header: PoolHeader) -> Optional[int]:
        """The address of the EPROCESS whose quota was charged for a block, or None where none was or none is told."""
        if not header.pool_type & QUOTA or not header.in_use:
            return None
        billed = header.billed
        cookie = self._quota_cookie()
        if cookie:
            billed ^= cookie ^ header.address
        billed &= U64_MASK
        return billed if billed >> 47 == 0x1FFFF and not billed & 0xF else None

    def _quota_cookie(self) -> int:
        if not self._cookie_known:
            self._cookie_known = True
            try:
                self._cookie = self._memory.u64(self._target.symbols.address_of("nt!ExpPoolQuotaCookie"))
            except (SymbolError, MemoryReadError):
                self._cookie = None
        return self._cookie or 0

    def plausible(self, header: PoolHeader) -> bool:
        """Whether a header may be that of an allocated block: sizes that fit a page, and a tag of characters."""
        room = 0x1000 - (header.address & 0xFFF)
        return (
            self.unit < header.size <= max(room, 0x1000 if room <= self.unit else 0)
            and header.in_use
            and header.pool_type < 0x100
            and all(0x20 <= byte < 0x7F for byte in (header.tag & ~PROTECTED & 0xFFFF_FFFF).to_bytes(4, "little"))
        )
