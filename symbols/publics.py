"""Public symbols and the hash streams that find them and the globals by name.

Layout: GSIHashHdr, HRFile and PSGSIHDR of gsi.h in github.com/microsoft/microsoft-pdb, PUBSYM32 of cvinfo.h there;
LLVM's "The PDB Public Symbol Stream". Offsets are into the symbol record stream; places are section:offset.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right

from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.omap import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

S_PUB32, S_UDT = 0x110E, 0x1108
_PUBLIC = struct.Struct("<HHIIH")
#: Of a public symbol from its flags on: the offset and the section.
_PLACE = struct.Struct("<4xIH")
_HASH_HEADER = struct.Struct("<IIII")
_HASH_VERSION = 0xEFFE0000 + 19990810
_PUBLICS_HEADER_SIZE = 28
#: The buckets that a PDB made in the usual way has, and those of one made with /DEBUG:FASTLINK.
_BUCKETS, _MINIMAL_BUCKETS = 4096, 0x3FFFF
#: A bucket's start counts records of 12 bytes, as the 32-bit linker kept them in memory.
_BUCKET_UNIT = 12
#: How many public symbols are decoded together when an address is looked for.
_BLOCK = 16
_LITERAL = b"??_C@"
#: Where the name stands in the record of a public symbol.
_NAME = 14


class Public(NamedTuple):
    """A public symbol: `name` is decorated, as the linker knew it; `function` is the linker's word for it."""

    section: int
    offset: int
    name: bytes
    function: bool


def hash_name(name: bytes) -> int:
    """The hash of names in PDB tables (version 1): exclusive or of the words, blind to ASCII case."""
    value = 0
    size = len(name) & ~3
    for word in struct.unpack(f"<{size // 4}I", name[:size]):
        value ^= word
    rest = name[size:]
    if len(rest) >= 2:
        value ^= rest[0] | rest[1] << 8
        rest = rest[2:]
    if rest:
        value ^= rest[0]
    value |= 0x20202020
    value ^= value >> 11
    return value ^ value >> 16


def symbol_name(records: bytes, offset: int) -> bytes:
    """The zero-terminated name at `offset`, empty where its end is missing."""
    end = records.find(b"\0", offset)
    return records[offset:end] if end >= 0 else b""


def iterate_records(records: bytes, offset: int = 0, end: Optional[int] = None) -> Iterator[Tuple[int, int]]:
    """(kind, offset) of each record of a symbol stream; it ends at the first one that does not fit."""
    limit = len(records) if end is None else min(end, len(records))
    header = struct.Struct("<HH").unpack_from
    while offset + 4 <= limit:
        size, kind = header(records, offset)
        if size < 2 or offset + 2 + size > limit:
            return
        yield kind, offset
        offset += size + 2


