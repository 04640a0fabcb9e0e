"""C13 line information of a module: files with checksums, lines of functions, and where inlined functions begin.

Layout: CV_DebugSSubsectionHeader_t and its neighbours of cvinfo.h in github.com/microsoft/microsoft-pdb.
"""

from __future__ import annotations

import hashlib
from struct import pack
from typing import Dict, List, Sequence, Tuple

from tests.forge.pdb_hash import NameTable
from tests.forge.pdb_symbols import Place

_LINES, _CHECKSUMS, _INLINEES = 0xF2, 0xF4, 0xF6
_SHA256, _STATEMENT = 3, 0x8000_0000


class ModuleLines:
    """The line information of one module; `names` is the PDB's table of strings."""

    def __init__(self, names: NameTable) -> None:
        self._names = names
        self._files: Dict[str, int] = {}
        self._checksums = b""
        self._lines: List[bytes] = []
        self._inlinees: List[bytes] = []

    @property
    def files(self) -> List[str]:
        """The paths of the source files, in their order."""
        return list(self._files)

    def file(self, path: str) -> int:
        """The offset of a source file in the table of checksums; the checksum is that of the path itself."""
        if path not in self._files:
            self._files[path] = len(self._checksums)
            digest = hashlib.sha256(path.encode()).digest()
            entry = pack("<IBB", self._names.add(path), len(digest), _SHA256) + digest
            self._checksums += entry + bytes(-len(entry) % 4)
        return self._files[path]

    def add(self, place: Place, size: int, path: str, lines: Sequence[Tuple[int, int]]) -> None:
        """The lines of a function: (offset in it, line)."""
        rows = b"".join(pack("<II", offset, _STATEMENT | line) for offset, line in lines)
        block = pack("<III", self.file(path), len(lines), 12 + len(rows)) + rows
        self._lines.append(pack("<IHHI", place.offset, place.section, 0, size) + block)

    def add_inlinee(self, identity: int, path: str, line: int) -> None:
        """The first line of an inlined function; `identity` is its index into IPI."""
        entry = pack("<III", identity, self.file(path), line)
        if entry not in self._inlinees:
            self._inlinees.append(entry)

    def build(self) -> bytes:
        """The C13 part of the module's stream."""
        parts = [_subsection(_CHECKSUMS, self._checksums)] if self._files else []
        if self._inlinees:
            parts.append(_subsection(_INLINEES, pack("<I", 0) + b"".join(self._inlinees)))
        return b"".join(parts + [_subsection(_LINES, lines) for lines in self._lines])


def _subsection(kind: int, body: bytes) -> bytes:
    padded = body + bytes(-len(body) % 4)
    return pack("<II", kind, len(padded)) + padded


def inline_annotations(first_line: int, pieces: Sequence[Tuple[int, int, int]]) -> bytes:
    """The binary annotations of an inline site: (offset in the outer function, size, line), ascending."""
    found = b""
    at, line = 0, first_line
    for offset, size, number in pieces:
        if number != line:
            found += b"\x06" + _compressed(_signed(number - line))
        # Code moves on, and its length is said at once: lengths stop what the next piece does not touch.
        found += b"\x03" + _compressed(offset - at) + b"\x04" + _compressed(size)
        at, line = offset + size, number
    return found


def _signed(value: int) -> int:
    return -value << 1 | 1 if value < 0 else value << 1


def _compressed(value: int) -> bytes:
    """An unsigned number in one, two or four bytes."""
    if value < 0x80:
        return bytes([value])
    if value < 0x4000:
        return bytes([0x80 | value >> 8, value & 0xFF])
    return bytes([0xC0 | value >> 24, value >> 16 & 0xFF, value >> 8 & 0xFF, value & 0xFF])
