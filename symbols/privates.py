"""Private symbols: the functions and variables of a PDB's modules, found by place and by name.

A module's stream is read when an address of that module is asked for; the section contributions of the DBI
stream say whose an address is. Places are section:offset.

Layout: REFSYM2, UDTSYM and DATASYM32 of cvinfo.h in github.com/microsoft/microsoft-pdb.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right

from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.container import Container
from dumpkit.symbols.dbi import Dbi
from dumpkit.symbols.lines import ModuleLines, NameTable
from dumpkit.symbols.module_stream import ModuleSymbols, Private, parse_private
from dumpkit.symbols.publics import S_UDT, ScannedSymbols, SymbolHash, symbol_name
from dumpkit.symbols.symbol_kinds import DATA, S_LPROCREF, S_PROCREF

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

    from typing_extensions import TypeAlias

Place: TypeAlias = "Tuple[int, int]"
_REFERENCE = struct.Struct("<IIH")


class LoadedModule(NamedTuple):
    """What a module's stream holds."""

    symbols: ModuleSymbols
    lines: ModuleLines


class _Placed:
    """Symbols in the order of their places, those of one place in the order of the file."""

    def __init__(self, symbols: Sequence[Private]) -> None:
        self.symbols = sorted(symbols, key=lambda symbol: (symbol.section, symbol.offset))
        self.places: List[Place] = [(symbol.section, symbol.offset) for symbol in self.symbols]

    def before(self, section: int, offset: int) -> Optional[Private]:
        """The first of those at the last place at or before section:offset in that section."""
        last = bisect_right(self.places, (section, offset)) - 1
        if last < 0 or self.places[last][0] != section:
            return None
        return self.symbols[bisect_left(self.places, self.places[last])]


class Privates:
    """The private symbols of a PDB. `records` gives the symbol record stream, `names` the /names stream."""

    def __init__(
        self,
        container: Container,
        dbi: Dbi,
        global_symbols: Union[SymbolHash, ScannedSymbols],
        records: Callable[[], bytes],
        names: Callable[[], bytes],
    ) -> None:
        self._container = container
        self._dbi = dbi
        self._globals = global_symbols
        self._records = records
        self._names = names
        self._modules: Dict[int, Optional[LoadedModule]] = {}
        self._placed: Dict[int, _Placed] = {}
        self._global_data: Optional[_Placed] = None
        self._name_table: Optional[NameTable] = None

    def module(self, index: int) -> Optional[LoadedModule]:
        """The stream of the module of that index; None where it has none."""
        if index not in self._modules:
            self._modules[index] = self._load(index)
        return self._modules[index]

    def _load(self, index: int) -> Optional[LoadedModule]:
        modules = self._dbi.modules
        if not 0 <= index < len(modules) or modules[index].stream is None:
            return None
        module = modules[index]
        stream = self._container.read(module.stream or 0)
        if self._name_table is None:
            self._name_table = NameTable(self._names())
        start = module.symbols_size + module.c11_size
        lines = ModuleLines(stream[start : start + module.c13_size], self._name_table)
        return LoadedModule(ModuleSymbols(stream, module.symbols_size), lines)

    def module_at(self, section: int, offset: int) -> Optional[LoadedModule]:
        """The module that section:offset came from, if it has a stream."""
        owner = self._dbi.contribution(section, offset)
        return self.module(owner.module) if owner is not None else None

    def function_at(self, section: int, offset: int) -> Optional[Private]:
        """The function whose code holds section:offset."""
        owner = self._dbi.contribution(section, offset)
        found = self._in_module(owner.module).before(section, offset) if owner is not None else None
        return found if found is not None and found.offset <= offset < found.offset + found.size else None

    def before(self, section: int, offset: int, floor: int) -> Optional[Private]:
        """The symbol that is shown for section:offset: the first of those at the last place at or before it.

        Only that section counts; what lies before `floor` (an offset) is of no interest.
        """
        data = self._data().before(section, offset)
        if data is not None:
            floor = max(floor, data.offset)
        found = self._module_symbol_before(section, offset, floor)
        if found is None:
            return data if data is not None and data.offset >= floor else None
        return found

    def _module_symbol_before(self, section: int, offset: int, floor: int) -> Optional[Private]:
        for owner in self._dbi.contributions_before(section, offset):
            found = self._in_module(owner.module).before(section, offset)
            if found is not None and found.offset >= owner.offset:
                return found if found.offset >= floor else None
            if owner.offset <= floor:
                break
        return None

    def _in_module(self, index: int) -> _Placed:
        placed = self._placed.get(index)
        if placed is None:
            module = self.module(index)
            symbols = [*module.symbols.functions, *module.symbols.data] if module is not None else []
            placed = self._placed[index] = _Placed(symbols)
        return placed

    def _data(self) -> _Placed:
        """The variables that the globals name, static ones of files included."""
        if self._global_data is None:
            records = self._records()
            found = []
            for offset in self._globals.offsets():
                if int.from_bytes(records[offset + 2 : offset + 4], "little") in DATA:
                    symbol = self._global(records, offset)
                    if symbol is not None:
                        found.append(symbol)
            self._global_data = _Placed(found)
        return self._global_data

    def _global(self, records: bytes, offset: int) -> Optional[Private]:
        """The symbol that an entry of the globals is, or refers to."""
        kind = int.from_bytes(records[offset + 2 : offset + 4], "little")
        if kind in DATA:
            return parse_private(records, offset, kind)
        if kind in (S_PROCREF, S_LPROCREF) and offset + 4 + _REFERENCE.size <= len(records):
            _, place, module = _REFERENCE.unpack_from(records, offset + 4)
            loaded = self.module(module - 1)
            return loaded.symbols.function_at(place) if loaded is not None else None
        return None

    def named(self, name: bytes, any_case: bool = False) -> Iterator[Private]:
        """The functions and variables of that name, through the hash of the globals."""
        records = self._records()
        folded = name.lower()
        for offset in self._globals.candidates(name):
            kind = int.from_bytes(records[offset + 2 : offset + 4], "little")
            if kind in DATA or kind in (S_PROCREF, S_LPROCREF):
                known = symbol_name(records, offset + 14)
                if known == name or (any_case and known.lower() == folded):
                    found = self._global(records, offset)
                    if found is not None:
                        yield found

    def typedef(self, name: bytes) -> Optional[int]:
        """The index of the type that a type definition of that name stands for."""
        records = self._records()
        for offset in self._globals.candidates(name):
            kind = int.from_bytes(records[offset + 2 : offset + 4], "little")
            if kind == S_UDT and symbol_name(records, offset + 8) == name:
                return int.from_bytes(records[offset + 4 : offset + 8], "little")
        return None

    def __iter__(self) -> Iterator[Private]:
        """Every function and variable that has a name of its own in the image: module by module, then the variables
        that only the globals hold."""
        seen = set()
        for index in range(len(self._dbi.modules)):
            for symbol in self._in_module(index).symbols:
                seen.add((symbol.section, symbol.offset, symbol.name))
                if not symbol.is_local:
                    yield symbol
        for symbol in self._data().symbols:
            if (symbol.section, symbol.offset, symbol.name) not in seen:
                yield symbol
