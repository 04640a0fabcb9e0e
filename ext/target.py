"""The Target: one machine at one moment, whichever backend holds it.

Commands and the kernel model see nothing below this interface. A backend (a dump file, WinDbg's
engine through pykd) gives memory, contexts, modules and symbols; what Windows means by the bytes
is the kernel model's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right

from dumpkit.errors import DumpkitError
from dumpkit.functions import partial
from dumpkit.memory import AddressSpace
from dumpkit.named_tuple import NamedTuple
from dumpkit.record import Record
from dumpkit.registers import Architecture, Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, List, Optional, Sequence, Tuple

    from dumpkit.module import Module, UnloadedModule
    from dumpkit.objects import BoundType
    from dumpkit.objects.lists import ListWalk
    from dumpkit.symbols.module_image import ModuleImage
    from dumpkit.symbols.search import SymbolSearch
    from dumpkit.symbols.types import Type
    from dumpkit.target_symbols import Symbols


class Bugcheck(NamedTuple):
    """The stop code as the header has it (a triage dump's carries 0x10000000) and its four arguments."""

    code: int
    parameters: Tuple[int, int, int, int]


class ExceptionRecord(NamedTuple):
    """EXCEPTION_RECORD64 (winnt.h). `record` (the next record's) and `address` are virtual addresses."""

    code: int
    flags: int
    record: int
    address: int
    parameters: Tuple[int, ...]


class System(Record):
    """What the target says of itself. Fields that it lacks are None; nothing is guessed."""

    build: int
    checked: bool
    processors: int
    product_type: Optional[int]
    suite_mask: Optional[int]
    #: Virtual addresses.
    kernel_base: Optional[int]
    ps_loaded_module_list: int
    #: FILETIME (100 ns since 1601, UTC) of the dump.
    system_time: Optional[int]
    #: 100 ns units since boot.
    uptime: Optional[int]
    #: NtBuildLab: "19041.1.amd64fre.vb_release.191206-1406".
    build_lab: Optional[str]
    #: CmNtCSDVersion: 0, or the service pack's number in bits 8-15 (Windows 7 and before).
    service_pack: int = 0


class Target(ABC):
    """One machine at one moment."""

    #: The dump's path, or what the backend calls itself.
    name: str
    #: What sort of target it is, in words: "triage dump (minidump)", "live kernel".
    kind: str
    architecture: Architecture
    system: System
    memory: AddressSpace
    #: None where the target has no physical memory (a triage dump).
    physical: Optional[AddressSpace]
    symbols: Symbols
    #: The processor that was current when the target stopped.
    current_processor: int

    @property
    @abstractmethod
    def modules(self) -> Sequence[Module]:
        """The loaded images, ascending by base address."""

    @property
    def last_exception(self) -> Optional[ExceptionRecord]:
        """The exception that stopped the target, or None where it does not say."""
        return None

    @property
    @abstractmethod
    def unloaded_modules(self) -> Sequence[UnloadedModule]:
        """The unloaded images, newest first as the debugger lists them."""

    @property
    @abstractmethod
    def bugcheck(self) -> Optional[Bugcheck]:
        """The stop code, or None where the machine did not bugcheck."""

    @abstractmethod
    def context(self, processor: int) -> Context:
        """The registers of a processor. Raises DumpkitError where the target does not hold them."""

    def prcb_address(self, processor: int) -> int:
        """The virtual address of a processor's KPRCB. Raises DumpkitError where the target does not tell it."""
        raise DumpkitError(f"This target does not tell where the PRCB of processor {processor} is")

    def thread_address(self, processor: int) -> int:
        """The virtual address of the KTHREAD that ran on a processor. Raises DumpkitError, as `prcb_address`."""
        raise DumpkitError(f"This target does not tell which thread ran on processor {processor}")

    def process_address(self, processor: int) -> int:
        """The virtual address of the KPROCESS whose address space a processor used. Raises DumpkitError likewise."""
        raise DumpkitError(f"This target does not tell which process ran on processor {processor}")

    def use_page_tables(self, root: Optional[int]) -> None:
        """Read virtual memory through other page tables: those of another process.

        `root` is the physical address of the topmost; None goes back to the tables that the target was opened with.
        A target without physical memory has but one view of memory, and keeps it. Raises DumpkitError where the
        kernel cannot be read through them: nothing is changed then.
        """
        return None

    def use_user_modules(self, modules: Sequence[Module]) -> None:
        """Count the images of a process's user mode among `modules`, instead of those that were counted so far."""
        return None

    def tagged_data(self, guid: str) -> Optional[bytes]:
        """The data that a driver or Windows left in the dump under a GUID (lower case, no braces), or None."""
        return None

    @property
    def dump_attributes(self) -> Optional[int]:
        """DUMP_HEADER64.Attributes, whose bits no public header names; None where the target has none."""
        return None

    @property
    def notes(self) -> Sequence[str]:
        """What is damaged or missing in the target itself, one line each, for the user to be told on opening."""
        return ()

    def type(self, name: str) -> BoundType:
        """A type of the kernel ("_KTHREAD") or of a module ("amdppm!_FDO_DATA") over this target's memory.

        Raises SymbolError.
        """
        from dumpkit.objects import BoundType, Space

        space = self.__dict__.get("_object_space")
        if space is None:
            space = self.__dict__["_object_space"] = Space(self.memory, self._find_type)
        known: Dict[str, BoundType] = self.__dict__.setdefault("_bound_types", {})
        bound = known.get(name)
        if bound is None:
            bound = known[name] = BoundType(space, self._find_type(name))
        return bound

    def forget_types(self) -> None:
        """Have types and images looked for anew: the symbols have changed."""
        self.__dict__.pop("_object_space", None)
        self.__dict__.pop("_bound_types", None)
        for image in self.__dict__.pop("_images_by_base", {}).values():
            image.close()

    @property
    def image_search(self) -> Optional[SymbolSearch]:
        """Where the files of images are looked for: where symbols are. None where there is nowhere to look."""
        return self.symbols.search

    def image(self, module: Module) -> ModuleImage:
        """The image of a module: what memory holds of it, and for the rest the file that the symbol path leads to.

        Nothing is read or looked for before the image is.
        """
        from dumpkit.symbols.module_image import ModuleImage

        images: Dict[int, ModuleImage] = self.__dict__.setdefault("_images_by_base", {})
        image = images.get(module.base)
        if image is None:
            search = self.image_search
            find: Optional[Callable[[], str]] = None
            if search is not None and search.has_places and module.timestamp:
                find = partial(_find_image, search, module)
            image = ModuleImage(self.memory, module.base, module.size, module.image_name, find)
            images[module.base] = image
        return image

    def list(self, head: int, type: str, member: str, limit: int = 100_000, strict: bool = False) -> ListWalk:
        """The records of a kernel list: `head` is the virtual address of its head, `member` the link in `type`."""
        from dumpkit.objects.lists import ListWalk

        return ListWalk(self.type(type), head, member, limit, strict)

    def _find_type(self, name: str) -> Type:
        module, _, bare = name.rpartition("!")
        return self.symbols.type(bare, module or None)

    def refuse_if_cut(self) -> None:  # noqa: B027 - most targets cannot lose anything
        """Raise DumpkitError where the target has lost a part since it was opened."""

    def close(self) -> None:
        """Let go of what the target holds open: its symbol files, at least."""
        self.symbols.close()

    def module_at(self, address: int) -> Optional[Module]:
        """The loaded image that holds a virtual address, or None."""
        modules = self.modules
        index = bisect_right(self._bases, address) - 1
        if index >= 0 and address in modules[index]:
            return modules[index]
        return None

    def module_named(self, name: str) -> Optional[Module]:
        """The loaded image of that debugger name, in any case, or None."""
        wanted = name.lower()
        return next((module for module in self.modules if module.name.lower() == wanted), None)

    def module_called(self, name: str) -> Optional[Module]:
        """A loaded image by its debugger name, its file's name, or that without its ending, in any case; or None."""
        module = self.module_named(name)
        if module is not None:
            return module
        wanted = name.lower()
        for other in self.modules:
            file = other.image_name.lower()
            if wanted in (file, file.rpartition(".")[0]):
                return other
        return None

    @property
    def _bases(self) -> List[int]:
        cached: Optional[List[int]] = self.__dict__.get("_module_bases")
        if cached is None:
            cached = self.__dict__["_module_bases"] = [module.base for module in self.modules]
        return cached


def _find_image(search: SymbolSearch, module: Module) -> str:
    return search.finder.find_image(module.image_name, module.timestamp, module.size)
