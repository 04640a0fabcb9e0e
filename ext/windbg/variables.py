"""The pseudo-registers that users set, $t0 to $t19: WinDbg keeps them, so that they outlive a command of dumpkit."""

from __future__ import annotations

from collections.abc import MutableMapping

from dumpkit.windbg.engine import Engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator

_NAMES = tuple(f"t{number}" for number in range(20))


class EngineVariables(MutableMapping[str, int]):
    """Pseudo-registers by name without the dollar sign: $t0 to $t19 are the engine's, others are kept here."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._own: Dict[str, int] = {}

    def __getitem__(self, name: str) -> int:
        if name not in _NAMES:
            return self._own[name]
        value = self._engine.expression(f"@${name}")
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: int) -> None:
        if name in _NAMES:
            self._engine.command_optional(f"r ${name}=0x{value & 0xFFFF_FFFF_FFFF_FFFF:x}")
        else:
            self._own[name] = value

    def __delitem__(self, name: str) -> None:
        self._own.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        yield from _NAMES
        yield from self._own

    def __len__(self) -> int:
        return len(_NAMES) + len(self._own)
