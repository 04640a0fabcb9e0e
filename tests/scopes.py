"""A scope that a test writes down: registers, symbols and memory for expressions."""

from __future__ import annotations

from typing import Dict, Optional

from dumpkit.errors import RegisterError, SymbolError
from dumpkit.expression.scope import Scope

from tests.flat_memory import FlatMemory


class MadeScope(Scope):
    """Names to values; whatever is not given is not there. What was asked for is kept in `asked`."""

    def __init__(
        self,
        registers: Optional[Dict[str, int]] = None,
        symbols: Optional[Dict[str, int]] = None,
        memory: Optional[Dict[int, bytes]] = None,
        physical: Optional[Dict[int, bytes]] = None,
        radix: int = 16,
    ) -> None:
        self.registers = registers or {}
        self.symbols = symbols or {}
        self.memory = FlatMemory(memory or {})
        self.physical = FlatMemory(physical) if physical is not None else None
        self.radix = radix
        self.whole_registers = {"ebp": "rbp", "efl": "efl"}
        self.asked: list = []
        self.last_value = 0

    def register(self, name: str) -> int:
        self.asked.append(name)
        if name not in self.registers:
            raise RegisterError(f"no register {name}")
        return self.registers[name]

    def pseudo_register(self, name: str) -> int:
        return self.last_value if name == "exp" else self.register(f"${name}")

    def symbol(self, name: str) -> int:
        self.asked.append(name)
        if name not in self.symbols:
            raise SymbolError(f"no symbol {name} in the test")
        return self.symbols[name]

    def evaluated(self, value: int) -> None:
        self.last_value = value
