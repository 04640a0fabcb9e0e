"""PE32 and PE32+ images: headers, sections, the CodeView record and the export table.

Read from an image file or from memory in which the image is mapped. Layouts are from Microsoft's
"PE Format" specification; the CodeView records RSDS and NB10 from the headers of LLVM (Apache 2.0)
and Wine (LGPL). An image is untrusted: every count, size and offset is bounded before it is used.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from struct import Struct, unpack_from

from dumpkit.errors import SymbolError
from dumpkit.memory import AddressSpace
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, List, Optional, Sequence, Tuple

#: IMAGE_SCN_*
SECTION_EXECUTE = 0x2000_0000

#: IMAGE_DIRECTORY_ENTRY_*
DIRECTORY_EXPORT = 0
DIRECTORY_DEBUG = 6

#: IMAGE_DEBUG_TYPE_*
_DEBUG_CODEVIEW = 2
_DEBUG_REPRO = 16

# What no sane image goes beyond; the loader's own limits where it has them.
_MAX_SECTIONS = 2048
_MAX_EXPORTS = 0x10000
_MAX_DEBUG_ENTRIES = 64
_MAX_NAME = 4096
_MAX_CODEVIEW = 0x1000
_MAX_EXPORT_BLOB = 16 << 20

# IMAGE_FILE_HEADER: Machine, NumberOfSections, TimeDateStamp, (symbol table), SizeOfOptionalHeader, Characteristics
_FILE_HEADER = Struct("<HHI8xHH")
# IMAGE_OPTIONAL_HEADER up to ImageBase, then SizeOfImage to CheckSum, which both kinds have at the same place.
_ENTRY_POINT = Struct("<16xI")
_SIZES = Struct("<III")
_SIZES_AT = 56
# IMAGE_SECTION_HEADER: Name, VirtualSize, VirtualAddress, SizeOfRawData, PointerToRawData, …, Characteristics
_SECTION = Struct("<8sIIII12xI")
# IMAGE_DEBUG_DIRECTORY: …, Type, SizeOfData, AddressOfRawData, PointerToRawData
_DEBUG = Struct("<12xIIII")
# IMAGE_EXPORT_DIRECTORY: …, Name, Base, NumberOfFunctions, NumberOfNames, and the three tables' RVAs
_EXPORT = Struct("<12xIIIIIII")


class Section(NamedTuple):
    """A section: `rva` and `virtual_size` where it is mapped, `file_offset` and `file_size` where it lies."""

    name: str
    rva: int
    virtual_size: int
    file_offset: int
    file_size: int
    characteristics: int

    @property
    def end(self) -> int:
        """First RVA behind the section; a VirtualSize of 0 means the size in the file, as the loader takes it."""
        return self.rva + (self.virtual_size or self.file_size)

    @property
    def is_code(self) -> bool:
        """Whether it may be executed."""
        return bool(self.characteristics & SECTION_EXECUTE)


class CodeView(NamedTuple):
    """What names an image's PDB.

    `pdb_name` is as the linker recorded it, often with a path. `guid` is 32 upper-case hex digits in
    the order that a symbol store uses (8, the time stamp, for the NB10 records of old linkers).
    """

    pdb_name: str
    guid: str
    age: int


class Export(NamedTuple):
    """An exported function or variable; `name` None where it has an ordinal only.

    `forwarder` is "module.name" (or "module.#ordinal") where the export lies in another image; `rva`
    is then where that text is.
    """

    ordinal: int
    name: Optional[str]
    rva: int
    forwarder: Optional[str] = None


class ExportTable(NamedTuple):
    """An image's exports. `missing` counts names and addresses that could not be read."""

    image_name: str
    exports: Sequence[Export]
    missing: int = 0


