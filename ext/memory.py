"""An address space and the three ways to read it: strict, optional and partial."""

from __future__ import annotations

from abc import ABC, abstractmethod
from struct import Struct

from dumpkit.errors import MemoryReadError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

PAGE_SIZE = 0x1000
U64_MASK = 0xFFFF_FFFF_FFFF_FFFF

_U16 = Struct("<H")
_U32 = Struct("<I")
_U64 = Struct("<Q")


class AddressSpace(ABC):
    """Bytes by 64-bit address, with holes.

    A subclass gives `read_prefix` and `explain`; everything else follows. Addresses wrap at 2**64.
    """

    #: "virtual" or "physical", for error messages.
    space = "virtual"

    @abstractmethod
    def read_prefix(self, address: int, size: int) -> bytes:
        """The bytes from `address` on, up to `size` or the first hole; empty where `address` itself is a hole."""

    @abstractmethod
    def explain(self, address: int) -> str:
        """Why the byte at `address` cannot be read, as a clause; "readable" where it can."""

    def next_readable(self, address: int, limit: int) -> Optional[int]:
        """The first readable address at or above `address` and below `limit`, or None.

        This one tries page by page; a subclass that knows its extents does better.
        """
        while address < limit:
            if self.read_prefix(address, 1):
                return address
            address = (address | (PAGE_SIZE - 1)) + 1
        return None

    def read(self, address: int, size: int) -> bytes:
        """Strict: exactly `size` bytes, or MemoryReadError for the first byte that is missing."""
        address &= U64_MASK
        data = self.read_prefix(address, size)
        if len(data) != size:
            missing = (address + len(data)) & U64_MASK
            raise MemoryReadError(missing, self.explain(missing), self.space)
        return data

    def read_optional(self, address: int, size: int) -> Optional[bytes]:
        """Optional: exactly `size` bytes, or None."""
        data = self.read_prefix(address & U64_MASK, size)
        return data if len(data) == size else None

    def read_partial(self, address: int, size: int) -> List[Tuple[int, bytes]]:
        """Partial: what there is in `[address, address + size)`, as (address, bytes) extents in order."""
        return list(self.extents(address, size))

    def extents(self, address: int, size: int) -> Iterator[Tuple[int, bytes]]:
        """As `read_partial`, one extent at a time."""
        limit = address + size
        while address < limit:
            found = self.next_readable(address, limit)
            if found is None:
                return
            data = self.read_prefix(found, limit - found)
            if not data:
                return
            yield found, data
            address = found + len(data)

    def u8(self, address: int) -> int:
        """The byte at `address`; strict."""
        return self.read(address, 1)[0]

    def u16(self, address: int) -> int:
        """The little-endian 16-bit word at `address`; strict."""
        value: int = _U16.unpack(self.read(address, 2))[0]
        return value

    def u32(self, address: int) -> int:
        """The little-endian 32-bit word at `address`; strict."""
        value: int = _U32.unpack(self.read(address, 4))[0]
        return value

    def u64(self, address: int) -> int:
        """The little-endian 64-bit word at `address`; strict."""
        value: int = _U64.unpack(self.read(address, 8))[0]
        return value

    def u64_optional(self, address: int) -> Optional[int]:
        """The little-endian 64-bit word at `address`, or None."""
        data = self.read_optional(address, 8)
        return None if data is None else _U64.unpack(data)[0]
