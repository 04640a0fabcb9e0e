"""The records of a TPI or IPI stream: where each one lies, and which ones a name hashes to.

Layout: HDR of tpi.h in github.com/microsoft/microsoft-pdb; LLVM's "The PDB TPI and IPI Streams".
"""

from __future__ import annotations

import struct
from bisect import bisect_right

from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.container import Container
from dumpkit.symbols.publics import hash_name, iterate_records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Sequence, Tuple

TPI_STREAM, IPI_STREAM = 2, 4
_HEADER = struct.Struct("<IIIIIHHiIiIiIiI")
#: Indices below stand for built-in types.
FIRST_RECORD = 0x1000


class Record(NamedTuple):
    """A type record: its leaf kind, and `data[start:end]` is what follows the leaf."""

    leaf: int
    start: int
    end: int


class TypeRecords:
    """The stream `stream` of a PDB. Records are found through the stream's own sparse index."""

    def __init__(self, container: Container, stream: int) -> None:
        self._container = container
        self._stream = container.read(stream)
        self.data = b""
        self.first = self.last = FIRST_RECORD
        self._buckets = 0
        self._hash_values = b""
        self._hash_width = 4
        self._index: Sequence[Tuple[int, int]] = ()
        self._starts: List[int] = []
        self._chunks: Dict[int, List[int]] = {}
        # PDBs of before IPI streams have something else in that place.
        if len(self._stream) >= _HEADER.size and _HEADER.unpack_from(self._stream)[1] == _HEADER.size:
            self._read_header()

    def _read_header(self) -> None:
        (
            _version,
            header_size,
            self.first,
            last,
            size,
            hash_stream,
            _,
            key_size,
            buckets,
            values_at,
            values_size,
            index_at,
            index_size,
            _,
            _,
        ) = _HEADER.unpack_from(self._stream)
        self.data = self._stream[header_size : header_size + size]
        # A record takes four bytes or more.
        self.last = max(self.first, min(last, self.first + len(self.data) // 4))
        if key_size in (2, 4) and 0 < buckets < 1 << 24 and values_at >= 0:
            self._buckets = buckets
            self._hash_width = key_size
            self._hash_values = self._container.read(hash_stream, values_at, values_size)
        pairs = self._container.read(hash_stream, index_at, index_size) if index_at >= 0 else b""
        index = list(struct.iter_unpack("<II", pairs[: len(pairs) & ~7]))
        self._index = index if self._is_index(index) else [(self.first, 0)]
        self._starts = [entry[0] for entry in self._index]

    def _is_index(self, index: Sequence[Tuple[int, ...]]) -> bool:
        """Whether the sparse index begins at the first record and ascends."""
        return (
            bool(index)
            and tuple(index[0]) == (self.first, 0)
            and all(a[0] < b[0] and a[1] < b[1] for a, b in zip(index, index[1:]))
        )

    def __len__(self) -> int:
        return self.last - self.first

    @property
    def is_hashed(self) -> bool:
        """Whether the stream has a hash for each of its records."""
        return self._buckets > 0 and len(self._hash_values) >= len(self) * self._hash_width

    def record(self, index: int) -> Record:
        """The record of a type index. Raises KeyError where there is none, or the stream is damaged there."""
        if not self.first <= index < self.last:
            raise KeyError(index)
        chunk = bisect_right(self._starts, index) - 1
        offsets = self._chunks.get(chunk)
        if offsets is None:
            start = self._index[chunk][1]
            end = self._index[chunk + 1][1] if chunk + 1 < len(self._index) else len(self.data)
            offsets = self._chunks[chunk] = [offset for _, offset in iterate_records(self.data, start, end)]
        position = index - self._starts[chunk]
        if position >= len(offsets):
            raise KeyError(index)
        offset = offsets[position]
        size, leaf = struct.unpack_from("<HH", self.data, offset)
        return Record(leaf, offset + 4, offset + 2 + size)

    def __iter__(self) -> Iterator[Tuple[int, Record]]:
        """Every record with its index."""
        header = struct.Struct("<H").unpack_from
        for index, (leaf, offset) in zip(range(self.first, self.last), iterate_records(self.data)):
            yield index, Record(leaf, offset + 4, offset + 2 + header(self.data, offset)[0])

    def hashed(self, name: bytes) -> Iterator[int]:
        """The indices of the records whose hash is that of `name`; nothing where the stream has no hash."""
        if not self._buckets:
            return
        width = self._hash_width
        needle = (hash_name(name) % self._buckets).to_bytes(width, "little")
        place = self._hash_values.find(needle)
        while place >= 0:
            if place % width == 0:
                yield self.first + place // width
                place = self._hash_values.find(needle, place + width)
            else:
                place = self._hash_values.find(needle, place + 1)
