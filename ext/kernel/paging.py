"""The page walk: virtual to physical addresses, level by level, and virtual memory read through it.

x64 with four or five levels: Intel SDM volume 3, chapter 4. ARM64: Arm ARM, VMSAv8-64 with the 4 KB
granule; Windows keeps both halves of the address space under one table, indexed by bits 47-39, as
MemProcFS (vmm/mm/mm_arm64.c) documents. Entries that are not valid: _MMPTE_SOFTWARE,
_MMPTE_TRANSITION and _MMPTE_PROTOTYPE in the public symbols of Windows 10 and 11; the bits used here
have the same places in all of them, and no symbols are needed to read memory.

As the debugger does, a page in transition is read where it still lies, and a prototype PTE is
followed to its page.
"""

from __future__ import annotations

from array import array
from enum import Enum
from sys import byteorder

from dumpkit.errors import DumpFormatError
from dumpkit.memory import PAGE_SIZE, U64_MASK, AddressSpace
from dumpkit.named_tuple import NamedTuple
from dumpkit.registers import ARM64, X64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterable, List, Optional, Tuple, Union

#: The levels from the page up, as the debugger names their entries.
LEVEL_NAMES = ("PTE", "PDE", "PPE", "PXE", "PML5E")
_PPE = 2

_VALID = 1
_SWIZZLED = 1 << 4
_PROTOTYPE = 1 << 10
_TRANSITION = 1 << 11
_PROTECTION = 0x1F << 5
#: ProtoAddress of a page that only its VAD describes.
_VAD_ADDRESS = 0xFFFF_FFFF_FFFF_0000

_REGION_SHIFT = 21
_REGION_SIZE = 1 << _REGION_SHIFT
#: Page tables that are kept, 4 KB each.
_KEPT_TABLES = 2048
#: Pages that follow one another in physical memory are read together up to this size.
_MOST_AT_ONCE = 1 << 24


class PagingScheme(NamedTuple):
    """How a processor's page tables read."""

    name: str
    levels: int
    #: The bits of an entry that are a physical address.
    address_mask: int
    #: Above the PTE, an entry with `entry & large_mask == large_value` maps a large page.
    large_mask: int
    large_value: int
    #: The bits that a valid PTE has set.
    page_mask: int


X64_FOUR_LEVELS = PagingScheme("x64, 4 levels", 4, 0x000F_FFFF_FFFF_F000, 0x80, 0x80, 0x1)
X64_FIVE_LEVELS = PagingScheme("x64, 5 levels", 5, 0x000F_FFFF_FFFF_F000, 0x80, 0x80, 0x1)
ARM64_FOUR_LEVELS = PagingScheme("ARM64, 4 levels", 4, 0x0003_FFFF_FFFF_F000, 0x2, 0x0, 0x3)


class PageState(Enum):
    """Where a walk ended."""

    VALID = "valid"
    #: Out of the working set, but still in physical memory.
    TRANSITION = "transition"
    #: A prototype PTE says where the page is.
    PROTOTYPE = "prototype"
    #: Only the process's VAD says what belongs there.
    VAD = "VAD"
    PAGE_FILE = "page file"
    DEMAND_ZERO = "demand zero"
    NOT_PRESENT = "not present"
    #: A page table on the way is not in the dump.
    TABLE_MISSING = "page table missing"
    NOT_CANONICAL = "not canonical"


class Level(NamedTuple):
    """A step of a walk: the entry `name` at a physical address, and its value; None where its page is missing."""

    name: str
    address: int
    value: Optional[int]


class Translation(NamedTuple):
    """A walk from the top table to where it ended.

    `physical` is the physical address of the byte, or None; `page_size` the bytes that the last
    entry spans. `reason` is a clause that says why the byte cannot be read, "readable" where it can:
    a page may have a physical address and still not be in the dump.
    """

    address: int
    levels: Tuple[Level, ...]
    state: PageState
    physical: Optional[int]
    page_size: int
    reason: str


