"""A Target straight over a forged machine: its page tables, its variables, its layouts; no dump and no PDB between."""

from __future__ import annotations

from typing import NoReturn, Optional, Sequence, Set, Tuple

from dumpkit.errors import DumpkitError, SymbolError
from dumpkit.memory import AddressSpace
from dumpkit.module import Module, UnloadedModule
from dumpkit.registers import X64, Context
from dumpkit.symbols.types import Type
from dumpkit.target import Bugcheck, System, Target
from dumpkit.target_symbols import SymbolLocation, Symbols

from tests.forge.machine import Machine
from tests.forge.memory import PAGE_SIZE
from tests.forge.page_tables import PTE, VALID


class MachineMemory(AddressSpace):
    """What is mapped in a machine, without the pages whose addresses are in `missing`."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.missing: Set[int] = set()
        #: Every read, for tests of what is touched: (address, size).
        self.log: list[Tuple[int, int]] = []

    def read_prefix(self, address: int, size: int) -> bytes:
        self.log.append((address, size))
        pieces = []
        end = address + size
        while address < end:
            offset = address % PAGE_SIZE
            length = min(PAGE_SIZE - offset, end - address)
            data = self._page(address - offset)
            if data is None:
                break
            pieces.append(bytes(data[offset : offset + length]))
            address += length
        return b"".join(pieces)

    def _page(self, page: int) -> Optional[bytearray]:
        if page in self.missing:
            return None
        entry = self.machine.tables.entry(page, PTE)
        return self.machine.memory.pages.get(entry >> 12 & 0xFF_FFFF_FFFF) if entry & VALID else None

    def next_readable(self, address: int, limit: int) -> Optional[int]:
        while address < limit:
            if self._page(address & -PAGE_SIZE) is not None:
                return address
            address = self._next_mapped(address)
        return None

    def _next_mapped(self, address: int) -> int:
        """The first address behind a page that is not there whose tables lead somewhere."""
        tables = self.machine.tables
        for level in range(tables.levels - 1, PTE, -1):
            if not tables.entry(address, level) & VALID:
                size = PAGE_SIZE << 9 * level
                return (address & -size) + size
        return (address & -PAGE_SIZE) + PAGE_SIZE

    def explain(self, address: int) -> str:
        if self._page(address & -PAGE_SIZE) is not None:
            return "readable"
        return "the test took the page away" if address & -PAGE_SIZE in self.missing else "not mapped"


class MachineSymbols(Symbols):
    """The machine's variables and layouts as the kernel's symbols; types in `without` are missing."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.without: Set[str] = set()

    def nearest(self, address: int) -> Optional[SymbolLocation]:
        return None

    def address_of(self, name: str) -> int:
        bare = name.partition("!")[2] or name
        if bare not in self.machine.globals or bare in self.without:
            raise SymbolError(f"{name} is not known")
        return self.machine.globals[bare]

    def type(self, name: str, module: Optional[str] = None) -> Type:
        if name not in self.machine.layouts or name in self.without:
            raise SymbolError(f"type {name} is not known")
        return self.machine.layouts.type(name)


class MachineTarget(Target):
    """A machine as a target."""

    name = "FORGED.DMP"
    architecture = X64
    physical = None
    current_processor = 0
    symbols: MachineSymbols
    memory: MachineMemory

    def __init__(self, machine: Machine, kind: str = "kernel memory dump with a page bitmap") -> None:
        self.machine = machine
        self.kind = kind
        self.memory = MachineMemory(machine)
        self.symbols = MachineSymbols(machine)
        self.system = System(machine.build, False, 1, 1, 0x110, None, 0, None, None, None)

    @property
    def modules(self) -> Sequence[Module]:
        return [
            Module(each.image.base, each.image.size, each.image.name.split(".")[0], each.image.name, each.path, 0, 0)
            for each in sorted(self.machine.images, key=lambda each: each.image.base)
        ]

    @property
    def unloaded_modules(self) -> Sequence[UnloadedModule]:
        return ()

    @property
    def bugcheck(self) -> Optional[Bugcheck]:
        return None

    def context(self, processor: int) -> Context:
        self._no_registers()

    @staticmethod
    def _no_registers() -> NoReturn:
        raise DumpkitError("a machine straight from the forge has no registers")

    def lose(self, address: int) -> None:
        """Take the page of a virtual address out of what can be read."""
        self.memory.missing.add(address & -PAGE_SIZE)

    def relearn(self) -> None:
        """Forget what was learnt of the machine: it was changed."""
        self.forget_types()
