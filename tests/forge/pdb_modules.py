"""The modules of a PDB: the symbols and lines that each object file contributed.

Layout: MODI and the module streams of github.com/microsoft/microsoft-pdb; LLVM's "The Module Information Stream".
"""

from __future__ import annotations

from struct import pack
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from tests.forge import declarations, pdb_lines, pdb_symbols
from tests.forge.pdb_hash import NameTable
from tests.forge.pdb_symbols import Place
from tests.forge.pdb_types import IdWriter, TypeWriter
from tests.forge.program import Function, InlineSite, Variable
from tests.forge.unwind import Push, stack_use

_SIGNATURE = 4


class Module(NamedTuple):
    """An object file: its stream (empty for none) and what the DBI stream says of it."""

    name: str
    object_name: str
    stream: bytes = b""
    symbols_size: int = 0
    lines_size: int = 0
    files: Sequence[str] = ()
    #: (place, size) of each function and variable of it.
    contributions: Sequence[Tuple[Place, int]] = ()


class Reference(NamedTuple):
    """A function in a module's stream, as the globals refer to it: `offset` is its record's."""

    name: str
    module: int
    offset: int
    is_global: bool


class ModuleWriter:
    """Writes modules one after the other. `place_of` turns RVAs into places."""

    def __init__(
        self, types: TypeWriter, ids: IdWriter, names: NameTable, place_of: Callable[[int], Place], private: bool
    ) -> None:
        self._types = types
        self._ids = ids
        self._names = names
        self._place_of = place_of
        self._private = private
        self.modules: List[Module] = []
        self.references: List[Reference] = []

    def add(
        self, name: str, functions: Sequence[Function], variables: Sequence[Variable], procedures: bool = True
    ) -> None:
        """The module of these functions and variables; without `procedures` it has no stream."""
        pieces = [(self._place(each.rva), each.size) for each in functions]
        pieces += [(self._place(each.rva), each.room) for each in variables]
        if not procedures:
            self.modules.append(Module(name, name, contributions=pieces))
            return
        lines = pdb_lines.ModuleLines(self._names)
        symbols = bytearray(pack("<I", _SIGNATURE))
        if self._private:
            symbols += pdb_symbols.object_name(name) + pdb_symbols.compiler("Microsoft (R) Optimizing Compiler")
        for function in functions:
            if function.is_procedure:
                self.references.append(
                    Reference(function.name, len(self.modules), len(symbols), function.is_global and self._private)
                )
                self._add_procedure(symbols, function, lines)
        if self._private:
            for variable in variables:
                if not variable.is_global:
                    symbols += self._data(variable)
        c13 = lines.build() if self._private else b""
        stream = bytes(symbols) + c13 + pack("<I", 0)
        self.modules.append(Module(name, name, stream, len(symbols), len(c13), lines.files, pieces))

    def data(self, variable: Variable) -> bytes:
        """The record of a variable, for the globals."""
        return self._data(variable)

    def add_linker(self, sections: Sequence[Tuple[str, int, int, int]]) -> None:
        """The linker's own module; `sections` are (name, RVA, size, characteristics)."""
        name = "* Linker *"
        symbols = pack("<I", _SIGNATURE) + pdb_symbols.object_name(name)
        symbols += pdb_symbols.compiler("Microsoft (R) LINK", 7)
        for number, (section, rva, size, flags) in enumerate(sections, 1):
            symbols += pdb_symbols.section(number, rva, size, flags, section)
            symbols += pdb_symbols.coff_group(Place(number, 0), size, flags, section)
        stream = symbols + pack("<I", 0) if self._private else b""
        self.modules.append(Module(name, "", stream, len(symbols) if stream else 0))

    def _place(self, rva: Optional[int]) -> Place:
        if rva is None:
            raise ValueError("a function or variable has no place yet: add it to an image first")
        return self._place_of(rva)

    def _data(self, variable: Variable) -> bytes:
        index = self._types.add(variable.type) if variable.type is not None and self._private else 0
        return pdb_symbols.data(variable.name, self._place(variable.rva), index, variable.is_global)

    def _add_procedure(self, symbols: bytearray, function: Function, lines: pdb_lines.ModuleLines) -> None:
        place = self._place(function.rva)
        type_index = self._types.add(function.type) if function.type is not None and self._private else 0
        if self._private and function.type is not None:
            self._ids.function(function.name, type_index)
        start = len(symbols)
        is_global = function.is_global and self._private

        def head(end: int) -> bytes:
            prologue = function.code.prologue_size
            name = function.name
            return pdb_symbols.procedure(name, place, function.size, type_index, is_global, prologue, end)

        symbols += head(0)
        if self._private:
            self._add_inside(symbols, function, start, lines)
            if function.source and function.lines:
                lines.add(place, function.size, function.source, function.lines)
        closing = len(symbols)
        symbols[start : start + len(head(0))] = head(closing)
        symbols += pdb_symbols.end()

    def _add_inside(self, symbols: bytearray, function: Function, start: int, lines: pdb_lines.ModuleLines) -> None:
        operations = [operation for _, operation in function.code.operations]
        saved = 8 * sum(isinstance(operation, Push) for operation in operations)
        symbols += pdb_symbols.frame(sum(map(stack_use, operations)) - saved, saved)
        for local in function.locals:
            index = self._types.add(local.type)
            symbols += pdb_symbols.register_relative(local.name, index, local.register, local.offset)
        for site in function.inlines:
            self._add_inline(symbols, site, start, lines)

    def _add_inline(self, symbols: bytearray, site: InlineSite, parent: int, lines: pdb_lines.ModuleLines) -> None:
        identity = self._ids.function(site.name, self._types.add(site.type or declarations.function(declarations.VOID)))
        lines.add_inlinee(identity, site.source, site.first_line)
        notes = pdb_lines.inline_annotations(site.first_line, site.pieces)
        start = len(symbols)
        symbols += pdb_symbols.inline_site(parent, 0, identity, notes)
        for inner in site.inner:
            self._add_inline(symbols, inner, start, lines)
        closing = len(symbols)
        opening = pdb_symbols.inline_site(parent, closing, identity, notes)
        symbols[start : start + len(opening)] = opening
        symbols += pdb_symbols.end(pdb_symbols.S_INLINESITE_END)


def by_compiland(
    functions: Sequence[Function], variables: Sequence[Variable], default: str
) -> Mapping[str, Tuple[List[Function], List[Variable]]]:
    """Functions and variables by their object file, in the order of their first function."""
    found: Dict[str, Tuple[List[Function], List[Variable]]] = {}
    for function in functions:
        found.setdefault(function.compiland or default, ([], []))[0].append(function)
    for variable in variables:
        found.setdefault(variable.compiland or default, ([], []))[1].append(variable)
    return found
