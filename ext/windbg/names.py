"""The names and types of a module as the engine itself tells them, where dumpkit cannot read its symbol file."""

from __future__ import annotations

import re

from dumpkit.module import Module
from dumpkit.symbols.symbol_file import Line, Symbol, SymbolFile
from dumpkit.symbols.types import Type
from dumpkit.windbg import pykd
from dumpkit.windbg.engine import Engine, address_of_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional

#: `.printf "%y"`: "nt!KeBugCheckEx+0x12 (fffff802`044168e2)".
_PLACE = re.compile(r"^([^!\s]+)!(.+?)(?:\+0x([0-9a-f]+))? \([0-9a-f`]+\)")
#: `x /2`: "fffff802`044168d0 nt!KeBugCheckEx".
_NAMED = re.compile(r"^([0-9a-f`]{17}) [^!\s]+!(.*?) *$", re.MULTILINE)


class EngineNames(SymbolFile):
    """A module's symbols, asked of the engine one by one; `path` is the file that the engine has read."""

    kind = "pdb"

    def __init__(self, engine: Engine, module: Module, path: str) -> None:
        self.path = path
        self._engine = engine
        self._module = module

    def find(self, name: str) -> Optional[Symbol]:
        address = self._engine.expression(f"{self._module.name}!{name}")
        return self._symbol(address, name) if address is not None else None

    def nearest(self, rva: int) -> Optional[Symbol]:
        address = self._module.base + rva
        match = _PLACE.match(self._engine.command_optional(f'.printf "%y", 0x{address:x}'))
        if match is None or match.group(1) != self._module.name:
            return None
        return Symbol(rva - int(match.group(3) or "0", 16), match.group(2))

    def symbols(self) -> Iterator[Symbol]:
        text = self._engine.command_optional(f"x /2 {self._module.name}!*")
        found: List[Symbol] = []
        for address, name in _NAMED.findall(text):
            symbol = self._symbol(address_of_text(address), name)
            if symbol is not None:
                found.append(symbol)
        yield from sorted(found)

    def _symbol(self, address: int, name: str) -> Optional[Symbol]:
        return Symbol(address - self._module.base, name) if address in self._module else None

    def type(self, name: str) -> Optional[Type]:
        from dumpkit.windbg.types import type_of

        try:
            return type_of(pykd.typeInfo(f"{self._module.name}!{name}"))
        except (pykd.DbgException, pykd.TypeException, pykd.SymbolException):
            return None

    def line(self, rva: int) -> Optional[Line]:
        try:
            file, number, displacement = pykd.getSourceLine(self._module.base + rva)
        except (pykd.DbgException, pykd.SymbolException):
            return None
        return Line(rva - int(displacement), str(file), int(number))
