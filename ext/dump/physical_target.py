"""A dump of physical memory (full, kernel, by runs or by bitmap) as a Target."""

from __future__ import annotations

from mmap import mmap

from dumpkit.dump.header import Header
from dumpkit.dump.physical import PhysicalMemory, open_physical
from dumpkit.dump.target import DumpTarget
from dumpkit.errors import DumpFormatError, DumpkitError
from dumpkit.kernel.debugger_data import EncodedError, read_debugger_data
from dumpkit.kernel.loaded_modules import loaded_images, unloaded_images
from dumpkit.kernel.paging import VirtualMemory, paging_scheme
from dumpkit.kernel.processors import service_pack
from dumpkit.module import UnloadedModule
from dumpkit.registers import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Sequence, Union

    from dumpkit.kernel.debugger_data import DebuggerData
    from dumpkit.kernel.loaded_modules import LoadedImage

_PAGE_SHIFT = 12


class PhysicalTarget(DumpTarget):
    """A dump of type 1, 2, 5, 6, 8, 9 or 0xA: pages of physical memory, read through the page tables."""

    def __init__(self, path: str, view: Union[bytes, mmap], header: Header) -> None:
        """Raises DumpFormatError where the list of pages is unusable, or the header has no page tables' root."""
        root = header.directory_table_base
        if root is None:
            raise DumpFormatError("Incomplete dump: the header was never finished (it has no directory table base)")
        physical = open_physical(header, view)
        known = (header.kd_debugger_data_block, header.ps_loaded_module_list, header.ps_active_process_head)
        scheme = paging_scheme(physical, header.machine, root, [address for address in known if address])
        super().__init__(path, view, header, VirtualMemory(physical, root, scheme))
        self.memory: VirtualMemory
        self.physical: PhysicalMemory = physical
        self._root = root
        self._notes.extend(physical.notes)

    def _read_debugger_data(self) -> Optional[DebuggerData]:
        address = self.header.kd_debugger_data_block
        if not address:
            self._notes.append("The header has no KdDebuggerDataBlock: processors and unloaded modules cannot be told.")
            return None
        try:
            return read_debugger_data(self.memory, address)
        except EncodedError as error:
            try:
                return self._decoded_debugger_data(address)
            except EncodedError:
                reason = str(error)
            except DumpkitError as missing:
                reason = f"{error}; to decode it: {missing}"
        except DumpkitError as error:
            reason = str(error)
        self._notes.append(
            f"The debugger data block at {address:016x} cannot be used ({reason}):"
            " processors and unloaded modules cannot be told."
        )
        return None

    def use_page_tables(self, root: Optional[int]) -> None:
        """Read virtual memory through the page tables at a physical address; see Target."""
        before = self.memory.root
        self.memory.use_root(self._root if root is None else root)
        known = self.system.ps_loaded_module_list
        if root is not None and known and not self.memory.read_prefix(known, 1):
            reason = self.memory.explain(known)
            self.memory.use_root(before)
            raise DumpkitError(f"the page tables at {root:x} do not lead to the kernel: {reason}")

    def _images(self) -> Sequence[LoadedImage]:
        data = self.debugger_data
        head = self.header.ps_loaded_module_list or (data["PsLoadedModuleList"] if data is not None else None)
        if not head:
            self._notes.append("The header has no PsLoadedModuleList: modules cannot be told.")
            return []
        return loaded_images(self.memory, head, self.header.minor_version, self._notes)

    def _unloaded(self) -> List[UnloadedModule]:
        data = self.debugger_data
        if data is None:
            return []
        try:
            images = unloaded_images(
                self.memory, data.require("MmUnloadedDrivers"), data.require("MmLastUnloadedDriver")
            )
            return [UnloadedModule(image.start, image.end, image.name, image.time) for image in images]
        except DumpkitError as error:
            self._notes.append(f"The unloaded modules cannot be told: {error}.")
            return []

    def _crash_processor(self) -> Optional[int]:
        record = self.header.context_record
        if record is None or self.debugger_data is None:
            return None
        # The engine goes by the stack pointer alone.
        return self.processors.find(Context.from_bytes(self.architecture, record).stack_pointer)

    def _service_pack(self) -> int:
        data = self.debugger_data
        return service_pack(self.memory, data) if data is not None else 0

    @property
    def end_of_dump(self) -> int:
        """The file offset behind the last page of the dump."""
        runs = self.physical.runs
        return max(((end << _PAGE_SHIFT) + delta for end, delta in zip(runs.ends, runs.deltas)), default=len(self.view))
