"""The fields of CodeView type records: numbers, names and the lists of members.

Layout: the lf… structures of cvinfo.h in github.com/microsoft/microsoft-pdb. Every function takes the
stream's bytes and an offset into them; struct.error and IndexError mean that the record is cut off.
"""

from __future__ import annotations

import struct

from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple

LF_MODIFIER, LF_POINTER, LF_PROCEDURE, LF_MFUNCTION = 0x1001, 0x1002, 0x1008, 0x1009
LF_ARGLIST, LF_FIELDLIST, LF_BITFIELD = 0x1201, 0x1203, 0x1205
LF_BCLASS, LF_VBCLASS, LF_IVBCLASS, LF_INDEX = 0x1400, 0x1401, 0x1402, 0x1404
LF_VFUNCTAB, LF_FRIENDCLS, LF_VFUNCOFF = 0x1409, 0x140A, 0x140C
LF_ENUMERATE, LF_ARRAY, LF_CLASS, LF_STRUCTURE, LF_UNION, LF_ENUM = 0x1502, 0x1503, 0x1504, 0x1505, 0x1506, 0x1507
LF_ALIAS, LF_FRIENDFCN, LF_MEMBER, LF_STMEMBER, LF_METHOD, LF_NESTTYPE = 0x150A, 0x150C, 0x150D, 0x150E, 0x150F, 0x1510
LF_ONEMETHOD, LF_NESTTYPEEX, LF_MEMBERMODIFY, LF_STRIDED_ARRAY = 0x1511, 0x1512, 0x1513, 0x1516
LF_INTERFACE, LF_BINTERFACE = 0x1519, 0x151A
LF_FUNC_ID, LF_MFUNC_ID, LF_STRING_ID = 0x1601, 0x1602, 0x1605
#: The forms with 32 bits of properties that compilers write since 2019.
LF_CLASS2, LF_STRUCTURE2, LF_UNION2, LF_INTERFACE2 = 0x1608, 0x1609, 0x160A, 0x160B

FORWARD_REFERENCE, SCOPED, HAS_UNIQUE_NAME = 0x80, 0x100, 0x200

CLASS_KINDS = {
    LF_CLASS: "class",
    LF_STRUCTURE: "struct",
    LF_INTERFACE: "interface",
    LF_CLASS2: "class",
    LF_STRUCTURE2: "struct",
    LF_INTERFACE2: "interface",
}
UNIONS = frozenset((LF_UNION, LF_UNION2))
TAGGED = frozenset(CLASS_KINDS) | UNIONS | {LF_ENUM}

#: Numeric leaf -> (format, size); the value itself stands in the leaf below LF_NUMERIC.
_LF_NUMERIC = 0x8000
_NUMERIC = {
    0x8000: ("<b", 1),
    0x8001: ("<h", 2),
    0x8002: ("<H", 2),
    0x8003: ("<i", 4),
    0x8004: ("<I", 4),
    0x8009: ("<q", 8),
    0x800A: ("<Q", 8),
}
#: Numeric leaves that no layout counts in, by size: reals, complex numbers, 128-bit integers, a decimal, a date.
_OTHER_NUMERIC = {
    0x8005: 4, 0x8006: 8, 0x8007: 10, 0x8008: 16, 0x800B: 6, 0x800C: 8, 0x800D: 16, 0x800E: 20, 0x800F: 32,
    0x8017: 16, 0x8018: 16, 0x8019: 16, 0x801A: 8, 0x801C: 2,
}  # fmt: skip

_U16 = struct.Struct("<H").unpack_from
_U32 = struct.Struct("<I").unpack_from
_ATTRIBUTED = struct.Struct("<HI").unpack_from


def numeric(data: bytes, offset: int) -> Tuple[int, int]:
    """(value, offset behind it) of a numeric leaf; numbers that are not whole read as 0."""
    (leaf,) = _U16(data, offset)
    if leaf < _LF_NUMERIC:
        return leaf, offset + 2
    known = _NUMERIC.get(leaf)
    if known is not None:
        (value,) = struct.unpack_from(known[0], data, offset + 2)
        return value, offset + 2 + known[1]
    size = _OTHER_NUMERIC.get(leaf)
    if size is None:
        raise struct.error(f"numeric leaf {leaf:#x}")
    if leaf in (0x8017, 0x8018):
        return int.from_bytes(data[offset + 2 : offset + 18], "little", signed=leaf == 0x8017), offset + 18
    return 0, offset + 2 + size


def name_at(data: bytes, offset: int, limit: int) -> Tuple[str, int]:
    """(name, offset behind it) of a zero-terminated name that ends before `limit`."""
    end = data.find(b"\0", offset, limit)
    if end < 0:
        raise struct.error("a name without an end")
    return data[offset:end].decode("utf-8", "replace"), end + 1


class Tag(NamedTuple):
    """The head of a struct, class, interface, union or enumeration."""

    #: "struct", "class", "interface", "union" or "enum".
    kind: str
    properties: int
    #: Index of its list of members; 0 for none.
    fields: int
    #: Bytes; for an enumeration the index of its integer type stands in `underlying` instead.
    size: int
    underlying: int
    name: str
    #: Offset of the name's end: the unique (decorated) name follows where there is one.
    name_end: int
    #: Entries of its list of members, methods and nested types counted; None where the leaf does not say.
    entries: Optional[int] = None

    @property
    def is_forward(self) -> bool:
        """Whether it only declares the name."""
        return bool(self.properties & FORWARD_REFERENCE)


