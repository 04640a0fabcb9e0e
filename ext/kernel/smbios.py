"""SMBIOS: what the firmware says of the machine.

Layout: DMTF DSP0134 (System Management BIOS Reference Specification) for the structures, RawSMBIOSData of
GetSystemFirmwareTable (Windows SDK) for what stands before them.
"""

from __future__ import annotations

from struct import Struct

from dumpkit.errors import DumpkitError
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional, Tuple

#: The tagged data of a dump that holds a RawSMBIOSData; found in dumps of Windows 8.1 to 11.
SMBIOS_TAG = "bc5c008f-1e3a-44d7-988d-86f6884c6758"

_RAW_HEADER = Struct("<BBBBI")
#: Real tables have some tens of structures.
_MOST_STRUCTURES = 1000
#: Bytes: the length of a table has 16 bits in the entry point of version 2, and no real one of version 3 is longer.
_LARGEST_TABLE = 1 << 16
_END_OF_TABLE = 127

#: Structure type -> its strings that a debugger shows: (name, offset of the string's number).
_STRINGS: Dict[int, Tuple[Tuple[str, int], ...]] = {
    0: (("BiosVendor", 4), ("BiosVersion", 5), ("BiosReleaseDate", 8)),
    1: (
        ("SystemManufacturer", 4),
        ("SystemProductName", 5),
        ("SystemVersion", 6),
        ("SystemSerialNumber", 7),
        ("SystemSKU", 0x19),
        ("SystemFamily", 0x1A),
    ),
    2: (("BaseBoardManufacturer", 4), ("BaseBoardProduct", 5), ("BaseBoardVersion", 6)),
    4: (("ProcessorSocket", 4), ("ProcessorManufacturer", 7), ("ProcessorVersion", 0x10)),
}


class Structure(NamedTuple):
    """One SMBIOS structure: its formatted area, header included, and its strings."""

    type: int
    data: bytes
    strings: List[str]

    def string(self, offset: int) -> Optional[str]:
        """The string whose number stands at an offset of the formatted area; None where there is none."""
        number = self.data[offset] if offset < len(self.data) else 0
        return self.strings[number - 1] if 0 < number <= len(self.strings) else None


class Smbios:
    """An SMBIOS table as GetSystemFirmwareTable gives it."""

    def __init__(self, raw: bytes) -> None:
        """`raw` is a RawSMBIOSData, possibly cut; what is damaged is left out."""
        self._table = b""
        #: (major, minor), or None where the header is missing.
        self.version: Optional[Tuple[int, int]] = None
        if len(raw) >= _RAW_HEADER.size:
            _, major, minor, _, length = _RAW_HEADER.unpack_from(raw, 0)
            self.version = (major, minor)
            self._table = raw[_RAW_HEADER.size : _RAW_HEADER.size + length]

    def structures(self) -> Iterator[Structure]:
        """The structures in the table's order, up to the end or the first that is damaged."""
        offset = 0
        for _ in range(_MOST_STRUCTURES):
            header = self._table[offset : offset + 4]
            if len(header) < 4 or header[1] < 4 or header[0] == _END_OF_TABLE:
                return
            strings_at = offset + header[1]
            end = self._table.find(b"\0\0", strings_at)
            if end < 0:
                return
            texts = self._table[strings_at:end].split(b"\0") if end > strings_at else []
            strings = [text.decode("utf-8", "replace") for text in texts]
            yield Structure(header[0], self._table[offset:strings_at], strings)
            offset = end + 2

    def facts(self) -> Dict[str, str]:
        """Names as `!sysinfo machineid` has them -> text; of several structures of a type the first counts."""
        facts: Dict[str, str] = {}
        for structure in self.structures():
            for name, offset in _STRINGS.get(structure.type, ()):
                text = structure.string(offset)
                if text is not None:
                    facts.setdefault(name, text.strip())
        return facts


def firmware_table(target: Target) -> bytes:
    """The SMBIOS table where the firmware left it in physical memory, with the header that a RawSMBIOSData has.

    The kernel remembers the place alone: WmipSMBiosTablePhysicalAddress and WmipSMBiosTableLength. Raises
    DumpkitError where no symbols tell them, or the dump lacks those pages.
    """
    memory, address_of = target.memory, target.symbols.address_of
    address = memory.u64(address_of("nt!WmipSMBiosTablePhysicalAddress"))
    length = min(memory.u32(address_of("nt!WmipSMBiosTableLength")), _LARGEST_TABLE)
    if not address or not length or target.physical is None:
        raise DumpkitError("the kernel has no SMBIOS table")
    return _RAW_HEADER.pack(0, 0, 0, 0, length) + target.physical.read(address, length)
