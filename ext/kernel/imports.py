"""What a loaded image imports, and where its import address table leads."""

from __future__ import annotations

from dumpkit.errors import SymbolError
from dumpkit.module import Module
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target
from dumpkit.target_symbols import SymbolLocation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional, Tuple

    from dumpkit.symbols.imports import BoundModule, ImportedModule, ImportTables
    from dumpkit.symbols.module_image import ModuleImage
    from dumpkit.symbols.pe import PEImage

#: The largest import address table that is walked, in bytes; those of Windows' own images have a few thousand slots.
_LARGEST_TABLE = 1 << 20


class ImportSlot(NamedTuple):
    """A place of an import address table: its virtual address, and the address in it; None where it is not there."""

    address: int
    value: Optional[int]
    symbol: Optional[SymbolLocation]
    #: `DLL!Name` as the import table has it, where that can be read.
    imported: Optional[str]
    #: Why the value is not there.
    problem: str = ""


class ImportTable(NamedTuple):
    """The modules of an import or delay-load table, and why it is not whole where it is not."""

    rva: int
    modules: List[ImportedModule]
    problem: str

    @property
    def names(self) -> Dict[int, str]:
        """RVA of a slot -> `DLL!Name`."""
        return {each.slot: f"{module.name}!{each}" for module in self.modules for each in module.imports}


class ModuleImports:
    """The imports of one image. Raises SymbolError where neither memory nor the symbol path has its headers."""

    def __init__(self, target: Target, module: Module) -> None:
        from dumpkit.symbols.imports import ImportTables

        self.target = target
        self.module = module
        self.image: ModuleImage = target.image(module)
        self.header: PEImage = self.image.header()
        self._tables: ImportTables = ImportTables(self.image.read, self.header.is_64bit)
        self._table: Optional[ImportTable] = None

    @property
    def rva(self) -> int:
        """The RVA of the import directory; 0 where the image imports nothing."""
        from dumpkit.symbols.imports import DIRECTORY_IMPORT

        return self.header.directory(DIRECTORY_IMPORT)[0]

    @property
    def table(self) -> ImportTable:
        """The import table; most drivers' is in a section that is discarded once they run."""
        if self._table is None:
            modules = list(self._tables.imports(self.rva)) if self.rva else []
            self._table = ImportTable(self.rva, modules, self._problem(modules))
        return self._table

    @property
    def delay_table(self) -> Optional[ImportTable]:
        """The delay-load table, or None where the image has none."""
        from dumpkit.symbols.imports import DIRECTORY_DELAY_IMPORT

        rva = self.header.directory(DIRECTORY_DELAY_IMPORT)[0]
        if not rva:
            return None
        modules = list(self._tables.delay_imports(rva, self.module.base))
        return ImportTable(rva, modules, self._problem(modules))

    def bound(self) -> Tuple[List[BoundModule], str]:
        """The modules that the image was bound to, and why the table is not whole where it is not."""
        from dumpkit.symbols.imports import DIRECTORY_BOUND_IMPORT

        rva, size = self.header.directory(DIRECTORY_BOUND_IMPORT)
        if not rva:
            return [], ""
        return list(self._tables.bound_imports(rva, size)), self._problem([])

    def _problem(self, modules: List[ImportedModule]) -> str:
        problem = self._tables.problem or next((each.problem for each in modules if each.problem), "")
        if not problem or self.image.file is not None:
            return problem
        return f"{problem}: {self.image.missing_part}"

    def slots(self) -> Iterator[ImportSlot]:
        """The import address table, slot by slot, without those that hold nothing.

        Its range is what the image's header says, with the slot at its end, as `dps` of the range shows it; an
        image whose header says nothing has the slots of its import table.
        """
        from dumpkit.symbols.imports import DIRECTORY_IAT

        rva, size = self.header.directory(DIRECTORY_IAT)
        names = self.table.names
        width = self._tables.thunk_size
        if not rva or not size:
            yield from self.slots_of(names)
            return
        end = rva + min(size, _LARGEST_TABLE)
        yield from self._range(rva, end, names)
        behind = self._slot(end - end % width, {})
        if behind.symbol is not None:
            yield behind

    def slots_of(self, names: Dict[int, str]) -> Iterator[ImportSlot]:
        """The slots at RVAs, by what is imported through each."""
        for rva in sorted(names):
            slot = self._slot(rva, names)
            if slot.value != 0:
                yield slot

    def _range(self, start: int, end: int, names: Dict[int, str]) -> Iterator[ImportSlot]:
        width = self._tables.thunk_size
        # A separator that is not in the dump tells nothing where the table tells every name.
        missing = bool(names) and not self.table.problem
        for rva in range(start, end - width + 1, width):
            slot = self._slot(rva, names)
            if slot.value is None and slot.imported is None:
                # One line for a run of slots of which nothing is known.
                if not missing:
                    missing = True
                    yield slot
                continue
            missing = bool(names) and not self.table.problem
            if slot.value != 0:
                yield slot

    def _slot(self, rva: int, names: Dict[int, str]) -> ImportSlot:
        address = self.module.base + rva
        imported = names.get(rva)
        memory = self.target.memory
        data = memory.read_optional(address, self._tables.thunk_size)
        if data is None:
            return ImportSlot(address, None, None, imported, memory.explain(address))
        value = int.from_bytes(data, "little")
        return ImportSlot(address, value, self.target.symbols.nearest(value) if value else None, imported)


def module_of(target: Target, address: int) -> Module:
    """The image that holds a virtual address: of the loaded ones, or one that the address is the begin of.

    Raises SymbolError where there is neither.
    """
    module = target.module_at(address)
    if module is not None:
        return module
    if target.memory.read_prefix(address, 2) != b"MZ":
        raise SymbolError(f"{address:016x} is in no loaded module, and no image begins there")
    from dumpkit.symbols.pe import MappedImage

    header = MappedImage(target.memory, address)
    name = f"image_{address:x}"
    return Module(address, header.size, name, name, name, header.timestamp, header.checksum)
