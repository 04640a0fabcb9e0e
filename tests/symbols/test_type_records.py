"""Type records as compilers write them, forged one by one."""

from __future__ import annotations

import struct
from typing import List, Optional

import pytest
from dumpkit.errors import SymbolError
from dumpkit.symbols.ipi import IdTable
from dumpkit.symbols.leaves import numeric
from dumpkit.symbols.publics import hash_name
from dumpkit.symbols.tpi import TypeTable
from dumpkit.symbols.type_records import TypeRecords
from dumpkit.symbols.types import ArrayType, BaseType, EnumType, PointerType, RecordType
from hypothesis import given
from hypothesis import strategies as st

INT, ULONG, CHAR, VOID_POINTER = 0x74, 0x22, 0x70, 0x603
BUCKETS = 64


class Streams:
    """A container of two streams: types (2) and their hashes (9)."""

    path = "forged.pdb"

    def __init__(self, types: bytes, hashes: bytes = b"") -> None:
        self._streams = {2: types, 4: types, 9: hashes}

    def read(self, stream: int, offset: int = 0, size: Optional[int] = None) -> bytes:
        data = self._streams.get(stream, b"")
        return data[offset:] if size is None else data[offset : offset + size]


def leaf(kind: int, body: bytes) -> bytes:
    """A record, filled up with LF_PAD bytes."""
    gap = -(len(body) + 4) % 4
    body += bytes(0xF0 + gap - number for number in range(gap))
    return struct.pack("<HH", len(body) + 2, kind) + body


def name(text: str) -> bytes:
    return text.encode() + b"\0"


def number(value: int) -> bytes:
    if 0 <= value < 0x8000:
        return struct.pack("<H", value)
    return struct.pack("<Hq", 0x8009, value) if value < 1 << 63 else struct.pack("<HQ", 0x800A, value)


def member(text: str, kind: int, offset: int) -> bytes:
    return padded(struct.pack("<HHI", 0x150D, 3, kind) + number(offset) + name(text))


def padded(entry: bytes) -> bytes:
    gap = -len(entry) % 4
    return entry + bytes(0xF0 + gap - number for number in range(gap))


def field_list(*entries: bytes) -> bytes:
    return leaf(0x1203, b"".join(entries))


def record(text: str, fields: int, size: int, properties: int = 0, kind: int = 0x1505, unique: str = "") -> bytes:
    properties |= 0x200 if unique else 0
    body = struct.pack("<HHIII", 0, properties, fields, 0, 0) + number(size) + name(text)
    return leaf(kind, body + (name(unique) if unique else b""))


def table(*records: bytes, hashed: Optional[List[str]] = None) -> TypeTable:
    """The types of these records, the first of which is 0x1000; `hashed` are the names behind their hashes."""
    data = b"".join(records)
    values = b""
    if hashed is not None:
        values = struct.pack(f"<{len(hashed)}I", *(hash_name(text.encode()) % BUCKETS for text in hashed))
    head = struct.pack(
        "<IIIIIHHiIiIiIiI",
        *(20040203, 56, 0x1000, 0x1000 + len(records), len(data), 9, 0xFFFF, 4, BUCKETS if hashed else 0),
        *(0, len(values), 0, 0, 0, 0),
    )
    return TypeTable(TypeRecords(Streams(head + data, values), 2), "forged.pdb")


@pytest.mark.parametrize("value", [0, 1, 0x7FFF, 0x8000, -1, 1 << 40, -(1 << 63), (1 << 64) - 1])
def test_numbers_have_as_many_bytes_as_they_need(value):
    encoded = number(value)
    assert numeric(b"xx" + encoded + b"yy", 2) == (value, 2 + len(encoded))


