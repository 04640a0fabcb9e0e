"""C13 line information: which source line each piece of a module's code comes from.

Layout: CV_DebugSLinesHeader_t, CV_Line_t and their neighbours of cvinfo.h in github.com/microsoft/microsoft-pdb,
and the /names stream (NMT). Places are section:offset.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right

from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Sequence, Tuple

#: Kinds of subsections; the top bit would say that one is to be ignored.
_LINES, _CHECKSUMS, _INLINEES = 0xF2, 0xF4, 0xF6
_LINES_HEADER = struct.Struct("<IHHI")
_FILE_BLOCK = struct.Struct("<III")
_NAMES_SIGNATURE = 0xEFFEEFFE
#: Line numbers from here on are marks of the compiler (0xF00F00, 0xFEEFEE): code that debuggers step over.
HIDDEN = 0xF00000


class LineEntry(NamedTuple):
    """A source line and where its code begins."""

    section: int
    offset: int
    number: int
    #: Offset of the file in the module's table of files.
    file: int

    @property
    def is_hidden(self) -> bool:
        """Whether the number is a mark for code without a source line."""
        return self.number >= HIDDEN


class LineBlock(NamedTuple):
    """The lines of one function, or of one piece of it: `[offset, end)` of a section, entries ascending."""

    section: int
    offset: int
    end: int
    entries: List[LineEntry]

    def entry_at(self, offset: int) -> Optional[LineEntry]:
        """The entry that an offset in the section belongs to."""
        found = None
        for entry in self.entries:
            if entry.offset > offset:
                break
            if entry.offset < offset or found is None or found.offset < offset:
                found = entry
        return found


class Inlinee(NamedTuple):
    """Where an inlined function is defined: its file (as in LineEntry) and first line."""

    file: int
    line: int


class NameTable:
    """The /names stream: strings by offset."""

    def __init__(self, stream: bytes) -> None:
        self._strings = b""
        if len(stream) >= 12:
            signature, _version, size = struct.unpack_from("<III", stream)
            if signature == _NAMES_SIGNATURE:
                self._strings = stream[12 : 12 + size]

    def __getitem__(self, offset: int) -> str:
        """The string at an offset; empty where there is none."""
        end = self._strings.find(b"\0", offset)
        return self._strings[offset:end].decode("utf-8", "replace") if end >= 0 else ""


class ModuleLines:
    """The C13 part of a module's stream."""

    def __init__(self, data: bytes, names: NameTable) -> None:
        self._data = data
        self._names = names
        self._parts: Optional[Dict[int, List[Tuple[int, int]]]] = None
        self._blocks: Optional[List[LineBlock]] = None
        self._places: List[Tuple[int, int]] = []
        self._inlinees: Optional[Dict[int, Inlinee]] = None

    def _subsections(self, wanted: int) -> Sequence[Tuple[int, int]]:
        """(start, end) of each subsection of a kind."""
        if self._parts is None:
            self._parts = {}
            offset = 0
            while offset + 8 <= len(self._data):
                kind, size = struct.unpack_from("<II", self._data, offset)
                end = offset + 8 + size
                if end > len(self._data):
                    break
                self._parts.setdefault(kind, []).append((offset + 8, end))
                offset = (end + 3) & ~3
        return self._parts.get(wanted, ())

    @property
    def blocks(self) -> List[LineBlock]:
        """The line tables of the functions, ascending by place, those at one place in the order of the file."""
        if self._blocks is None:
            self._blocks = sorted(
                (
                    self._block(start, end)
                    for start, end in self._subsections(_LINES)
                    if start + _LINES_HEADER.size <= end
                ),
                key=lambda block: (block.section, block.offset),
            )
            self._places = [(block.section, block.offset) for block in self._blocks]
        return self._blocks

    def _block(self, start: int, end: int) -> LineBlock:
        base, section, _flags, size = _LINES_HEADER.unpack_from(self._data, start)
        offset = start + _LINES_HEADER.size
        entries: List[LineEntry] = []
        while offset + _FILE_BLOCK.size <= end:
            file, count, block_size = _FILE_BLOCK.unpack_from(self._data, offset)
            rows = self._data[offset + _FILE_BLOCK.size : min(end, offset + _FILE_BLOCK.size + count * 8)]
            for code, line in struct.iter_unpack("<II", rows[: len(rows) & ~7]):
                entries.append(LineEntry(section, base + code, line & 0xFFFFFF, file))
            if block_size < _FILE_BLOCK.size:
                break
            offset += block_size
        entries.sort(key=lambda entry: entry.offset)
        return LineBlock(section, base, base + size, entries)

    def entry_at(self, section: int, offset: int) -> Optional[LineEntry]:
        """The entry that holds section:offset; None where no function's lines do.

        Of functions folded into one the first counts. Of several entries at one offset the first is that offset's,
        the last one what follows it.
        """
        blocks = self.blocks
        last = bisect_right(self._places, (section, offset)) - 1
        if last < 0:
            return None
        for block in blocks[bisect_left(self._places, self._places[last]) : last + 1]:
            if block.section == section and offset < block.end:
                return block.entry_at(offset)
        return None

    def file_name(self, file: int) -> str:
        """The path of a file, as the compiler was given it; empty where the table has no such entry."""
        for start, end in self._subsections(_CHECKSUMS):
            if start + file + 4 <= end:
                return self._names[int.from_bytes(self._data[start + file : start + file + 4], "little")]
        return ""

    @property
    def inlinees(self) -> Dict[int, Inlinee]:
        """Index into IPI -> where that function, inlined somewhere in this module, is defined."""
        if self._inlinees is None:
            self._inlinees = {}
            for start, end in self._subsections(_INLINEES):
                self._read_inlinees(start, end, self._inlinees)
        return self._inlinees

    def _read_inlinees(self, start: int, end: int, found: Dict[int, Inlinee]) -> None:
        if start + 4 > end:
            return
        with_extra_files = self._data[start] == 1
        offset = start + 4
        while offset + 12 <= end:
            inlinee, file, line = struct.unpack_from("<III", self._data, offset)
            found.setdefault(inlinee, Inlinee(file, line))
            offset += 12
            if with_extra_files:
                if offset + 4 > end:
                    return
                offset += 4 + 4 * int.from_bytes(self._data[offset : offset + 4], "little")
