"""PykdTarget: the debugger's current target, a dump or a live kernel, read and never written."""

from __future__ import annotations

import re

from dumpkit.errors import DumpkitError
from dumpkit.kernel.debugger_data import DebuggerData, EncodedError, read_debugger_data
from dumpkit.kernel.kernel_target import SINGLE_PROCESSOR, KernelTarget
from dumpkit.kernel.loaded_modules import unloaded_images
from dumpkit.kernel.module_names import file_name
from dumpkit.kernel.paging import paging_scheme
from dumpkit.kernel.processors import build_lab, service_pack
from dumpkit.memory import AddressSpace
from dumpkit.module import Module, UnloadedModule
from dumpkit.registers import BY_MACHINE, X64, Context
from dumpkit.target import Bugcheck, ExceptionRecord, System
from dumpkit.target_symbols import Symbols
from dumpkit.windbg.engine import Engine, address_of_text
from dumpkit.windbg.memory import EngineMemory, EngineTriageMemory, EngineVirtualMemory
from dumpkit.windbg.times import refined, session_filetime, uptime_units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Sequence

    from dumpkit.symbols.search import SymbolSearch

#: The engine's words for a target -> dumpkit's (`dumpkit.dump.header` has those of dump types).
_KINDS = (
    ("triage", "triage dump (minidump)"),
    ("bitmap full", "full memory dump with a page bitmap"),
    ("full kernel", "full memory dump"),
    ("kernel bitmap", "kernel memory dump with a page bitmap"),
    ("bitmap", "kernel memory dump with a page bitmap"),
    ("summary", "kernel summary dump"),
    ("full", "full memory dump"),
    ("local", "this machine's live kernel"),
    ("kernel", "live kernel"),
)

_MODULE_LIST = re.compile(r"^Kernel base = (?:0x)?(\S+) PsLoadedModuleList = (?:0x)?(\S+)", re.MULTILINE)
_VERSION = re.compile(r" Version (\d+).*?(UP|MP \((\d+) procs\)) (Free|Checked) ")
#: KUSER_SHARED_DATA (ntddk.h), at the same virtual address in every x64 and ARM64 kernel: NtProductType, SuiteMask.
_SHARED_DATA, _PRODUCT_TYPE, _SUITE_MASK = 0xFFFFF780_00000000, 0x264, 0x2D0
_UNLOADED = re.compile(r"^([0-9a-f`]{17}) ([0-9a-f`]{17})   (.*?) *$", re.MULTILINE)

#: The engine's registers that are none of a CONTEXT, x64.
_SPECIAL = ("cr0", "cr2", "cr3", "cr4", "cr8", "gdtr", "gdtl", "idtr", "idtl", "tr", "ldtr")


