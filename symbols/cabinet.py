"""Cabinets (CAB): how symbol stores compress a file (`amdppm.pd_`).

Layouts from Microsoft's "Microsoft Cabinet Format" ([MS-CAB]): CFHEADER, CFFOLDER, CFFILE, CFDATA.
Stored, MSZIP and LZX data are read, Quantum is not. A cabinet is untrusted: it is unpacked block by
block, no block yields more than 32 KiB, and nothing beyond the size that its directory states, which
the caller bounds.
"""

from __future__ import annotations

from struct import Struct

from dumpkit.errors import SymbolError
from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.lzx import LzxDecoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Callable, Iterator, List, Optional

    from typing_extensions import TypeAlias

SIGNATURE = b"MSCF"
_BLOCK_SIZE = 0x8000
# MSZIP may grow a block by 12 bytes, LZX by 6144.
_MAX_COMPRESSED = _BLOCK_SIZE + 6144
_MAX_FILES = 1024
_MAX_NAME = 256

# signature, cbCabinet, coffFiles, cFolders, cFiles, flags
_HEADER = Struct("<4s4xI4xI4x2xHHH4x")
_FOLDER = Struct("<IHH")
_FILE = Struct("<IIH6x")
_DATA = Struct("<IHH")

_FLAG_PREVIOUS, _FLAG_NEXT, _FLAG_RESERVE = 1, 2, 4
_STORED, _MSZIP, _QUANTUM, _LZX = 0, 1, 2, 3

#: Called with the bytes unpacked so far and in all.
Progress: TypeAlias = "Callable[[int, int], None]"


class CabinetFile(NamedTuple):
    """A file in a cabinet. Its name is only shown and compared, never used as a path."""

    name: str
    size: int
    #: Where it begins in its folder's unpacked data.
    offset: int
    folder: int


class _Folder(NamedTuple):
    data_offset: int
    blocks: int
    compression: int