@pytest.mark.parametrize(
    ("leaf_kind", "body", "value"),
    [(0x8000, b"\xff", -1), (0x8001, b"\xfe\xff", -2), (0x8002, b"\xfe\xff", 0xFFFE), (0x8003, b"\xff" * 4, -1),
     (0x8004, b"\xff" * 4, 0xFFFFFFFF), (0x8017, b"\xff" * 16, -1), (0x8018, b"\xff" * 16, (1 << 128) - 1),
     (0x8005, b"\0\0\x80\x3f", 0), (0x8006, bytes(8), 0), (0x8007, bytes(10), 0)],
)  # fmt: skip
def test_every_numeric_leaf_is_stepped_over_by_its_size(leaf_kind, body, value):
    assert numeric(struct.pack("<H", leaf_kind) + body, 0) == (value, 2 + len(body))


def test_a_record_has_its_members_in_their_order():
    types = table(
        field_list(member("First", INT, 0), member("Second", VOID_POINTER, 8), member("Far", ULONG, 0x12345)),
        record("_PAIR", 0x1000, 0x12349),
    )
    pair = types.named("_PAIR")
    assert isinstance(pair, RecordType) and (pair.size, pair.kind) == (0x12349, "struct")
    assert [(each.name, each.offset) for each in pair.members] == [("First", 0), ("Second", 8), ("Far", 0x12345)]
    pointer = pair.members[1].type
    assert isinstance(pointer, PointerType) and pointer.size == 8 and pointer.target.name == "void"


def test_entries_that_lay_out_nothing_are_stepped_over():
    introduced = padded(struct.pack("<HHII", 0x1511, 4 << 2, 0x1234, 0x18) + name("Introduced"))
    plain = padded(struct.pack("<HHI", 0x1511, 0, 0x1234) + name("Plain"))
    overloaded = padded(struct.pack("<HHI", 0x150F, 2, 0x1234) + name("Overloaded"))
    nested = padded(struct.pack("<HHI", 0x1510, 0, 0x1234) + name("Nested"))
    friend = padded(struct.pack("<HHI", 0x140A, 0, 0x1234))
    friend_function = padded(struct.pack("<HHI", 0x150C, 0, 0x1234) + name("Friend"))
    modified = padded(struct.pack("<HHI", 0x1513, 0, 0x1234) + name("Modified"))
    types = table(
        field_list(introduced, plain, overloaded, nested, friend, friend_function, modified, member("Only", INT, 4)),
        record("Class", 0x1000, 8, kind=0x1504),
    )
    found = types.named("Class")
    assert isinstance(found, RecordType) and [each.name for each in found.members] == ["Only"]


def test_an_unknown_entry_ends_the_list_where_it_stands():
    types = table(
        field_list(member("Before", INT, 0), padded(struct.pack("<HI", 0x15FF, 0)), member("Behind", INT, 4)),
        record("_R", 0x1000, 8),
    )
    found = types.named("_R")
    assert isinstance(found, RecordType) and [each.name for each in found.members] == ["Before"]


def test_base_classes_and_tables_are_members_of_their_kind():
    base = padded(struct.pack("<HHI", 0x1400, 3, 0x1001) + number(16))
    virtual = padded(struct.pack("<HHII", 0x1401, 3, 0x1001, VOID_POINTER) + number(8) + number(2))
    indirect = padded(struct.pack("<HHII", 0x1402, 3, 0x1001, VOID_POINTER) + number(8) + number(3))
    vtable = padded(struct.pack("<HHI", 0x1409, 0, VOID_POINTER))
    static = padded(struct.pack("<HHI", 0x150E, 3, INT) + name("Count"))
    types = table(
        field_list(vtable, base, virtual, indirect, static), record("Base", 0, 8), record("Derived", 0x1000, 40)
    )
    derived = types.named("Derived")
    assert isinstance(derived, RecordType)
    assert [(each.name, each.kind, each.offset, each.slot) for each in derived.members] == [
        ("__VFN_table", "vfptr", 0, 0),
        ("Base", "base", 16, 0),
        ("Base", "vbase", 8, 2),
        ("Count", "static", 0, 0),
    ]