class SymbolHash:
    """A hash table of symbol records (GSI): names to offsets in the record stream."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._records_at = self._records_end = 0
        self._buckets = _BUCKETS
        self._present = 0
        self._starts: Sequence[int] = ()
        #: Whether the table holds together: one start for each bucket that it says is used.
        self.is_whole = False
        if len(data) >= _HASH_HEADER.size:
            signature, version, records_size, buckets_size = _HASH_HEADER.unpack_from(data)
            if signature == 0xFFFF_FFFF and version == _HASH_VERSION:
                self._read_compressed(records_size, buckets_size)
            else:
                self._read_plain()
            self.is_whole = len(self._starts) == bin(self._present).count("1")

    def _read_compressed(self, records_size: int, buckets_size: int) -> None:
        self._records_at = _HASH_HEADER.size
        self._records_end = min(len(self._data), self._records_at + records_size & ~7)
        table = self._data[self._records_at + records_size : self._records_at + records_size + buckets_size]
        bits = (_BUCKETS + 32) // 32 * 4
        if len(table) > (_MINIMAL_BUCKETS + 32) // 32 * 4:
            # Only the larger table is consistent with its own count of buckets.
            larger = (_MINIMAL_BUCKETS + 32) // 32 * 4
            count = bin(int.from_bytes(table[:larger], "little")).count("1")
            if larger + count * 4 == len(table):
                self._buckets, bits = _MINIMAL_BUCKETS, larger
        self._present = int.from_bytes(table[:bits], "little")
        self._starts = words(table[bits:])

    def _read_plain(self) -> None:
        """The older form: records, then a start for every bucket, -1 for an empty one."""
        table_size = (_BUCKETS + 1) * 4
        self._records_end = max(0, len(self._data) - table_size) & ~7
        starts = words(self._data[self._records_end :])
        self._present = sum(1 << bucket for bucket, start in enumerate(starts) if start != 0xFFFF_FFFF)
        self._starts = [start for start in starts if start != 0xFFFF_FFFF]

    def __len__(self) -> int:
        return (self._records_end - self._records_at) // 8

    def offsets(self) -> List[int]:
        """The offsets of every record in the table, in its order."""
        entries = words(self._data[self._records_at : self._records_end])
        return [entry - 1 for entry in entries[::2] if entry]

    def candidates(self, name: bytes) -> List[int]:
        """Offsets of the records whose names hash as `name` does; some may have other names."""
        bucket = hash_name(name) % self._buckets
        if not self._present >> bucket & 1:
            return []
        index = bin(self._present & (1 << bucket) - 1).count("1")
        if index >= len(self._starts):
            return []
        first = self._starts[index] // _BUCKET_UNIT
        last = self._starts[index + 1] // _BUCKET_UNIT if index + 1 < len(self._starts) else len(self)
        start = self._records_at + first * 8
        entries = words(self._data[start : min(self._records_at + last * 8, self._records_end)])
        return [entry - 1 for entry in entries[::2] if entry]


class ScannedSymbols:
    """What stands in for a hash table that is missing or damaged: all of the record stream, read once.

    `publics` says whether the public symbols are wanted, or all others.
    """

    def __init__(self, records: bytes, publics: bool) -> None:
        self._offsets: List[int] = []
        self._by_hash: Dict[int, List[int]] = {}
        for kind, offset in iterate_records(records):
            if (kind == S_PUB32) == publics:
                self._offsets.append(offset)
                name = symbol_name(records, offset + (8 if kind == S_UDT else _NAME))
                self._by_hash.setdefault(hash_name(name), []).append(offset)

    def __len__(self) -> int:
        return len(self._offsets)

    def offsets(self) -> List[int]:
        """The offsets of every record, in the order of the stream."""
        return self._offsets

    def candidates(self, name: bytes) -> List[int]:
        """Offsets of the records whose names hash as `name` does."""
        return self._by_hash.get(hash_name(name), [])


def symbol_hash(data: bytes, records: Callable[[], bytes], publics: bool) -> Union[SymbolHash, ScannedSymbols]:
    """The hash table in `data`, or what a full scan of the record stream finds where it does not hold together."""
    found = SymbolHash(data)
    return found if found.is_whole else ScannedSymbols(records(), publics)


class Publics:
    """The public symbols. `stream` is the public symbol stream, `records` the symbol record stream."""

    def __init__(self, stream: bytes, records: bytes) -> None:
        self._records = records
        self._stream = stream
        hash_size, map_size = struct.unpack_from("<II", stream) if len(stream) >= 8 else (0, 0)
        self._map_at = _PUBLICS_HEADER_SIZE + hash_size
        self._map_size = map_size
        self._hash = symbol_hash(stream[_PUBLICS_HEADER_SIZE : self._map_at], lambda: records, publics=True)
        self._order: Sequence[int] = ()
        self._samples: Optional[List[int]] = None
        self._blocks: Dict[Tuple[int, bool], Tuple[List[int], Sequence[int]]] = {}
        self._before_literals: Dict[int, int] = {}

    def at(self, offset: int) -> Optional[Public]:
        """The public symbol recorded at `offset` of the record stream; None where there is none."""
        records = self._records
        if offset < 0 or offset + _PUBLIC.size > len(records):
            return None
        size, kind, flags, place, section = _PUBLIC.unpack_from(records, offset)
        if kind != S_PUB32:
            return None
        end = records.find(b"\0", offset + _NAME, offset + 2 + size)
        return Public(section, place, records[offset + _NAME : end] if end >= 0 else b"", flags & 3 != 0)

    def named(self, name: bytes, any_case: bool = False) -> Iterator[Public]:
        """The public symbols of that decorated name, through the hash table."""
        folded = name.lower()
        for offset in self._hash.candidates(name):
            public = self.at(offset)
            if public is not None and (public.name == name or (any_case and public.name.lower() == folded)):
                yield public

    def __iter__(self) -> Iterator[Public]:
        """Every public symbol, in the order of the record stream."""
        for kind, offset in iterate_records(self._records):
            public = self.at(offset) if kind == S_PUB32 else None
            if public is not None:
                yield public

    def decorated(self) -> Iterator[Tuple[int, Public]]:
        """(record offset, symbol) of those with C++ names, string constants left out, and of C names with an `@`."""
        import re

        # Their kind, ten bytes, then the name: the search is a hundred times as fast as reading every record.
        for found in re.finditer(rb"\x0e\x11.{10}(?:\?(?!\?_C@)|[_@][^\0@]*@)", self._records, re.DOTALL):
            offset = found.start() - 2
            public = self.at(offset) if offset % 4 == 0 else None
            if public is not None:
                yield offset, public

    def in_order(self) -> Iterator[Public]:
        """Every public symbol, ascending by place; of those at one place the one that debuggers show comes first."""
        return map(Public._make, self.rows())

    def rows(self) -> Iterator[Tuple[int, int, bytes, bool]]:
        """As `in_order`, in plain tuples: there are tens of thousands of them."""
        self._sampled()
        records = self._records
        unpack, find = _PUBLIC.unpack_from, records.find
        for offset in self._order:
            size, kind, flags, place, section = unpack(records, offset)
            if kind == S_PUB32:
                end = find(b"\0", offset + _NAME, offset + 2 + size)
                yield section, place, records[offset + _NAME : end] if end >= 0 else b"", flags & 3 != 0

    def before(self, section: int, offset: int, literals: bool = False) -> Optional[Public]:
        """The public symbol that is shown for section:offset: the first of those at the last place at or before it.

        Only that section counts, and string constants only where `literals` says so. None where there is no symbol.
        """
        wanted = section << 32 | offset
        block = bisect_right(self._sampled(), wanted) - 1
        while block >= 0:
            keys, offsets = self._block(block, literals)
            index = bisect_right(keys, wanted) - 1
            if index >= 0:
                key = keys[index]
                if key >> 32 != section:
                    return None
                while index and keys[index - 1] == key:
                    index -= 1
                return self.at(offsets[index] if index else self._first_at(block, key, literals))
            if keys:
                block -= 1
            else:
                block = self._block_before(block)
        return None

    def _block_before(self, block: int) -> int:
        """The last block before `block` that is not all string constants, which may be thousands in a row; or -1."""
        passed = []
        while block >= 0 and not self._block(block, False)[0]:
            passed.append(block)
            block = self._before_literals.get(block, block - 1)
        self._before_literals.update(dict.fromkeys(passed, block))
        return block

    def _first_at(self, block: int, key: int, literals: bool) -> int:
        """The record offset of the first symbol at a place that the first symbol of a block has."""
        found = self._block(block, literals)[1][0]
        samples = self._sampled()
        while block and samples[block] == key:
            block -= 1
            keys, offsets = self._block(block, literals)
            index = bisect_left(keys, key)
            if index < len(keys):
                found = offsets[index]
        return found

    def _sampled(self) -> List[int]:
        """The first place of each block of the address map; where that map is missing or wrong, of one made here."""
        if self._samples is None:
            limit = len(self._records) - _PUBLIC.size
            order: Sequence[int] = words(self._stream[self._map_at : self._map_at + self._map_size])
            if not order or len(order) < len(self._hash) or max(order) > limit:
                order = self._sorted_order(limit)
            samples = [self._key(offset) for offset in order[::_BLOCK]]
            if samples != sorted(samples):
                order = self._sorted_order(limit)
                samples = [self._key(offset) for offset in order[::_BLOCK]]
            self._order = order
            self._samples = samples
        return self._samples

    def _sorted_order(self, limit: int) -> Sequence[int]:
        offsets = [offset for kind, offset in iterate_records(self._records) if kind == S_PUB32 and offset <= limit]
        return sorted(offsets, key=lambda offset: (self._key(offset), symbol_name(self._records, offset + _NAME)))

    def _key(self, offset: int) -> int:
        """Section and offset of a symbol in one number."""
        place, section = _PLACE.unpack_from(self._records, offset + 4)
        key: int = section << 32 | place
        return key

    def _block(self, block: int, literals: bool) -> Tuple[List[int], Sequence[int]]:
        """The places and record offsets of a block of the address map, ascending; string constants too where asked."""
        found = self._blocks.get((block, literals))
        if found is None:
            records = self._records
            unpack, begins = _PLACE.unpack_from, records.startswith
            offsets: Sequence[int] = self._order[block * _BLOCK : (block + 1) * _BLOCK]
            if not literals:
                offsets = [offset for offset in offsets if not begins(_LITERAL, offset + _NAME)]
            rows = [unpack(records, offset + 4) for offset in offsets]
            keys = [section << 32 | place for place, section in rows]
            found = self._blocks[block, literals] = keys, offsets
        return found
