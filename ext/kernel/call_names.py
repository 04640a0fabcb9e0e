"""What a call instruction calls: by the import table, by the address in an import's slot, by symbols."""

from __future__ import annotations

from dumpkit.errors import SymbolError
from dumpkit.kernel.framework import holds_function_table
from dumpkit.module import Module
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional, Tuple

#: `jmp qword ptr [rip+x]`, which linkers put between a call and an import, without and with REX.W.
_STUBS = (b"\xff\x25", b"\x48\xff\x25")
_STUB_SIZE = 7
#: What the kernel's routines begin with that Driver Verifier has drivers call instead of others.
_VERIFIER = "Verifier"


class Routine(NamedTuple):
    """A routine that is called."""

    #: `nt!KzRaiseIrql`; `driver+0x1234` where it has no name.
    shown: str
    #: Every bare name that is known of it, the one that the caller was compiled with first.
    names: Tuple[str, ...]
    #: Where it begins; None for an import whose slot cannot be read.
    address: Optional[int]

    @property
    def name(self) -> str:
        """Its bare name, or "" where it has none."""
        return self.names[0] if self.names else ""


def names_of(name: str) -> Tuple[str, ...]:
    """A routine's name with that of the routine that it stands in for, where it is Driver Verifier's."""
    return (name, name[len(_VERIFIER) :]) if name.startswith(_VERIFIER) else (name,)


class CallNames:
    """Names the routines that a target's code calls; what was found is kept."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._slots: Dict[int, Optional[Routine]] = {}
        self._imports: Dict[int, Dict[int, str]] = {}
        self._tables: Dict[int, bool] = {}

    def at(self, address: int) -> Routine:
        """The routine at the virtual address that a direct call goes to; stubs of imports are seen through."""
        code = self._target.memory.read_prefix(address, _STUB_SIZE)
        for stub in _STUBS:
            if code.startswith(stub) and len(code) >= len(stub) + 4:
                end = len(stub) + 4
                slot = address + end + int.from_bytes(code[len(stub) : end], "little", signed=True)
                found = self.through(slot)
                if found is not None:
                    return found
        return self._named(address, ())

    def through(self, slot: int) -> Optional[Routine]:
        """The routine whose address the cell at a virtual address holds, of an import table; None for another cell."""
        if slot not in self._slots:
            self._slots[slot] = self._through(slot)
        return self._slots[slot]

    def is_function_table(self, cell: int) -> bool:
        """Whether a cell holds the address of the driver framework's function table, and is no import."""
        found = self._tables.get(cell)
        if found is None:
            module = self._target.module_at(cell)
            imported = module is not None and cell - module.base in self._imported(module)
            found = self._tables[cell] = not imported and holds_function_table(self._target, cell)
        return found

    def _through(self, slot: int) -> Optional[Routine]:
        module = self._target.module_at(slot)
        if module is None:
            return None
        imported = self._imported(module).get(slot - module.base, "")
        dll, _, name = imported.rpartition("!")
        names = [name] if name else []
        place = self._target.symbols.nearest(slot)
        if place is not None and place.name is not None and not place.displacement:
            bare = place.name.lstrip("_")
            if bare.startswith("imp_"):
                names.append(bare[4:])
        value = self._target.memory.u64_optional(slot)
        if value is not None and self._target.module_at(value) is not None:
            found = self._named(value, tuple(names))
            # What leads into another image is an import, though nothing may be left of its name.
            if found.names or value not in module:
                return found
        if not names:
            return None
        owner = self._target.module_called(dll) if dll else None
        return Routine(f"{owner.name}!{names[0]}" if owner is not None else imported or names[0], tuple(names), None)

    def _imported(self, module: Module) -> Dict[int, str]:
        """RVA of a slot -> `DLL!Name`, as far as the import table is there."""
        found = self._imports.get(module.base)
        if found is None:
            from dumpkit.kernel.imports import ModuleImports

            try:
                imports = ModuleImports(self._target, module)
                found = dict(imports.table.names)
            except SymbolError:
                found = {}
            self._imports[module.base] = found
        return found

    def _named(self, address: int, names: Tuple[str, ...]) -> Routine:
        place = self._target.symbols.nearest(address)
        if place is None:
            return Routine(f"{address:016x}", names, address)
        if place.name is not None and not place.displacement:
            return Routine(str(place), tuple(dict.fromkeys((*names, *names_of(place.name)))), address)
        if names:
            return Routine(f"{place.module.name}!{names[0]}", names, address)
        return Routine(f"{place.module.name}+0x{address - place.module.base:x}", (), address)
