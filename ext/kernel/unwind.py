"""Unwinding x64 frames by their images' unwind data.

As Microsoft's "x64 exception handling" lays the procedure down: the function's entry is looked up; who stands in an
epilogue goes through what is left of it; of a prologue, the operations whose instructions have run are undone, last
one first; what the unwind data is chained to follows; and the return address is popped, unless the processor itself
pushed the frame for a trap or an interrupt. A function without an entry is a leaf: it moved no register that counts.
"""

from __future__ import annotations

from dumpkit.errors import SymbolError, UnwindError
from dumpkit.memory import PAGE_SIZE
from dumpkit.module import Module
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, Mapping, Optional, Tuple

    from dumpkit.kernel.function_table import FunctionTable


_DIRECTORY_EXCEPTION = 3


class Unwound(NamedTuple):
    """A frame's caller, or what a trap or an interrupt broke into."""

    #: Its registers as far as they are known; "rip" and "rsp" always are. Those that a callee may change are not:
    #: unwind data does not tell where a trap's handler saved them.
    registers: Dict[str, int]
    #: Whether the processor pushed the frame: nothing was called, and `rip` is an instruction that may not have run.
    is_machine_frame: bool
    #: Then the virtual address where it pushed rip.
    machine_frame: Optional[int] = None


class Unwinder:
    """Unwinds frames of one target; the function tables that it reads are kept."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._tables: Dict[int, FunctionTable] = {}
        self._problems: Dict[int, str] = {}

    def unwind(self, registers: Mapping[str, int], has_called: bool) -> Unwound:
        """The caller of the frame with these registers, of which "rip" and "rsp" must be there.

        `has_called` says that a call returns to rip; such a function is no leaf and does not stand in its epilogue.
        Raises UnwindError where unwind data, a register or the stack is missing.
        """
        module, table = self._table_at(registers["rip"])
        rva = registers["rip"] - module.base
        function = table.find(rva)
        from dumpkit.kernel.unwind_frame import UnwindFrame

        frame = UnwindFrame(self._target.memory, registers)
        if function is not None:
            frame.undo_function(table, function, rva, has_called)
        elif has_called:
            raise UnwindError(f"{module.name}+0x{rva:x} has called, but the function table has no entry for it")
        return Unwound(*frame.caller(), frame.machine_frame)

    def function_begin(self, address: int) -> Optional[int]:
        """The virtual address where the function begins that an address lies in; None where that is not known."""
        try:
            module, table = self._table_at(address)
            function = table.find(address - module.base)
            return module.base + table.parts(function)[-1][0].begin if function is not None else None
        except UnwindError:
            return None

    def functions(self, module: Module) -> Iterator[int]:
        """The virtual addresses where a module's functions begin, as far as its function table can be read.

        Leaf functions have no entries, and parts of functions are left out. Raises UnwindError without a table.
        """
        table = self._table_at(module.base)[1]
        for entry in table:
            begin = module.base + entry.begin
            if self.function_begin(begin) == begin:
                yield begin

    def has_entry(self, address: int) -> Optional[bool]:
        """Whether the function table has an entry for a virtual address; None where it cannot be read."""
        try:
            module, table = self._table_at(address)
            return table.find(address - module.base) is not None
        except UnwindError:
            return None

    def _table_at(self, address: int) -> Tuple[Module, FunctionTable]:
        module = self._target.module_at(address)
        if module is None:
            raise UnwindError(f"{address:016x} lies in no module")
        table = self._tables.get(module.base)
        if table is None:
            if module.base in self._problems:
                raise UnwindError(self._problems[module.base])
            try:
                table = self._tables[module.base] = self._read_table(module)
            except UnwindError as error:
                self._problems[module.base] = str(error)
                raise
        return module, table

    def _read_table(self, module: Module) -> FunctionTable:
        image = self._target.image(module)
        # Most triage dumps have headers and no tables: the readers of tables are not even imported for them.
        if not image.has_header:
            raise UnwindError(image.missing)
        try:
            rva, size = image.directory(_DIRECTORY_EXCEPTION)
        except SymbolError as error:
            raise UnwindError(str(error)) from error
        size = min(size, image.size)
        if rva and not any(image.read(rva + at, 1) for at in range(0, size, PAGE_SIZE)):
            raise UnwindError(f"the function table of {image.name} cannot be read at RVA 0x{rva:x}: {image.missing}")
        from dumpkit.kernel.function_table import FunctionTable

        return FunctionTable(image, rva, size)
