"""Builds kernel images (PE32+, x64): every piece where it is wanted, as a file and as the loader maps it.

All addresses are RVAs unless they say otherwise. What is put here is in the image at once; what depends on
everything else (.pdata, relocations, calls to names, headers) follows when `file` or `map` is asked for.
"""

from __future__ import annotations

import hashlib
from struct import pack
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from tests.forge import image_headers as headers
from tests.forge import image_tables as tables
from tests.forge.assembly import Target
from tests.forge.image_layout import PAGE_SIZE, ImageLayout
from tests.forge.image_resources import Version, resource_section
from tests.forge.image_sections import DISCARDABLE, EXECUTE
from tests.forge.image_tables import CodeView, Export, ImportedModule
from tests.forge.program import Function
from tests.forge.unwind import Unwind, unwind_info, unwind_info_size


class Image(ImageLayout):
    """An image, loaded at the virtual address `base`.

    `timestamp` None makes the image reproducible: its time stamp is a hash, and its debug data says so.
    """

    def __init__(
        self,
        name: str,
        base: int,
        timestamp: Optional[int] = 0x5F000001,
        *,
        size: int = 0,
        new_header: int = 0xF0,
        preferred_base: int = 0x1_4000_0000,
        entry_point: Target = 0,
        is_library: bool = False,
    ) -> None:
        super().__init__(name)
        self.base = base
        self.timestamp = timestamp
        self.codeview: Optional[CodeView] = None
        self.version: Optional[Version] = None
        #: SizeOfImage; 0 takes what the sections need.
        self.declared_size = size
        self.new_header = new_header
        self.preferred_base = preferred_base
        self.entry_point = entry_point
        self.characteristics = 0x2022 if is_library else 0x22
        #: 1 is a driver (native), 3 a console program.
        self.subsystem = 1
        self.linker, self.system = (14, 37), (10, 0)
        self.headers_size = 0x400
        #: What lies behind the DOS stub (a Rich header).
        self.rich = b""
        self._directories: List[Tuple[int, int]] = [(0, 0)] * 16
        self._bound: Dict[int, bytes] = {}
        self._exports: Optional[Tuple[Sequence[Export], Optional[int], str, int]] = None
        self._debug: List[Tuple[int, bytes, Optional[int]]] = []
        #: RVA of the debug directory; None: where there is room.
        self.debug_rva: Optional[int] = None
        #: RVA of the exception directory; None: in `.pdata`.
        self.pdata_rva: Optional[int] = None
        self._finished: Optional[bytes] = None

    # Tables

    def add_imports(
        self,
        modules: Sequence[ImportedModule],
        rva: Optional[int] = None,
        iat_rva: Optional[int] = None,
        section: str = "INIT",
        iat_section: str = ".rdata",
        delayed: bool = False,
    ) -> Dict[str, int]:
        """Put import tables at chosen RVAs or where there is room; the slot of each import by its `__imp_` name.

        In memory a slot holds what was bound; the file holds the RVA of the import's name. The slots' names
        are public labels, as the linker makes them, and targets for calls.
        """
        size = sum(8 * len(module.imports) + 8 for module in modules)
        iat_rva = self.place(bytes(size), iat_section, iat_rva)
        need = len(tables.import_tables(modules, 0, 0, delayed).directory)
        rva = self.place(bytes(need), section, rva)
        built = tables.import_tables(modules, rva, iat_rva, delayed)
        self.patch(rva, built.directory)
        self.patch(iat_rva, built.slots)
        self._directories[headers.DELAY_IMPORT if delayed else headers.IMPORT] = rva, built.directory_size
        if not delayed:
            self._directories[headers.IAT] = iat_rva, size
        slots = {}
        for module, places in zip(modules, built.slot_rvas):
            for each, place in zip(module.imports, places):
                slots[f"__imp_{each.name}"] = place
                if each.address is not None:
                    self._bound[place] = pack("<Q", each.address)
        for name, place in slots.items():
            self.label(name, place, is_function=False)
        return slots

    def set_exports(
        self, exports: Sequence[Export], rva: Optional[int] = None, section: str = ".rdata", base: int = 1
    ) -> None:
        """Export names; they may be of things that are added later."""
        self._exports = exports, rva, section, base

    def add_load_config(
        self, members: Mapping[str, Target], rva: Optional[int] = None, section: str = ".rdata", flags: int = 0x100
    ) -> int:
        """Put a load configuration: "GuardCFCheckFunctionPointer" and its like -> what they point to; its RVA."""
        values = {name: self.preferred_base + self.rva_of(target) for name, target in members.items()}
        data = tables.load_config({**values, "GuardFlags": flags})
        place = self.place(data, section, rva)
        for name, target in members.items():
            self._pointers[place + tables.LOAD_CONFIG_POINTERS[name]] = self.rva_of(target)
        self._directories[headers.LOAD_CONFIG] = place, len(data)
        return place

    def set_codeview(self, codeview: CodeView, rva: Optional[int] = None) -> None:
        """Name the PDB; the RSDS record lies at `rva` or where there is room."""
        self.codeview = codeview
        self._debug.append((tables.CODEVIEW, tables.rsds(codeview), rva))

    def add_debug_data(self, kind: int, data: bytes, rva: Optional[int] = None) -> None:
        """Another entry of the debug directory (IMAGE_DEBUG_TYPE_*)."""
        self._debug.append((kind, data, rva))

    # What comes out

    @property
    def size(self) -> int:
        """SizeOfImage in bytes."""
        end = max((section.end for section in self.sections), default=PAGE_SIZE)
        return max(self.declared_size, -(-end // PAGE_SIZE) * PAGE_SIZE)

    @property
    def stamp(self) -> int:
        """TimeDateStamp, the hash of a reproducible image included."""
        self._finish()
        assert self.timestamp is not None
        return self.timestamp

    @property
    def checksum(self) -> int:
        """CheckSum as the header has it."""
        return int.from_bytes(self.file()[self.new_header + headers.CHECKSUM_AT :][:4], "little")

    @property
    def store_key(self) -> str:
        """The folder of a symbol store that holds this image."""
        return f"{self.stamp:08X}{self.size:x}"

    def section_headers(self) -> bytes:
        """The section table, as the PDB repeats it."""
        self._finish()
        return b"".join(section.header() for section in self.sections)

    def file(self) -> bytes:
        """The image's file."""
        if self._finished is None:
            self._finish()
            bodies = [bytes(section.data).ljust(section.file_size, b"\0") for section in self.sections]
            file = self._headers() + b"".join(bodies)
            at = self.new_header + headers.CHECKSUM_AT
            self._finished = file[:at] + pack("<I", tables.checksum(file, at)) + file[at + 4 :]
        return self._finished

    def map(self) -> bytes:
        """SizeOfImage bytes as they lie in memory from `base` on."""
        memory = bytearray(self.size)
        for rva, page in self.pages(whole=True):
            memory[rva : rva + PAGE_SIZE] = page
        return bytes(memory)

    def pages(self, whole: bool = False, discard: bool = False) -> Iterator[Tuple[int, bytes]]:
        """(RVA, 4096 bytes) of each page in memory that something was put on, or of every one that is `whole`.

        `discard` leaves out the sections that the kernel frees after a driver's start (INIT, .reloc, .rsrc).
        """
        file = self.file()
        mapped = bytearray(file[: self.headers_size].ljust(PAGE_SIZE, b"\0"))
        at = self.new_header + headers.IMAGE_BASE_AT
        mapped[at : at + 8] = pack("<Q", self.base)
        yield 0, bytes(mapped)
        changes = {rva: pack("<Q", self.base + target) for rva, target in self._pointers.items()}
        changes.update(self._bound)
        for section in self.sections:
            if discard and section.characteristics & DISCARDABLE:
                continue
            memory = bytearray(section.data)
            for rva, data in changes.items():
                if section.rva <= rva < section.end:
                    memory[rva - section.rva : rva - section.rva + len(data)] = data
            wanted = {page for start, stop in section.used for page in range(start >> 12, (stop - 1 >> 12) + 1)}
            for page in range(section.rva >> 12, -(-section.end // PAGE_SIZE)):
                if whole or page in wanted:
                    start = (page << 12) - section.rva
                    yield page << 12, bytes(memory[start : start + PAGE_SIZE]).ljust(PAGE_SIZE, b"\0")

    # Finishing

    def _finish(self) -> None:
        """Put what depends on all that was added. Nothing may be added afterwards."""
        if self._is_finished:
            return
        if self._exports is not None:
            self._put_exports(*self._exports)
        self._put_unwind_data()
        self._fix_up()
        for rva, target in self._pointers.items():
            self.patch(rva, pack("<Q", self.preferred_base + target))
        if self.version is not None:
            resources = self.named_section(".rsrc")
            data = resource_section(self.version, resources.rva)
            self._directories[headers.RESOURCE] = self.place(data, ".rsrc", resources.rva), len(data)
        if self._pointers and any(section.name == ".reloc" for section in self.sections):
            data = tables.relocations(self._pointers)
            self._directories[headers.RELOCATION] = self.place(data, ".reloc"), len(data)
        self._put_debug_data()
        self._is_finished = True

    def _put_exports(self, exports: Sequence[Export], rva: Optional[int], section: str, base: int) -> None:
        entries: List[Tuple[Optional[str], Union[int, str]]] = []
        for name, target in exports:
            forwarded = isinstance(target, str) and target not in self._names and "." in target
            entries.append((name, target if forwarded else self.rva_of(target)))
        size = len(tables.export_table(entries, 0, base, self.name))
        place = self.place(bytes(size), section, rva)
        self.patch(place, tables.export_table(entries, place, base, self.name))
        self._directories[headers.EXPORT] = place, size

    def _put_unwind_data(self) -> None:
        """UNWIND_INFO for every function that has one, and the exception directory."""
        section = self.table_section(".xdata")
        rows: List[Tuple[Function, Unwind, int]] = []
        entries: Dict[int, Tuple[int, int, int]] = {}
        for function in self.functions:
            unwind = function.unwind or function.code.unwind()
            if unwind is not None and function.rva is not None:
                place = self.place(bytes(unwind_info_size(unwind)), section, function.unwind_rva, 4)
                rows.append((function, unwind, place))
                entries[function.rva] = function.rva, function.rva + function.size, place
        for _, unwind, place in rows:
            chain = entries[self.rva_of(unwind.chained_to)] if unwind.chained_to is not None else None
            handler = self.rva_of(unwind.handler) if unwind.handler is not None else 0
            self.patch(place, unwind_info(unwind, handler, chain))
        if entries:
            table = b"".join(pack("<III", *entries[rva]) for rva in sorted(entries))
            place = self.place(table, self.table_section(".pdata"), self.pdata_rva, 4)
            self._directories[headers.EXCEPTION] = place, len(table)

    def _fix_up(self) -> None:
        """Fill the distances to the targets of calls, jumps and address loads."""
        for function in self.functions:
            assert function.rva is not None
            for offset, target in function.code.fixups:
                place = function.rva + offset
                self.patch(place, pack("<i", self.rva_of(target) - place - 4))

    def _put_debug_data(self) -> None:
        """Debug data and directory, last of all: their entries say where they lie in the file."""
        if self.timestamp is None:
            content = hashlib.sha256(b"".join(bytes(section.data) for section in self.sections)).digest()
            self._debug.append((tables.REPRO, pack("<I", len(content)) + content, None))
            self.timestamp = int.from_bytes(content[:4], "little")
        places = [(kind, len(data), self.place(data, self.table_section(), rva, 4)) for kind, data, rva in self._debug]
        directory_rva = 0
        if places:
            directory_rva = self.place(bytes(28 * len(places)), self.table_section(), self.debug_rva, 4)
            self._directories[headers.DEBUG] = directory_rva, 28 * len(places)
        self._assign_file_offsets()
        entries = [(kind, size, rva, self._file_offset(rva)) for kind, size, rva in places]
        if entries:
            self.patch(directory_rva, tables.debug_directory(entries, self.timestamp))

    def _assign_file_offsets(self) -> None:
        offset = self.headers_size
        for section in self.sections:
            section.file_offset = offset
            offset += section.file_size

    def _file_offset(self, rva: int) -> int:
        section = self.section_at(rva)
        return section.file_offset + rva - section.rva

    def _headers(self) -> bytes:
        assert self.timestamp is not None
        code = [section for section in self.sections if section.characteristics & EXECUTE]
        sizes = (
            sum(section.file_size for section in code),
            sum(section.file_size for section in self.sections) - sum(section.file_size for section in code),
            code[0].rva if code else 0,
        )
        facts = headers.HeaderFacts(
            self.new_header,
            self.timestamp,
            self.preferred_base,
            self.size,
            self.rva_of(self.entry_point),
            self.headers_size,
            self.subsystem,
            self.characteristics,
            0x4160,
            self.linker,
            self.system,
            self._directories,
        )
        return headers.build_headers(facts, [section.header() for section in self.sections], sizes, self.rich)
