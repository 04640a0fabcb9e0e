"""Types out of a PDB: TPI records as the type model of dumpkit.symbols.types.

Layout: cvinfo.h in github.com/microsoft/microsoft-pdb. Sizes and offsets are bytes.
"""

from __future__ import annotations

import struct
from functools import partial

from dumpkit.errors import SymbolError
from dumpkit.symbols.leaves import (
    HAS_UNIQUE_NAME,
    LF_ALIAS,
    LF_ARGLIST,
    LF_ARRAY,
    LF_BITFIELD,
    LF_FIELDLIST,
    LF_MFUNCTION,
    LF_MODIFIER,
    LF_POINTER,
    LF_PROCEDURE,
    LF_STRIDED_ARRAY,
    TAGGED,
    Field,
    Tag,
    fields,
    numeric,
    tag_head,
    unique_name,
)
from dumpkit.symbols.type_records import FIRST_RECORD, Record, TypeRecords
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple

#: Built-in types (TYPE_ENUM_e), by the low byte of the index: name, size, kind.
_BUILT_IN: Dict[int, Tuple[str, int, str]] = {
    0x00: ("<no type>", 0, "void"),
    0x03: ("void", 0, "void"),
    0x08: ("HRESULT", 4, "hresult"),
    0x10: ("signed char", 1, "char"),
    0x11: ("short", 2, "int"),
    0x12: ("long", 4, "int"),
    0x13: ("long long", 8, "int"),
    0x14: ("__int128", 16, "int"),
    0x20: ("unsigned char", 1, "uchar"),
    0x21: ("unsigned short", 2, "uint"),
    0x22: ("unsigned long", 4, "uint"),
    0x23: ("unsigned long long", 8, "uint"),
    0x24: ("unsigned __int128", 16, "uint"),
    0x30: ("bool", 1, "bool"),
    0x31: ("bool16", 2, "bool"),
    0x32: ("bool32", 4, "bool"),
    0x33: ("bool64", 8, "bool"),
    0x40: ("float", 4, "float"),
    0x41: ("double", 8, "float"),
    0x42: ("long double", 10, "float"),
    0x43: ("float128", 16, "float"),
    0x44: ("float48", 6, "float"),
    0x45: ("float", 4, "float"),
    0x46: ("float16", 2, "float"),
    0x62: ("bool32", 4, "bool"),
    0x68: ("signed char", 1, "int"),
    0x69: ("unsigned char", 1, "uint"),
    0x70: ("char", 1, "char"),
    0x71: ("wchar", 2, "wchar"),
    0x72: ("short", 2, "int"),
    0x73: ("unsigned short", 2, "uint"),
    0x74: ("int", 4, "int"),
    0x75: ("unsigned int", 4, "uint"),
    0x76: ("long long", 8, "int"),
    0x77: ("unsigned long long", 8, "uint"),
    0x78: ("__int128", 16, "int"),
    0x79: ("unsigned __int128", 16, "uint"),
    0x7A: ("char16_t", 2, "wchar"),
    0x7B: ("char32_t", 4, "uint"),
    0x7C: ("char8_t", 1, "uchar"),
}
#: Built-in pointers, by bits 8 to 11 of the index.
_POINTER_SIZES = {1: 2, 2: 4, 3: 4, 4: 4, 5: 6, 6: 8, 7: 16}
#: How many arrays, modifiers and aliases may stand one around the other.
_MAX_NESTING = 64
_DAMAGED = (struct.error, IndexError, KeyError)


