"""Page tables as the processor reads them, for x64 (4 and 5 levels) and ARM64, in `PhysicalPages`.

Sources: Intel SDM volume 3, chapter 4 (paging); Arm Architecture Reference Manual, VMSAv8-64 with
4 KB granule; the software formats are Windows 10's _MMPTE_* as its public symbols have them.
"""

from __future__ import annotations

from typing import Optional

from tests.forge.memory import PAGE_SIZE, PhysicalPages

VALID = 1
WRITE = 1 << 1
USER = 1 << 2
ACCESSED = 1 << 5
DIRTY = 1 << 6
LARGE = 1 << 7
GLOBAL = 1 << 8
PROTOTYPE = 1 << 10
TRANSITION = 1 << 11
NO_EXECUTE = 1 << 63

SIZE_4K = 0x1000
SIZE_2M = 0x20_0000
SIZE_1G = 0x4000_0000

#: Levels, counted from the page up.
PTE, PDE, PPE, PXE, PML5E = range(5)

_LEVEL_OF_SIZE = {SIZE_4K: PTE, SIZE_2M: PDE, SIZE_1G: PPE}
_U64 = 0xFFFF_FFFF_FFFF_FFFF


class PageTables:
    """A tree of page tables under one root page.

    `self_map` is the index of the top table's entry that leads back to it (Windows' 0x1ED when it
    does not choose at random), or None for none. The top table is a page of its own.
    """

    def __init__(
        self, memory: PhysicalPages, levels: int = 4, self_map: Optional[int] = 0x1ED, arm64: bool = False
    ) -> None:
        self.memory = memory
        self.levels = levels
        self.arm64 = arm64
        #: Physical address of the top table.
        self.root = memory.allocate() * PAGE_SIZE
        if self_map is not None:
            memory.write_u64(self.root + self_map * 8, self.table_entry(self.root // PAGE_SIZE))

    def table_entry(self, pfn: int) -> int:
        """The entry that leads to a table."""
        if self.arm64:
            return pfn << 12 | 1 << 10 | 3
        return pfn << 12 | VALID | WRITE | ACCESSED | DIRTY

    def page_entry(self, pfn: int, level: int = PTE) -> int:
        """The entry that maps a page: 4 KB at PTE, 2 MB at PDE, 1 GB at PPE."""
        if self.arm64:
            return pfn << 12 | 1 << 10 | (3 if level == PTE else 1)
        return pfn << 12 | VALID | WRITE | ACCESSED | DIRTY | (LARGE if level != PTE else 0)

    def map(self, address: int, pfn: int, size: int = SIZE_4K) -> None:
        """Map one page of `size` bytes at a virtual address to page frame `pfn` on."""
        level = _LEVEL_OF_SIZE[size]
        self.set_entry(address, level, self.page_entry(pfn, level))

    def map_bytes(self, address: int, data: bytes) -> None:
        """Map fresh 4 KB pages that hold `data` at a virtual address; pages there already are reused."""
        done = 0
        while done < len(data):
            here = address + done
            offset = here % PAGE_SIZE
            entry = self.entry(here, PTE)
            pfn = entry >> 12 & 0xFF_FFFF_FFFF if entry & VALID else self.memory.allocate()
            if not entry & VALID:
                self.map(here - offset, pfn)
            piece = data[done : done + PAGE_SIZE - offset]
            self.memory.write(pfn * PAGE_SIZE + offset, piece)
            done += len(piece)

    def set_entry(self, address: int, level: int, value: int) -> None:
        """Set the raw entry of a virtual address at a level; tables above it are made where missing."""
        self.memory.write_u64(self.entry_address(address, level, create=True), value)

    def entry(self, address: int, level: int) -> int:
        """The raw entry of a virtual address at a level; 0 where the tables above do not reach it."""
        place = self.entry_address(address, level)
        data = self.memory.read(place, 8) if place else None
        return int.from_bytes(data, "little") if data else 0

    def entry_address(self, address: int, level: int, create: bool = False) -> int:
        """Physical address of the entry of a virtual address at a level; 0 where there is none."""
        table = self.root
        for above in range(self.levels - 1, level, -1):
            place = table + self._index(address, above) * 8
            entry = int.from_bytes(self.memory.read(place, 8) or bytes(8), "little")
            if not entry & VALID:
                if not create:
                    return 0
                entry = self.table_entry(self.memory.allocate())
                self.memory.write_u64(place, entry)
            table = entry & 0xF_FFFF_FFFF_F000
        return table + self._index(address, level) * 8

    @staticmethod
    def _index(address: int, level: int) -> int:
        return (address & _U64) >> 12 + 9 * level & 0x1FF


def transition_pte(pfn: int, protection: int = 4) -> int:
    """_MMPTE_TRANSITION: the page left the working set and still lies in memory."""
    return pfn << 12 | TRANSITION | protection << 5


def page_file_pte(file: int, offset: int, protection: int = 4) -> int:
    """_MMPTE_SOFTWARE of a page in page file number `file`, `offset` pages into it."""
    return offset << 32 | file << 12 | protection << 5


def demand_zero_pte(protection: int = 4) -> int:
    """_MMPTE_SOFTWARE of a page that was never touched."""
    return protection << 5


def prototype_pte(address: int) -> int:
    """_MMPTE_PROTOTYPE that names the prototype PTE at a kernel virtual address."""
    return (address & 0xFFFF_FFFF_FFFF) << 16 | PROTOTYPE