class PEImage(ABC):
    """An image's headers, and its tables on demand. Every address is an RVA.

    Raises SymbolError where the bytes are no image.
    """

    def __init__(self, name: str) -> None:
        #: What error messages call it: a path, or where it is mapped.
        self.name = name
        self.sections: Tuple[Section, ...] = ()
        self._size_of_headers = 0
        self._read_headers()

    @abstractmethod
    def _bytes_at(self, offset: int, size: int) -> bytes:
        """Header bytes by offset from the image's start; fewer than `size` where it ends."""

    @abstractmethod
    def read(self, rva: int, size: int) -> bytes:
        """The bytes at an RVA, up to `size` or the first one that is not there."""

    def error(self, what: str) -> SymbolError:
        """The error that says what is wrong with this image."""
        return SymbolError(f"{self.name}: {what}")

    def _read_headers(self) -> None:
        start = self._bytes_at(0, 0x400)
        if start[:2] != b"MZ" or len(start) < 0x40:
            raise self.error("not an image (no MZ header)")
        new_header: int = unpack_from("<I", start, 0x3C)[0]
        head = self._bytes_at(new_header, 24)
        if len(head) < 24 or head[:4] != b"PE\0\0":
            raise self.error(f"not a PE image (no PE signature at 0x{new_header:x})")
        self.machine, count, self.timestamp, optional_size, self.characteristics = _FILE_HEADER.unpack_from(head, 4)
        optional = self._bytes_at(new_header + 24, optional_size)
        self._read_optional_header(optional)
        self._read_sections(new_header + 24 + optional_size, count)

    def _read_optional_header(self, optional: bytes) -> None:
        magic = int.from_bytes(optional[:2], "little")
        if magic not in (0x10B, 0x20B):
            raise self.error(f"not a PE32 or PE32+ image (optional header magic 0x{magic:x})")
        #: True for PE32+, a 64-bit image.
        self.is_64bit = magic == 0x20B
        base_at, base_size, directories_at = (24, 8, 112) if self.is_64bit else (28, 4, 96)
        if len(optional) < directories_at:
            raise self.error(f"its optional header is cut off at {len(optional)} bytes")
        (self.entry_point,) = _ENTRY_POINT.unpack_from(optional)
        self.image_base = int.from_bytes(optional[base_at : base_at + base_size], "little")
        #: SizeOfImage in bytes and CheckSum: with the time stamp, what identifies the image.
        self.size, self._size_of_headers, self.checksum = _SIZES.unpack_from(optional, _SIZES_AT)
        stated: int = unpack_from("<I", optional, directories_at - 4)[0]
        count = min(stated, 16, (len(optional) - directories_at) // 8)
        self._directories: Tuple[int, ...] = unpack_from(f"<{count * 2}I", optional, directories_at)

    def _read_sections(self, offset: int, count: int) -> None:
        if count > _MAX_SECTIONS:
            raise self.error(f"it claims {count} sections")
        table = self._bytes_at(offset, count * _SECTION.size)
        if len(table) < count * _SECTION.size:
            raise self.error(f"its section table is cut off after {len(table) // _SECTION.size} of {count} sections")
        self.sections = tuple(
            Section(name.rstrip(b"\0").decode("utf-8", "replace"), rva, virtual, raw_at, raw, flags)
            for name, virtual, rva, raw, raw_at, flags in _SECTION.iter_unpack(table)
        )

    def section_at(self, rva: int) -> Optional[Section]:
        """The section that holds an RVA, or None."""
        return next((section for section in self.sections if section.rva <= rva < section.end), None)

    def directory(self, index: int) -> Tuple[int, int]:
        """(RVA, size in bytes) of a data directory; (0, 0) where the image has none."""
        at = index * 2
        return (self._directories[at], self._directories[at + 1]) if at + 1 < len(self._directories) else (0, 0)

    # Debug directory

    def _debug_entries(self) -> Sequence[Tuple[int, int, int, int]]:
        rva, size = self.directory(DIRECTORY_DEBUG)
        if not rva:
            return ()
        table = self.read(rva, min(size // _DEBUG.size, _MAX_DEBUG_ENTRIES) * _DEBUG.size)
        whole = len(table) // _DEBUG.size * _DEBUG.size
        return list(_DEBUG.iter_unpack(table[:whole]))

    def _debug_data(self, size: int, rva: int, offset: int) -> bytes:
        return self.read(rva, size) if rva else b""

    @property
    def is_reproducible(self) -> bool:
        """Whether the time stamp is a hash of the image's content and not a time (/Brepro)."""
        return any(kind == _DEBUG_REPRO for kind, _size, _rva, _offset in self._debug_entries())

    def codeview(self) -> Optional[CodeView]:
        """The record that names the image's PDB, or None where it has none (or it is not in memory)."""
        for kind, size, rva, offset in self._debug_entries():
            if kind == _DEBUG_CODEVIEW:
                found = _codeview(self._debug_data(min(size, _MAX_CODEVIEW), rva, offset))
                if found is not None:
                    return found
        return None

    # Exports

    def exports(self) -> Optional[ExportTable]:
        """The export table, in ordinal order; None where the image exports nothing.

        Raises SymbolError where the table cannot be read at all or is no export table.
        """
        rva, size = self.directory(DIRECTORY_EXPORT)
        if not rva or not size:
            return None
        return _ExportReader(self, rva, size).table()


class ImageFile(PEImage):
    """An image as it lies in a file. Close it, or use it in `with`."""

    def __init__(self, path: str) -> None:
        try:
            self._file: BinaryIO = open(path, "rb")  # noqa: SIM115 - held open until close()
        except OSError as error:
            raise SymbolError(f"{path}: {error.strerror or error}") from error
        try:
            super().__init__(path)
        except SymbolError:
            self.close()
            raise

    def __enter__(self) -> ImageFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _bytes_at(self, offset: int, size: int) -> bytes:
        try:
            self._file.seek(offset)
            return self._file.read(size)
        except OSError as error:
            raise self.error(str(error.strerror or error)) from error

    def _debug_data(self, size: int, rva: int, offset: int) -> bytes:
        # Debug data need not be mapped: the file offset is the one that always holds.
        return self._bytes_at(offset, size) if offset else super()._debug_data(size, rva, offset)

    def read(self, rva: int, size: int) -> bytes:
        section = self.section_at(rva)
        if section is None:
            return self._bytes_at(rva, min(size, self._size_of_headers - rva)) if rva < self._size_of_headers else b""
        delta = rva - section.rva
        size = min(size, section.end - rva)
        in_file = max(min(size, section.file_size - delta), 0)
        # The loader rounds PointerToRawData down to a sector.
        stored = self._bytes_at((section.file_offset & ~0x1FF) + delta, in_file)
        # What a section has in memory beyond its bytes in the file is zero.
        return stored + bytes(size - in_file) if len(stored) == in_file else stored


class MappedImage(PEImage):
    """An image as the loader laid it out in memory at `base`; pages may be missing."""

    def __init__(self, space: AddressSpace, base: int, name: str = "") -> None:
        self._space = space
        self.base = base
        super().__init__(name or f"image at {base:016x}")

    def error(self, what: str) -> SymbolError:
        reason = self._space.explain(self.base)
        return super().error(what if reason == "readable" else f"its header cannot be read ({reason})")

    def _bytes_at(self, offset: int, size: int) -> bytes:
        return self._space.read_prefix(self.base + offset, size)

    def read(self, rva: int, size: int) -> bytes:
        # No table that is read here reaches beyond the image.
        return self._space.read_prefix(self.base + rva, max(min(size, self.size - rva), 0))


def _codeview(record: bytes) -> Optional[CodeView]:
    """CV_INFO_PDB70 ("RSDS") or CV_INFO_PDB20 ("NB10")."""
    if record[:4] == b"RSDS" and len(record) > 24:
        first, second, third = unpack_from("<IHH", record, 4)
        guid = f"{first:08X}{second:04X}{third:04X}{record[12:20].hex().upper()}"
        age_at = 20
    elif record[:4] == b"NB10" and len(record) > 16:
        guid = f"{unpack_from('<I', record, 8)[0]:08X}"
        age_at = 12
    else:
        return None
    name = record[age_at + 4 :].split(b"\0", 1)[0].decode("utf-8", "replace")
    return CodeView(name, guid, unpack_from("<I", record, age_at)[0])


class _ExportReader:
    """Reads one export table; most of it lies in the directory's own bytes, which are read once."""

    def __init__(self, image: PEImage, rva: int, size: int) -> None:
        self._image = image
        self._start = rva
        self._end = rva + size
        self._blob = image.read(rva, min(size, _MAX_EXPORT_BLOB))
        self._missing = 0

    def _read(self, rva: int, size: int) -> bytes:
        at = rva - self._start
        if at >= 0 and at + size <= len(self._blob):
            return self._blob[at : at + size]
        return self._image.read(rva, size)

    def _array(self, letter: str, rva: int, count: int) -> Tuple[int, ...]:
        """As many of `count` little-endian numbers as can be read."""
        width = Struct(f"<{letter}").size
        data = self._read(rva, count * width)
        whole = len(data) // width
        self._missing += count - whole
        return unpack_from(f"<{whole}{letter}", data)

    def _text(self, rva: int) -> Optional[str]:
        at = rva - self._start
        if 0 <= at < len(self._blob):
            end = self._blob.find(0, at, at + _MAX_NAME)
            if end >= 0:
                return self._blob[at:end].decode("utf-8", "replace")
        data = self._image.read(rva, _MAX_NAME)
        end = data.find(0)
        return data[:end].decode("utf-8", "replace") if end >= 0 else None

    def table(self) -> ExportTable:
        header = self._read(self._start, _EXPORT.size)
        if len(header) < _EXPORT.size:
            raise self._image.error(f"its export table at RVA 0x{self._start:x} cannot be read")
        name_rva, base, functions, names, functions_at, names_at, ordinals_at = _EXPORT.unpack(header)
        if functions > _MAX_EXPORTS or names > _MAX_EXPORTS:
            raise self._image.error(f"its export table claims {functions} functions and {names} names")
        addresses = self._array("I", functions_at, functions)
        exports = [self._export(base + index, None, rva) for index, rva in enumerate(addresses) if rva and functions_at]
        named = self._names(addresses, base, self._array("I", names_at, names), self._array("H", ordinals_at, names))
        known = {export.ordinal for export in named}
        exports = [export for export in exports if export.ordinal not in known] + named
        exports.sort(key=lambda export: (export.ordinal, export.name or ""))
        return ExportTable(self._text(name_rva) or "", exports, self._missing)

    def _names(
        self, addresses: Sequence[int], base: int, names: Sequence[int], ordinals: Sequence[int]
    ) -> List[Export]:
        found = []
        for name_rva, index in zip(names, ordinals):
            name = self._text(name_rva)
            if name is None or index >= len(addresses):
                self._missing += 1
            elif addresses[index]:
                found.append(self._export(base + index, name, addresses[index]))
        return found

    def _export(self, ordinal: int, name: Optional[str], rva: int) -> Export:
        # An address inside the export directory is the text of a forwarder.
        return Export(ordinal, name, rva, self._text(rva) if self._start <= rva < self._end else None)
