"""Physical memory as a test wants it: pages by page frame number, everything else absent."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional

PAGE_SIZE = 0x1000


class Run(NamedTuple):
    """`count` pages in a row from page frame number `pfn` on."""

    pfn: int
    count: int


class PhysicalPages:
    """Sparse physical memory: a page exists once something was written to it or it was allocated."""

    def __init__(self, first_free: int = 0x100) -> None:
        self.pages: Dict[int, bytearray] = {}
        self._next = first_free

    def allocate(self, count: int = 1, align: int = 1) -> int:
        """New zeroed pages in a row that nobody uses; the first one's page frame number, a multiple of `align`."""
        pfn = -(-self._next // align) * align
        while any(pfn + i in self.pages for i in range(count)):
            pfn += align
        for i in range(count):
            self.pages[pfn + i] = bytearray(PAGE_SIZE)
        self._next = pfn + count
        return pfn

    def skip(self, count: int = 1) -> None:
        """Leave a hole: the next allocation lies `count` pages further."""
        self._next += count

    def page(self, pfn: int) -> bytearray:
        """The bytes of a page, created (zeroed) if need be."""
        found = self.pages.get(pfn)
        if found is None:
            found = self.pages[pfn] = bytearray(PAGE_SIZE)
        return found

    def remove(self, pfn: int) -> None:
        """Make a page one that the dump does not hold."""
        del self.pages[pfn]

    def write(self, address: int, data: bytes) -> None:
        """Write at a physical address, across pages."""
        done = 0
        while done < len(data):
            offset = (address + done) % PAGE_SIZE
            piece = data[done : done + PAGE_SIZE - offset]
            self.page((address + done) // PAGE_SIZE)[offset : offset + len(piece)] = piece
            done += len(piece)

    def write_u64(self, address: int, value: int) -> None:
        """Write a little-endian 64-bit word at a physical address."""
        self.write(address, value.to_bytes(8, "little"))

    def read(self, address: int, size: int) -> Optional[bytes]:
        """`size` bytes from a physical address on, or None where a page of them is absent."""
        pieces = []
        end = address + size
        while address < end:
            page = self.pages.get(address // PAGE_SIZE)
            if page is None:
                return None
            offset = address % PAGE_SIZE
            piece = bytes(page[offset : offset + end - address])
            pieces.append(piece)
            address += len(piece)
        return b"".join(pieces)

    def runs(self) -> List[Run]:
        """The pages as runs, ascending."""
        runs: List[Run] = []
        for pfn in sorted(self.pages):
            if runs and runs[-1].pfn + runs[-1].count == pfn:
                runs[-1] = Run(runs[-1].pfn, runs[-1].count + 1)
            else:
                runs.append(Run(pfn, 1))
        return runs


def numbered_page(pfn: int) -> bytes:
    """A page that says which one it is: every word of it differs from every word of every other."""
    return b"".join((pfn << 16 | i).to_bytes(8, "little") for i in range(PAGE_SIZE // 8))
