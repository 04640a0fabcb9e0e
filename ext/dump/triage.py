"""Triage dumps (type 4, "minidumps"): the tables behind the dump header.

TRIAGE_DUMP64 lists where the file keeps copies of the PRCB, thread, process, stack and debugger data of
the processor that crashed, the drivers, the unloaded drivers, and any number of data blocks (pieces of
virtual memory). Layouts: TRIAGE_DUMP64, DUMP_DRIVER_ENTRY64, DUMP_UNLOADED_DRIVERS64, DUMP_STRING and
TRIAGE_DATA_BLOCK of ntiodump.h, as rizin and Ghidra document them; all checked on dumps of Windows 8.1
to 11. Offsets are file offsets. x64 and ARM64 have the same.
"""

from __future__ import annotations

from struct import Struct

from dumpkit.dump.header import HEADER_SIZE, Buffer, Header
from dumpkit.errors import DumpFormatError
from dumpkit.kernel.debugger_data import LARGEST_SIZE, DebuggerData
from dumpkit.kernel.loaded_modules import LONGEST_PATH, LoadedImage
from dumpkit.module import UnloadedModule
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple

    from typing_extensions import TypeAlias

#: Where the engine shows the PRCB of a triage dump: the address that it had is not in the file.
PRCB_ADDRESS = 0xFFFF_F780_FFFF_0000

#: Bits of the header's MiniDumpFields.
DATA_PAGE = 0x200
DATA_BLOCKS = 0x800

_TRIAGE = Struct("<18IQIIQQ6I")
TABLES_END = HEADER_SIZE + _TRIAGE.size
_VALID = b"TRGD"

#: DUMP_DRIVER_ENTRY64: the offset of a DUMP_STRING, and an LDR_DATA_TABLE_ENTRY from +8 on, of which DllBase,
#: SizeOfImage, CheckSum and TimeDateStamp count.
_DRIVER = Struct("<I52xQ8xI52xI4xI4x")

#: DUMP_UNLOADED_DRIVERS64: UNICODE_STRING64 (its Length alone counts), WCHAR Name[12], start and end address.
_UNLOADED = Struct("<H14x24sQQ")
#: Windows remembers 50; more in a file are damage.
_MOST_UNLOADED = 1000

_BLOCK = Struct("<QII")

#: A piece of virtual memory in the file: its first address, the one behind its last, and the file offset of its bytes.
#: A plain tuple, because a dump has thousands of them.
Extent: TypeAlias = "Tuple[int, int, int]"

_ADDRESS_LIMIT = 1 << 64


class TriageHeader(Record):
    """TRIAGE_DUMP64: file offsets and sizes in bytes, unless said otherwise."""

    #: CmNtCSDVersion.
    service_pack_build: int
    #: Bytes of the dump without the tagged data that may follow.
    size_of_dump: int
    #: Where 'TRGD' stands if the dump was completed.
    valid_offset: int
    context_offset: int
    exception_offset: int
    mm_offset: int
    unloaded_drivers_offset: int
    prcb_offset: int
    process_offset: int
    thread_offset: int
    call_stack_offset: int
    call_stack_size: int
    driver_list_offset: int
    driver_count: int
    string_pool_offset: int
    string_pool_size: int
    broken_driver_offset: int
    triage_options: int
    #: Virtual address of the stack's first byte in the dump: the stack pointer of the crash.
    top_of_stack: int
    bstore_offset: int
    bstore_size: int
    bstore_limit: int
    #: Virtual address.
    data_page_address: int
    data_page_offset: int
    data_page_size: int
    debugger_data_offset: int
    debugger_data_size: int
    data_blocks_offset: int
    data_block_count: int


