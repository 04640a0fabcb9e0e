"""Public symbols and the hash streams that find them and the globals by name.

Layout: GSIHashHdr, HRFile and PSGSIHDR of gsi.h in github.com/microsoft/microsoft-pdb, PUBSYM32 of cvinfo.h there;
LLVM's "The PDB Public Symbol Stream". Offsets are into the symbol record stream; places are section:offset.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from dumpkit.symbols.omap import words

S_PUB32 = 0x110E
_PUBLIC = struct.Struct("<HHIIH")
_PLACE = struct.Struct("<IH")
_HASH_HEADER = struct.Struct("<IIII")
_HASH_VERSION = 0xEFFE0000 + 19990810
_PUBLICS_HEADER_SIZE = 28
#: The buckets that a PDB made in the usual way has, and those of one made with /DEBUG:FASTLINK.
_BUCKETS, _MINIMAL_BUCKETS = 4096, 0x3FFFF
#: A bucket's start counts records of 12 bytes, as the 32-bit linker kept them in memory.
_BUCKET_UNIT = 12
#: How many public symbols are decoded together when an address is looked for.
_BLOCK = 64
_LITERAL = b"??_C@"

Place = Tuple[int, int]


class Public(NamedTuple):
    """A public symbol: `name` is decorated, as the linker knew it; `function` is the linker's word for it."""

    section: int
    offset: int
    name: bytes
    function: bool

    @property
    def is_literal(self) -> bool:
        """Whether it names a string constant, which debuggers never show."""
        return self.name.startswith(_LITERAL)


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
        if len(data) >= _HASH_HEADER.size:
            signature, version, records_size, buckets_size = _HASH_HEADER.unpack_from(data)
            if signature == 0xFFFF_FFFF and version == _HASH_VERSION:
                self._read_compressed(records_size, buckets_size)
            else:
                self._read_plain()

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


class Publics:
    """The public symbols. `stream` is the public symbol stream, `records` the symbol record stream."""

    def __init__(self, stream: bytes, records: bytes) -> None:
        self._records = records
        hash_size, map_size = struct.unpack_from("<II", stream) if len(stream) >= 8 else (0, 0)
        map_at = _PUBLICS_HEADER_SIZE + hash_size
        self._hash = SymbolHash(stream[_PUBLICS_HEADER_SIZE:map_at])
        self._order: Sequence[int] = words(stream[map_at : map_at + map_size])
        self._samples: Optional[List[Place]] = None
        self._blocks: Dict[int, Tuple[List[Place], List[int]]] = {}

    def __len__(self) -> int:
        return len(self._order)

    def at(self, offset: int) -> Optional[Public]:
        """The public symbol recorded at `offset` of the record stream; None where there is none."""
        if offset < 0 or offset + _PUBLIC.size > len(self._records):
            return None
        size, kind, flags, place, section = _PUBLIC.unpack_from(self._records, offset)
        if kind != S_PUB32:
            return None
        end = self._records.find(b"\0", offset + 14, offset + 2 + size)
        return Public(section, place, self._records[offset + 14 : max(end, offset + 14)], bool(flags & 3))

    def named(self, name: bytes, any_case: bool = False) -> Iterator[Public]:
        """The public symbols of that decorated name, through the hash table."""
        folded = name.lower()
        for offset in self._hash.candidates(name):
            public = self.at(offset)
            if public is not None and (public.name == name or (any_case and public.name.lower() == folded)):
                yield public

    def with_offsets(self) -> Iterator[Tuple[int, Public]]:
        """Every public symbol and its offset, in the order of the record stream."""
        for kind, offset in iterate_records(self._records):
            if kind == S_PUB32:
                public = self.at(offset)
                if public is not None:
                    yield offset, public

    def __iter__(self) -> Iterator[Public]:
        """Every public symbol, in the order of the record stream."""
        return (public for _, public in self.with_offsets())

    def in_order(self) -> Iterator[Public]:
        """Every public symbol, ascending by place; of those at one place the one that debuggers show comes first."""
        self._prepare()
        for offset in self._order:
            public = self.at(offset)
            if public is not None:
                yield public

    def before(self, section: int, offset: int, literals: bool = False) -> List[Public]:
        """The public symbols at the last place at or before section:offset in that section, the shown one first.

        String constants count where `literals` says so. Empty where there is no symbol.
        """
        found: List[Public] = []
        for public in self._backwards(section, offset):
            if public.section != section or (found and public.offset != found[0].offset):
                break
            if literals or not public.is_literal:
                found.append(public)
        return found[::-1]

    def _backwards(self, section: int, offset: int) -> Iterator[Public]:
        """The public symbols at or before a place, last one first."""
        samples = self._prepare()
        block = bisect_right(samples, (section, offset)) - 1
        while block >= 0:
            places, offsets = self._block(block)
            for index in range(bisect_right(places, (section, offset)) - 1, -1, -1):
                public = self.at(offsets[index])
                if public is not None:
                    yield public
            block -= 1

    def _prepare(self) -> List[Place]:
        """Sample the address map, one place of each block; sort all publics where the map is missing or wrong."""
        if self._samples is not None:
            return self._samples
        samples = [self._place(offset) for offset in self._order[::_BLOCK]]
        if len(self._order) < len(self._hash) or any(a > b for a, b in zip(samples, samples[1:])):
            self._order = self._sorted_order()
            samples = [self._place(offset) for offset in self._order[::_BLOCK]]
        self._samples = samples
        return samples

    def _sorted_order(self) -> Sequence[int]:
        offsets = [offset for kind, offset in iterate_records(self._records) if kind == S_PUB32]
        return sorted(offsets, key=self._place)

    def _place(self, offset: int) -> Place:
        if offset + _PUBLIC.size > len(self._records):
            return (0, 0)
        place, section = _PLACE.unpack_from(self._records, offset + 8)
        return (section, place)

    def _block(self, block: int) -> Tuple[List[Place], List[int]]:
        """The places and record offsets of one block of the address map, ascending by place."""
        found = self._blocks.get(block)
        if found is None:
            limit = len(self._records) - _PUBLIC.size
            unpack = _PLACE.unpack_from
            records = self._records
            offsets = [entry for entry in self._order[block * _BLOCK : (block + 1) * _BLOCK] if entry <= limit]
            places = [unpack(records, entry + 8)[::-1] for entry in offsets]
            found = self._blocks[block] = places, offsets
        return found
