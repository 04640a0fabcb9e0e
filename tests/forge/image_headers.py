"""The headers of a PE32+ image, as a linker of today writes them for a kernel driver (winnt.h)."""

from __future__ import annotations

from struct import pack
from typing import NamedTuple, Sequence, Tuple

#: The DOS program that every linker puts in front.
_STUB = bytes.fromhex("0e1fba0e00b409cd21b8014ccd21") + b"This program cannot be run in DOS mode.\r\r\n$"
#: DataDirectory indices.
EXPORT, IMPORT, RESOURCE, EXCEPTION, RELOCATION, DEBUG, LOAD_CONFIG, IAT, DELAY_IMPORT = 0, 1, 2, 3, 5, 6, 10, 12, 13
#: Where fields lie, from the start of IMAGE_NT_HEADERS64.
IMAGE_BASE_AT, CHECKSUM_AT = 0x30, 0x58


class HeaderFacts(NamedTuple):
    """What the headers say beyond the sections."""

    new_header: int
    timestamp: int
    image_base: int
    image_size: int
    entry_point: int
    headers_size: int
    subsystem: int
    characteristics: int
    dll_characteristics: int
    linker: Tuple[int, int]
    system: Tuple[int, int]
    directories: Sequence[Tuple[int, int]]


def build_headers(facts: HeaderFacts, sections: Sequence[bytes], code: Sequence[int], rich: bytes = b"") -> bytes:
    """DOS header and stub, `rich` behind them, IMAGE_NT_HEADERS64 and the section table.

    `code` is the size of all code and of all data, and the RVA of the first section of code.
    """
    dos = b"MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff\0\0\xb8\0\0\0\0\0\0\0\x40".ljust(0x3C, b"\0")
    start = ((dos + pack("<I", facts.new_header) + _STUB).ljust(0x80, b"\0") + rich).ljust(facts.new_header, b"\0")
    if len(start) > facts.new_header:
        raise ValueError(f"the DOS header and stub reach beyond {facts.new_header:#x}")
    optional = pack("<HBBIIIII", 0x20B, *facts.linker, code[0], code[1], 0, facts.entry_point, code[2])
    optional += pack("<QII6HI", facts.image_base, 0x1000, 0x200, *facts.system, *facts.system, *facts.system, 0)
    optional += pack("<IIIHH", facts.image_size, facts.headers_size, 0, facts.subsystem, facts.dll_characteristics)
    optional += pack("<QQQQII", 0x100000, 0x1000, 0x100000, 0x1000, 0, len(facts.directories))
    optional += b"".join(pack("<II", *entry) for entry in facts.directories)
    file_header = pack("<HHIIIHH", 0x8664, len(sections), facts.timestamp, 0, 0, len(optional), facts.characteristics)
    headers = start + b"PE\0\0" + file_header + optional + b"".join(sections)
    if len(headers) > facts.headers_size:
        raise ValueError(f"the headers take {len(headers):#x} bytes, {facts.headers_size:#x} were allowed")
    return headers.ljust(facts.headers_size, b"\0")
