"""The PDB's identity (stream 1) and its named streams.

Layout: PDBStream70 and NMTNI of github.com/microsoft/microsoft-pdb; LLVM's "The PDB Info Stream".
"""

from __future__ import annotations

import struct

from dumpkit.errors import SymbolError
from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.container import Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict

INFO_STREAM = 1
_HEADER = struct.Struct("<III16s")


class PdbInfo(NamedTuple):
    """What stream 1 says. Its age counts writes of the PDB; symbol stores use the age of the DBI stream instead."""

    version: int
    #: Seconds since 1970, or a hash.
    signature: int
    age: int
    #: 32 upper-case hexadecimal digits, as a symbol store names its folders.
    guid: str
    #: Name -> stream number.
    named_streams: Dict[str, int]


def read_info(container: Container) -> PdbInfo:
    """Decode stream 1. Raises SymbolError where it is too short; a damaged name table just names nothing."""
    data = container.read(INFO_STREAM)
    if len(data) < _HEADER.size:
        raise SymbolError(f"{container.path}: the PDB is damaged: no info stream")
    version, signature, age, guid = _HEADER.unpack_from(data)
    return PdbInfo(version, signature, age, store_guid(guid), _named_streams(data, _HEADER.size))


def store_guid(raw: bytes) -> str:
    """A GUID's 16 bytes as symbol stores write it: three little-endian numbers, then bytes, without dashes."""
    first, second, third = struct.unpack_from("<IHH", raw)
    return f"{first:08X}{second:04X}{third:04X}{raw[8:16].hex().upper()}"


def _named_streams(data: bytes, offset: int) -> Dict[str, int]:
    """The name table: a string buffer, then a hash table (size, capacity, two bit vectors, pairs)."""
    named: Dict[str, int] = {}
    try:
        (size,) = struct.unpack_from("<I", data, offset)
        strings = data[offset + 4 : offset + 4 + size]
        offset += 4 + size
        count, _capacity, present = struct.unpack_from("<III", data, offset)
        offset += 12 + present * 4
        (deleted,) = struct.unpack_from("<I", data, offset)
        offset += 4 + deleted * 4
        for name_offset, stream in struct.iter_unpack("<II", data[offset : offset + count * 8]):
            end = strings.find(b"\0", name_offset)
            if end >= 0:
                named[strings[name_offset:end].decode("utf-8", "replace")] = stream
    except struct.error:
        return named
    return named
