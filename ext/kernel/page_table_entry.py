"""Page-table entries: where they lie in virtual memory, and what their bits mean.

Valid entries: Intel SDM volume 3, chapter 4, with the bits that Windows keeps for itself (_MMPTE_HARDWARE of the
public symbols, the same places in all x64 Windows); ARM64: Arm ARM, VMSAv8-64, and that kernel's _MMPTE_HARDWARE.
Entries that are not valid: _MMPTE_SOFTWARE, _MMPTE_TRANSITION, _MMPTE_PROTOTYPE and _MMPTE_SUBSECTION likewise.
The tables map themselves: one entry of the topmost leads back to it, and the whole tree is seen from PteBase on
(Windows Internals, part 1, chapter 5).
"""

from __future__ import annotations

from enum import Enum

from dumpkit.errors import DumpkitError, SymbolError
from dumpkit.kernel.paging import (
    ARM64_FOUR_LEVELS,
    LEVEL_NAMES,
    X64_FOUR_LEVELS,
    PagingScheme,
    VirtualMemory,
    prototype_address,
)
from dumpkit.memory import PAGE_SIZE, U64_MASK
from dumpkit.named_tuple import NamedTuple
from dumpkit.objects import MemberError
from dumpkit.registers import ARM64, X64, Architecture
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple

VALID = 1
_SWIZZLED = 1 << 4
_PROTOTYPE = 1 << 10
_TRANSITION = 1 << 11

#: Where every x64 Windows had its page tables before they were put at a place chosen at random.
_FIXED_BASE = 0xFFFF_F680_0000_0000
_FIRST_RANDOM_BASE = 14393

#: (bit, the letter of an entry that has it), from the left; the letters of bits that it has not are dashes but for
#: those that name another.
_X64_FLAGS = (
    (9, "C", "-"), (8, "G", "-"), (7, "L", "-"), (6, "D", "-"), (5, "A", "-"), (4, "N", "-"), (3, "T", "-"),
    (2, "U", "K"), (1, "W", "R"), (63, "-", "E"), (0, "V", "-"),
)  # fmt: skip
#: Those of ARM64. The letters for user code (x) and global pages (G) are chosen: no output of a debugger shows them.
_ARM64_FLAGS = (
    (56, "C", "-"), (55, "W", "R"), (53, "-", "X"), (54, "-", "x"), (10, "A", "-"), (7, "-", "D"), (6, "U", "K"),
    (11, "-", "G"), (1, "-", "L"), (0, "V", "-"),
)  # fmt: skip

#: The low three bits of a software protection (MM_READONLY …).
_PROTECTIONS = (
    "None",
    "Readonly",
    "Execute",
    "ExecuteRead",
    "ReadWrite",
    "WriteCopy",
    "ExecuteReadWrite",
    "ExecuteWriteCopy",
)
_NO_ACCESS = 0x18
_MODIFIERS = ("", " NoCache", " Guard", " WriteCombine")


def flags(entry: int, architecture: Architecture) -> str:
    """The letters of a valid entry: 11 on x64, 10 on ARM64."""
    table = _X64_FLAGS if architecture is X64 else _ARM64_FLAGS
    return "".join(letter if entry >> bit & 1 else other for bit, letter, other in table)


def protection_name(protection: int) -> str:
    """What a software protection (five bits) allows."""
    if protection == _NO_ACCESS:
        return "NoAccess"
    return _PROTECTIONS[protection & 7] + _MODIFIERS[protection >> 3 & 3]


class EntryKind(Enum):
    """What an entry says of its page."""

    VALID = "valid"
    ZERO = "zero"
    #: Out of a working set, still in physical memory.
    TRANSITION = "transition"
    PROTOTYPE = "prototype"
    #: Only the process's VAD says what belongs there.
    VAD = "VAD"
    #: In a prototype PTE: the page is in a file that a subsection maps.
    SUBSECTION = "subsection"
    PAGE_FILE = "page file"
    DEMAND_ZERO = "demand zero"
    FREED = "freed"


class EntryMeaning(NamedTuple):
    """What an entry says; what its kind has not is None. `address` is that of a prototype PTE or a subsection."""

    kind: EntryKind
    #: Page frame number.
    pfn: Optional[int] = None
    address: Optional[int] = None
    page_file: Optional[int] = None
    #: Page in the page file.
    offset: Optional[int] = None
    protection: Optional[int] = None


