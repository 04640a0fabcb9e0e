"""Triage dumps (type 4) as Windows lays them out: a deterministic writer for tests.

Sources: TRIAGE_DUMP64, DUMP_DRIVER_ENTRY64 and TRIAGE_DATA_BLOCK of ntiodump.h as rizin and Ghidra document them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import pack, pack_into
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from tests.forge.debugger_data import LAYOUT, build_debugger_data
from tests.forge.header import HEADER_SIZE, TRIAGE, X64, build_header

KERNEL_BASE = 0xFFFFF80010000000
DEBUGGER_DATA = KERNEL_BASE + 0xC00B20
LOADED_MODULE_LIST = KERNEL_BASE + 0xC2A390
THREAD = 0xFFFF800000001040
PROCESS = 0xFFFF800000002080
STACK = 0xFFFFA00000003000

#: The sizes of CONTEXT (x64) and ARM64_NT_CONTEXT.
CONTEXT_SIZES = {X64: 0x4D0, 0xAA64: 0x390}

_TABLES = HEADER_SIZE + 0x80
_MM_SIZE = 0x50


class Driver(NamedTuple):
    """A loaded driver."""

    base: int
    size: int
    name: str
    timestamp: int = 0x5E0F0000
    checksum: int = 0x1234


class Unloaded(NamedTuple):
    """An unloaded driver."""

    start: int
    end: int
    name: str


class Block(NamedTuple):
    """A piece of virtual memory."""

    address: int
    data: bytes


def build_context(machine: int = X64, instruction: int = KERNEL_BASE + 0x1000, stack: int = STACK) -> bytes:
    """A context record: the instruction and stack pointers, and numbers for the first registers."""
    record = bytearray(CONTEXT_SIZES[machine])
    if machine == X64:
        pack_into("<I", record, 0x30, 0x10000F)
        pack_into("<I", record, 0x44, 0x246)
        pack_into("<4Q", record, 0x78, 0xA, 0xB, 0xC, 0xD)
        pack_into("<Q", record, 0x98, stack)
        pack_into("<Q", record, 0xF8, instruction)
    else:
        pack_into("<4Q", record, 0x8, 0xA, 0xB, 0xC, 0xD)
        pack_into("<QQ", record, 0x100, stack, instruction)
    return bytes(record)


_STACK = Block(STACK, b"".join(pack("<Q", i) for i in range(64)))


@dataclass
class TriageFile:
    """What a triage dump is to say; `build` gives its bytes."""

    machine: int = X64
    processors: int = 1
    processor: int = 0
    drivers: Sequence[Driver] = (Driver(KERNEL_BASE, 0x1000000, "\\SystemRoot\\system32\\ntoskrnl.exe"),)
    unloaded: Sequence[Unloaded] = ()
    blocks: Sequence[Block] = ()
    stack: Block = _STACK
    data_page: Optional[Block] = None
    context: bytes = b""
    #: Members of the debugger data block; None leaves it out.
    debugger_data: Optional[Dict[str, int]] = field(default_factory=dict)
    thread: int = THREAD
    process: int = PROCESS
    service_pack: int = 0
    #: (GUID's 16 bytes, data) behind the dump.
    tagged: Sequence[Tuple[bytes, bytes]] = ()
    header: Dict[str, int] = field(default_factory=dict)

    def build(self) -> bytes:
        """The dump's bytes."""
        return _Layout(self).build()


