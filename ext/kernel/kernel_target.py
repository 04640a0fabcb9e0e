"""KernelTarget: what every backend answers alike once it gives memory and the debugger data block."""

from __future__ import annotations

from abc import abstractmethod

from dumpkit.errors import DumpkitError
from dumpkit.kernel.processors import Processors
from dumpkit.module import Module
from dumpkit.registers import Context
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Sequence, Tuple

    from dumpkit.kernel.debugger_data import DebuggerData
    from dumpkit.target import System

#: The engine's words for a processor that a triage dump has nothing of.
SINGLE_PROCESSOR = "Can't switch processors on a single processor kernel triage dump"


class KernelTarget(Target):
    """A Windows kernel. A subclass says where its debugger data and the rest are; nothing is read unless asked for.

    `_contexts`, `_debugger_data`, `_modules` and `_system` keep what was read; `_user_modules` belong to `modules`.
    """

    def __init__(self) -> None:
        self._debugger_data: Optional[Tuple[Optional[DebuggerData]]] = None
        self._contexts: Dict[int, Context] = {}
        self._modules: Optional[List[Module]] = None
        self._user_modules: List[Module] = []
        self._system: Optional[System] = None

    @property
    @abstractmethod
    def processor_count(self) -> int:
        """How many processors the machine has."""

    @abstractmethod
    def _read_debugger_data(self) -> Optional[DebuggerData]:
        """The debugger data block; None where it is missing or damaged."""

    @abstractmethod
    def _context_without_prcb(self, processor: int) -> Optional[Context]:
        """The registers of a processor where its KPRCB does not tell them, or None."""

    @property
    def debugger_data(self) -> Optional[DebuggerData]:
        """The kernel's debugger data block, or None where the target lacks it."""
        if self._debugger_data is None:
            self._debugger_data = (self._read_debugger_data(),)
        return self._debugger_data[0]

    def _decoded_debugger_data(self, address: int) -> DebuggerData:
        """The encoded block at a virtual address, by the kernel's symbols. Raises DumpkitError with the reason.

        Modules, which the symbols' search needs, are told without the block meanwhile and read anew with it.
        """
        from dumpkit.kernel.debugger_data import block_keys, read_debugger_data

        self._debugger_data = (None,)
        data = read_debugger_data(self.memory, address, block_keys(self))
        self._modules = self._system = None
        self.__dict__.pop("_module_bases", None)
        return data

    def forget_types(self) -> None:
        super().forget_types()
        # Other symbols may decode what these did not.
        if self._debugger_data == (None,):
            self._debugger_data = None

    @property
    def processors(self) -> Processors:
        """The processors by their KPRCBs. Raises DumpkitError where the debugger data block is missing."""
        data = self.debugger_data
        if data is None:
            raise DumpkitError("The dump has no debugger data block, which would tell where the PRCBs are")
        return Processors(self.memory, data, self.architecture, self.processor_count)

    @property
    def kernel_base(self) -> Optional[int]:
        """The virtual address of the kernel's image, or None where the target does not tell."""
        data = self.debugger_data
        if data is not None and data["KernBase"]:
            return data["KernBase"]
        module = self.module_named("nt")
        return module.base if module is not None else None

    def prcb_address(self, processor: int) -> int:
        """The virtual address of a processor's KPRCB. Raises DumpkitError where the target does not tell it."""
        self._check_processor(processor)
        return self.processors.prcb(processor)

    def thread_address(self, processor: int) -> int:
        """The virtual address of the KTHREAD that ran on a processor. Raises DumpkitError likewise."""
        return self.processors.thread(self.prcb_address(processor))

    def process_address(self, processor: int) -> int:
        """The virtual address of the KPROCESS whose address space a processor used. Raises DumpkitError likewise."""
        return self.processors.process(self.thread_address(processor))

    def context(self, processor: int) -> Context:
        """The registers of a processor, from its KPRCB or what else the target has, as the engine takes them.

        Raises DumpkitError where the target does not hold them.
        """
        context = self._contexts.get(processor)
        if context is None:
            self._check_processor(processor)
            context = self._contexts[processor] = self._read_context(processor)
        return context

    def _check_processor(self, processor: int) -> None:
        if not 0 <= processor < max(1, self.processor_count):
            raise DumpkitError(f"{processor} is not a valid processor number")

    def _read_context(self, processor: int) -> Context:
        # As the engine does: the KPRCB's registers where it can be found through KiProcessorBlock. A dump's header
        # may have others, those of the exception; they are taken where it has no more than the crashed processor.
        try:
            processors = self.processors
            return processors.context(processors.prcb(processor))
        except DumpkitError:
            context = self._context_without_prcb(processor)
            if context is None:
                raise
        try:
            return self.processors.with_special_registers(context, self.prcb_address(processor))
        except DumpkitError:
            # The special registers are more than a context has to hold.
            return context

    def use_user_modules(self, modules: Sequence[Module]) -> None:
        """Count the images of a process's user mode among `modules`; one with a kernel image's name gets its base."""
        for module in self._user_modules:
            self.symbols.forget(module)
        self._user_modules, self._modules = [], None
        taken = {module.name.lower() for module in self.modules}
        for module in modules:
            name = f"{module.name}_{module.base:x}" if module.name.lower() in taken else module.name
            self._user_modules.append(module._replace(name=name))
        self._modules = None
        self.__dict__.pop("_module_bases", None)
