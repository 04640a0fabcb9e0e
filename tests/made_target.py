"""A target that a test writes down: two modules, a few symbols, one context."""

from __future__ import annotations

from typing import Iterator, NoReturn, Optional, Sequence

from dumpkit.errors import DumpkitError, SymbolError
from dumpkit.module import Module, UnloadedModule
from dumpkit.registers import X64, Context
from dumpkit.target import Bugcheck, System, Target
from dumpkit.target_symbols import SymbolLocation, Symbols

from tests.flat_memory import FlatMemory

NT = Module(0xFFFFF80000000000, 0x10000, "nt", "ntoskrnl.exe", "\\SystemRoot\\system32\\ntoskrnl.exe", 0, 0)
AMDPPM = Module(0xFFFFF80000100000, 0x1000, "amdppm", "amdppm.sys", "\\SystemRoot\\System32\\drivers\\amdppm.sys", 0, 0)
NAMES = ("nt!KeBugCheck", "nt!KeBugCheckEx", "nt!KeStallExecutionProcessor", "nt!MmCopyMemory")


class MadeSymbols(Symbols):
    """The functions of `NAMES`, 0x1000 apart from each other."""

    def nearest(self, address: int) -> Optional[SymbolLocation]:
        return SymbolLocation(NT, "KeBugCheckEx", address - NT.base) if address in NT else None

    def address_of(self, name: str) -> int:
        if name in NAMES:
            return NT.base + 0x1000 * NAMES.index(name)
        raise SymbolError(f"{name}: no such symbol")

    def type(self, name: str, module: Optional[str] = None) -> NoReturn:
        raise SymbolError(f"{name}: no such type")

    def completions(self, prefix: str) -> Iterator[str]:
        return (name for name in NAMES if name.lower().startswith(prefix.lower()))


class MadeTarget(Target):
    """Six processors, of which the fourth crashed; another's registers are not known."""

    name = "MADE.DMP"
    kind = "made-up dump"
    architecture = X64
    system = System(19041, False, 6, 1, 0x110, NT.base, NT.base + 0x8000, 133_461_753_454_550_000, 4_509_110_000, None)
    physical = None
    current_processor = 4
    damage: Sequence[str] = ()

    def __init__(self) -> None:
        self.memory = FlatMemory({NT.base: bytes(range(256)) * 16})
        self.symbols = MadeSymbols()

    @property
    def modules(self) -> Sequence[Module]:
        return (NT, AMDPPM)

    @property
    def unloaded_modules(self) -> Sequence[UnloadedModule]:
        return ()

    @property
    def bugcheck(self) -> Optional[Bugcheck]:
        return Bugcheck(0xD1, (0xFFFF80091002AC08, 2, 1, 0xFFFFF802084D9062))

    def context(self, processor: int) -> Context:
        if processor not in (1, 4):
            raise DumpkitError(f"The registers of processor {processor} are not in the dump")
        return Context(X64, {"rax": 0x1234, "rip": NT.base + 0x90, "rsp": NT.base, "efl": 0})

    @property
    def notes(self) -> Sequence[str]:
        return self.damage
