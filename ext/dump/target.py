"""DumpTarget: what the kinds of crash dump have in common as a Target."""

from __future__ import annotations

from abc import abstractmethod
from mmap import mmap

from dumpkit.dump.header import DUMP_TYPES, Header
from dumpkit.errors import DumpFormatError, DumpkitError
from dumpkit.kernel.kernel_target import KernelTarget
from dumpkit.kernel.module_names import name_modules
from dumpkit.kernel.processors import MOST_PROCESSORS, build_lab
from dumpkit.memory import AddressSpace
from dumpkit.module import Module, UnloadedModule
from dumpkit.registers import BY_MACHINE, Context
from dumpkit.target import Bugcheck, ExceptionRecord, System
from dumpkit.target_symbols import Symbols

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Sequence, Union

    from dumpkit.dump.tagged import TaggedBlob
    from dumpkit.kernel.loaded_modules import LoadedImage


class DumpTarget(KernelTarget):
    """A crash dump. Opening it reads its header; modules, memory and the rest are read when asked for.

    A subclass says, for its kinds of dump, where memory, modules and debugger data are.
    """

    #: Where symbols are looked for before `_NT_SYMBOL_PATH`, and whether no server is to be asked; set before
    #: the first use of `symbols`.
    symbol_path: Optional[str] = None
    offline = False

    def __init__(self, path: str, view: Union[bytes, mmap], header: Header, memory: AddressSpace) -> None:
        """Raises DumpFormatError for a machine that is neither x64 nor ARM64."""
        architecture = BY_MACHINE.get(header.machine)
        if architecture is None:
            raise DumpFormatError(f"Dump of an unknown machine (0x{header.machine:x}); dumpkit reads x64 and ARM64")
        super().__init__()
        self.name = path
        self.kind = DUMP_TYPES[header.dump_type]
        #: The file's bytes.
        self.view = view
        self.header = header
        self.architecture = architecture
        self.memory = memory
        self.physical: Optional[AddressSpace] = None
        self._symbols: Optional[Symbols] = None
        self._notes: List[str] = []
        self._unloaded_modules: Optional[List[UnloadedModule]] = None
        self._processor: Optional[int] = None
        self._tagged: Optional[List[TaggedBlob]] = None

    def close(self) -> None:
        """Let go of the file and of those of its symbols; memory cannot be read any more."""
        if self._symbols is not None:
            self._symbols.close()
        if isinstance(self.view, mmap):
            self.view.close()

    def refuse_if_cut(self) -> None:
        """Raise DumpkitError where the file has become shorter: to read what is gone of a mapping ends a process."""
        if isinstance(self.view, mmap) and self.view.size() < len(self.view):
            size, whole = self.view.size(), len(self.view)
            raise DumpkitError(f"{self.name} was cut to {size:,} of its {whole:,} bytes since it was opened")

    # --- What a kind of dump says --------------------------------------------

    @abstractmethod
    def _images(self) -> Sequence[LoadedImage]:
        """The loaded images in the loader's order; damage is noted."""

    @abstractmethod
    def _unloaded(self) -> List[UnloadedModule]:
        """The unloaded images, newest first; damage is noted."""

    @abstractmethod
    def _crash_processor(self) -> Optional[int]:
        """The number of the processor that crashed, or None where the dump does not tell."""

    @abstractmethod
    def _service_pack(self) -> int:
        """CmNtCSDVersion."""

    @property
    @abstractmethod
    def end_of_dump(self) -> int:
        """The file offset behind the dump itself, where tagged data may begin."""

    # --- The machine ---------------------------------------------------------

    @property
    def processor_count(self) -> int:
        return self.header.processors

    @property
    def system(self) -> System:  # type: ignore[override]
        """What the dump says of the system."""
        if self._system is None:
            header, data = self.header, self.debugger_data
            listed = data["PsLoadedModuleList"] if data is not None else None
            self._system = System(
                build=header.minor_version,
                checked=header.major_version == 0xC,
                processors=header.processors,
                product_type=header.product_type,
                suite_mask=header.suite_mask,
                kernel_base=self.kernel_base,
                ps_loaded_module_list=listed or header.ps_loaded_module_list or 0,
                system_time=header.system_time,
                uptime=header.system_up_time,
                build_lab=build_lab(self.memory, data) if data is not None else None,
                service_pack=self._service_pack(),
            )
        return self._system

    @property
    def dump_attributes(self) -> Optional[int]:
        """The header's Attributes; None where it has none."""
        return self.header.attributes

    @property
    def bugcheck(self) -> Optional[Bugcheck]:
        """The stop code of the header; None for 0, a dump of a machine that did not stop."""
        header = self.header
        if not header.bugcheck_code and not any(header.bugcheck_parameters):
            return None
        return Bugcheck(header.bugcheck_code, header.bugcheck_parameters)

    @property
    def last_exception(self) -> Optional[ExceptionRecord]:
        """The header's exception record, or None where the dump's writer left it out."""
        return self.header.exception

    # --- Processors ----------------------------------------------------------

    @property
    def current_processor(self) -> int:  # type: ignore[override]
        """The number of the processor that crashed; 0, with a note, where the dump does not tell."""
        if self._processor is None:
            number = self._crash_processor()
            if number is None or not 0 <= number < max(1, min(self.header.processors, MOST_PROCESSORS)):
                if self.header.processors > 1:
                    self._notes.append("The dump does not tell which processor crashed; processor 0 is taken for it.")
                number = 0
            self._processor = number
        return self._processor

    def _context_without_prcb(self, processor: int) -> Optional[Context]:
        record = self.header.context_record
        if processor != self.current_processor or record is None:
            return None
        return Context.from_bytes(self.architecture, record)

    # --- Symbols -------------------------------------------------------------

    @property
    def symbols(self) -> Symbols:
        """The names, types and lines of the modules; a module's symbols are looked for when they are asked for."""
        if self._symbols is None:
            from dumpkit.symbolizer import Symbolizer
            from dumpkit.symbols.search import SymbolSearch

            search = SymbolSearch(self.symbol_path, self.name, self.offline)
            self._symbols = Symbolizer(self, search, self._known_variables)
        return self._symbols

    @symbols.setter
    def symbols(self, symbols: Symbols) -> None:
        self._symbols = symbols

    def _known_variables(self) -> Dict[str, int]:
        """The virtual addresses of the kernel variables that the header gives, by name."""
        header = self.header
        known = {
            "PsLoadedModuleList": header.ps_loaded_module_list,
            "KdDebuggerDataBlock": header.kd_debugger_data_block,
            "PsActiveProcessHead": header.ps_active_process_head,
        }
        return {name: address for name, address in known.items() if address}

    # --- Modules -------------------------------------------------------------

    @property
    def modules(self) -> Sequence[Module]:
        """The loaded images, ascending by base address."""
        if self._modules is None:
            images = self._images()
            kernel = name_modules(images, self._base_among(images))
            self._modules = sorted([*self._user_modules, *kernel]) if self._user_modules else kernel
        return self._modules

    def _base_among(self, images: Sequence[LoadedImage]) -> Optional[int]:
        """The base of the kernel: as the debugger data says, or the image that has the list of modules in its data."""
        data = self.debugger_data
        if data is not None and data["KernBase"]:
            return data["KernBase"]
        address = self.header.ps_loaded_module_list
        if not address:
            return None
        return next((image.base for image in images if image.base <= address < image.base + image.size), None)

    @property
    def unloaded_modules(self) -> Sequence[UnloadedModule]:
        """The unloaded images, newest first."""
        if self._unloaded_modules is None:
            self._unloaded_modules = self._unloaded()
        return self._unloaded_modules

    # --- Tagged data and damage ----------------------------------------------

    @property
    def tagged_blobs(self) -> Sequence[TaggedBlob]:
        """The pieces of tagged data behind the dump, in the file's order."""
        if self._tagged is None:
            from dumpkit.dump.tagged import tagged_data

            self._tagged, notes = tagged_data(self.view, self.end_of_dump)
            self._notes += notes
        return self._tagged

    def tagged_data(self, guid: str) -> Optional[bytes]:
        """The first piece of tagged data with a GUID (lower case, no braces), or None."""
        for blob in self.tagged_blobs:
            if blob.guid == guid:
                return bytes(self.view[blob.offset : blob.offset + blob.available])
        return None

    @property
    def notes(self) -> Sequence[str]:
        """What is damaged or missing in the dump, one line each; to say it, the modules and tagged data are read."""
        _ = self.modules, self.unloaded_modules, self.tagged_blobs, self.current_processor
        return tuple(dict.fromkeys(self._notes))