class TypeTable:
    """The types of a PDB, decoded when they are asked for; `path` is for error messages."""

    def __init__(self, records: TypeRecords, path: str) -> None:
        self._records = records
        self._data = records.data
        self._path = path
        self._types: Dict[int, Type] = {}
        self._by_name: Optional[Dict[str, int]] = None
        self._by_unique_name: Optional[Dict[bytes, int]] = None
        #: Whether the hash has led to a definition: it can then be believed that what it does not have is not there.
        self._hash_serves = False

    def named(self, name: str) -> Optional[Type]:
        """The definition of a record or enumeration; its declaration where there is no more; else None."""
        raw = name.encode("utf-8", "replace")
        for index in self._records.hashed(raw):
            tag = self._tag(index)
            if tag is not None and tag[0].name == name and not tag[0].is_forward:
                self._hash_serves = self._records.is_hashed
                return self.at(index)
        found = self._names().get(name)
        return self.at(found) if found is not None else None

    def names(self) -> Iterator[str]:
        """The names of every record and enumeration, each one once, in the order of the stream."""
        return iter(self._names())

    def indices(self) -> Iterator[int]:
        """The indices of every definition of a record or enumeration."""
        for index, record in self._records:
            if record.leaf in TAGGED:
                tag = self._tag(index)
                if tag is not None and not tag[0].is_forward:
                    yield index

    def _names(self) -> Dict[str, int]:
        """Name -> index by a full scan: definitions first, then what is only declared."""
        if self._by_name is None:
            defined: Dict[str, int] = {}
            declared: Dict[str, int] = {}
            for index, record in self._records:
                if record.leaf in TAGGED:
                    tag = self._tag(index)
                    if tag is not None:
                        (declared if tag[0].is_forward else defined).setdefault(tag[0].name, index)
            for name, index in declared.items():
                defined.setdefault(name, index)
            self._by_name = defined
        return self._by_name

    def _tag(self, index: int) -> Optional[Tuple[Tag, Record]]:
        """The head of a record or enumeration; None where the index is of something else, or is damaged."""
        try:
            record = self._records.record(index)
            if record.leaf not in TAGGED:
                return None
            return tag_head(self._data, record.leaf, record.start, record.end), record
        except _DAMAGED:
            return None

    def at(self, index: int) -> Type:
        """The type of an index. Raises SymbolError where there is none or its record is damaged."""
        found = self._types.get(index)
        if found is None:
            found = self._types[index] = self._decode(index, 0)
        return found

    def follow(self, index: int) -> Callable[[], Type]:
        """What gives the type of an index when it is wanted."""
        return partial(self.at, index)

    def _decode(self, index: int, depth: int) -> Type:
        if index < FIRST_RECORD:
            return self._built_in(index)
        if depth > _MAX_NESTING:
            raise SymbolError(f"{self._path}: type {index:#x} of the PDB is damaged: it contains itself")
        try:
            record = self._records.record(index)
            return self._decode_record(index, record, depth)
        except _DAMAGED:
            raise SymbolError(f"{self._path}: type {index:#x} of the PDB is damaged or missing") from None

    def _built_in(self, index: int) -> Type:
        mode = index >> 8 & 0xF
        if mode:
            return PointerType(self.follow(index & 0xFF), _POINTER_SIZES.get(mode, 8))
        name, size, kind = _BUILT_IN.get(index, (f"<type {index:#x}>", 0, "void"))
        return BaseType(name, size, kind)

    def _decode_record(self, index: int, record: Record, depth: int) -> Type:
        leaf, start, _ = record
        data = self._data
        if leaf in TAGGED:
            return self._tagged(index, record)
        if leaf == LF_POINTER:
            target, attributes = struct.unpack_from("<II", data, start)
            size = attributes >> 13 & 0x3F
            return PointerType(self.follow(target), size or (8 if attributes & 0x1F == 0xC else 4))
        if leaf in (LF_MODIFIER, LF_ALIAS):
            return self._inner(struct.unpack_from("<I", data, start)[0], depth)
        if leaf in (LF_ARRAY, LF_STRIDED_ARRAY):
            (element,) = struct.unpack_from("<I", data, start)
            size, _ = numeric(data, start + (8 if leaf == LF_ARRAY else 12))
            each = self._inner(element, depth).size
            return ArrayType(self.follow(element), size // each if each else 0, size)
        if leaf == LF_BITFIELD:
            base, length, position = struct.unpack_from("<IBB", data, start)
            return BitfieldType(self.follow(base), position, length, self._inner(base, depth).size)
        if leaf in (LF_PROCEDURE, LF_MFUNCTION):
            (result,) = struct.unpack_from("<I", data, start)
            (arguments,) = struct.unpack_from("<I", data, start + (8 if leaf == LF_PROCEDURE else 16))
            return FunctionType(self.follow(result), partial(self._arguments, arguments))
        # A table of virtual functions, a list, or a leaf that is not known: nothing that lies in memory by itself.
        return BaseType("", 0, "void")

    def _inner(self, index: int, depth: int) -> Type:
        """The type that another one wraps; cached as `at` does, with the nesting counted."""
        found = self._types.get(index)
        if found is None:
            found = self._types[index] = self._decode(index, depth + 1)
        return found

    def _arguments(self, index: int) -> List[Type]:
        try:
            record = self._records.record(index)
            if record.leaf != LF_ARGLIST:
                return []
            (count,) = struct.unpack_from("<I", self._data, record.start)
            if count * 4 > record.end - record.start:
                raise KeyError(index)
            indices = struct.unpack_from(f"<{count}I", self._data, record.start + 4)
        except _DAMAGED:
            raise SymbolError(f"{self._path}: argument list {index:#x} of the PDB is damaged or missing") from None
        return [self.at(each) for each in indices]

    def _tagged(self, index: int, record: Record) -> Type:
        tag = tag_head(self._data, record.leaf, record.start, record.end)
        if tag.is_forward:
            definition = self._definition(tag, record)
            if definition is not None:
                return self.at(definition)
        if tag.kind == "enum":
            base = self.at(tag.underlying) if tag.underlying < FIRST_RECORD else None
            signed = isinstance(base, BaseType) and base.kind in ("int", "char", "hresult")
            size = base.size if base is not None else 4
            return EnumType(tag.name, size, signed, partial(self._enumerators, tag.fields, 8 * size if signed else 0))
        return RecordType(tag.name, tag.size, tag.kind, partial(self._members, tag.fields), tag.entries)

    def _definition(self, declared: Tag, record: Record) -> Optional[int]:
        """The index of the definition of a forward reference: by its unique name where it has one, else by name."""
        unique = unique_name(self._data, declared, record.end)
        wanted = (unique, declared.name.encode("utf-8", "replace"))
        for name in wanted if unique else wanted[1:]:
            for index in self._records.hashed(name):
                if self._defines(index, declared, unique):
                    self._hash_serves = self._records.is_hashed
                    return index
        if self._hash_serves:
            return None
        if unique:
            return self._unique_names().get(unique)
        index = self._names().get(declared.name, -1)
        return index if self._defines(index, declared, unique) else None

    def _defines(self, index: int, declared: Tag, unique: bytes) -> bool:
        found = self._tag(index)
        if found is None or found[0].is_forward or (found[0].kind == "enum") != (declared.kind == "enum"):
            return False
        if unique and found[0].properties & HAS_UNIQUE_NAME:
            return unique_name(self._data, found[0], found[1].end) == unique
        return found[0].name == declared.name

    def _unique_names(self) -> Dict[bytes, int]:
        if self._by_unique_name is None:
            self._by_unique_name = {}
            for index, record in self._records:
                tag = self._tag(index) if record.leaf in TAGGED else None
                if tag is not None and not tag[0].is_forward:
                    name = unique_name(self._data, tag[0], record.end)
                    if name:
                        self._by_unique_name.setdefault(name, index)
        return self._by_unique_name

    def _fields(self, index: int) -> Iterator[Field]:
        """The entries of a field list and of those that continue it."""
        seen: Set[int] = set()
        while index and index not in seen:
            seen.add(index)
            following = 0
            try:
                record = self._records.record(index)
                if record.leaf != LF_FIELDLIST:
                    return
                for field in fields(self._data, record.start, record.end):
                    if field.kind == "index":
                        following = field.type_index
                    else:
                        yield field
            except _DAMAGED:
                raise SymbolError(f"{self._path}: field list {index:#x} of the PDB is damaged or missing") from None
            index = following

    def _members(self, index: int) -> Sequence[Member]:
        members = []
        for kind, name, type_index, offset, slot in self._fields(index):
            if kind in ("member", "static", "vfptr"):
                members.append(Member(name, offset, partial(self.at, type_index), kind))
            elif kind in ("base", "vbase"):
                members.append(Member(self._name(type_index), offset, partial(self.at, type_index), kind, slot))
        return members

    def _enumerators(self, index: int, signed_bits: int) -> Sequence[Tuple[str, int]]:
        found = [(field.name, field.offset) for field in self._fields(index) if field.kind == "enumerator"]
        if signed_bits:
            # Clang writes negative values of 64-bit enumerations as unsigned numbers.
            limit = 1 << signed_bits
            found = [(name, value - limit if limit >> 1 <= value < limit else value) for name, value in found]
        return found

    def _name(self, index: int) -> str:
        """The name of a record without decoding it."""
        tag = self._tag(index)
        return tag[0].name if tag is not None else ""

    def class_name(self, index: int) -> str:
        """The name of a class, struct, union or enumeration; empty for anything else."""
        return self._name(index)
