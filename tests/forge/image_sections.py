"""Sections of an image being built: what lies where, and where there is room."""

from __future__ import annotations

from bisect import bisect_left
from struct import pack
from typing import List, Optional, Tuple

#: Usual characteristics of a driver's sections (IMAGE_SCN_*).
TEXT, RDATA, DATA, PDATA = 0x6800_0020, 0x4800_0040, 0xC800_0040, 0x4800_0040
PAGE, INIT, RSRC, RELOC = 0x6000_0020, 0x6200_0020, 0x4200_0040, 0x4200_0040
EXECUTE, DISCARDABLE = 0x2000_0000, 0x0200_0000
_FILE_ALIGNMENT = 0x200


class Section:
    """`size` bytes from `rva` on can be filled; what of them the file holds ends behind the last that is."""

    def __init__(self, name: str, characteristics: int, rva: int, size: int, fill: Optional[int] = None) -> None:
        self.name = name
        self.characteristics = characteristics
        self.rva = rva
        self.size = size
        #: VirtualSize, where it is to be another one than the bytes used.
        self.virtual_size: Optional[int] = None
        #: What lies between pieces: int 3 in code.
        self.fill = (0xCC if name != "INIT" and characteristics & EXECUTE else 0) if fill is None else fill
        self.data = bytearray()
        #: Set when the file is laid out.
        self.file_offset = 0
        self._used: List[Tuple[int, int]] = []

    @property
    def end(self) -> int:
        """First RVA behind it."""
        return self.rva + self.size

    @property
    def file_size(self) -> int:
        """SizeOfRawData."""
        return -(-len(self.data) // _FILE_ALIGNMENT) * _FILE_ALIGNMENT

    @property
    def used(self) -> List[Tuple[int, int]]:
        """(first RVA, RVA behind) of each piece that was put here, ascending."""
        return self._used

    def put(self, rva: int, data: bytes) -> None:
        """Lay bytes at an RVA. Raises ValueError where something lies there or the section ends."""
        end = rva + len(data)
        if rva < self.rva or end > self.end:
            place = f"{self.name} ({self.rva:#x} to {self.end:#x})"
            raise ValueError(f"{len(data):#x} bytes at {rva:#x} do not fit {place}")
        index = bisect_left(self._used, (rva, end))
        for start, stop in self._used[max(index - 1, 0) : index + 1]:
            if rva < stop and start < end:
                raise ValueError(f"{rva:#x} to {end:#x} in {self.name} overlaps {start:#x} to {stop:#x}")
        self._used.insert(index, (rva, end))
        self.overwrite(rva, data)

    def overwrite(self, rva: int, data: bytes) -> None:
        """Lay bytes over what is there."""
        at = rva - self.rva
        if len(self.data) < at + len(data):
            self.data += bytes([self.fill]) * (at + len(data) - len(self.data))
        self.data[at : at + len(data)] = data

    def room(self, size: int, align: int) -> int:
        """The first RVA where `size` bytes are free. Raises ValueError where there is none."""
        at = -(-self.rva // align) * align
        for start, stop in self._used:
            if at + size <= start:
                return at
            at = max(at, -(-stop // align) * align)
        if at + size > self.end:
            raise ValueError(f"{self.name} ({self.rva:#x} to {self.end:#x}) has no room for {size:#x} bytes")
        return at

    @property
    def memory_size(self) -> int:
        """VirtualSize. The loader wants every section to begin where the one before ends, rounded up to a page."""
        reaches = -(-len(self.data) // 0x1000) == -(-self.size // 0x1000)
        return self.virtual_size or (len(self.data) if reaches else self.size)

    def header(self) -> bytes:
        """IMAGE_SECTION_HEADER."""
        sizes = pack("<IIII", self.memory_size, self.rva, self.file_size, self.file_offset if self.file_size else 0)
        return self.name.encode().ljust(8, b"\0") + sizes + pack("<IIHHI", 0, 0, 0, 0, self.characteristics)