class VirtualMemory(AddressSpace):
    """A virtual address space: physical memory through the page tables under `root`.

    `root` is a physical address as CR3 and DirectoryTableBase hold it; a PCID in its low bits is
    dropped. `invalid_pte_mask` is MiState.Hardware.InvalidPteMask: the bit that Windows sets in PTEs
    that are not valid, so that no processor speculates into their pages (L1TF). None stands for "not
    known": then a page in transition that is not in the dump is looked for without its top bit.
    """

    def __init__(
        self,
        physical: AddressSpace,
        root: int,
        scheme: PagingScheme = X64_FOUR_LEVELS,
        invalid_pte_mask: Optional[int] = None,
    ) -> None:
        self.physical = physical
        self.scheme = scheme
        #: Physical address of the top table.
        self.root = root & scheme.address_mask
        self.invalid_pte_mask = invalid_pte_mask
        # 2 MB region of addresses -> its page table's entries, or the physical address of its large page.
        self._regions: Dict[int, Union[array[int], int]] = {}
        self._address_mask = scheme.address_mask
        self._page_mask = scheme.page_mask

    def use_root(self, root: int) -> None:
        """Read through other page tables from now on; `root` as where this was made."""
        root &= self.scheme.address_mask
        if root != self.root:
            self.root = root
            self._regions.clear()

    def read_prefix(self, address: int, size: int) -> bytes:
        """The bytes from a virtual address on, up to `size` or the first one that cannot be read."""
        here = self._page(address)
        if here is None:
            return b""
        if size <= PAGE_SIZE - (address & 0xFFF):
            return self.physical.read_prefix(here, size)
        pieces = []
        while here is not None and size > 0:
            length, following = self._contiguous(address, here, size)
            data = self.physical.read_prefix(here, length)
            pieces.append(data)
            if len(data) < length:
                break
            address += length
            size -= length
            here = following
        return b"".join(pieces)

    def _contiguous(self, address: int, here: int, size: int) -> Tuple[int, Optional[int]]:
        """How many bytes of `size` lie in a row from physical address `here` on, and where the next one lies."""
        most = min(size, _MOST_AT_ONCE)
        length = PAGE_SIZE - (address & 0xFFF)
        while length < most:
            following = self._page(address + length)
            if following != here + length:
                return length, following
            length += PAGE_SIZE
        return most, self._page(address + most) if most < size else None

    def explain(self, address: int) -> str:
        """Why a virtual address cannot be read: the `reason` of its translation."""
        return self.translate(address).reason

    def next_readable(self, address: int, limit: int) -> Optional[int]:
        """The first virtual address at or above `address` and below `limit` that can be read, or None."""
        limit = min(limit, U64_MASK + 1)
        while address < limit:
            found = self._readable_in_region(address)
            if found is not None:
                return found if found < limit else None
            if self._region(address) is not None:
                address = (address | _REGION_SIZE - 1) + 1
            else:
                address = self._end_of_hole(address)
        return None

    def _readable_in_region(self, address: int) -> Optional[int]:
        """The first readable address from `address` to the end of its 2 MB, or None."""
        entries = self._region(address)
        if entries is None:
            return None
        if isinstance(entries, int):
            offset = address & _REGION_SIZE - 1
            found = self.physical.next_readable(entries + offset, entries + _REGION_SIZE)
            return None if found is None else address - offset + found - entries
        for index in range(address >> 12 & 0x1FF, 512):
            if entries[index]:
                page = self._page(address)
                if page is not None and self.physical.read_prefix(page, 1):
                    return address
            address = (address | 0xFFF) + 1
        return None

    def _end_of_hole(self, address: int) -> int:
        """The first address behind the entry, or the missing page table, at which the walk to `address` ends."""
        walk = self.translate(address)
        if walk.state is PageState.NOT_CANONICAL:
            return (U64_MASK + 1) - (1 << 11 + 9 * self.scheme.levels)
        span = walk.page_size << 9 if walk.state is PageState.TABLE_MISSING else walk.page_size
        return (address | span - 1) + 1

    def translate(self, address: int) -> Translation:
        """Walk the page tables to a virtual address, keeping every entry on the way."""
        address &= U64_MASK
        if not self._is_canonical(address):
            return Translation(address, (), PageState.NOT_CANONICAL, None, PAGE_SIZE, "not a canonical address")
        levels: List[Level] = []
        table = self.root
        for level in range(self.scheme.levels - 1, -1, -1):
            name = LEVEL_NAMES[level]
            size = 1 << 12 + 9 * level
            place = table + (address >> 12 + 9 * level & 0x1FF) * 8
            entry = self._entry(place)
            levels.append(Level(name, place, entry))
            if entry is None:
                reason = f"{self.physical.explain(place)} (it holds the {name})"
                return Translation(address, tuple(levels), PageState.TABLE_MISSING, None, size, reason)
            if not level:
                state, page, reason = self._describe(entry, address)
                return self._translation(address, levels, state, page, size, reason)
            large = entry & self.scheme.large_mask == self.scheme.large_value
            if not entry & _VALID or (large and level > _PPE):
                return Translation(address, tuple(levels), PageState.NOT_PRESENT, None, size, f"not present at {name}")
            table = entry & self._address_mask
            if large:
                return self._translation(address, levels, PageState.VALID, table & -size, size, "")
        raise AssertionError("a walk ends at the PTE")

    def _translation(
        self, address: int, levels: List[Level], state: PageState, page: Optional[int], size: int, reason: str
    ) -> Translation:
        if page is None:
            return Translation(address, tuple(levels), state, None, size, reason)
        physical = page + (address & size - 1)
        reason = self.physical.explain(physical)
        return Translation(address, tuple(levels), state, physical, size, reason)

    def _describe(self, entry: int, address: int) -> Tuple[PageState, Optional[int], str]:
        """What a PTE says: the state, the physical address of its page, and why there is none."""
        if entry & self._page_mask == self._page_mask:
            return PageState.VALID, entry & self._address_mask, ""
        page = self._software_page(entry)
        if entry & _PROTOTYPE:
            prototype = prototype_address(entry)
            if prototype == _VAD_ADDRESS:
                return PageState.VAD, None, "not present at PTE (only the VAD describes the page)"
            return PageState.PROTOTYPE, page, f"not present at PTE (prototype PTE {prototype:016x} has no page)"
        if entry & _TRANSITION:
            return PageState.TRANSITION, page, ""
        if entry >> 32 and entry & _PROTECTION:
            offset = self._unswizzled(entry) >> 32
            return PageState.PAGE_FILE, None, f"not present at PTE (in a page file, at page {offset:x} of it)"
        if entry and not entry >> 32:
            return PageState.DEMAND_ZERO, None, "not present at PTE (demand zero)"
        return PageState.NOT_PRESENT, None, "not present at PTE"

    def _is_canonical(self, address: int) -> bool:
        sign = address >> 11 + 9 * self.scheme.levels
        return not sign or sign == U64_MASK >> 11 + 9 * self.scheme.levels

    def _entry(self, place: int) -> Optional[int]:
        """The entry at a physical address, or None where its page is missing."""
        data = self.physical.read_prefix(place, 8)
        return int.from_bytes(data, "little") if len(data) == 8 else None

    def _page(self, address: int) -> Optional[int]:
        """The physical address of a virtual one, or None; the page need not be in the dump."""
        entries = self._regions.get(address >> _REGION_SHIFT)
        if entries is None:
            entries = self._region(address)
            if entries is None:
                return None
        if entries.__class__ is int:
            return entries + (address & _REGION_SIZE - 1)
        entry: int = entries[address >> 12 & 0x1FF]  # type: ignore[index]
        if entry & self._page_mask == self._page_mask:
            return entry & self._address_mask | address & 0xFFF
        page = self._software_page(entry)
        return None if page is None else page | address & 0xFFF

    def _region(self, address: int) -> Union[array[int], int, None]:
        """The page table's entries of the 2 MB around a virtual address, or the large page's physical address there."""
        address &= U64_MASK
        found = self._regions.get(address >> _REGION_SHIFT)
        if found is None:
            found = self._find_region(address)
            if found is not None:
                if len(self._regions) >= _KEPT_TABLES:
                    del self._regions[next(iter(self._regions))]
                self._regions[address >> _REGION_SHIFT] = found
        return found

    def _find_region(self, address: int) -> Union[array[int], int, None]:
        if not self._is_canonical(address):
            return None
        table = self.root
        for level in range(self.scheme.levels - 1, 0, -1):
            entry = self._entry(table + (address >> 12 + 9 * level & 0x1FF) * 8)
            if entry is None or not entry & _VALID:
                return None
            table = entry & self._address_mask
            if entry & self.scheme.large_mask == self.scheme.large_value:
                size = 1 << 12 + 9 * level
                return None if level > _PPE else (table & -size) + (address & size - 1 & -_REGION_SIZE)
        data = self.physical.read_prefix(table, PAGE_SIZE)
        if len(data) < PAGE_SIZE:
            return None
        entries = array("Q", data)
        if byteorder == "big":
            entries.byteswap()
        return entries

    def _software_page(self, entry: int) -> Optional[int]:
        """The physical address of the page of a PTE that is not valid, or None where it has none in memory."""
        if entry & _PROTOTYPE:
            return self._prototype_page(prototype_address(entry))
        if entry & _TRANSITION:
            return self._transition_page(entry)
        return None

    def _transition_page(self, entry: int) -> int:
        page = self._unswizzled(entry) & self._address_mask
        if self.invalid_pte_mask is None and page and not entry & _SWIZZLED and not self.physical.read_prefix(page, 1):
            without_top_bit = page ^ 1 << page.bit_length() - 1
            if self.physical.read_prefix(without_top_bit, 1):
                return without_top_bit
        return page

    def _unswizzled(self, entry: int) -> int:
        """A PTE that is not valid as it was before Windows set InvalidPteMask in it."""
        if self.invalid_pte_mask is None or entry & _SWIZZLED:
            return entry
        return entry & ~self.invalid_pte_mask

    def _prototype_page(self, address: int) -> Optional[int]:
        """The page of the prototype PTE at a virtual address, which is read from valid memory only."""
        entries = self._region(address)
        if entries is None or isinstance(entries, int):
            place = None if entries is None else entries + (address & _REGION_SIZE - 1)
        else:
            holder = entries[address >> 12 & 0x1FF]
            if holder & self._page_mask == self._page_mask:
                place = holder & self._address_mask | address & 0xFFF
            elif holder & (_PROTOTYPE | _TRANSITION) == _TRANSITION:
                place = self._transition_page(holder) | address & 0xFFF
            else:
                place = None
        prototype = None if place is None else self._entry(place)
        if prototype is None:
            return None
        if prototype & self._page_mask == self._page_mask:
            return prototype & self._address_mask
        if prototype & (_PROTOTYPE | _TRANSITION) == _TRANSITION:
            return self._transition_page(prototype)
        return None


