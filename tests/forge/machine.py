"""A machine: physical memory under page tables, a kernel's structures in it, and what a dump's header says.

    machine = Machine(22621, self_map=0x1AF)
    machine.load(image, "\\\\SystemRoot\\\\system32\\\\ntoskrnl.exe")
    thread = machine.place("_ETHREAD", 0xFFFFB507729E3040)
    thread["Tcb.State"] = 2
    machine.save("MEMORY.DMP", 6)

The same calls in the same order give the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from struct import pack
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

from tests.forge.dump_files import WRITERS
from tests.forge.image import Image
from tests.forge.layout import windows
from tests.forge.memory import PAGE_SIZE, PhysicalPages
from tests.forge.page_tables import PTE, VALID, PageTables
from tests.forge.structure import Structure
from tests.forge.tagged import tagged_part

#: Where what has no address of its own is put.
HEAP = 0xFFFF_B507_6000_0000
#: DUMP_HEADER64.RequiredDumpSpace.
_REQUIRED_SPACE = 0xFA0


class LoadedImage(NamedTuple):
    """An image in memory, and where it was loaded from."""

    image: Image
    path: str


class Machine:
    """A machine that runs Windows `build` (19041, 22000 or 22621).

    `self_map` is the top table's slot that leads back to it: bits 47-39 of PTE_BASE. `heap` is the virtual
    address from which what is allocated lies.
    """

    def __init__(
        self, build: int, self_map: int = 0x1ED, heap: int = HEAP, memory: Optional[PhysicalPages] = None
    ) -> None:
        self.layouts = windows(build)
        self.build = build
        self.memory = PhysicalPages() if memory is None else memory
        self.tables = PageTables(self.memory, self_map=self_map)
        self.self_map = self_map
        self.images: List[LoadedImage] = []
        #: Virtual addresses of the kernel's variables and functions.
        self.globals: Dict[str, int] = {}
        #: Members of KDDEBUGGER_DATA64 beyond those that follow from `globals` and the layouts.
        self.debugger_members: Dict[str, int] = {}
        #: What the dump's header says; see `header.build_header`.
        self.header: Dict[str, object] = {}
        #: GUID (lower case, with dashes) -> data behind the dump.
        self.tagged: List[Tuple[str, bytes]] = []
        #: Bits of a bitmap dump's bitmap; None ends it with the last page.
        self.physical_pages: Optional[int] = None
        #: What a triage dump holds: (virtual address, size in bytes).
        self.triage_blocks: List[Tuple[int, int]] = []
        #: The processor that crashed.
        self.crash_processor = 0
        #: What `modules.add_unloaded_modules` laid out: (start, end, file name, FILETIME).
        self.unloaded: List[Tuple[int, int, str, int]] = []
        self._heap = heap

    # --- Memory ---------------------------------------------------------------

    @property
    def pte_base(self) -> int:
        """Virtual address of the page tables' self-map."""
        return 0xFFFF_0000_0000_0000 | self.self_map << 39

    @property
    def root(self) -> int:
        """Physical address of the top page table."""
        return self.tables.root

    def put(self, address: int, data: bytes) -> None:
        """Write virtual memory; pages that are missing are mapped."""
        self.tables.map_bytes(address, data)

    def read(self, address: int, size: int) -> bytes:
        """Read virtual memory; zeros where nothing is mapped."""
        pieces = []
        end = address + size
        while address < end:
            offset = address % PAGE_SIZE
            length = min(PAGE_SIZE - offset, end - address)
            entry = self.tables.entry(address, PTE)
            data = self.memory.read((entry & 0xF_FFFF_FFFF_F000) + offset, length) if entry & VALID else None
            pieces.append(data if data is not None else bytes(length))
            address += length
        return b"".join(pieces)

    def is_mapped(self, address: int) -> bool:
        """Whether a 4 KB page is mapped at a virtual address."""
        return bool(self.tables.entry(address, PTE) & VALID)

    def u64(self, address: int) -> int:
        """A word of virtual memory."""
        return int.from_bytes(self.read(address, 8), "little")

    def put_u64(self, address: int, *values: int) -> None:
        """Write words, one behind the other."""
        self.put(address, b"".join(pack("<Q", int(value) & 0xFFFF_FFFF_FFFF_FFFF) for value in values))

    def allocate(self, size: int, align: int = 0x10) -> int:
        """Zeroed memory on the heap; its virtual address."""
        address = -(-self._heap // align) * align
        self.put(address, bytes(size))
        self._heap = address + size
        return address

    def set_pte(self, address: int, value: int) -> None:
        """The raw PTE of a virtual address: see `page_tables` for those that are not valid."""
        self.tables.set_entry(address, PTE, value)

    # --- Structures -----------------------------------------------------------

    def place(self, type: str, address: Optional[int] = None) -> Structure:
        """A new zeroed structure at a virtual address, by default on the heap."""
        size = self.layouts.size(type)
        if address is None:
            return Structure(self, type, self.allocate(size))
        self.put(address, bytes(size))
        return Structure(self, type, address)

    def view(self, type: str, address: int) -> Structure:
        """What lies at a virtual address, as a structure."""
        return Structure(self, type, address)

    def counted_string(self, text: str, room: int = 2) -> bytes:
        """A UNICODE_STRING whose text is allocated; `room` more bytes are there than it takes."""
        data = text.encode("utf-16-le")
        if not data:
            return bytes(16)
        buffer = self.allocate(len(data) + room)
        self.put(buffer, data)
        return pack("<HHIQ", len(data), len(data) + room, 0, buffer)

    def link(self, head: int, entries: Iterable[int]) -> None:
        """Make the LIST_ENTRYs at `entries` a list, in this order, behind the one at `head`."""
        ring = [head, *entries]
        for index, entry in enumerate(ring):
            self.put_u64(entry, ring[(index + 1) % len(ring)], ring[index - 1])

    def append(self, head: int, entry: int) -> None:
        """Add a LIST_ENTRY at the end of a list; a head of zeros is made an empty list first."""
        if not self.u64(head):
            self.link(head, ())
        last = self.u64(head + 8)
        self.put_u64(entry, head, last)
        self.put_u64(last, entry)
        self.put_u64(head + 8, entry)

    # --- Symbols and images ---------------------------------------------------

    def address(self, name: str) -> int:
        """The virtual address of one of the kernel's variables or functions; KeyError without one."""
        return self.globals[name]

    def set_global(self, name: str, value: Union[int, bytes, Structure], size: int = 8) -> None:
        """Give a kernel's variable a value: `size` bytes of a number, or bytes."""
        data = value if isinstance(value, bytes) else (int(value) & (1 << 8 * size) - 1).to_bytes(size, "little")
        self.put(self.globals[name], data)

    def global_view(self, type: str, name: str) -> Structure:
        """A kernel's variable as a structure."""
        return Structure(self, type, self.globals[name])

    def load(self, image: Image, path: str, discard: bool = True) -> None:
        """Map an image's pages (those that hold something) at its base; the first one is the kernel."""
        for rva, page in image.pages(discard=discard):
            self.put(image.base + rva, page)
        if not self.images:
            for label in image.labels:
                self.globals.setdefault(label.name, image.base + label.rva)
            for function in image.functions:
                self.globals.setdefault(function.name, image.base + image.rva_of(function.name))
        self.images.append(LoadedImage(image, path))

    # --- What comes out -------------------------------------------------------

    def save(self, path: Union[str, Path], dump_type: int = 6) -> None:
        """Write a dump: type 1 (full), 4 (triage), 5 (full, bitmap) or 6 (kernel, bitmap)."""
        Path(path).write_bytes(self.dump(dump_type))

    def dump(self, dump_type: int = 6) -> bytes:
        """The bytes of a dump of a type; see `save`."""
        from tests.forge.machine_triage import triage_bytes

        if dump_type == 4:
            body = triage_bytes(self)
        else:
            fields = dict(self.header)
            if dump_type in (5, 6) and self.physical_pages is not None:
                fields["pages"] = self.physical_pages
            body = WRITERS[dump_type](self.memory, self.root, **fields)
        part = tagged_part(self.tagged)
        if part and dump_type in (5, 6):
            # The engine looks for tagged data in bitmap dumps only where RequiredDumpSpace counts it.
            body = body[:_REQUIRED_SPACE] + pack("<Q", len(body) + len(part)) + body[_REQUIRED_SPACE + 8 :]
        return body + part

    def sized(self, structures: Sequence[Structure]) -> List[Tuple[int, int]]:
        """(virtual address, size) of structures, as `triage_blocks` wants them."""
        return [(structure.address, structure.size) for structure in structures]