class Cabinet:
    """An open cabinet. `name` is what error messages call it. Raises SymbolError where it is none."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self.name = name
        self._folders: List[_Folder] = []
        self._data_reserve = 0
        self.files = self._read_directory()

    def _error(self, what: str) -> SymbolError:
        return SymbolError(f"{self.name}: {what}")

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise self._error("the cabinet is cut off")
        return data

    def _read_directory(self) -> List[CabinetFile]:
        self._file.seek(0)
        head = self._file.read(_HEADER.size)
        if len(head) < _HEADER.size or head[:4] != SIGNATURE:
            raise self._error("not a cabinet")
        _, _, files_at, folders, files, flags = _HEADER.unpack(head)
        folder_reserve = 0
        if flags & _FLAG_RESERVE:
            header_reserve, folder_reserve, self._data_reserve = Struct("<HBB").unpack(self._read(4))
            self._read(header_reserve)
        if flags & (_FLAG_PREVIOUS | _FLAG_NEXT):
            raise self._error("a cabinet of a set; only whole ones can be read")
        if files > _MAX_FILES or folders > _MAX_FILES:
            raise self._error(f"the cabinet claims {files} files in {folders} folders")
        for _ in range(folders):
            self._folders.append(_Folder(*_FOLDER.unpack_from(self._read(_FOLDER.size + folder_reserve))))
        self._file.seek(files_at)
        return [self._read_file_entry() for _ in range(files)]

    def _read_file_entry(self) -> CabinetFile:
        size, offset, folder = _FILE.unpack(self._read(_FILE.size))
        at = self._file.tell()
        name, end, _ = self._file.read(_MAX_NAME + 1).partition(b"\0")
        if not end or folder >= len(self._folders):
            raise self._error("its directory is damaged")
        self._file.seek(at + len(name) + 1)
        shown = "".join(letter if letter.isprintable() else "?" for letter in name.decode("utf-8", "replace"))
        return CabinetFile(shown, size, offset, folder)

    def find(self, name: str) -> CabinetFile:
        """The file of that name in any case, or the only one there is. Raises SymbolError."""
        wanted = name.lower()
        for file in self.files:
            if file.name.replace("\\", "/").rsplit("/", 1)[-1].lower() == wanted:
                return file
        if len(self.files) == 1:
            return self.files[0]
        raise self._error(f"no {name} among the {len(self.files)} files of the cabinet")

    def extract(self, file: CabinetFile, output: BinaryIO, limit: int, progress: Optional[Progress] = None) -> None:
        """Write a file's bytes to `output`.

        Raises SymbolError where the file is larger than `limit` bytes (before anything is written) or
        the cabinet is damaged (`output` then holds a part).
        """
        if file.size > limit:
            raise self._error(f"{file.name} would take {file.size} bytes, more than the {limit} allowed")
        skip, left = file.offset, file.size
        for block in self._blocks(self._folders[file.folder]):
            if not left:
                break
            piece = block[skip : skip + left]
            skip = max(skip - len(block), 0)
            output.write(piece)
            left -= len(piece)
            if progress is not None:
                progress(file.size - left, file.size)
        if left:
            raise self._error(f"the cabinet ends {left} bytes before the end of {file.name}")

    def _blocks(self, folder: _Folder) -> Iterator[bytes]:
        """The unpacked blocks of a folder."""
        unpack = self._unpacker(folder.compression)
        self._file.seek(folder.data_offset)
        for _ in range(folder.blocks):
            checksum, size, unpacked_size = _DATA.unpack(head := self._read(_DATA.size))
            if size > _MAX_COMPRESSED or unpacked_size > _BLOCK_SIZE:
                raise self._error("a block of the cabinet is larger than allowed")
            reserve = self._read(self._data_reserve)
            data = self._read(size)
            if checksum and checksum != _checksum(head[4:] + reserve) ^ _checksum(data):
                raise self._error("a block of the cabinet is damaged (checksum)")
            try:
                yield unpack(data, unpacked_size)
            except SymbolError as error:
                raise self._error(str(error)) from error

    def _unpacker(self, compression: int) -> Callable[[bytes, int], bytes]:
        method = compression & 0xF
        if method == _STORED:
            return _stored
        if method == _MSZIP:
            return _Mszip()
        if method == _LZX:
            return LzxDecoder(compression >> 8 & 0x1F).frame
        raise self._error("Quantum compression is not supported" if method == _QUANTUM else "unknown compression")


def _stored(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise SymbolError("a stored block of the wrong size")
    return data


class _Mszip:
    """MSZIP: blocks of raw deflate, each with the one before as its dictionary ([MS-MCI])."""

    def __init__(self) -> None:
        import zlib

        self._zlib = zlib
        self._previous = b""

    def __call__(self, data: bytes, size: int) -> bytes:
        if data[:2] != b"CK":
            raise SymbolError("damaged MSZIP data: no signature")
        stream = self._zlib.decompressobj(-15, zdict=self._previous)
        try:
            # One byte more than allowed tells a block that is too long.
            block = stream.decompress(data[2:], size + 1)
        except self._zlib.error as error:
            raise SymbolError(f"damaged MSZIP data: {error}") from error
        if len(block) != size:
            raise SymbolError("damaged MSZIP data: a block of the wrong size")
        self._previous = block
        return block


def _checksum(data: bytes) -> int:
    """The XOR of a text's little-endian 32-bit words; the bytes left over count as one big-endian number."""
    whole = len(data) & ~3
    value = int.from_bytes(data[:whole], "little")
    bits = whole * 8
    while bits > 32:
        half = (bits // 2 + 31) & ~31
        value = (value >> half) ^ (value & ((1 << half) - 1))
        bits = half
    return value ^ int.from_bytes(data[whole:], "big")


def unpack_file(source: str, target: str, name: str, limit: int, progress: Optional[Progress] = None) -> None:
    """Unpack the file `name` of the cabinet at path `source` to the new file `target`.

    Raises SymbolError where the cabinet cannot be read, is damaged or holds more than `limit` bytes;
    what was written to `target` till then is the caller's to remove.
    """
    try:
        with open(source, "rb") as file, open(target, "xb") as output:
            cabinet = Cabinet(file, source)
            cabinet.extract(cabinet.find(name), output, limit, progress)
    except OSError as error:
        raise SymbolError(f"{error.filename or source}: {error.strerror or error}") from error
