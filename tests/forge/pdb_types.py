"""Types of the model (dumpkit.symbols.types) as type records of a PDB.

Layout: the lf… structures of cvinfo.h in github.com/microsoft/microsoft-pdb. As compilers do, a record is
only declared where something points to it, and defined once.
"""

from __future__ import annotations

from struct import pack
from typing import Dict, List, Sequence, Tuple, Union

from dumpkit.symbols.types import (
    ArrayType,
    BaseType,
    BitfieldType,
    EnumType,
    FunctionType,
    Member,
    PointerType,
    RecordType,
    Type,
)

from tests.forge.pdb_hash import hash_name
from tests.forge.pdb_records import TypeRecords, numeric, padded, text

_POINTER, _PROCEDURE, _ARGUMENTS = 0x1002, 0x1008, 0x1201
_FIELDS, _BITFIELD, _INDEX = 0x1203, 0x1205, 0x1404
_ENUMERATE, _ARRAY, _UNION, _ENUM, _MEMBER, _STATIC = 0x1502, 0x1503, 0x1506, 0x1507, 0x150D, 0x150E
_BASE_CLASS = 0x1400
_RECORDS = {"struct": 0x1505, "class": 0x1504, "interface": 0x1519, "union": _UNION}
_UNIQUE_PREFIX = {"struct": ".?AU", "class": ".?AV", "interface": ".?AU", "union": ".?AT", "enum": ".?AW4"}
_FORWARD, _HAS_UNIQUE_NAME = 0x80, 0x200
_PUBLIC = 3
_ULONGLONG = 0x23
_POINTER_64 = 0x600
#: A 64-bit near pointer: its kind, and its size in bits 13 to 18.
_POINTER_ATTRIBUTES = 0x1000C
_LIST_LIMIT = 0xFE00

#: By name: the numbers of built-in types (TYPE_ENUM_e).
_BUILT_IN = {
    "void": 0x03, "HRESULT": 0x08, "signed char": 0x10, "short": 0x11, "long": 0x12, "long long": 0x13,
    "unsigned char": 0x20, "unsigned short": 0x21, "unsigned long": 0x22, "unsigned long long": 0x23,
    "bool": 0x30, "float": 0x40, "double": 0x41, "f32": 0x40, "f64": 0x41, "char": 0x70, "wchar": 0x71,
    "wchar_t": 0x71, "int": 0x74, "unsigned int": 0x75, "__int64": 0x13, "unsigned __int64": 0x23,
    "__int128": 0x14, "unsigned __int128": 0x24, "char8_t": 0x7C, "char16_t": 0x7A, "char32_t": 0x7B,
}  # fmt: skip
#: By kind and size, for other names.
_BY_KIND = {
    ("void", 0): 0x03, ("int", 1): 0x10, ("int", 2): 0x11, ("int", 4): 0x74, ("int", 8): 0x13,
    ("uint", 1): 0x20, ("uint", 2): 0x21, ("uint", 4): 0x75, ("uint", 8): 0x23, ("char", 1): 0x70,
    ("uchar", 1): 0x20, ("wchar", 2): 0x71, ("bool", 1): 0x30, ("bool", 4): 0x32, ("float", 4): 0x40,
    ("float", 8): 0x41, ("float", 10): 0x42, ("hresult", 4): 0x08, ("int", 16): 0x14, ("uint", 16): 0x24,
}  # fmt: skip


def is_unnamed(name: str) -> bool:
    """Whether a record or enumeration has no name of its own (`__unnamed_1096` is what ISF tables write for none)."""
    return not name or name.startswith(("<unnamed", "<anonymous", "__unnamed"))


