"""Tagged data behind a dump: DUMP_BLOB_FILE_HEADER and DUMP_BLOB_HEADER of ntiodump.h, SMBIOS, processor key."""

from __future__ import annotations

from struct import pack
from typing import Sequence, Tuple, Union
from uuid import UUID

SMBIOS = "bc5c008f-1e3a-44d7-988d-86f6884c6758"
PROCESSOR_KEY = "6c7ac389-4313-47dc-9f34-a8800a0fb56c"
#: The black boxes of boot status, NTFS, Plug and Play and Winlogon, as dumps of Windows 10 and 11 have them.
BOOT_STATUS = "f57308df-cc45-4e01-ad76-29a4ebb010ec"
NTFS = "00afe9c4-940d-4213-8016-cd3719b5bc20"
PLUG_AND_PLAY = "b7631941-532a-4cd6-b1b1-edb5917d4557"
WINLOGON = "80cc79cf-a719-4af1-bf97-fe29ff76ebc1"


def tagged_part(pieces: Sequence[Tuple[str, bytes]]) -> bytes:
    """What stands behind the dump's last page; nothing where there is no tagged data."""
    if not pieces:
        return b""
    part = b"DumpBlob" + pack("<II", 0x10, 0xF0004A61)
    for guid, data in pieces:
        padding = -len(data) % 8
        part += pack("<I16sIII", 0x20, UUID(guid).bytes_le, len(data), 0, padding) + data + bytes(padding)
    return part


def smbios_structure(type: int, handle: int, formatted: bytes, strings: Sequence[str]) -> bytes:
    """One structure (DMTF DSP0134): `formatted` is what follows its header of four bytes."""
    texts = b"".join(text.encode() + b"\0" for text in strings) or b"\0"
    return pack("<BBH", type, 4 + len(formatted), handle) + formatted + texts + b"\0"


def smbios(manufacturer: str, product: str, processor: str, version: Tuple[int, int] = (3, 1)) -> bytes:
    """RawSMBIOSData with structures of types 0, 1, 4 and the end mark."""
    bios = smbios_structure(0, 0, pack("<BBHBB", 1, 2, 0, 3, 0) + bytes(14), ["Forged", "1.0", "01/01/2023"])
    system = smbios_structure(
        1, 1, pack("<BBBB", 1, 2, 0, 0) + bytes(16) + pack("<BBB", 6, 0, 0), [manufacturer, product]
    )
    cpu = smbios_structure(
        4, 2, pack("<BBBB", 1, 3, 0xCD, 2) + bytes(8) + pack("<B", 3) + bytes(25), ["None", "Intel", processor]
    )
    table = bios + system + cpu + smbios_structure(127, 3, b"", [])
    return pack("<BBBBI", 0, *version, 0, len(table)) + table


def processor_key(values: Sequence[Tuple[str, Union[str, int]]]) -> bytes:
    """The values of HARDWARE\\DESCRIPTION\\System\\CentralProcessor\\0: text as REG_SZ, numbers as REG_DWORD."""
    part = b""
    for name, value in values:
        title = (name + "\0").encode("utf-16-le")
        data = (value + "\0").encode("utf-16-le") if isinstance(value, str) else pack("<I", value)
        part += pack("<I", len(title)) + title + pack("<II", 1 if isinstance(value, str) else 4, len(data)) + data
    return part


def black_boxes(time: int) -> Sequence[Tuple[str, bytes]]:
    """The black boxes of a machine that started at a FILETIME, in their form and without events: one of each."""
    boot = pack("<IIQ", 0xC8, 1, 0) + bytes(0xB8)
    records = pack("<IIQHH", 0x10000000, 0x118, time, 8, 0x18) + bytes(0xFEC)
    device = pack("<16sQII", b"", time, 3, 0) + bytes(0x20)
    name = "ShellRestart\0".encode("utf-16-le")
    logon = pack("<III", 1, 0xC + len(name), 0) + name
    return [(BOOT_STATUS, boot), (NTFS, records), (PLUG_AND_PLAY, device), (WINLOGON, logon)]