def meaning(entry: int, scheme: PagingScheme, invalid_mask: int = 0, in_prototype: bool = False) -> EntryMeaning:
    """What the last entry of a walk says.

    `invalid_mask` is MiState.Hardware.InvalidPteMask, which Windows sets in entries that are not valid against
    L1TF; `in_prototype` says that the entry is itself a prototype PTE.
    """
    if entry & VALID:
        return EntryMeaning(EntryKind.VALID, pfn=(entry & scheme.address_mask) >> 12)
    if not entry:
        return EntryMeaning(EntryKind.ZERO)
    protection = entry >> 5 & 0x1F
    if entry & _PROTOTYPE:
        address = prototype_address(entry)
        if entry >> 32 == 0xFFFF_FFFF:
            return EntryMeaning(EntryKind.VAD, protection=protection)
        if in_prototype:
            return EntryMeaning(EntryKind.SUBSECTION, address=address, protection=protection)
        return EntryMeaning(EntryKind.PROTOTYPE, address=address)
    original = entry if entry & _SWIZZLED else entry & ~invalid_mask
    if entry & _TRANSITION:
        return EntryMeaning(EntryKind.TRANSITION, (original & scheme.address_mask) >> 12, protection=protection)
    if not protection:
        return EntryMeaning(EntryKind.FREED)
    if original >> 32:
        return EntryMeaning(
            EntryKind.PAGE_FILE, page_file=entry >> 12 & 0xF, offset=original >> 32, protection=protection
        )
    return EntryMeaning(EntryKind.DEMAND_ZERO, protection=protection)


class PageTableMap(NamedTuple):
    """The page tables as they are seen in virtual memory, from `base` (PteBase) on; `source` says who told."""

    base: int
    source: str
    scheme: PagingScheme

    @property
    def _bits(self) -> int:
        return 12 + 9 * self.scheme.levels

    @property
    def size(self) -> int:
        """Bytes of virtual memory that the tables take."""
        return 1 << self._bits - 9

    def entry_address(self, address: int, level: int = 0) -> int:
        """The virtual address of the entry of a virtual address; level 0 is the PTE, 1 the PDE and so on."""
        for _ in range(level + 1):
            address = self.base + ((address & (1 << self._bits) - 1) >> 12) * 8
        return address & U64_MASK

    def is_canonical(self, address: int) -> bool:
        """Whether the bits of a virtual address that no table is indexed by repeat its sign."""
        sign = address >> self._bits - 1
        return not sign or sign == U64_MASK >> self._bits - 1

    def __contains__(self, address: object) -> bool:
        return isinstance(address, int) and self.base <= address < self.base + self.size

    def mapped_by(self, entry_address: int) -> int:
        """The first virtual address that the entry at a virtual address in the tables maps."""
        # An entry of the topmost table is one of every table below it, too: the highest level is meant.
        for level in range(self.scheme.levels - 1, -1, -1):
            start = self.entry_address(0, level)
            if start <= entry_address < start + (8 << 9 * (self.scheme.levels - level)):
                index = (entry_address - start) // 8
                return self._extended(index << 12 + 9 * level)
        raise DumpkitError(f"{entry_address:016x} is not in the page tables")

    def _extended(self, address: int) -> int:
        return (address | U64_MASK & -1 << self._bits) & U64_MASK if address >> self._bits - 1 else address


def page_table_map(target: Target) -> PageTableMap:
    """Where the page tables are in virtual memory: as the debugger data says, nt!MmPteBase, or the self-map.

    Raises DumpkitError where none of them tells.
    """
    scheme = _scheme(target)
    data = getattr(target, "debugger_data", None)
    if data is not None and data["PteBase"]:
        return PageTableMap(data["PteBase"], "the debugger data block", scheme)
    slot = self_map_slot(target)
    if slot is not None:
        bits = 12 + 9 * scheme.levels
        base = slot << bits - 9
        base |= (U64_MASK & -1 << bits) if slot >> 8 else 0
        return PageTableMap(base, f"the self-map, slot {slot:x} of the topmost table", scheme)
    if target.architecture is X64 and target.system.build < _FIRST_RANDOM_BASE:
        return PageTableMap(_FIXED_BASE, "Windows before 10.0.14393, which has them at a fixed place", scheme)
    try:
        base = target.memory.u64(target.symbols.address_of("nt!MmPteBase"))
    except DumpkitError as error:
        raise DumpkitError(f"Where the page tables are is not known: no PteBase, no self-map, and {error}") from error
    return PageTableMap(base, "nt!MmPteBase", scheme)


