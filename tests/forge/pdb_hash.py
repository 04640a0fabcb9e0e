"""The hashes of a PDB, and the tables that are kept by them.

Layout: misc.h, gsi.h, nmt.h and nmtni.h of github.com/microsoft/microsoft-pdb; LLVM's description of the streams.
"""

from __future__ import annotations

import zlib
from struct import iter_unpack, pack
from typing import Dict, List, Mapping, Sequence, Tuple

_BUCKETS = 4096


def hash_name(name: bytes) -> int:
    """Version 1 of the name hash: words combined by exclusive or, blind to ASCII case."""
    whole = len(name) & ~3
    value = 0
    for (word,) in iter_unpack("<I", name[:whole]):
        value ^= word
    if len(name) & 2:
        value ^= int.from_bytes(name[whole : whole + 2], "little")
    if len(name) & 1:
        value ^= name[-1]
    value |= 0x20202020
    value ^= value >> 11
    return value ^ value >> 16


def hash_bytes(data: bytes) -> int:
    """The hash of whole records: CRC-32 that begins with zero and is not inverted at its end."""
    return zlib.crc32(data, 0xFFFF_FFFF) ^ 0xFFFF_FFFF


def symbol_hash(symbols: Sequence[Tuple[bytes, int]]) -> bytes:
    """The hash stream of globals or publics; `symbols` are (name, offset in the record stream)."""
    buckets: Dict[int, List[Tuple[int, bytes, int]]] = {}
    for name, offset in symbols:
        buckets.setdefault(hash_name(name) % _BUCKETS, []).append((len(name), name.lower(), offset))
    records, starts = b"", b""
    bits = bytearray((_BUCKETS + 32) // 32 * 4)
    for bucket in sorted(buckets):
        # The starts count records of 12 bytes, which is what the 32-bit linker has for one in memory.
        starts += pack("<I", len(records) // 8 * 12)
        bits[bucket // 8] |= 1 << bucket % 8
        records += b"".join(pack("<II", offset + 1, 1) for _, _, offset in sorted(buckets[bucket]))
    if not symbols:
        return pack("<IIII", 0xFFFF_FFFF, 0xEFFE_0000 + 19990810, 0, 0)
    head = pack("<IIII", 0xFFFF_FFFF, 0xEFFE_0000 + 19990810, len(records), len(bits) + len(starts))
    return head + records + bytes(bits) + starts


class NameTable:
    """Strings that other streams refer to by offset (the stream /names). Offset 0 is the empty string."""

    def __init__(self) -> None:
        self._offsets: Dict[str, int] = {"": 0}
        self._strings = bytearray(b"\0")

    def add(self, text: str) -> int:
        """The offset of a string, which is put where it is not there yet."""
        if text not in self._offsets:
            self._offsets[text] = len(self._strings)
            self._strings += text.encode() + b"\0"
        return self._offsets[text]

    def build(self) -> bytes:
        """The table's bytes."""
        names = [(text, offset) for text, offset in self._offsets.items() if text]
        buckets = [0] * max(4, len(names) * 3 // 2 + 1)
        for text, offset in names:
            place = hash_name(text.encode()) % len(buckets)
            while buckets[place]:
                place = (place + 1) % len(buckets)
            buckets[place] = offset
        head = pack("<III", 0xEFFE_EFFE, 1, len(self._strings))
        table = pack(f"<I{len(buckets)}I", len(buckets), *buckets)
        return head + bytes(self._strings) + table + pack("<I", len(names))


def named_streams(streams: Mapping[str, int]) -> bytes:
    """The table of named streams behind the info stream's header: strings, then a hash table of offset and number."""
    strings = bytearray()
    capacity = max(8, len(streams) * 2)
    slots: Dict[int, Tuple[int, int]] = {}
    for name, number in streams.items():
        place = (hash_name(name.encode()) & 0xFFFF) % capacity
        while place in slots:
            place = (place + 1) % capacity
        slots[place] = len(strings), number
        strings += name.encode() + b"\0"
    words = [sum(1 << place % 32 for place in slots if place // 32 == word) for word in range(-(-capacity // 32))]
    table = pack("<II", len(slots), capacity) + pack(f"<I{len(words)}I", len(words), *words) + pack("<I", 0)
    pairs = b"".join(pack("<II", *slots[place]) for place in sorted(slots))
    return pack("<I", len(strings)) + bytes(strings) + table + pairs
