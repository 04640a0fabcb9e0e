"""The container of a PDB: streams in pages (MSF 7.00).

Layout: "The MSF File Format" of LLVM, and msf.cpp of github.com/microsoft/microsoft-pdb.
"""

from __future__ import annotations

from struct import pack
from typing import List, Sequence

_MAGIC = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0"


def build_msf(streams: Sequence[bytes], page_size: int = 4096) -> bytes:
    """The file that holds these streams; their numbers are their places."""
    pages = _Pages(page_size)
    lists = [pages.append(stream) for stream in streams]
    directory = pack(f"<{1 + len(streams)}I", len(streams), *(len(stream) for stream in streams))
    directory += b"".join(pack(f"<{len(numbers)}I", *numbers) for numbers in lists)
    directory_pages = pages.append(directory)
    index = pages.append(pack(f"<{len(directory_pages)}I", *directory_pages))
    if index != list(range(index[0], index[0] + len(index))):
        raise ValueError("the list of the directory's pages must be in one piece")
    head = _MAGIC + pack("<6I", page_size, 1, len(pages.pages), len(directory), 0, index[0])
    pages.pages[0] = head.ljust(page_size, b"\0")
    pages.mark_used()
    return b"".join(pages.pages)


class _Pages:
    """Pages of the file. The second and third of every `size` pages are the two maps of free pages."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pages: List[bytes] = [bytes(size)]
        self._make_maps()

    def _make_maps(self) -> None:
        if len(self.pages) % self.size == 1:
            self.pages += [b"\xff" * self.size] * 2

    def append(self, data: bytes) -> List[int]:
        """Write data to pages of its own; their numbers."""
        numbers = []
        for start in range(0, len(data), self.size):
            self._make_maps()
            numbers.append(len(self.pages))
            self.pages.append(data[start : start + self.size].ljust(self.size, b"\0"))
        return numbers

    def mark_used(self) -> None:
        """Write the first map of free pages: a zero bit for each page of the file. The map's pieces lie apart."""
        count = len(self.pages)
        bits = bytearray(b"\xff" * (-(-count // self.size) * self.size))
        bits[: count // 8] = bytes(count // 8)
        if count % 8:
            bits[count // 8] = 0xFF << count % 8 & 0xFF
        for piece, number in enumerate(range(1, count, self.size)):
            self.pages[number] = bytes(bits[piece * self.size : (piece + 1) * self.size])