class PykdTarget(KernelTarget):
    """The engine's current kernel target. Opening it asks which sort it is; the rest is asked when it is needed."""

    def __init__(self, engine: Optional[Engine] = None) -> None:
        """Raises DumpkitError where the debugger has no kernel target, or one that dumpkit does not read."""
        super().__init__()
        self.engine = engine if engine is not None else Engine()
        engine = self.engine
        if not engine.is_kernel:
            if not engine.has_target:
                raise DumpkitError("WinDbg has no target: open a dump first (.opendump), or connect to a kernel")
            raise DumpkitError("WinDbg's target is a process; dumpkit reads kernels and their dumps")
        machine, words = engine.machine
        if machine not in BY_MACHINE:
            raise DumpkitError(f"WinDbg's target runs on {words}; dumpkit reads x64 and ARM64")
        self.architecture = BY_MACHINE[machine]
        system, path = engine.system_words()
        self.kind = next((kind for words, kind in _KINDS if words in system.lower()), system)
        self.name = path if path is not None else system
        self._header = engine.header()
        self.physical: Optional[AddressSpace] = None
        self.memory: AddressSpace
        if engine.is_dump and engine.is_triage:
            self.memory = EngineTriageMemory(engine)
        else:
            self.memory = EngineMemory(engine)
            self._walk_pages()
        self._symbols: Optional[Symbols] = None
        self._image_search: Optional[SymbolSearch] = None
        self._unloaded: Optional[List[UnloadedModule]] = None
        self._version: Optional[str] = None

    def _walk_pages(self) -> None:
        root = self._header.get("DirectoryTableBase") or self.engine.register("cr3")
        if root is None:
            return
        physical = EngineMemory(self.engine, physical=True)
        known = [self._header.get(name, 0) for name in ("KdDebuggerDataBlock", "PsLoadedModuleList")]
        scheme = paging_scheme(physical, self.architecture.machine, root, known)
        self.physical = physical
        self._root = root
        self.memory = EngineVirtualMemory(self.engine, physical, root, scheme)

    def use_page_tables(self, root: Optional[int]) -> None:
        """Read virtual memory through the page tables at a physical address; see Target."""
        memory = self.memory
        if not isinstance(memory, EngineVirtualMemory):
            return
        before = memory.root
        memory.use_root(self._root if root is None else root)
        known = self.system.ps_loaded_module_list
        if root is not None and known and not memory.read_prefix(known, 1):
            reason = memory.explain(known)
            memory.use_root(before)
            raise DumpkitError(f"the page tables at {root:x} do not lead to the kernel: {reason}")

    # --- The machine ---------------------------------------------------------

    @property
    def _version_text(self) -> str:
        if self._version is None:
            self._version = self.engine.command_optional("vertarget")
        return self._version

    @property
    def processor_count(self) -> int:
        found = self._header.get("NumberProcessors")
        if found is None:
            match = _VERSION.search(self._version_text)
            found = int(match.group(3) or 1) if match is not None else 1
        return found

    def _read_debugger_data(self) -> Optional[DebuggerData]:
        address = self._header.get("KdDebuggerDataBlock") or self.engine.expression("nt!KdDebuggerDataBlock")
        if not address:
            return None
        try:
            return read_debugger_data(self.memory, address)
        except EncodedError:
            try:
                return self._decoded_debugger_data(address)
            except DumpkitError:
                return None
        except DumpkitError:
            return None

    @property
    def system(self) -> System:  # type: ignore[override]
        """What the engine and the kernel's memory say of the system."""
        if self._system is None:
            text, header, data = self._version_text, self._header, self.debugger_data
            version = _VERSION.search(text)
            listed = _MODULE_LIST.search(text)
            path = self.name if self.engine.is_dump else None
            time, uptime = refined(path, session_filetime(text), uptime_units(text))
            self._system = System(
                build=header.get("MinorVersion", int(version.group(1)) if version is not None else 0),
                checked=version is not None and version.group(4) == "Checked",
                processors=self.processor_count,
                product_type=self._number("ProductType", _PRODUCT_TYPE),
                suite_mask=self._number("SuiteMask", _SUITE_MASK),
                kernel_base=self.kernel_base,
                ps_loaded_module_list=address_of_text(listed.group(2)) if listed is not None else 0,
                system_time=time,
                uptime=uptime,
                build_lab=build_lab(self.memory, data) if data is not None else None,
                service_pack=self._service_pack(),
            )
        return self._system

    def _number(self, field: str, offset: int) -> Optional[int]:
        """A field of the dump's header, or of a live machine's shared data."""
        if field in self._header or self.engine.is_dump:
            return self._header.get(field)
        data = self.memory.read_optional(_SHARED_DATA + offset, 4)
        return int.from_bytes(data, "little") if data is not None else None

    def _service_pack(self) -> int:
        if "ServicePackBuild" in self._header:
            return self._header["ServicePackBuild"]
        data = self.debugger_data
        return service_pack(self.memory, data) if data is not None else 0

    @property
    def bugcheck(self) -> Optional[Bugcheck]:
        """The stop code; None for a machine that did not stop."""
        found = self.engine.bugcheck()
        if found is None or (not found[0] and not any(found[1])):
            return None
        return Bugcheck(*found)

    @property
    def last_exception(self) -> Optional[ExceptionRecord]:
        """The exception that stopped the target, or None where the engine does not say."""
        return self.engine.exception()

    @property
    def dump_attributes(self) -> Optional[int]:
        """The header's Attributes; None where it has none, as a live kernel."""
        return self._header.get("Attributes")

    def tagged_data(self, guid: str) -> Optional[bytes]:
        """The data that the dump has under a GUID (lower case, no braces), or None."""
        return self.engine.tagged(guid)

    # --- Processors ----------------------------------------------------------

    @property
    def current_processor(self) -> int:  # type: ignore[override]
        """The number of the processor that is current in WinDbg (`~3s`)."""
        return self.engine.processor

    def prcb_address(self, processor: int) -> int:
        """The virtual address of a processor's KPRCB; the current one's as the engine has it where memory lacks it."""
        try:
            return super().prcb_address(processor)
        except DumpkitError as error:
            return self._of_current(processor, self.engine.expression("@$prcb"), error)

    def thread_address(self, processor: int) -> int:
        """The virtual address of the KTHREAD that ran on a processor; the current one's likewise."""
        try:
            return self.processors.thread(self.processors.prcb(processor))
        except DumpkitError as error:
            return self._of_current(processor, self.engine.thread, error)

    def process_address(self, processor: int) -> int:
        """The virtual address of the KPROCESS whose address space a processor used; the current one's likewise."""
        try:
            return self.processors.process(self.thread_address(processor))
        except DumpkitError as error:
            return self._of_current(processor, self.engine.process, error)

    def _of_current(self, processor: int, known: Optional[int], error: DumpkitError) -> int:
        """What the engine knows of the current processor; the error of the kernel's memory for another one."""
        self._check_processor(processor)
        if processor == self.current_processor and known:
            return known
        if self.physical is None and self.engine.is_dump:
            raise DumpkitError(SINGLE_PROCESSOR) from error
        raise error

    def _read_context(self, processor: int) -> Context:
        # A live machine's current processor has gone on since its KPRCB was written.
        if processor == self.current_processor and not self.engine.is_dump:
            return self.current_context
        try:
            return super()._read_context(processor)
        except DumpkitError as error:
            if processor == self.current_processor or self.physical is not None:
                raise
            raise DumpkitError(SINGLE_PROCESSOR) from error

    def _context_without_prcb(self, processor: int) -> Optional[Context]:
        return self.current_context if processor == self.current_processor else None

    @property
    def current_context(self) -> Context:
        """The registers that are current in WinDbg: the processor's, or those that a command such as `.cxr` set."""
        engine = self.engine
        values: Dict[str, int] = {}
        names = [(name, size) for name, (_, size) in self.architecture.layout.items() if name != "contextflags"]
        for name, size in [*names, *((name, 8) for name in _SPECIAL)]:
            value = engine.register(name) if size <= 8 else engine.vector(name)
            if value is not None:
                values[name] = value
        return Context(self.architecture, values)

    @property
    def changed_context(self) -> Optional[Context]:
        """The registers that `.cxr`, `.trap`, `.thread` or `.frame /c` made current in WinDbg; None where none did.

        Raises DumpkitError where the processor's own are not known.
        """
        own = self.context(self.current_processor)
        current = self.engine.register("rip" if self.architecture is X64 else "pc")
        stack = self.engine.register("rsp" if self.architecture is X64 else "sp")
        if (current, stack) == (own.instruction_pointer, own.stack_pointer):
            return None
        return self.current_context

    def close(self) -> None:
        """Let go of the files of symbols and images."""
        if self._symbols is not None:
            self._symbols.close()
        self.forget_types()

    # --- Modules and symbols -------------------------------------------------

    @property
    def modules(self) -> Sequence[Module]:
        """The engine's loaded modules, ascending by base address."""
        if self._modules is None:
            paths = self.engine.module_paths()
            found = []
            for each in self.engine.modules():
                path = paths.get(each.begin()) or each.image()
                name = file_name(path)
                stamp, sum = each.timestamp() & 0xFFFF_FFFF, each.checksum() & 0xFFFF_FFFF
                found.append(Module(each.begin(), each.size(), each.name(), name, path, stamp, sum))
            self._modules = sorted([*found, *self._user_modules])
        return self._modules

    @property
    def unloaded_modules(self) -> Sequence[UnloadedModule]:
        """The unloaded images, newest first."""
        if self._unloaded is None:
            self._unloaded = self._unloaded_by_kernel() or self._unloaded_by_engine()
        return self._unloaded

    def _unloaded_by_kernel(self) -> List[UnloadedModule]:
        """The kernel's own list, which has the times that the engine does not print."""
        data = self.debugger_data
        if data is None or self.physical is None:
            return []
        try:
            images = unloaded_images(
                self.memory, data.require("MmUnloadedDrivers"), data.require("MmLastUnloadedDriver")
            )
            return [UnloadedModule(image.start, image.end, image.name, image.time) for image in images]
        except DumpkitError:
            return []

    def _unloaded_by_engine(self) -> List[UnloadedModule]:
        _, text = self.engine.module_rows()
        return [
            UnloadedModule(address_of_text(start), address_of_text(end), name)
            for start, end, name in _UNLOADED.findall(text)
        ]

    @property
    def image_search(self) -> SymbolSearch:
        """The engine's symbol path, its servers not asked: the engine reads images that it has found by itself."""
        if self._image_search is None:
            from dumpkit.symbols.search import SymbolSearch

            self._image_search = SymbolSearch(self.engine.symbol_path, offline=True)
        return self._image_search

    @property
    def symbols(self) -> Symbols:
        """Names, types and lines from the symbol files that the engine found."""
        if self._symbols is None:
            from dumpkit.windbg.symbols import EngineSymbols

            self._symbols = EngineSymbols(self.engine, self)
        return self._symbols

    @symbols.setter
    def symbols(self, symbols: Symbols) -> None:
        self._symbols = symbols
