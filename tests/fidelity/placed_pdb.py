"""A copy of a PDB for other sections than its own: the engine places public symbols by the image's header.

../shared/symbols/pdb/ntkrnlmp-19041-public.pdb has true RVAs but sections that were made up for it; with the
header of a dump's kernel the engine would put its symbols elsewhere. Here each public symbol is recorded anew,
by the header's sections, and these become the PDB's. Layouts: MSF, the DBI stream and S_PUB32 as LLVM has them.
"""

from __future__ import annotations

from pathlib import Path
from struct import pack_into, unpack_from
from typing import List, Sequence, Tuple

from dumpkit.dump.target import DumpTarget
from dumpkit.symbols.pdb import PdbFile
from dumpkit.symbols.pe import MappedImage

_SECTION_SIZE = 40
_PUBLIC = 0x110E
_DBI = 3
_OPTIONAL_STREAMS = 64
#: Which of the DBI's optional streams holds the section headers.
_SECTION_HEADERS = 5


class _Msf:
    """The bytes of a container, to be changed in place."""

    def __init__(self, data: bytearray) -> None:
        self.data = data
        self.page, _, _, size, _, self.map_page = unpack_from("<6I", data, 32)
        pages = -(-size // self.page)
        self.directory = unpack_from(f"<{pages}I", data, self.map_page * self.page)
        whole = b"".join(data[number * self.page : (number + 1) * self.page] for number in self.directory)
        (count,) = unpack_from("<I", whole)
        self.sizes = list(unpack_from(f"<{count}I", whole, 4))
        place = 4 + 4 * count
        self.pages: List[Sequence[int]] = []
        for length in self.sizes:
            used = -(-length // self.page)
            self.pages.append(unpack_from(f"<{used}I", whole, place))
            place += 4 * used

    def read(self, stream: int) -> bytes:
        pages = b"".join(self.data[page * self.page : (page + 1) * self.page] for page in self.pages[stream])
        return pages[: self.sizes[stream]]

    def write(self, stream: int, content: bytes) -> None:
        """Replace a stream's content; it must need as many pages as before."""
        assert -(-len(content) // self.page) == len(self.pages[stream])
        for index, page in enumerate(self.pages[stream]):
            part = content[index * self.page : (index + 1) * self.page]
            self.data[page * self.page : page * self.page + len(part)] = part
        place = 4 + 4 * stream
        pack_into("<I", self.data, self.directory[place // self.page] * self.page + place % self.page, len(content))


def section_table(target: DumpTarget) -> Tuple[bytes, List[Tuple[int, int]]]:
    """The section headers of a dump's kernel, and (start, end) of each section as RVAs."""
    module = target.module_named("nt")
    assert module is not None
    image = MappedImage(target.memory, module.base)
    head = target.memory.read(module.base, 0x1000)
    (new_header,) = unpack_from("<I", head, 0x3C)
    (optional_size,) = unpack_from("<H", head, new_header + 20)
    start = new_header + 24 + optional_size
    table = head[start : start + _SECTION_SIZE * len(image.sections)]
    return table, [(section.rva, section.end) for section in image.sections]


def place_pdb(source: Path, target: DumpTarget, path: Path) -> None:
    """Write the copy for the kernel of a dump, whose header must be in the dump."""
    msf = _Msf(bytearray(source.read_bytes()))
    old = PdbFile(str(source))
    table, extents = section_table(target)
    dbi = msf.read(_DBI)
    (records_stream,) = unpack_from("<H", dbi, 20)
    sizes = unpack_from("<5i", dbi, 24)
    (optional_size,) = unpack_from("<i", dbi, 48)
    (edit_size,) = unpack_from("<i", dbi, 52)
    assert optional_size > 2 * _SECTION_HEADERS
    (headers_stream,) = unpack_from("<H", dbi, _OPTIONAL_STREAMS + sum(sizes) + edit_size + 2 * _SECTION_HEADERS)
    records = bytearray(msf.read(records_stream))
    place = 0
    while place + 4 <= len(records):
        size, kind = unpack_from("<HH", records, place)
        if kind == _PUBLIC:
            offset, section = unpack_from("<IH", records, place + 8)
            rva = old.sections.rva(section, offset)
            number = next((n for n, (start, end) in enumerate(extents, 1) if rva and start <= rva < end), None)
            if number is not None and rva is not None:
                pack_into("<IH", records, place + 8, rva - extents[number - 1][0], number)
        place += 2 + size
    old.close()
    msf.write(records_stream, bytes(records))
    msf.write(headers_stream, table)
    path.write_bytes(msf.data)