class TriageDump:
    """The tables of a triage dump; each is read when it is asked for.

    What is damaged or missing is a line in `notes`, and the rest is read nevertheless.
    """

    def __init__(self, header: Header, view: Buffer) -> None:
        self._header = header
        self._view = view
        # Where the file ends before the tables do, what is missing of them reads as "not there".
        self.tables = TriageHeader(*_TRIAGE.unpack(self._slice(HEADER_SIZE, _TRIAGE.size).ljust(_TRIAGE.size, b"\0")))
        #: One line for each damage found so far.
        self.notes: List[str] = []
        self._check_end()
        self.debugger_data = self._read_debugger_data()

    def _check_end(self) -> None:
        tables, size = self.tables, len(self._view)
        if size < TABLES_END:
            self.notes.append(
                f"The dump file is truncated: it ends after 0x{size:x} bytes, within the tables of the triage dump"
                f" (0x{TABLES_END:x} bytes)."
            )
        elif size < tables.size_of_dump:
            self.notes.append(
                f"The dump file is truncated: {size} of its {tables.size_of_dump} bytes are there"
                f" ({tables.size_of_dump - size} bytes are missing)."
            )
        elif self._slice(tables.valid_offset, 4) != _VALID:
            self.notes.append("The dump was not completed, or is damaged: its end mark 'TRGD' is missing.")

    def _slice(self, offset: int, size: int) -> bytes:
        """What the file has of `size` bytes at an offset."""
        return bytes(self._view[offset : offset + size])

    def _has(self, field: int) -> bool:
        """Whether MiniDumpFields says that the dump has a part; a header without the field says it of every part."""
        fields = self._header.mini_dump_fields
        return fields is None or bool(fields & field)

    def _read_debugger_data(self) -> Optional[DebuggerData]:
        tables = self.tables
        if not tables.debugger_data_offset:
            self.notes.append("The dump has no debugger data block: processor, thread and process cannot be told.")
            return None
        try:
            size = min(tables.debugger_data_size, LARGEST_SIZE)
            return DebuggerData(self._slice(tables.debugger_data_offset, size))
        except DumpFormatError as error:
            self.notes.append(f"The debugger data block is lost: {error}.")
            return None

    # --- The crash processor -------------------------------------------------

    def _prcb_word(self, member: str, size: int) -> Optional[int]:
        """A field of the PRCB in the file, found by an `OffsetPrcb…` member of the debugger data."""
        return self._word(self.tables.prcb_offset, member, size)

    def _word(self, area: int, member: str, size: int) -> Optional[int]:
        offset = self.debugger_data[member] if self.debugger_data is not None else None
        if not area or not offset:
            return None
        data = self._slice(area + offset, size)
        return int.from_bytes(data, "little") if len(data) == size else None

    @property
    def processor(self) -> Optional[int]:
        """The number of the processor that crashed."""
        return self._prcb_word("OffsetPrcbNumber", 4)

    @property
    def thread(self) -> Optional[int]:
        """The virtual address of the thread that crashed."""
        return self._prcb_word("OffsetPrcbCurrentThread", 8)

    @property
    def process(self) -> Optional[int]:
        """The virtual address of the process in whose address space it ran."""
        return self._word(self.tables.thread_offset, "OffsetKThreadApcProcess", 8)

    # --- Memory --------------------------------------------------------------

    def extents(self) -> List[Extent]:
        """The pieces of virtual memory that the file holds.

        They may overlap: a byte that several hold is the first one's, as in the engine, which looks at
        the debugger data, thread, process, PRCB, data page, data blocks in their order, and the stack.
        """
        tables, data = self.tables, self.debugger_data
        pieces: List[Tuple[Optional[int], int, int]] = []
        if data is not None:
            pieces = [
                (self._header.kd_debugger_data_block, tables.debugger_data_offset, len(data.block)),
                (self.thread, tables.thread_offset, data["SizeEThread"] or 0),
                (self.process, tables.process_offset, data["SizeEProcess"] or 0),
                (PRCB_ADDRESS, tables.prcb_offset, data["SizePrcb"] or 0),
            ]
        if self._has(DATA_PAGE):
            pieces.append((tables.data_page_address, tables.data_page_offset, tables.data_page_size))
        extents: List[Extent] = []
        for address, offset, size in pieces:
            self._add(extents, address, offset, size)
        extents += self.data_blocks()
        self._add(extents, tables.top_of_stack, tables.call_stack_offset, tables.call_stack_size)
        return extents

    def _add(self, extents: List[Extent], address: Optional[int], offset: int, size: int) -> None:
        if address and offset:
            end = min(address + min(size, len(self._view) - offset), _ADDRESS_LIMIT)
            if end > address:
                extents.append((address, end, offset))

    def data_blocks(self) -> List[Extent]:
        """The data blocks in the order of their table, cut where the file ends."""
        if not self._has(DATA_BLOCKS):
            return []
        size = len(self._view)
        table, _ = self._block_table()
        extents: List[Extent] = []
        for address, offset, length in _BLOCK.iter_unpack(table):
            end = address + length
            if length and offset + length <= size and end <= _ADDRESS_LIMIT:
                extents.append((address, end, offset))
            else:
                self._add(extents, address, offset, length)
        return extents

    def _block_table(self) -> Tuple[bytes, int]:
        return self._table(self.tables.data_blocks_offset, self.tables.data_block_count, _BLOCK.size)

    def lost_blocks(self) -> int:
        """How many data blocks lie wholly or partly behind the end of the file, or are missing from their table."""
        if not self._has(DATA_BLOCKS):
            return 0
        size = len(self._view)
        table, listed = self._block_table()
        cut = [offset for _, offset, length in _BLOCK.iter_unpack(table) if offset + length > size]
        return len(cut) + listed - len(table) // _BLOCK.size

    def _table(self, offset: int, count: int, entry_size: int) -> Tuple[bytes, int]:
        """The whole entries that the file has of a table, and how many it should have."""
        available = max(0, len(self._view) - offset) // entry_size if offset else 0
        return self._slice(offset, min(count, available) * entry_size), count

    # --- Modules -------------------------------------------------------------

    def drivers(self) -> List[LoadedImage]:
        """The loaded drivers in the order of the file."""
        tables = self.tables
        entries, listed = self._table(tables.driver_list_offset, tables.driver_count, _DRIVER.size)
        images = []
        nameless = 0
        for name_offset, base, size, checksum, timestamp in _DRIVER.iter_unpack(entries):
            name = self._string(name_offset)
            nameless += not name
            images.append(LoadedImage(base, size, name, timestamp, checksum))
        if len(images) < listed:
            self.notes.append(f"Only {len(images)} of {listed} loaded modules are in the file.")
        if nameless:
            self.notes.append(f"The names of {nameless} of {len(images)} loaded modules are missing.")
        return images

    def _string(self, offset: int) -> str:
        """The DUMP_STRING at an offset: a count of UTF-16 units, and these; empty where it is not in the file."""
        count = self._slice(offset, 4)
        if not offset or len(count) < 4:
            return ""
        length = 2 * int.from_bytes(count, "little")
        text = self._slice(offset + 4, length) if length <= LONGEST_PATH else b""
        return text.decode("utf-16-le", "replace") if len(text) == length else ""

    def unloaded_modules(self) -> List[UnloadedModule]:
        """The unloaded drivers in the order of the file: newest first. Names are cut to 12 characters in it."""
        offset = self.tables.unloaded_drivers_offset
        count = self._slice(offset, 4)
        if not offset or len(count) < 4:
            return []
        listed = int.from_bytes(count, "little")
        entries, _ = self._table(offset + 8, min(listed, _MOST_UNLOADED), _UNLOADED.size)
        modules = []
        for length, name, start, end in _UNLOADED.iter_unpack(entries):
            text = name[: min(length & ~1, len(name))].decode("utf-16-le", "replace").split("\0", 1)[0]
            modules.append(UnloadedModule(start, end, text))
        if len(modules) < listed:
            self.notes.append(f"Only {len(modules)} of {listed} unloaded modules are in the file.")
        return modules
