"""The MSF container of a PDB: numbered streams, each a list of pages of one file.

Layout: the MSF 7.00 superblock and stream directory as LLVM's "The MSF File Format" and msf.cpp of
github.com/microsoft/microsoft-pdb describe them. Offsets in this file are file offsets or offsets in a stream.
"""

from __future__ import annotations

import mmap
import os
import struct
from abc import ABC, abstractmethod

from dumpkit.errors import SymbolError
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Sequence, Tuple

MAGIC = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0"
_SUPERBLOCK = struct.Struct("<32s5I")
_NIL = 0xFFFF_FFFF
#: What else is met under the name of a PDB, and what to say of it.
_OTHER_FORMATS = (
    (b"Microsoft C/C++ program database 2.00", "it is a PDB 2.00 of Visual C++ 6 or before"),
    (b"Microsoft MSFZ Container", "it is a compressed PDB (MSFZ)"),
    (b"BSJB", "it is a portable (.NET) PDB"),
    (b"MSCF", "it is a CAB archive that holds the PDB"),
    (b"MZ", "it is an image, not a PDB"),
    (b"<", "it is a web page or XML, not a PDB"),
)


class Superblock(NamedTuple):
    """The first page of the file, checked: sizes in bytes."""

    page_size: int
    page_count: int
    directory_size: int

    @property
    def directory_pages(self) -> int:
        """How many pages hold the stream directory."""
        return -(-self.directory_size // self.page_size)


class Container(ABC):
    """An open MSF file. Streams are numbered from 0; a subclass says which pages each one has."""

    def __init__(self, path: str, superblock: Superblock, data: mmap.mmap) -> None:
        self.path = path
        self.superblock = superblock
        self.page_size = superblock.page_size
        self._data = data

    @abstractmethod
    def __len__(self) -> int:
        """The number of streams."""

    @abstractmethod
    def size(self, stream: int) -> int:
        """The bytes of a stream; 0 where it is absent or there is no such stream."""

    @abstractmethod
    def pages(self, stream: int) -> Sequence[int]:
        """The page numbers of a stream, in order."""

    def read(self, stream: int, offset: int = 0, size: Optional[int] = None) -> bytes:
        """`size` bytes of a stream from `offset` on (all where None); fewer where the stream ends before.

        Raises SymbolError where a page that is needed lies behind the end of the file.
        """
        end = self.size(stream) if size is None else min(self.size(stream), offset + size)
        if offset < 0 or offset >= end:
            return b""
        page_size = self.page_size
        first = offset // page_size
        numbers = self.pages(stream)[first : -(-end // page_size)]
        offset -= first * page_size
        end -= first * page_size
        data = self._data
        if not numbers or (max(numbers) + 1) * page_size > len(data):
            self._check_pages(stream, numbers, end)
        if len(numbers) == 1:
            start = numbers[0] * page_size
            return data[start + offset : start + end]
        parts = [data[first * page_size : last * page_size] for first, last in _runs(numbers)]
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        return whole if offset == 0 and end == len(whole) else whole[offset:end]

    def _check_pages(self, stream: int, numbers: Sequence[int], end: int) -> None:
        """Refuse a stream whose pages are not in the file; only the last page of a file may be short."""
        if len(numbers) * self.page_size < end:
            raise SymbolError(f"{self.path}: stream {stream} of the PDB lacks pages")
        for index, number in enumerate(numbers):
            needed = min(end - index * self.page_size, self.page_size)
            if number * self.page_size + needed > len(self._data):
                raise SymbolError(
                    f"{self.path}: the PDB is cut off: page {number} of stream {stream} is behind "
                    f"the end of the file ({len(self._data)} bytes)"
                )

    def close(self) -> None:
        """Let go of the file."""
        self._data.close()


class MsfContainer(Container):
    """The directory read here. Page lists are sliced out of it when a stream is asked for."""

    def __init__(self, path: str, superblock: Superblock, data: mmap.mmap) -> None:
        super().__init__(path, superblock, data)
        directory = self._directory()
        words = struct.unpack(f"<{len(directory) // 4}I", directory[: len(directory) & ~3])
        count = words[0] if words else 0
        if count >= len(words):
            raise SymbolError(f"{path}: the PDB's stream directory names {count} streams, more than it has room for")
        self._sizes = [0 if size == _NIL else size for size in words[1 : count + 1]]
        self._words = words
        self._starts = []
        start = count + 1
        for stream, size in enumerate(self._sizes):
            self._starts.append(start)
            used = -(-size // self.page_size)
            start += used
            # A page belongs to one stream, so no stream can have more of them than the file.
            if start > len(words) or used > superblock.page_count:
                raise SymbolError(
                    f"{path}: stream {stream} of the PDB claims {size} bytes, more than the file can hold"
                )

    def _directory(self) -> bytes:
        block = self.superblock
        count = block.directory_pages
        # The superblock is followed by the pages that hold the directory's page numbers.
        index_pages = -(-count * 4 // block.page_size)
        index = self._gather(_words_at(self._data, _SUPERBLOCK.size, index_pages), count * 4)
        return self._gather(struct.unpack(f"<{count}I", index), block.directory_size)

    def _gather(self, numbers: Sequence[int], size: int) -> bytes:
        page_size = self.page_size
        data = b"".join([self._data[number * page_size : (number + 1) * page_size] for number in numbers])[:size]
        if len(data) < size:
            raise SymbolError(f"{self.path}: the PDB is cut off: its stream directory is not in the file")
        return data

    def __len__(self) -> int:
        return len(self._sizes)

    def size(self, stream: int) -> int:
        return self._sizes[stream] if 0 <= stream < len(self._sizes) else 0

    def pages(self, stream: int) -> Sequence[int]:
        start = self._starts[stream]
        return self._words[start : start + -(-self._sizes[stream] // self.page_size)]


class PdbparseContainer(Container):
    """The directory as pdbparse reads it; pages and sizes are all that is taken from there."""

    def __init__(self, path: str, superblock: Superblock, data: mmap.mmap) -> None:
        super().__init__(path, superblock, data)
        import pdbparse

        # pdbparse reads what the directory says without bounds: what it trips over, the reader here names.
        try:
            parsed = pdbparse.parse(path, fast_load=True)
        except (struct.error, ValueError, IndexError, OverflowError, TypeError, AttributeError, OSError) as error:
            raise SymbolError(f"{path}: pdbparse cannot read the PDB's stream directory: {error}") from None
        parsed.fp.close()
        self._streams = parsed.streams
        if parsed.page_size != superblock.page_size:
            raise SymbolError(f"{path}: pdbparse finds pages of {parsed.page_size} bytes")
        for number, stream in enumerate(self._streams):
            if len(stream.pages) > superblock.page_count:
                raise SymbolError(
                    f"{path}: stream {number} of the PDB claims {stream.size} bytes, more than the file can hold"
                )

    def __len__(self) -> int:
        return len(self._streams)

    def size(self, stream: int) -> int:
        return int(self._streams[stream].size) if 0 <= stream < len(self._streams) else 0

    def pages(self, stream: int) -> Sequence[int]:
        pages: Sequence[int] = self._streams[stream].pages
        return pages


def open_container(path: str, own: Optional[bool] = None) -> Container:
    """Open a PDB: through pdbparse where it is installed, through the reader here where it is not, or as `own` says.

    Raises SymbolError where the file is missing, is something else, or is damaged.
    """
    data = _map(path)
    try:
        superblock = _superblock(path, data)
        if own is None and _has_pdbparse():
            try:
                return PdbparseContainer(path, superblock, data)
            except SymbolError:
                # The reader here takes more, and says better what is wrong.
                own = True
        return (PdbparseContainer if own is False else MsfContainer)(path, superblock, data)
    except SymbolError:
        data.close()
        raise


def _map(path: str) -> mmap.mmap:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise SymbolError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        # An empty file cannot be mapped, nor a folder.
        raise SymbolError(f"{path}: not a PDB: {getattr(error, 'strerror', None) or error}") from None
    finally:
        os.close(descriptor)


def _has_pdbparse() -> bool:
    try:
        import pdbparse  # noqa: F401
    except ImportError:
        return False
    return True


def _superblock(path: str, data: mmap.mmap) -> Superblock:
    head = data[: _SUPERBLOCK.size]
    if not head.startswith(MAGIC) or len(head) < _SUPERBLOCK.size:
        known = next((words for magic, words in _OTHER_FORMATS if head.startswith(magic)), "no MSF 7.00 signature")
        raise SymbolError(f"{path}: not a PDB that can be read: {known}")
    _, page_size, _, page_count, directory_size, _ = _SUPERBLOCK.unpack(head)
    if page_size & (page_size - 1) or not 512 <= page_size <= 65536:
        raise SymbolError(f"{path}: the PDB is damaged: page size {page_size}")
    block = Superblock(page_size, min(page_count, -(-len(data) // page_size)), directory_size)
    if not 4 <= directory_size <= len(data):
        raise SymbolError(f"{path}: the PDB is damaged or cut off: a stream directory of {directory_size} bytes")
    index_pages = -(-block.directory_pages * 4 // page_size)
    last = max(_words_at(data, _SUPERBLOCK.size, index_pages), default=0)
    if _SUPERBLOCK.size + index_pages * 4 > page_size or last * page_size >= len(data):
        raise SymbolError(f"{path}: the PDB is damaged or cut off: its stream directory is not in the file")
    return block


def _runs(numbers: Sequence[int]) -> Iterator[Tuple[int, int]]:
    """(first, behind the last) of each unbroken run of page numbers."""
    start = following = numbers[0]
    for number in numbers:
        if number != following:
            yield start, following
            start = following = number
        following += 1
    yield start, following


def _words_at(data: mmap.mmap, offset: int, count: int) -> Sequence[int]:
    found = data[offset : offset + count * 4]
    return struct.unpack(f"<{len(found) // 4}I", found[: len(found) & ~3])
