"""Streams of type records (TPI and IPI): records with indices, their hashes and the sparse index.

Layout: HDR of tpi.h and lfRecord of cvinfo.h in github.com/microsoft/microsoft-pdb.
"""

from __future__ import annotations

from struct import pack
from typing import Dict, List, NamedTuple

from tests.forge.pdb_hash import hash_bytes

FIRST_INDEX = 0x1000
_VERSION, _BUCKETS = 20040203, 0x3FFFF
#: A place in the sparse index for every so many bytes of records.
_INDEX_EVERY = 8192


def numeric(value: int) -> bytes:
    """A number in a record: two bytes for small ones, else a leaf that says its kind."""
    if 0 <= value < 0x8000:
        return pack("<H", value)
    for leaf, letter, low, high in (
        (0x8000, "b", -0x80, 0),
        (0x8001, "h", -0x8000, 0),
        (0x8002, "H", 0, 0x10000),
        (0x8003, "i", -0x8000_0000, 0),
        (0x8004, "I", 0, 1 << 32),
        (0x8009, "q", -(1 << 63), 0),
        (0x800A, "Q", 0, 1 << 64),
    ):
        if low <= value < high:
            return pack(f"<H{letter}", leaf, value)
    raise ValueError(f"{value} does not fit 64 bits")


def text(value: str) -> bytes:
    """A zero-terminated name."""
    return value.encode() + b"\0"


def padded(data: bytes) -> bytes:
    """Bytes filled up to a multiple of four the way of type records: F3 F2 F1."""
    return data + bytes(0xF0 | left for left in range(-len(data) % 4, 0, -1))


class TypeStream(NamedTuple):
    """The stream with its header, and the stream of hashes that belongs to it."""

    records: bytes
    hashes: bytes


class TypeRecords:
    """Records being gathered; equal ones share an index."""

    def __init__(self) -> None:
        self._records: List[bytes] = []
        self._hashes: List[int] = []
        self._known: Dict[bytes, int] = {}

    def add(self, leaf: int, body: bytes, hash_value: int = -1) -> int:
        """The index of a record; `hash_value` is its name's hash, -1 takes the hash of the whole record."""
        # The length leaves itself out, but is padded together with the rest.
        record = padded(pack("<HH", 0, leaf) + body)
        record = pack("<H", len(record) - 2) + record[2:]
        if len(record) > 0xFFFF:
            raise ValueError(f"a type record of {len(record)} bytes; 65535 are the most")
        index = self._known.get(record)
        if index is None:
            index = self._known[record] = FIRST_INDEX + len(self._records)
            self._records.append(record)
            self._hashes.append((hash_bytes(record) if hash_value < 0 else hash_value) % _BUCKETS)
        return index

    def __len__(self) -> int:
        return len(self._records)

    def build(self, hash_stream: int) -> TypeStream:
        """Both streams; `hash_stream` is the number of the second one."""
        index, offset, marked = b"", 0, -1
        for number, record in enumerate(self._records):
            if offset // _INDEX_EVERY != marked:
                marked = offset // _INDEX_EVERY
                index += pack("<II", FIRST_INDEX + number, offset)
            offset += len(record)
        hashes = pack(f"<{len(self._hashes)}I", *self._hashes)
        body = b"".join(self._records)
        head = pack("<5I", _VERSION, 56, FIRST_INDEX, FIRST_INDEX + len(self._records), len(body))
        head += pack("<HHII", hash_stream, 0xFFFF, 4, _BUCKETS)
        head += pack("<6I", 0, len(hashes), len(hashes), len(index), len(hashes) + len(index), 0)
        return TypeStream(head + body, hashes + index)
