"""A triage dump (minidump) as a Target."""

from __future__ import annotations

from mmap import mmap

from dumpkit.dump.header import Header
from dumpkit.dump.target import DumpTarget
from dumpkit.dump.triage import PRCB_ADDRESS, TriageDump
from dumpkit.dump.triage_memory import TriageMemory
from dumpkit.errors import DumpkitError
from dumpkit.kernel.kernel_target import SINGLE_PROCESSOR
from dumpkit.module import UnloadedModule
from dumpkit.registers import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Sequence, Union

    from dumpkit.kernel.debugger_data import DebuggerData
    from dumpkit.kernel.loaded_modules import LoadedImage


class TriageTarget(DumpTarget):
    """A dump of type 4: pieces of virtual memory, and lists of the modules."""

    def __init__(self, path: str, view: Union[bytes, mmap], header: Header) -> None:
        #: The dump's tables.
        self.triage = TriageDump(header, view)
        memory = TriageMemory(view, self.triage.extents)
        super().__init__(path, view, header, memory)
        self.memory: TriageMemory = memory
        self._notes = self.triage.notes

    def _read_debugger_data(self) -> Optional[DebuggerData]:
        return self.triage.debugger_data

    def _images(self) -> Sequence[LoadedImage]:
        lost = self.triage.lost_blocks()
        if lost:
            self._notes.append(
                f"{lost} of {self.triage.tables.data_block_count} data blocks are not in the file, or cut."
            )
        return self.triage.drivers()

    def _unloaded(self) -> List[UnloadedModule]:
        return self.triage.unloaded_modules()

    def _crash_processor(self) -> Optional[int]:
        return self.triage.processor

    def _service_pack(self) -> int:
        return self.triage.tables.service_pack_build

    @property
    def end_of_dump(self) -> int:
        """The file offset at which tagged data may begin."""
        return self.triage.tables.size_of_dump

    def prcb_address(self, processor: int) -> int:
        """The virtual address of a processor's KPRCB. Raises DumpkitError where the dump does not tell it.

        Many triage dumps hold the PRCB of the crashed processor alone, without its address: it is then shown
        at `PRCB_ADDRESS`, where WinDbg shows it.
        """
        try:
            return super().prcb_address(processor)
        except DumpkitError as error:
            if not 0 <= processor < self.header.processors:
                raise
            if processor == self.current_processor and self.triage.tables.prcb_offset:
                return PRCB_ADDRESS
            raise DumpkitError(SINGLE_PROCESSOR) from error

    def _read_context(self, processor: int) -> Context:
        try:
            return super()._read_context(processor)
        except DumpkitError as error:
            if processor == self.current_processor:
                raise
            raise DumpkitError(SINGLE_PROCESSOR) from error

    def thread_address(self, processor: int) -> int:
        """The virtual address of the KTHREAD that ran on a processor. Raises DumpkitError likewise."""
        thread = self.triage.thread if processor == self.current_processor else None
        return thread if thread is not None else super().thread_address(processor)

    def process_address(self, processor: int) -> int:
        """The virtual address of the KPROCESS whose address space a processor used. Raises DumpkitError likewise."""
        process = self.triage.process if processor == self.current_processor else None
        return process if process is not None else super().process_address(processor)