def test_a_list_goes_on_in_another_record():
    types = table(
        field_list(member("Last", INT, 4)),
        field_list(member("First", INT, 0), struct.pack("<HHI", 0x1404, 0, 0x1000)),
        record("_LONG", 0x1001, 8),
    )
    found = types.named("_LONG")
    assert isinstance(found, RecordType) and [each.name for each in found.members] == ["First", "Last"]


def test_a_list_that_goes_on_in_itself_ends():
    types = table(
        field_list(member("Only", INT, 0), struct.pack("<HHI", 0x1404, 0, 0x1000)), record("_LOOP", 0x1000, 8)
    )
    found = types.named("_LOOP")
    assert isinstance(found, RecordType) and [each.name for each in found.members] == ["Only"]


def test_a_forward_reference_is_the_definition_of_its_unique_name():
    types = table(
        leaf(0x1002, struct.pack("<II", 0x1001, 0x1000C)),
        record("Same", 0, 0, 0x80, unique=".?AUSame@second@@"),
        record("Same", 0, 8, unique=".?AUSame@first@@"),
        record("Same", 0, 16, unique=".?AUSame@second@@"),
    )
    pointer = types.at(0x1000)
    assert isinstance(pointer, PointerType) and pointer.target is types.at(0x1003) and pointer.target.size == 16


def test_a_forward_reference_is_found_through_the_hash_as_by_a_full_scan():
    records = [record("_LATER", 0, 0, 0x80), record("_OTHER", 0, 4), record("_LATER", 0, 24)]
    for hashed in (None, ["", "_OTHER", "_LATER"]):
        types = table(*records, hashed=hashed)
        assert types.at(0x1000) is types.at(0x1002)
        assert types.named("_LATER") is types.at(0x1002)


def test_a_wrong_hash_costs_only_time():
    types = table(record("_A", 0, 4), record("_B", 0, 8), hashed=["_B", "_A"])
    found = types.named("_B")
    assert found is not None and found.size == 8


def test_the_forms_of_records_with_wide_properties_are_read():
    body = struct.pack("<IIII", 0x200, 0x1000, 0, 0) + number(1) + number(4) + name("New") + name(".?AUNew@@")
    union = struct.pack("<II", 0, 0x1000) + number(1) + number(4) + name("NewUnion")
    types = table(field_list(member("Only", INT, 0)), leaf(0x1609, body), leaf(0x160A, union))
    for text, kind in (("New", "struct"), ("NewUnion", "union")):
        found = types.named(text)
        assert isinstance(found, RecordType) and (found.kind, found.size) == (kind, 4)
        assert [each.name for each in found.members] == ["Only"]


def test_an_enumeration_has_the_sign_and_size_of_its_integer():
    entries = [
        padded(struct.pack("<HH", 0x1502, 3) + number(value) + name(text)) for text, value in (("A", 1), ("B", -1))
    ]
    enum = leaf(0x1507, struct.pack("<HHII", 2, 0, 0x11, 0x1000) + name("_E"))
    found = table(field_list(*entries), enum).named("_E")
    assert isinstance(found, EnumType) and (found.size, found.signed) == (2, True)
    assert list(found.enumerators) == [("A", 1), ("B", -1)]


def test_modifiers_and_aliases_are_what_they_stand_for():
    types = table(
        leaf(0x1001, struct.pack("<IHH", ULONG, 1, 0)),
        leaf(0x150A, struct.pack("<I", 0x1000) + name("ALIAS")),
        leaf(0x1503, struct.pack("<II", 0x1001, INT) + number(40) + name("")),
    )
    array = types.at(0x1002)
    assert isinstance(array, ArrayType) and (array.count, array.size, array.element.name) == (10, 40, "unsigned long")


def test_an_array_of_nothing_counts_no_elements():
    array = table(leaf(0x1503, struct.pack("<II", 0x3, INT) + number(40) + name(""))).at(0x1000)
    assert isinstance(array, ArrayType) and (array.count, array.size) == (0, 40)


