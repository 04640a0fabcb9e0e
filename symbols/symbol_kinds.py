"""The kinds of symbol records that modules' streams have, and which of them open and close scopes.

Numbers: SYM_ENUM_e of cvinfo.h in github.com/microsoft/microsoft-pdb.
"""

from __future__ import annotations

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
SCOPES = frozenset((S_BLOCK32, S_THUNK32, 0x1132, 0x1104, S_INLINESITE, S_INLINESITE2)) | PROCEDURES
SCOPE_ENDS = frozenset((S_END, S_INLINESITE_END, S_PROC_ID_END))