def _scheme(target: Target) -> PagingScheme:
    if isinstance(target.memory, VirtualMemory):
        return target.memory.scheme
    return ARM64_FOUR_LEVELS if target.architecture is ARM64 else X64_FOUR_LEVELS


def self_map_slot(target: Target) -> Optional[int]:
    """The slot of the topmost table that leads back to it, or None where the target has no such tables."""
    memory = target.memory
    if not isinstance(memory, VirtualMemory):
        return None
    table = memory.physical.read_prefix(memory.root, PAGE_SIZE)
    for slot in range(256, len(table) // 8):
        entry = int.from_bytes(table[slot * 8 : slot * 8 + 8], "little")
        if entry & VALID and entry & memory.scheme.address_mask == memory.root:
            return slot
    return None


def invalid_pte_mask(target: Target) -> int:
    """MiState.Hardware.InvalidPteMask, of the kernel's symbols or the debugger data block; 0 where neither tells."""
    memory = target.memory
    if isinstance(memory, VirtualMemory) and memory.invalid_pte_mask is not None:
        return memory.invalid_pte_mask
    try:
        state = target.type("_MI_SYSTEM_INFORMATION").at(target.symbols.address_of("nt!MiState"))
        mask: int = state.Hardware.InvalidPteMask
        return mask
    except (SymbolError, MemberError, DumpkitError):
        data = getattr(target, "debugger_data", None)
        bit = data["L1tfHighPhysicalBitIndex"] if data is not None else None
        return 1 << bit if bit else 0


class TableEntry(NamedTuple):
    """An entry on the way to a page: its virtual address, or the physical one where no other is known."""

    name: str
    address: int
    #: None where its page cannot be read.
    value: Optional[int]
    #: The page frame number of the table that holds it, where the entry above tells.
    page: Optional[int]


class PageWalk(NamedTuple):
    """The entries that lead to a virtual address, the topmost first, up to the first that leads no further."""

    address: int
    entries: Tuple[TableEntry, ...]
    #: Bytes that the last entry maps: more than 4 KB for a large page, and where the walk ends early.
    span: int
    is_large: bool
    #: Why the last entry could not be read; empty where it could.
    reason: str


def walk(target: Target, tables: PageTableMap, address: int) -> PageWalk:
    """Walk the page tables to a virtual address of the current process, or of the kernel."""
    scheme = tables.scheme
    memory = target.memory
    entries: List[TableEntry] = []
    page: Optional[int] = memory.root >> 12 if isinstance(memory, VirtualMemory) else None
    for level in range(scheme.levels - 1, -1, -1):
        place = tables.entry_address(address, level)
        value, reason = _entry(target, place, page, address, level)
        entries.append(TableEntry(LEVEL_NAMES[level], place, value, page))
        span = 1 << 12 + 9 * level
        if value is None:
            return PageWalk(address, tuple(entries), span, False, reason)
        is_large = bool(level) and value & scheme.large_mask == scheme.large_value and bool(value & VALID)
        if not value & VALID or is_large:
            break
        page = (value & scheme.address_mask) >> 12 if target.physical is not None else None
    return PageWalk(address, tuple(entries), span, is_large, "")


def _entry(target: Target, place: int, page: Optional[int], address: int, level: int) -> Tuple[Optional[int], str]:
    """An entry by its virtual address, or by the page that the entry above gives; and why it cannot be read."""
    if target.physical is not None and page is not None:
        physical = page << 12 | (address >> 12 + 9 * level & 0x1FF) * 8
        value = target.physical.u64_optional(physical)
        return value, "" if value is not None else target.physical.explain(physical)
    value = target.memory.u64_optional(place)
    return value, "" if value is not None else target.memory.explain(place)
