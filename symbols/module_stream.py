"""A module's symbols: the functions and data of one object file, as private PDBs keep them.

Layout: PROCSYM32, THUNKSYM32, DATASYM32 and INLINESITESYM of cvinfo.h in github.com/microsoft/microsoft-pdb.
Places are section:offset; offsets of records are into the module's stream.
"""

from __future__ import annotations

import struct

from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.publics import iterate_records, symbol_name
from dumpkit.symbols.symbol_kinds import (
    DATA,
    PROCEDURES,
    PROCEDURES_BY_ID,
    S_INLINESITE,
    S_INLINESITE2,
    SCOPE_ENDS,
    SCOPES,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Sequence, Tuple

    from dumpkit.symbols.variables import Variable

_PROCEDURE = struct.Struct("<12xI8xIIH")
_DATA = struct.Struct("<IIH")
_INLINE = struct.Struct("<8xI")


class Private(NamedTuple):
    """A function or a variable of a module. `size` is 0 for data."""

    section: int
    offset: int
    name: bytes
    size: int
    is_function: bool
    #: Index of its type: into TPI, or into IPI for a function recorded by id (`type_is_id`).
    type_index: int
    type_is_id: bool
    #: Offset of its record in the module's stream (functions), or in the record stream (global data).
    record: int
    #: Whether it is a variable inside a function, seen by address but not by name.
    is_local: bool = False


class InlineSite(NamedTuple):
    """A place where a function was inlined: `depth` 1 is directly in the procedure, deeper ones are within it."""

    depth: int
    #: Index into IPI.
    inlinee: int
    annotations: bytes


def parse_private(records: bytes, offset: int, kind: int) -> Optional[Private]:
    """Decode a function or data record; None for any other kind and for one that is cut off."""
    size = int.from_bytes(records[offset : offset + 2], "little") - 2
    body = offset + 4
    if kind in PROCEDURES:
        if size < _PROCEDURE.size + 2:
            return None
        length, type_index, place, section = _PROCEDURE.unpack_from(records, body)
        name = symbol_name(records, body + 35)
        return Private(section, place, name, length, True, type_index, kind in PROCEDURES_BY_ID, offset)
    if kind in DATA:
        if size < _DATA.size + 1:
            return None
        type_index, place, section = _DATA.unpack_from(records, body)
        return Private(section, place, symbol_name(records, body + 10), 0, False, type_index, False, offset)
    return None


class ModuleSymbols:
    """The symbol records of a module's stream. `stream` begins with a signature of four bytes."""

    def __init__(self, stream: bytes, symbols_size: int) -> None:
        self._stream = stream
        self._end = min(symbols_size, len(stream))
        self._functions: Optional[List[Private]] = None
        self._data: List[Private] = []

    def __iter__(self) -> Iterator[Tuple[int, int]]:
        """(kind, offset) of every record."""
        return iterate_records(self._stream, 4, self._end)

    @property
    def functions(self) -> Sequence[Private]:
        """The functions, in the order of the file. Thunks are left to their public symbols, as the engine does."""
        self._scan()
        return self._functions or ()

    @property
    def data(self) -> Sequence[Private]:
        """The variables, those static in a function included, in the order of the file."""
        self._scan()
        return self._data

    def _scan(self) -> None:
        if self._functions is not None:
            return
        self._functions = []
        depth = 0
        for kind, offset in self:
            if kind in PROCEDURES or kind in DATA:
                found = parse_private(self._stream, offset, kind)
                if found is not None and found.is_function:
                    self._functions.append(found)
                elif found is not None:
                    self._data.append(found._replace(is_local=depth > 0))
            if kind in SCOPES:
                depth += 1
            elif kind in SCOPE_ENDS and depth:
                depth -= 1

    def variables(self, function: Private, code: int) -> Iterator[Variable]:
        """The parameters and variables of a function that stands at an offset of its section."""
        from dumpkit.symbols.variables import read_variables

        return read_variables(self._stream, function.record, self._end, function.section, code)

    def function_at(self, record: int) -> Optional[Private]:
        """The function recorded at an offset of the stream, as a reference among the globals names it."""
        if record < 4 or record + 4 > self._end:
            return None
        return parse_private(self._stream, record, int.from_bytes(self._stream[record + 2 : record + 4], "little"))

    def inline_sites(self, function: Private) -> Iterator[InlineSite]:
        """The inline sites of a function, each after the ones that hold it."""
        scopes: List[bool] = []
        for kind, offset in iterate_records(self._stream, function.record, self._end):
            if kind in (S_INLINESITE, S_INLINESITE2):
                scopes.append(True)
                size = int.from_bytes(self._stream[offset : offset + 2], "little")
                start = offset + (16 if kind == S_INLINESITE else 20)
                if size >= 14:
                    (inlinee,) = _INLINE.unpack_from(self._stream, offset + 4)
                    yield InlineSite(sum(scopes), inlinee, self._stream[start : offset + 2 + size])
            elif kind in SCOPES:
                scopes.append(False)
            elif kind in SCOPE_ENDS and scopes:
                scopes.pop()
                if not scopes:
                    return
