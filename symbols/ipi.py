"""Names out of the IPI stream: functions as inline sites and procedures refer to them.

Layout: lfFuncId, lfMFuncId and lfStringId of cvinfo.h in github.com/microsoft/microsoft-pdb.
"""

from __future__ import annotations

import struct

from dumpkit.symbols.leaves import LF_FUNC_ID, LF_MFUNC_ID, LF_STRING_ID, name_at
from dumpkit.symbols.tpi import TypeTable
from dumpkit.symbols.type_records import Record, TypeRecords

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

_ID = struct.Struct("<II")


class IdTable:
    """The ids of a PDB; `types` gives the names of the classes that hold functions."""

    def __init__(self, records: TypeRecords, types: TypeTable) -> None:
        self._records = records
        self._types = types

    def _record(self, index: int) -> Optional[Record]:
        try:
            return self._records.record(index)
        except (KeyError, struct.error):
            return None

    def name(self, index: int) -> str:
        """The qualified name of a function id, or the text of a string id; empty for anything else."""
        record = self._record(index)
        if record is None:
            return ""
        try:
            scope, _ = _ID.unpack_from(self._records.data, record.start)
            name, _ = name_at(self._records.data, record.start + (4 if record.leaf == LF_STRING_ID else 8), record.end)
        except struct.error:
            return ""
        if record.leaf == LF_STRING_ID:
            return name
        if record.leaf == LF_MFUNC_ID:
            outer = self._types.class_name(scope)
        elif record.leaf == LF_FUNC_ID and scope != index:
            outer = self._scope(scope)
        else:
            return ""
        return f"{outer}::{name}" if outer else name

    def _scope(self, index: int) -> str:
        """The namespace that a function id names as its scope: a string id."""
        record = self._record(index)
        if record is None or record.leaf != LF_STRING_ID:
            return ""
        try:
            return name_at(self._records.data, record.start + 4, record.end)[0]
        except struct.error:
            return ""

    def function_type(self, index: int) -> Optional[int]:
        """The index into TPI of a function id's type."""
        record = self._record(index)
        if record is None or record.leaf not in (LF_FUNC_ID, LF_MFUNC_ID) or record.end - record.start < _ID.size:
            return None
        kind: int = _ID.unpack_from(self._records.data, record.start)[1]
        return kind