def prototype_address(entry: int) -> int:
    """The virtual address of the prototype PTE that a PTE names (ProtoAddress, sign-extended)."""
    address = entry >> 16
    return address | 0xFFFF_0000_0000_0000 if address & 1 << 47 else address


def paging_scheme(physical: AddressSpace, machine: int, root: int, known_addresses: Iterable[int] = ()) -> PagingScheme:
    """How the page tables under `root` read, for an IMAGE_FILE_MACHINE_*.

    Nothing in a dump says whether an x64 processor ran with four levels or five, and a table maps
    itself in either. So it is tried: `known_addresses` are virtual addresses that should lead to
    memory (those of the header); five levels are taken where they reach more of them than four do.
    Raises DumpFormatError for a machine whose page tables are not known here.
    """
    if machine == ARM64.machine:
        return ARM64_FOUR_LEVELS
    if machine != X64.machine:
        raise DumpFormatError(f"No page walk for machine 0x{machine:x}; x64 and ARM64 are known")
    known = [address for address in known_addresses if address]
    reached = {
        scheme: sum(1 for address in known if VirtualMemory(physical, root, scheme).read_prefix(address, 1))
        for scheme in (X64_FOUR_LEVELS, X64_FIVE_LEVELS)
    }
    return X64_FIVE_LEVELS if reached[X64_FIVE_LEVELS] > reached[X64_FOUR_LEVELS] else X64_FOUR_LEVELS
