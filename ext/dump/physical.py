"""Physical memory out of a dump file.

`open_physical(header, view)` is the way in: it finds the pages of a dump of type 1, 2, 5, 6, 8, 9
or 0xA. Virtual memory is a page walk over it (`dumpkit.kernel.paging`):

    physical = open_physical(header, view)
    scheme = paging_scheme(physical, header.machine, root, known_addresses)
    virtual = VirtualMemory(physical, root, scheme)

where `root` is the header's DirectoryTableBase as it stands there and `known_addresses` are the
header's kernel addresses (PsLoadedModuleList, KdDebuggerDataBlock …), which tell four levels of
page tables from five.
"""

from __future__ import annotations

from bisect import bisect_right
from mmap import mmap

from dumpkit.dump.header import (
    BITMAP_FULL,
    BITMAP_KERNEL,
    DUMP_TYPES,
    FULL,
    RDMP_COMPLETE,
    RDMP_KERNEL,
    RDMP_KERNEL_AND_USER,
    SUMMARY,
    Buffer,
    Header,
)
from dumpkit.dump.runs import PAGE_SHIFT, PageRuns
from dumpkit.errors import DumpFormatError
from dumpkit.memory import AddressSpace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple, Union


class PhysicalMemory(AddressSpace):
    """The pages of a dump file, by physical address.

    The file is read page by page as it is asked for; what is kept is three numbers for each run.
    """

    space = "physical"

    def __init__(self, view: Buffer, runs: PageRuns) -> None:
        # Slices of bytes and of a mapping are bytes; those of the other kinds are not.
        self._view: Union[bytes, mmap] = view if isinstance(view, (bytes, mmap)) else bytes(view)
        #: The runs of pages, ascending.
        self.runs = runs
        #: Pages that can be read.
        self.page_count = runs.page_count
        self._starts = runs.starts
        self._ends = runs.ends
        self._deltas = runs.deltas

    @property
    def notes(self) -> Tuple[str, ...]:
        """What is damaged or missing, one line each."""
        return tuple(self.runs.notes)

    @property
    def end(self) -> int:
        """The physical address behind the last page that the dump lists, readable or lost; 0 for an empty one."""
        pages = [ends[-1] for ends in (self._ends, self.runs.lost_ends) if ends]
        return max(pages, default=0) << PAGE_SHIFT

    def read_prefix(self, address: int, size: int) -> bytes:
        """The bytes from a physical address on, up to `size` or the first page that is not there."""
        index = bisect_right(self._starts, address >> PAGE_SHIFT) - 1
        if index < 0:
            return b""
        room = (self._ends[index] << PAGE_SHIFT) - address
        if room <= 0:
            return b""
        offset = address + self._deltas[index]
        if size <= room:
            return self._view[offset : offset + size] if size > 0 else b""
        return self._read_runs(address, size, index)

    def _read_runs(self, address: int, size: int, index: int) -> bytes:
        """As `read_prefix`, over runs that touch in memory (in the file they need not)."""
        limit = address + size
        pieces = []
        while True:
            end = min(self._ends[index] << PAGE_SHIFT, limit)
            offset = address + self._deltas[index]
            pieces.append(self._view[offset : offset + end - address])
            address = end
            index += 1
            if address == limit or index == len(self._starts) or self._starts[index] << PAGE_SHIFT != address:
                return b"".join(pieces)

    def explain(self, address: int) -> str:
        """Why a physical address cannot be read: its page is not in the dump, or lost with the file's end."""
        if self.read_prefix(address, 1):
            return "readable"
        pfn = address >> PAGE_SHIFT
        if self.runs.is_lost(pfn):
            return f"page {pfn:x} lies beyond the end of the file (truncated)"
        return f"page {pfn:x} not in the dump"

    def next_readable(self, address: int, limit: int) -> Optional[int]:
        """The first physical address at or above `address` and below `limit` that can be read, or None."""
        index = bisect_right(self._starts, address >> PAGE_SHIFT) - 1
        if index >= 0 and address >> PAGE_SHIFT < self._ends[index]:
            return address if address < limit else None
        if index + 1 == len(self._starts):
            return None
        found = self._starts[index + 1] << PAGE_SHIFT
        return found if found < limit else None


def open_physical(header: Header, view: Buffer) -> PhysicalMemory:
    """The physical memory of a dump; `view` is the whole file, best a read-only mapping of it.

    A truncated or partly damaged file gives what there is, and `notes` says what is missing. Raises
    DumpFormatError where the kind of dump holds none, or the list of its pages is unusable.
    """
    if header.dump_type == FULL:
        from dumpkit.dump.full import read_runs
    elif header.dump_type in (SUMMARY, BITMAP_FULL, BITMAP_KERNEL):
        from dumpkit.dump.bitmap import read_runs
    elif header.dump_type in (RDMP_KERNEL, RDMP_KERNEL_AND_USER, RDMP_COMPLETE):
        from dumpkit.dump.rdmp import read_runs
    else:
        kind = DUMP_TYPES.get(header.dump_type, f"a dump of type {header.dump_type}")
        raise DumpFormatError(f"No physical memory to open: this is a {kind}")
    return PhysicalMemory(view, read_runs(header, view))