def tag_head(data: bytes, leaf: int, start: int, end: int) -> Tag:
    """Decode the head of a record whose leaf is one of `TAGGED`."""
    size = underlying = 0
    count: Optional[int] = None
    kind = CLASS_KINDS.get(leaf)
    if leaf == LF_ENUM:
        kind = "enum"
        count, properties, underlying, fields = struct.unpack_from("<HHII", data, start)
        offset = start + 12
    elif leaf in (LF_CLASS2, LF_STRUCTURE2, LF_INTERFACE2):
        properties, fields = struct.unpack_from("<II", data, start)
        count, offset = numeric(data, start + 16)
    elif leaf == LF_UNION2:
        properties, fields = struct.unpack_from("<II", data, start)
        count, offset = numeric(data, start + 8)
    else:
        count, properties, fields = struct.unpack_from("<HHI", data, start)
        offset = start + (8 if leaf == LF_UNION else 16)
    if leaf != LF_ENUM:
        size, offset = numeric(data, offset)
    name, name_end = name_at(data, offset, end)
    return Tag(kind or "union", properties, fields, size, underlying, name, name_end, count)


def unique_name(data: bytes, tag: Tag, end: int) -> bytes:
    """The decorated name behind the name; empty where the record has none."""
    if not tag.properties & HAS_UNIQUE_NAME:
        return b""
    stop = data.find(b"\0", tag.name_end, end)
    return data[tag.name_end : stop] if stop >= 0 else b""


class Field(NamedTuple):
    """An entry of a field list. `kind` is as in Member, or "enumerator" (value in `offset`), "index" (a continuation),
    "nested" (a type declared inside)."""

    kind: str
    name: str
    type_index: int
    offset: int
    #: Of a virtual base: its place in the table of virtual bases.
    slot: int = 0


def fields(data: bytes, start: int, end: int) -> Iterator[Field]:
    """The entries of one LF_FIELDLIST record, methods and friends left out. It ends at a leaf that is not known."""
    offset = start
    while offset + 2 <= end:
        if data[offset] >= 0xF0:
            # LF_PAD: the low half says how far to skip.
            offset += max(data[offset] & 0xF, 1)
            continue
        (leaf,) = _U16(data, offset)
        found, offset = _field(data, leaf, offset + 2, end)
        if found is not None:
            yield found
        elif offset < 0:
            return


def _field(data: bytes, leaf: int, offset: int, end: int) -> Tuple[Optional[Field], int]:
    """One entry and the offset behind it; (None, -1) where the leaf is not known."""
    if leaf == LF_MEMBER:
        _, index = _ATTRIBUTED(data, offset)
        place, offset = numeric(data, offset + 6)
        name, offset = name_at(data, offset, end)
        return Field("member", name, index, place), offset
    if leaf == LF_ENUMERATE:
        value, offset = numeric(data, offset + 2)
        name, offset = name_at(data, offset, end)
        return Field("enumerator", name, 0, value), offset
    if leaf in (LF_STMEMBER, LF_NESTTYPE, LF_NESTTYPEEX):
        _, index = _ATTRIBUTED(data, offset)
        name, offset = name_at(data, offset + 6, end)
        return Field("static" if leaf == LF_STMEMBER else "nested", name, index, 0), offset
    if leaf in (LF_BCLASS, LF_BINTERFACE):
        _, index = _ATTRIBUTED(data, offset)
        place, offset = numeric(data, offset + 6)
        return Field("base", "", index, place), offset
    if leaf in (LF_VBCLASS, LF_IVBCLASS):
        _, index = _ATTRIBUTED(data, offset)
        place, offset = numeric(data, offset + 10)
        slot, offset = numeric(data, offset)
        return Field("vbase" if leaf == LF_VBCLASS else "ivbase", "", index, place, slot), offset
    if leaf == LF_INDEX:
        return Field("index", "", _U32(data, offset + 2)[0], 0), offset + 6
    if leaf == LF_VFUNCTAB:
        return Field("vfptr", "__VFN_table", _U32(data, offset + 2)[0], 0), offset + 6
    if leaf == LF_VFUNCOFF:
        index, place = struct.unpack_from("<II", data, offset + 2)
        return Field("vfptr", "__VFN_table", index, place), offset + 10
    return None, _skip(data, leaf, offset, end)


def _skip(data: bytes, leaf: int, offset: int, end: int) -> int:
    """The offset behind an entry that lays out nothing; -1 for an unknown one, whose length nothing says."""
    if leaf == LF_ONEMETHOD:
        (attributes,) = _U16(data, offset)
        # Methods that introduce a virtual function carry its offset in the table.
        introduces = attributes >> 2 & 7 in (4, 6)
        return name_at(data, offset + (10 if introduces else 6), end)[1]
    if leaf in (LF_METHOD, LF_FRIENDFCN, LF_MEMBERMODIFY):
        return name_at(data, offset + 6, end)[1]
    if leaf == LF_FRIENDCLS:
        return offset + 6
    return -1
