"""A made-up kernel in physical memory: page tables, debugger data, loaded and unloaded modules, processors.

What it lays out is what a debugger reads without symbols; layouts as wdbgexts.h (KDDEBUGGER_DATA64) and the
kernel's public symbols (_KLDR_DATA_TABLE_ENTRY, _KSPECIAL_REGISTERS) have them.
"""

from __future__ import annotations

from struct import pack, pack_into
from typing import Dict, List, NamedTuple, Optional, Sequence

from tests.forge.debugger_data import LAYOUT, build_debugger_data
from tests.forge.memory import PhysicalPages
from tests.forge.page_tables import PageTables

BASE = 0xFFFFF80010000000
LOADED_MODULE_LIST = BASE + 0x2A390
PROCESSOR_BLOCK = BASE + 0x2B000
UNLOADED_DRIVERS = BASE + 0x2C000
LAST_UNLOADED_DRIVER = BASE + 0x2C008
BUILD_LAB = BASE + 0x2D000
SERVICE_PACK = BASE + 0x2D800
DEBUGGER_DATA = BASE + 0x30B20

#: Where pool allocations of the made-up kernel lie.
_POOL = 0xFFFF800000100000
_PRCBS = 0xFFFF800010000000
_PRCB_SPACING = 0x10000

ENTRY_SIZE = 0xA0


class Image(NamedTuple):
    """A loaded image. With `header`, its PE header lies in memory and says `timestamp` and `checksum`."""

    base: int
    size: int
    name: str
    timestamp: int = 0x5E0F0000
    checksum: int = 0x1234
    header: bool = False


class Unloaded(NamedTuple):
    """An unloaded image; the oldest comes first in a list of them."""

    start: int
    end: int
    name: str
    time: int = 0x1DA_2600_0000_0000