class TypeWriter:
    """Gathers type records. `unnamed` is what records without a name are called."""

    def __init__(self, unnamed: str = "<unnamed-tag>") -> None:
        self.records = TypeRecords()
        self._unnamed = unnamed
        self._defined: Dict[Union[Tuple[str, str], int], int] = {}
        self._declared: List[RecordType] = []
        # What `_defined` knows by its identity must live as long as it.
        self._alive: List[Type] = []

    def add(self, wanted: Type) -> int:
        """The index of a type; whatever it refers to is defined with it, pointers followed."""
        index = self._index(wanted)
        while self._declared:
            self._define_record(self._declared.pop())
        return index

    def _index(self, wanted: Type) -> int:
        if isinstance(wanted, BaseType):
            return _built_in(wanted)
        if isinstance(wanted, PointerType):
            return self._pointer(wanted)
        if isinstance(wanted, ArrayType):
            body = pack("<II", self._index(wanted.element), _ULONGLONG) + numeric(wanted.size) + b"\0"
            return self.records.add(_ARRAY, body)
        if isinstance(wanted, BitfieldType):
            return self.records.add(_BITFIELD, pack("<IBB", self._index(wanted.base), wanted.length, wanted.position))
        if isinstance(wanted, EnumType):
            return self._enum(wanted)
        if isinstance(wanted, FunctionType):
            return self._function(wanted)
        if isinstance(wanted, RecordType):
            return self._define_record(wanted)
        raise TypeError(f"{wanted!r} is no type that a PDB can hold")

    def _pointer(self, wanted: PointerType) -> int:
        target = wanted.target
        if isinstance(target, BaseType):
            return _POINTER_64 | _built_in(target)
        index = self._reference(target) if isinstance(target, RecordType) else self._index(target)
        attributes = _POINTER_ATTRIBUTES if wanted.size == 8 else 0x800A
        return self.records.add(_POINTER, pack("<II", index, attributes))

    def _reference(self, target: RecordType) -> int:
        """What a pointer to a record points to: its declaration, or its definition where it has no name."""
        if is_unnamed(target.name):
            return self._define_record(target)
        if ("record", target.name) not in self._defined and (target.size or target.members):
            self._declared.append(target)
        return self._record(target, 0, 0, 0, _FORWARD)

    def _record(self, wanted: RecordType, count: int, fields: int, size: int, properties: int) -> int:
        body = pack("<HHI", count, properties | _HAS_UNIQUE_NAME, fields)
        if wanted.kind != "union":
            body += pack("<II", 0, 0)
        hashed = -1 if properties & _FORWARD else self._hash(wanted)
        return self.records.add(_RECORDS[wanted.kind], body + numeric(size) + self._names(wanted, wanted.kind), hashed)

    def _names(self, wanted: Type, kind: str) -> bytes:
        """The name and the decorated ("unique") name of a record or enumeration."""
        name = self._unnamed if is_unnamed(wanted.name) else wanted.name
        return text(name) + text(f"{_UNIQUE_PREFIX[kind]}{name}@@")

    def _hash(self, wanted: Type) -> int:
        """What a definition is found by: its name where it has one."""
        return -1 if is_unnamed(wanted.name) else hash_name(wanted.name.encode())

    def _define_record(self, wanted: RecordType) -> int:
        key: Union[Tuple[str, str], int] = id(wanted) if is_unnamed(wanted.name) else ("record", wanted.name)
        index = self._defined.get(key)
        if index is None:
            if not wanted.size and not wanted.members:
                return self._record(wanted, 0, 0, 0, _FORWARD)
            self._alive.append(wanted)
            entries = [self._member(member) for member in wanted.members]
            index = self._record(wanted, len(entries), self._field_list(entries), wanted.size, 0)
            self._defined[key] = index
        return index

    def _member(self, member: Member) -> bytes:
        index = self._index(member.type)
        if member.kind == "static":
            return pack("<HHI", _STATIC, _PUBLIC, index) + text(member.name)
        if member.kind == "base":
            return pack("<HHI", _BASE_CLASS, _PUBLIC, index) + numeric(member.offset)
        if member.kind != "member":
            raise ValueError(f"the forge writes no {member.kind} members ({member.name})")
        return pack("<HHI", _MEMBER, _PUBLIC, index) + numeric(member.offset) + text(member.name)

    def _enum(self, wanted: EnumType) -> int:
        key: Union[Tuple[str, str], int] = id(wanted) if is_unnamed(wanted.name) else ("enum", wanted.name)
        index = self._defined.get(key)
        if index is None:
            self._alive.append(wanted)
            entries = [
                pack("<HH", _ENUMERATE, _PUBLIC) + numeric(value) + text(name) for name, value in wanted.enumerators
            ]
            base = _BY_KIND["int" if wanted.signed else "uint", wanted.size]
            body = pack("<HHII", len(entries), _HAS_UNIQUE_NAME, base, self._field_list(entries))
            index = self.records.add(_ENUM, body + self._names(wanted, "enum"), self._hash(wanted))
            self._defined[key] = index
        return index

    def _field_list(self, entries: Sequence[bytes]) -> int:
        """The index of a field list; a long one goes on in others, the last of which is written first."""
        pieces: List[List[bytes]] = [[]]
        size = 0
        for entry in map(padded, entries):
            if size + len(entry) > _LIST_LIMIT:
                pieces.append([])
                size = 0
            pieces[-1].append(entry)
            size += len(entry)
        following = b""
        index = 0
        for piece in reversed(pieces):
            index = self.records.add(_FIELDS, b"".join(piece) + following)
            following = pack("<HHI", _INDEX, 0, index)
        return index

    def _function(self, wanted: FunctionType) -> int:
        arguments = [self._index(argument) for argument in wanted.arguments]
        listed = self.records.add(_ARGUMENTS, pack(f"<I{len(arguments)}I", len(arguments), *arguments))
        return self.records.add(_PROCEDURE, pack("<IBBHI", self._index(wanted.result), 0, 0, len(arguments), listed))


class IdWriter:
    """Gathers the records of the IPI stream: functions, strings, and how a compiland was built."""

    def __init__(self) -> None:
        self.records = TypeRecords()

    def string(self, value: str) -> int:
        """LF_STRING_ID."""
        return self.records.add(0x1605, pack("<I", 0) + text(value))

    def function(self, name: str, type_index: int) -> int:
        """LF_FUNC_ID."""
        return self.records.add(0x1601, pack("<II", 0, type_index) + text(name))

    def build_info(self, folder: str, tool: str, source: str, pdb: str, command: str) -> int:
        """LF_BUILDINFO."""
        strings = [self.string(value) for value in (folder, tool, source, pdb, command)]
        return self.records.add(0x1603, pack("<H5I", 5, *strings))


def _built_in(wanted: BaseType) -> int:
    by_name = _BUILT_IN.get(wanted.name)
    return by_name if by_name is not None else _BY_KIND[wanted.kind, wanted.size]
