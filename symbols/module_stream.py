"""A module's symbols: the functions and data of one object file, as private PDBs keep them.

Layout: PROCSYM32, THUNKSYM32, DATASYM32 and INLINESITESYM of cvinfo.h in github.com/microsoft/microsoft-pdb.
Places are section:offset; offsets of records are into the module's stream.
"""

from __future__ import annotations

import struct

from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.publics import iterate_records, symbol_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Sequence, Tuple

    from dumpkit.symbols.variables import Variable

S_END, S_THUNK32, S_BLOCK32 = 0x0006, 0x1102, 0x1103
S_LDATA32, S_GDATA32 = 0x110C, 0x110D
S_LMANDATA, S_GMANDATA = 0x111C, 0x111D
S_PROCREF, S_LPROCREF = 0x1125, 0x1127
S_INLINESITE, S_INLINESITE_END, S_INLINESITE2 = 0x114D, 0x114E, 0x115D
S_PROC_ID_END = 0x114F
#: S_LPROC32, S_GPROC32, S_GMANPROC, S_LMANPROC, S_LPROC32_ID, S_GPROC32_ID, S_LPROC32_DPC, S_LPROC32_DPC_ID
PROCEDURES = frozenset((0x110F, 0x1110, 0x112A, 0x112B, 0x1146, 0x1147, 0x1155, 0x1156))
#: Procedures whose type is an index into the IPI stream.
PROCEDURES_BY_ID = frozenset((0x1146, 0x1147, 0x1156))
DATA = frozenset((S_LDATA32, S_GDATA32, S_LMANDATA, S_GMANDATA))
#: S_SEPCODE opens a scope too, as S_WITH32 and managed blocks do; each is closed by S_END.
_SCOPES = frozenset((S_BLOCK32, S_THUNK32, 0x1132, 0x1104, S_INLINESITE, S_INLINESITE2)) | PROCEDURES
_ENDS = frozenset((S_END, S_INLINESITE_END, S_PROC_ID_END))

_PROCEDURE = struct.Struct("<12xI8xIIH")
_DATA = struct.Struct("<IIH")
_INLINE = struct.Struct("<8xI")


def opens_scope(kind: int) -> bool:
    """Whether records behind one of this kind belong to it, up to the one that closes it."""
    return kind in _SCOPES


def closes_scope(kind: int) -> bool:
    """Whether a record of this kind ends the scope that the last one opened."""
    return kind in _ENDS


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
            if kind in _SCOPES:
                depth += 1
            elif kind in _ENDS and depth:
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
            elif kind in _SCOPES:
                scopes.append(False)
            elif kind in _ENDS and scopes:
                scopes.pop()
                if not scopes:
                    return
