"""Symbols where there are none: places are named by their module alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Optional

from dumpkit.errors import SymbolError
from dumpkit.target import Module, SymbolLocation, Symbols, Target

if TYPE_CHECKING:
    from dumpkit.symbols.types import Type


class NoSymbols(Symbols):
    """The names that a target has before any symbol file was looked for."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def nearest(self, address: int) -> Optional[SymbolLocation]:
        """The module at a virtual address, and the distance from its base; None outside every module."""
        module = self._target.module_at(address)
        return None if module is None else SymbolLocation(module, None, address - module.base)

    def address_of(self, name: str) -> int:
        """The base of the module of that name. Raises SymbolError for any other name."""
        module = self._target.module_named(name)
        if module is None:
            self._refuse(name)
        return module.base

    def type(self, name: str, module: Optional[str] = None) -> Type:
        """Raises SymbolError."""
        self._refuse(f"{module}!{name}" if module else name)

    def state(self, module: Module) -> str:
        return "deferred"

    @staticmethod
    def _refuse(name: str) -> NoReturn:
        raise SymbolError(f"{name} is not known: no symbols are loaded")
