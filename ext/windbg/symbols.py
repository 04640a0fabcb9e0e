"""Symbols as WinDbg's engine finds them: it says which file serves a module, dumpkit reads names and types in it.

One reader of PDBs on both backends is what makes their text equal, bit fields' base types included, which the
engine's own `dt` does not print. What has no file that dumpkit can read is asked of the engine itself.
"""

from __future__ import annotations

from dumpkit.errors import SymbolError
from dumpkit.module import Module
from dumpkit.module_symbols import Source, Sources, exports_are_there
from dumpkit.symbolizer import FileSymbols
from dumpkit.target import Target
from dumpkit.windbg.engine import Engine, Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, Optional

#: States of a module in `lm` whose symbols come from a file of that kind.
_EXPORTS, _DEFERRED = "export symbols", "deferred"


class EngineSources(Sources):
    """The PDB that the engine has loaded for a module, or else the image's exports, or else the engine's own words."""

    def __init__(self, engine: Engine, target: Target, module: Module, row: Optional[Row]) -> None:
        super().__init__(target.memory, module)
        self._engine = engine
        self._row = row

    def __iter__(self) -> Iterator[Source]:
        row = self._row
        has_header = self.memory.read_prefix(self.module.base, 2) == b"MZ"
        is_useful = row is None or row.state == _EXPORTS or exports_are_there(self.memory, self.module.base)
        pdb = row.file if row is not None and "pdb" in row.state and row.file else None
        mapped = self.mapped_image() if has_header and (pdb is not None or is_useful) else None
        if pdb is not None:
            source = self.opened(lambda: pdb, "pdb")
            if source is not None:
                mismatched = row is not None and row.flag == "M"
                note = "mismatched: taken by its name alone, as WinDbg was told to" if mismatched else ""
                yield source._replace(note=note)
            from dumpkit.windbg.names import EngineNames

            yield Source(EngineNames(self._engine, self.module, pdb), "read by WinDbg, not by dumpkit")
        elif row is not None and row.state not in (_EXPORTS, _DEFERRED):
            self.problems.append("WinDbg found none (!sym noisy and .reload /f tell where it looked)")
        self.unverified = row is not None and row.flag == "T"
        yield from self.exports(mapped)


class EngineSymbols(FileSymbols):
    """The symbols of the engine's modules. WinDbg's own `.sympath`, `.reload` and `!sym` say where they are from."""

    def __init__(self, engine: Engine, target: Target) -> None:
        super().__init__(target)
        self._engine = engine
        self._rows: Optional[Dict[int, Row]] = None

    @property
    def rows(self) -> Dict[int, Row]:
        """What `lm` says of each module, by base."""
        if self._rows is None:
            self._rows = {row.base: row for row in self._engine.module_rows()[0]}
        return self._rows

    def sources(self, module: Module, trusting: bool) -> EngineSources:
        row = self.rows.get(module.base)
        if trusting or row is None or row.state == _DEFERRED:
            self._engine.load_symbols(module.name, trusting)
            self._rows = None
            row = self.rows.get(module.base)
        sources = EngineSources(self._engine, self._target, module, row)
        if row is not None and row.state == _EXPORTS:
            sources.image = self._engine.image_file(module.name)
        return sources

    def forget(self, module: Optional[Module] = None) -> None:
        super().forget(module)
        self._rows = None

    # --- As `lm` says it -----------------------------------------------------

    def state(self, module: Module) -> str:
        row = self.rows.get(module.base)
        return row.state if row is not None else _DEFERRED

    def flag(self, module: Module) -> str:
        row = self.rows.get(module.base)
        return row.flag if row is not None and row.flag != "#" else ""

    def symbol_file(self, module: Module) -> Optional[str]:
        row = self.rows.get(module.base)
        return (row.file or None) if row is not None else None

    def image_file(self, module: Module) -> Optional[str]:
        return self._engine.image_file(module.name) if self.state(module) != _DEFERRED else None

    def close(self) -> None:
        try:
            super().close()
        except SymbolError:
            # The debugger may have let go of a file that it downloaded for this session only.
            self._rows = None
