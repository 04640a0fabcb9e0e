"""Memory as WinDbg's engine reads it: virtual and physical."""

from __future__ import annotations

from bisect import bisect_right

from dumpkit.kernel.paging import PagingScheme, VirtualMemory
from dumpkit.memory import PAGE_SIZE, AddressSpace
from dumpkit.windbg.engine import Engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional

#: Pages that are kept while a command runs.
_KEPT_PAGES = 4096


class EngineMemory(AddressSpace):
    """An address space that the engine reads, page by page. What was read is kept: a command sees one moment."""

    def __init__(self, engine: Engine, physical: bool = False) -> None:
        self.space = "physical" if physical else "virtual"
        self._engine = engine
        self._physical = physical
        # A page's bytes; None where only parts of it can be read, or nothing.
        self._pages: Dict[int, Optional[bytes]] = {}

    def read_prefix(self, address: int, size: int) -> bytes:
        at = address % PAGE_SIZE
        page = self._page(address - at)
        if page is not None and at + size <= PAGE_SIZE:
            return page[at : at + size]
        pieces = []
        while size > 0:
            at = address % PAGE_SIZE
            length = min(PAGE_SIZE - at, size)
            page = self._page(address - at)
            data = page[at : at + length] if page is not None else self._part(address, length)
            pieces.append(data)
            if len(data) < length:
                break
            address = address + length & 0xFFFF_FFFF_FFFF_FFFF
            size -= length
        return b"".join(pieces)

    def _page(self, address: int) -> Optional[bytes]:
        try:
            return self._pages[address]
        except KeyError:
            if len(self._pages) == _KEPT_PAGES:
                self._pages.clear()
            page = self._pages[address] = self._engine.read(address, PAGE_SIZE, self._physical)
            return page

    def _part(self, address: int, size: int) -> bytes:
        """What can be read of `size` bytes in a page that is not whole: the engine reads all or nothing."""
        whole = self._engine.read(address, size, self._physical)
        if whole is not None:
            return whole
        found, missing = b"", size
        while missing - len(found) > 1:
            middle = (len(found) + missing) // 2
            data = self._engine.read(address, middle, self._physical)
            if data is None:
                missing = middle
            else:
                found = data
        return found

    def explain(self, address: int) -> str:
        if self.read_prefix(address, 1):
            return "readable"
        return f"page {address >> 12:x} not in the dump" if self._physical else "not in this triage dump"


class EngineTriageMemory(EngineMemory):
    """The memory of a minidump. The engine lists its blocks, so that a search need not try every page."""

    #: Ranges up to this size are tried page by page too: the engine may have images that no block holds.
    _TRIED = 1 << 26

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._starts: Optional[List[int]] = None

    def next_readable(self, address: int, limit: int) -> Optional[int]:
        if address >= limit:
            return None
        if self.read_prefix(address, 1):
            return address
        if self._starts is None:
            self._starts = sorted(set(self._engine.block_starts()))
        index = bisect_right(self._starts, address)
        found = self._starts[index] if index < len(self._starts) and self._starts[index] < limit else None
        end = found if found is not None else limit
        if end - address <= self._TRIED:
            page = super().next_readable((address | PAGE_SIZE - 1) + 1, end)
            if page is not None:
                return page
        return found


class EngineVirtualMemory(VirtualMemory):
    """Virtual memory of a target with physical memory: read by the engine, explained by the page walk.

    The engine knows more than page tables: images that it has found files of, and pages of a live machine that its
    debugger cached. Other page tables than the engine's own (`use_root`) are walked here.
    """

    def __init__(self, engine: Engine, physical: AddressSpace, root: int, scheme: PagingScheme) -> None:
        super().__init__(physical, root, scheme)
        self._by_engine = EngineMemory(engine)
        self._engine_root = self.root

    def read_prefix(self, address: int, size: int) -> bytes:
        if self.root != self._engine_root:
            return super().read_prefix(address, size)
        return self._by_engine.read_prefix(address, size)

    def next_readable(self, address: int, limit: int) -> Optional[int]:
        if address < limit and self.read_prefix(address, 1):
            return address
        return super().next_readable(address, limit)
