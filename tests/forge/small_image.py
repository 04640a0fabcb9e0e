"""Writes PE images: a header, one section each for code, data and tables, exports and a CodeView record."""

from __future__ import annotations

from struct import pack
from typing import List, Optional, Sequence, Tuple, Union

CODE_RVA, DATA_RVA, TABLE_RVA = 0x1000, 0x2000, 0x3000
CODE, DATA = 0x6000_0020, 0xC000_0040
IMAGE_SIZE = 0x10000
GUID = "112233445566778899AABBCCDDEEFF00"

#: (name or None, RVA or the text of a forwarder); ordinals count from the base.
ExportSpec = Tuple[Optional[str], Union[int, str]]


def rsds(guid: str = GUID, age: int = 1, name: str = "made.pdb") -> bytes:
    """A CodeView record; `guid` in the order of a symbol store's key."""
    raw = bytes.fromhex(guid)
    return b"RSDS" + raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:] + pack("<I", age) + name.encode() + b"\0"


def export_table(exports: Sequence[ExportSpec], rva: int, base: int = 1, image_name: str = "made.sys") -> bytes:
    """An export directory with everything that belongs to it, to lie at `rva`."""
    names = sorted((name, index) for index, (name, _) in enumerate(exports) if name is not None)
    functions_at = rva + 40
    names_at = functions_at + 4 * len(exports)
    ordinals_at = names_at + 4 * len(names)
    texts_at = ordinals_at + 2 * len(names)
    texts = bytearray()

    def text(value: str) -> int:
        place = texts_at + len(texts)
        texts.extend(value.encode() + b"\0")
        return place

    image_name_at = text(image_name)
    functions = [target if isinstance(target, int) else text(target) for _, target in exports]
    name_places = [text(name) for name, _ in names]
    head = pack(
        "<IIHHIIIIIII", 0, 0, 0, 0, image_name_at, base, len(exports), len(names), functions_at, names_at, ordinals_at
    )
    arrays = pack(f"<{len(functions)}I", *functions) + pack(f"<{len(names)}I", *name_places)
    return head + arrays + pack(f"<{len(names)}H", *(index for _, index in names)) + bytes(texts)


def image(
    exports: Sequence[ExportSpec] = (),
    codeview: Optional[bytes] = None,
    timestamp: int = 0x5F000001,
    size: int = IMAGE_SIZE,
    checksum: int = 0x1234,
    is_64bit: bool = True,
    machine: int = 0x8664,
    base: int = 1,
    repro: bool = False,
) -> bytes:
    """An image file: `.text` of 0x800, `.data` of 0x400 (0x100 of them in the file) and `.rdata` for the tables."""
    tables = export_table(exports, TABLE_RVA, base) if exports else b""
    directories: List[Tuple[int, int]] = [(0, 0)] * 16
    if exports:
        directories[0] = (TABLE_RVA, len(tables))
    entries = []
    if codeview is not None:
        entries.append((2, codeview))
    if repro:
        entries.append((16, pack("<I", 0)))
    file_at = 0x400 + 0x800 + 0x200
    debug_at = len(tables)
    payload_at = debug_at + 28 * len(entries)
    directory, payloads = b"", b""
    for kind, data in entries:
        at = payload_at + len(payloads)
        directory += pack("<IIHHIIII", 0, timestamp, 0, 0, kind, len(data), TABLE_RVA + at, file_at + at)
        payloads += data
    if entries:
        directories[6] = (TABLE_RVA + debug_at, len(directory))
    tables += directory + payloads
    sections = [
        (b".text", 0x800, CODE_RVA, 0x800, 0x400, CODE),
        (b".data", 0x400, DATA_RVA, 0x200, 0xC00, DATA),
        (b".rdata", max(len(tables), 1), TABLE_RVA, len(tables), 0xE00, 0x4000_0040),
    ]
    head = _headers(timestamp, size, checksum, is_64bit, machine, directories, sections)
    return head.ljust(0x400, b"\0") + b"\xcc" * 0x800 + (b"D" * 0x100).ljust(0x200, b"\0") + tables


def _headers(
    timestamp: int,
    size: int,
    checksum: int,
    is_64bit: bool,
    machine: int,
    directories: Sequence[Tuple[int, int]],
    sections: Sequence[Tuple[bytes, int, int, int, int, int]],
) -> bytes:
    optional = pack("<HBBIIIII", 0x20B if is_64bit else 0x10B, 14, 0, 0x800, 0, 0, CODE_RVA + 0x10, CODE_RVA)
    optional += pack("<Q", 0x140000000) if is_64bit else pack("<II", DATA_RVA, 0x400000)
    optional += pack("<IIHHHHHHI", 0x1000, 0x200, 10, 0, 10, 0, 10, 0, 0)
    optional += pack("<IIIHH", size, 0x400, checksum, 1, 0)
    optional += pack("<4Q" if is_64bit else "<4I", 0x40000, 0x1000, 0x100000, 0x1000)
    optional += pack("<II", 0, len(directories))
    optional += b"".join(pack("<II", *entry) for entry in directories)
    dos = b"MZ".ljust(0x3C, b"\0") + pack("<I", 0x80)
    file_header = pack("<HHIIIHH", machine, len(sections), timestamp, 0, 0, len(optional), 0x22)
    table = b"".join(
        name.ljust(8, b"\0") + pack("<IIIIIIHHI", virtual, rva, raw, raw_at, 0, 0, 0, 0, flags)
        for name, virtual, rva, raw, raw_at, flags in sections
    )
    return dos.ljust(0x80, b"\0") + b"PE\0\0" + file_header + optional + table


def mapped(file: bytes, size: int = IMAGE_SIZE) -> bytes:
    """What `image` made, as the loader lays it out."""
    memory = bytearray(size)
    memory[:0x400] = file[:0x400]
    memory[CODE_RVA : CODE_RVA + 0x800] = file[0x400:0xC00]
    memory[DATA_RVA : DATA_RVA + 0x200] = file[0xC00:0xE00]
    tables = file[0xE00:]
    memory[TABLE_RVA : TABLE_RVA + len(tables)] = tables
    return bytes(memory)