class Kernel:
    """A kernel being laid out; `header_fields` is what a dump's header says of it."""

    def __init__(self, memory: Optional[PhysicalPages] = None, levels: int = 4) -> None:
        self.memory = PhysicalPages() if memory is None else memory
        self.tables = PageTables(self.memory, levels)
        #: The virtual address of each loaded module's list entry, in the list's order.
        self.entries: List[int] = []
        self.members: Dict[str, int] = {"KernBase": BASE, "PsLoadedModuleList": LOADED_MODULE_LIST}
        self._pool = _POOL
        self.put(LOADED_MODULE_LIST, pack("<QQ", LOADED_MODULE_LIST, LOADED_MODULE_LIST))

    def put(self, address: int, data: bytes) -> None:
        """Write virtual memory."""
        self.tables.map_bytes(address, data)

    def allocate(self, data: bytes) -> int:
        """Put data into the pool; its virtual address."""
        address = self._pool
        self.put(address, data)
        self._pool += -(-len(data) // 0x10) * 0x10
        return address

    @property
    def root(self) -> int:
        """Physical address of the top page table."""
        return self.tables.root

    @property
    def header_fields(self) -> Dict[str, int]:
        """The fields of a dump header that lead to this kernel."""
        return {"ps_loaded_module_list": LOADED_MODULE_LIST, "kd_debugger_data_block": DEBUGGER_DATA}

    def add_debugger_data(self, tag: bytes = b"KDBG") -> None:
        """Lay out the debugger data block with what was added so far."""
        self.put(DEBUGGER_DATA, build_debugger_data(tag=tag, **self.members))

    def add_modules(self, images: Sequence[Image]) -> None:
        """Lay out PsLoadedModuleList."""
        self.entries = [self.allocate(bytes(ENTRY_SIZE)) for _ in images]
        ring = [LOADED_MODULE_LIST, *self.entries]
        self.put(LOADED_MODULE_LIST, pack("<QQ", ring[1 % len(ring)], ring[-1]))
        for number, (entry, image) in enumerate(zip(self.entries, images), 1):
            record = bytearray(ENTRY_SIZE)
            pack_into("<QQ", record, 0, ring[(number + 1) % len(ring)], ring[number - 1])
            pack_into("<Q", record, 0x30, image.base)
            pack_into("<I", record, 0x40, image.size)
            for offset in (0x48, 0x58):
                text = image.name.encode("utf-16-le")
                pack_into("<HHIQ", record, offset, len(text), len(text), 0, self.allocate(text))
            if image.header:
                self.put(image.base, build_image_header(image))
            else:
                pack_into("<I", record, 0x78, image.checksum)
                pack_into("<I", record, 0x9C, image.timestamp)
            self.put(entry, bytes(record))

    def add_unloaded(self, images: Sequence[Unloaded], next_index: Optional[int] = None) -> None:
        """Lay out MmUnloadedDrivers; `next_index` is where the next one would go (default: behind these)."""
        array = bytearray(50 * 0x28)
        for number, image in enumerate(images):
            text = image.name.encode("utf-16-le")
            name = self.allocate(text)
            pack_into("<HHIQQQQ", array, number * 0x28, len(text), len(text), 0, name, *image[:2], image.time)
        self.put(UNLOADED_DRIVERS, pack("<Q", self.allocate(bytes(array))))
        self.put(LAST_UNLOADED_DRIVER, pack("<I", len(images) if next_index is None else next_index))
        self.members["MmUnloadedDrivers"] = UNLOADED_DRIVERS
        self.members["MmLastUnloadedDriver"] = LAST_UNLOADED_DRIVER

    def add_build_lab(self, text: str) -> None:
        """Lay out NtBuildLab."""
        self.put(BUILD_LAB, text.encode("ascii") + b"\0")
        self.members["NtBuildLab"] = BUILD_LAB

    def add_service_pack(self, value: int) -> None:
        """Lay out CmNtCSDVersion."""
        self.put(SERVICE_PACK, pack("<I", value))
        self.members["CmNtCSDVersion"] = SERVICE_PACK

    def add_processors(self, contexts: Sequence[bytes], pointed: bool = True) -> List[int]:
        """Lay out a KPRCB, a thread and a process for each processor; the KPRCBs' virtual addresses.

        The registers lie where KPRCB.Context points, or without `pointed` in the KPRCB's own ProcessorState.
        """
        prcbs = [_PRCBS + number * _PRCB_SPACING for number in range(len(contexts))]
        self.put(PROCESSOR_BLOCK, b"".join(pack("<Q", prcb) for prcb in prcbs))
        self.members["KiProcessorBlock"] = PROCESSOR_BLOCK
        for number, (prcb, context) in enumerate(zip(prcbs, contexts)):
            data = bytearray(LAYOUT["SizePrcb"])
            thread = bytearray(LAYOUT["SizeEThread"])
            pack_into("<Q", thread, LAYOUT["OffsetKThreadApcProcess"], self.allocate(bytes(LAYOUT["SizeEProcess"])))
            pack_into("<I", data, LAYOUT["OffsetPrcbNumber"], number)
            pack_into("<Q", data, LAYOUT["OffsetPrcbCurrentThread"], self.allocate(bytes(thread)))
            pack_into("<Q", data, LAYOUT["OffsetPrcbProcStateSpecialReg"] + 0x10, self.root)
            if pointed:
                pack_into("<Q", data, LAYOUT["OffsetPrcbContext"], self.allocate(context))
            else:
                start = LAYOUT["OffsetPrcbProcStateContext"]
                data[start : start + len(context)] = context
            self.put(prcb, bytes(data[: LAYOUT["SizePrcb"]]))
        return prcbs


def build_image_header(image: Image) -> bytes:
    """The first bytes of a PE image: DOS header and IMAGE_NT_HEADERS64 (winnt.h)."""
    header = bytearray(0x200)
    header[:2] = b"MZ"
    pack_into("<I", header, 0x3C, 0x80)
    header[0x80:0x84] = b"PE\0\0"
    pack_into("<HHI", header, 0x84, 0x8664, 0, image.timestamp)
    pack_into("<H", header, 0x98, 0x20B)
    pack_into("<I4xI", header, 0xD0, image.size, image.checksum)
    return bytes(header)