def test_types_that_contain_themselves_are_refused():
    for body in (leaf(0x1001, struct.pack("<IHH", 0x1000, 1, 0)), leaf(0x1205, struct.pack("<IBB", 0x1000, 1, 0))):
        with pytest.raises(SymbolError, match="contains itself"):
            table(body).at(0x1000)


def test_a_missing_type_and_a_cut_off_one_are_refused():
    with pytest.raises(SymbolError, match="0x1234 of the PDB is damaged or missing"):
        table(record("_R", 0, 4)).at(0x1234)
    with pytest.raises(SymbolError, match="damaged"):
        table(leaf(0x1505, b"\0\0")).at(0x1000)
    broken = table(leaf(0x1203, struct.pack("<HHI", 0x150D, 3, INT) + number(0) + b"no end"), record("_R", 0x1000, 4))
    found = broken.named("_R")
    assert isinstance(found, RecordType)
    with pytest.raises(SymbolError, match="field list 0x1000"):
        assert found.members


def test_a_leaf_that_is_not_known_is_a_type_of_nothing():
    types = table(leaf(0x16FF, b"whatever"), record("_R", 0, 4))
    unknown = types.at(0x1000)
    assert isinstance(unknown, BaseType) and unknown.size == 0
    assert types.named("_R") is types.at(0x1001)


@pytest.mark.parametrize(
    ("index", "text", "size", "kind"),
    [(0x10, "signed char", 1, "char"), (0x70, "char", 1, "char"), (0x20, "unsigned char", 1, "uchar"),
     (0x71, "wchar", 2, "wchar"), (0x13, "long long", 8, "int"), (0x77, "unsigned long long", 8, "uint"),
     (0x08, "HRESULT", 4, "hresult"), (0x30, "bool", 1, "bool"), (0x41, "double", 8, "float"),
     (0x03, "void", 0, "void")],
)  # fmt: skip
def test_built_in_types_have_names_sizes_and_kinds(index, text, size, kind):
    found = table().at(index)
    assert isinstance(found, BaseType) and (found.name, found.size, found.kind) == (text, size, kind)


@pytest.mark.parametrize(("mode", "size"), [(4, 4), (6, 8)])
def test_built_in_pointers_have_the_size_of_their_mode(mode, size):
    found = table().at(mode << 8 | INT)
    assert isinstance(found, PointerType) and found.size == size and found.target.name == "int"


def test_function_ids_have_the_name_of_their_class_or_namespace():
    types = table(record("outer::Class", 0, 4))
    data = [
        leaf(0x1605, struct.pack("<I", 0) + name("outer")),
        leaf(0x1601, struct.pack("<II", 0x1000, 0x1234) + name("free")),
        leaf(0x1601, struct.pack("<II", 0, 0x1234) + name("plain")),
        leaf(0x1602, struct.pack("<II", 0x1000, 0x1235) + name("method")),
        leaf(0x1603, struct.pack("<H", 0)),
    ]
    body = b"".join(data)
    head = struct.pack(
        "<IIIIIHHiIiIiIiI", 20040203, 56, 0x1000, 0x1005, len(body), 0xFFFF, 0xFFFF, 4, 0, 0, 0, 0, 0, 0, 0
    )
    ids = IdTable(TypeRecords(Streams(head + body), 4), types)
    names = [ids.name(index) for index in range(0x1000, 0x1006)]
    assert names == ["outer", "outer::free", "plain", "outer::Class::method", "", ""]
    assert [ids.function_type(index) for index in (0x1001, 0x1003, 0x1004)] == [0x1234, 0x1235, None]


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data):
    types = table(
        leaf(0x1203, data), record("_R", 0x1000, 4), leaf(0x1505, data), leaf(0x1507, data), leaf(0x1503, data)
    )
    for index in range(0x1000, 0x1005):
        try:
            found = types.at(index)
            if isinstance(found, RecordType):
                assert len(found.members) <= len(data)
        except SymbolError as refusal:
            assert "\n" not in str(refusal)
    assert "_R" in set(types.names())