class _Layout:
    """A file being laid out: parts are appended, and the tables told where they are."""

    def __init__(self, what: TriageFile) -> None:
        self.what = what
        self.data = bytearray(_TABLES + _MM_SIZE)
        self.tables: Dict[int, Tuple[str, int]] = {0x14: ("<I", _TABLES)}

    def append(self, part: bytes) -> int:
        """Put a part behind what is there, at a multiple of 8; its file offset."""
        self.data += bytes(-len(self.data) % 8)
        offset = len(self.data)
        self.data += part
        return offset

    def set(self, place: int, value: int, layout: str = "<I") -> None:
        self.tables[place] = (layout, value)

    def build(self) -> bytes:
        what = self.what
        self.add_crash_processor()
        self.add_modules()
        self.add_memory()
        self.set(0x0, what.service_pack)
        self.set(0xC, 0x348)
        self.set(0x10, 0xF00)
        end = self.append(b"TRGD")
        self.set(0x8, end)
        self.set(0x4, end + 4)
        for place, (layout, value) in self.tables.items():
            pack_into(layout, self.data, HEADER_SIZE + place, value)
        self.data[:HEADER_SIZE] = self.build_header()
        if what.tagged:
            self.data += b"DumpBlob" + pack("<II", 0x10, 0xF0004A61)
            for guid, data in what.tagged:
                padding = -len(data) % 8
                self.data += pack("<I16sIII", 0x20, guid, len(data), 0, padding) + data + bytes(padding)
        return bytes(self.data)

    def build_header(self) -> bytearray:
        what = self.what
        fields = {
            "machine": what.machine,
            "processors": what.processors,
            "ps_loaded_module_list": LOADED_MODULE_LIST,
            "kd_debugger_data_block": DEBUGGER_DATA,
            "mini_dump_fields": 0xFFF if what.data_page else 0xDFF,
            **what.header,
        }
        context = what.context or build_context(what.machine)
        return build_header(TRIAGE, 0x1AD000, bugcheck_parameters=(1, 2, 3, 4), context=context, **fields)

    def add_crash_processor(self) -> None:
        what = self.what
        prcb, thread = bytearray(LAYOUT["SizePrcb"]), bytearray(LAYOUT["SizeEThread"])
        pack_into("<I", prcb, LAYOUT["OffsetPrcbNumber"], what.processor)
        pack_into("<Q", prcb, LAYOUT["OffsetPrcbCurrentThread"], what.thread)
        pack_into("<Q", prcb, LAYOUT["OffsetPrcbProcStateSpecialReg"] + 0x10, 0x1AD000)
        pack_into("<Q", thread, LAYOUT["OffsetKThreadApcProcess"], what.process)
        self.set(0x1C, self.append(prcb))
        self.set(0x20, self.append(b"PROCESS.".ljust(LAYOUT["SizeEProcess"], b"\0")))
        self.set(0x24, self.append(thread))
        if what.debugger_data is not None:
            block = build_debugger_data(
                **{"KernBase": KERNEL_BASE, "PsLoadedModuleList": LOADED_MODULE_LIST, **what.debugger_data}
            )
            self.set(0x70, self.append(block))
            self.set(0x74, len(block))

    def add_modules(self) -> None:
        what = self.what
        entries = bytearray()
        names = [pack("<I", len(driver.name)) + driver.name.encode("utf-16-le") + b"\0\0" for driver in what.drivers]
        offsets = [self.append(name) for name in names]
        for driver, offset in zip(what.drivers, offsets):
            entry = bytearray(0x90)
            pack_into("<I", entry, 0, offset)
            pack_into("<Q", entry, 0x38, driver.base)
            pack_into("<I", entry, 0x48, driver.size)
            pack_into("<I", entry, 0x80, driver.checksum)
            pack_into("<I", entry, 0x88, driver.timestamp)
            entries += entry
        self.set(0x30, self.append(entries))
        self.set(0x34, len(what.drivers))
        self.set(0x38, offsets[0] if offsets else 0)
        unloaded = pack("<Q", len(what.unloaded))
        for start, end, name in what.unloaded:
            text = name.encode("utf-16-le")
            unloaded += pack("<HHIQ24sQQ", len(text), len(text), 0, 0, text, start, end)
        self.set(0x18, self.append(unloaded))

    def add_memory(self) -> None:
        what = self.what
        self.set(0x28, self.append(what.stack.data))
        self.set(0x2C, len(what.stack.data))
        self.set(0x48, what.stack.address, "<Q")
        if what.data_page is not None:
            self.set(0x60, what.data_page.address, "<Q")
            self.set(0x68, self.append(what.data_page.data))
            self.set(0x6C, len(what.data_page.data))
        table = bytearray()
        entries: List[Tuple[int, int, int]] = []
        for address, data in what.blocks:
            # Unaligned on purpose: Windows packs data blocks too.
            entries.append((address, len(self.data), len(data)))
            self.data += data
        for entry in entries:
            table += pack("<QII", *entry)
        self.set(0x78, self.append(table))
        self.set(0x7C, len(entries))


def processor_blocks(contexts: Sequence[bytes], array: int, first_prcb: int, thread: int = THREAD) -> List[Block]:
    """Data blocks for KiProcessorBlock at `array`, and for the PRCB and context of each processor."""
    spacing = 0x10000
    prcbs = [first_prcb + number * spacing for number in range(len(contexts))]
    blocks = [Block(array, b"".join(pack("<Q", prcb) for prcb in prcbs))]
    for number, (prcb, context) in enumerate(zip(prcbs, contexts)):
        data = bytearray(LAYOUT["SizePrcb"])
        pack_into("<I", data, LAYOUT["OffsetPrcbNumber"], number)
        pack_into("<Q", data, LAYOUT["OffsetPrcbCurrentThread"], thread + number * 0x1000)
        pack_into("<Q", data, LAYOUT["OffsetPrcbContext"], prcb + 0x8000)
        pack_into("<Q", data, LAYOUT["OffsetPrcbProcStateSpecialReg"] + 0x10, 0x1AD000 + number)
        blocks += [Block(prcb, bytes(data)), Block(prcb + 0x8000, context)]
    return blocks
