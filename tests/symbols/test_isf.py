from __future__ import annotations

import json
import lzma
import random
from pathlib import Path

import pytest
from dumpkit.errors import SymbolError
from dumpkit.symbols.isf import IsfFile
from dumpkit.symbols.types import (
    ArrayType,
    BaseType,
    BitfieldType,
    EnumType,
    FunctionType,
    PointerType,
    RecordType,
    Type,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.shared import SYMBOLS as SHARED_SYMBOLS
from tests.shared import needs_symbols
from tests.symbols import isf_tables as tables


def opened(folder: Path, described=None, ending: str = "json") -> IsfFile:
    return IsfFile(str(tables.write(folder, described, ending)), cache=False)


def record(file: IsfFile, name: str) -> RecordType:
    found = file.type(name)
    assert isinstance(found, RecordType)
    return found


@pytest.mark.parametrize("ending", sorted(tables.WRAPPINGS))
def test_every_compression_gives_the_same_table(tmp_path, ending):
    file = opened(tmp_path, ending=ending)
    assert file.find("GuestListHead").rva == 0x3000
    assert record(file, "_GUEST").size == 0x70
    assert (file.guid, file.age, file.pdb_name) == ("0123456789ABCDEF0123456789ABCDEF", 2, "party.pdb")


def test_the_contents_decide_about_the_compression_and_not_the_name(tmp_path):
    path = tmp_path / "party.json"
    path.write_bytes(lzma.compress(json.dumps(tables.table()).encode()))
    assert IsfFile(str(path), cache=False).find("PartyBegin").rva == 0x1000


def test_the_nearest_name_is_the_preferred_alias_and_never_a_string_literal(tmp_path):
    file = opened(tmp_path)
    assert file.nearest(0x10FF).name == "$$label"
    assert file.nearest(0x2800).name == "Guest::Leave"
    assert file.nearest(0x11FF).name == "C_handler"
    assert file.nearest(0xFFF) is None
    assert file.nearest(0x9000)[:2] == (0x3000, "GuestListHead")


def test_names_are_found_as_shown_and_as_linked(tmp_path):
    file = opened(tmp_path)
    assert file.find("C_handler") == file.find("_C_handler") == (0x1100, "C_handler", 0, None, "_C_handler")
    assert file.find("PartyBeginEx").rva == 0x1000
    assert file.find("??_C@_04TEXT@party@").rva == 0x2000
    assert file.find("Guest::Leave") == file.find("?Leave@Guest@@QEAAXXZ")
    assert file.find("partybegin") is None


@pytest.mark.parametrize("name", ["partybegin", "PARTYBEGIN", "c_HANDLER", "guest::leave", "guestlisthead"])
def test_names_are_found_in_any_case_where_asked_for(tmp_path, name):
    found = opened(tmp_path).find_in_any_case(name)
    assert found.name.lower() == name.lower()
    assert opened(tmp_path).find_in_any_case("nobody") is None


def test_symbols_come_ascending_by_rva(tmp_path):
    listed = list(opened(tmp_path).symbols())
    assert {symbol.linkage or symbol.name for symbol in listed} == {
        described.get("linkage_name", name) for name, described in tables.SYMBOLS.items()
    }
    assert [symbol.rva for symbol in listed] == sorted(symbol.rva for symbol in listed)


def test_types_are_decoded_whatever_their_kind(tmp_path):
    guest = record(opened(tmp_path), "_GUEST")
    offset, host = guest.find("Host")
    assert (offset, host.size, host.target) == (0x20, 8, guest)
    bits = guest.find("Courses")[1]
    assert isinstance(bits, BitfieldType)
    assert (bits.position, bits.length, bits.size, bits.base.kind) == (1, 4, 4, "uint")
    scores = guest.find("Scores")[1]
    assert isinstance(scores, ArrayType)
    assert (scores.count, scores.size, scores.element.name) == (3, 12, "long")
    assert isinstance(guest.find("Toast")[1].target, FunctionType)
    assert guest.find("Table")[1].size == 16
    kinds = {name: guest.find(name)[1].kind for name in ("Mood", "Weight", "Flags")}
    assert kinds == {"Mood": "char", "Weight": "float", "Flags": "uint"}
    assert record(opened(tmp_path), "_LARGE_INTEGER").kind == "union"


def test_members_come_by_offset_with_the_whole_before_its_bits(tmp_path):
    names = [member.name for member in record(opened(tmp_path), "_GUEST").members]
    assert names[:6] == ["Header", "State", "Flags", "Invited", "Courses", "Links"]


def test_enumerators_keep_their_signs(tmp_path):
    state = opened(tmp_path).type("_GUEST_STATE")
    assert isinstance(state, EnumType)
    assert state.signed
    assert state.enumerators == (("GuestLost", -1), ("GuestAbsent", 0), ("GuestPresent", 1), ("GuestSeated", 1))


def test_large_enumerators_keep_all_their_bits(tmp_path):
    enums = {"_BIG": {"base": "unsigned long long", "size": 8, "constants": {"Top": 1 << 63, "Low": 5}}}
    big = opened(tmp_path, tables.table(enums={**tables.ENUMS, **enums})).type("_BIG")
    assert dict(big.enumerators) == {"Top": 1 << 63, "Low": 5}


def test_a_type_that_is_only_declared_has_no_members(tmp_path):
    types = {"_HOLDER": tables.record(8, {"Secret": (0, tables.pointer(tables.struct("_SECRET")))})}
    file = opened(tmp_path, tables.table(user_types={**tables.USER_TYPES, **types}))
    secret = record(file, "_HOLDER").find("Secret")[1].target
    assert (secret.name, secret.size, tuple(secret.members)) == ("_SECRET", 0, ())
    assert file.type("_SECRET") is None


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SymbolError, match=r"nowhere\.json: No such file"):
        IsfFile(str(tmp_path / "nowhere.json"))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"metadata": {"format": "9.0.0"}}, "names the format 9.0.0"),
        ({"metadata": None}, '"metadata" is missing'),
        ({"symbols": []}, '"symbols" is missing'),
        ({"symbols": {"X": {"address": -1}}}, 'symbol X has no usable "address"'),
        ({"symbols": {"X": {"address": True}}}, 'symbol X has no usable "address"'),
        ({"symbols": {"X": {"address": 1 << 40}}}, 'symbol X has no usable "address"'),
        ({"enums": {"E": {"base": "long", "size": 4, "constants": {"A": "x"}}}}, "enumeration E has no usable value"),
        ({"user_types": {"T": tables.record(4, {"A": (0, {"kind": "thing"})})}}, "T, member A has a type of unknown"),
        ({"user_types": {"T": tables.record(4, {"A": (0, tables.base("tiny"))})}}, "base type tiny, which is not"),
        ({"user_types": {"T": {"kind": "struct", "size": 4}}}, 'type T has no "fields"'),
        ({"base_types": {"void": {"kind": "void"}}}, "refers to the base type|has no usable"),
    ],
)
def test_a_table_that_breaks_the_format_is_refused_with_the_place(tmp_path, changes, words):
    with pytest.raises(SymbolError, match=words) as caught:
        opened(tmp_path, tables.table(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe\x00", b"{}", b"MZ\x90", b"[" * 100_000, b"1" * 10_000])
def test_a_file_that_is_no_table_is_refused(tmp_path, data):
    path = tmp_path / "odd.json"
    path.write_bytes(data)
    with pytest.raises(SymbolError, match=r"odd\.json: not an ISF table"):
        IsfFile(str(path), cache=False)


def test_types_nested_without_end_are_refused(tmp_path):
    deep = json.dumps(tables.base("long"))
    for _ in range(3000):
        deep = f'{{"kind": "pointer", "subtype": {deep}}}'
    whole = json.dumps(tables.table(user_types={"T": tables.record(8, {"A": (0, "DEEP")})}))
    path = tmp_path / "deep.json"
    path.write_text(whole.replace('"DEEP"', deep))
    with pytest.raises(SymbolError, match=r"nested too deeply|recursion"):
        IsfFile(str(path), cache=False)


@pytest.mark.parametrize("ending", ["json.xz", "json.gz", "json.bz2"])
def test_cut_compressed_data_is_refused(tmp_path, ending):
    path = tables.write(tmp_path, ending=ending)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(SymbolError, match=r"ends too early|damaged compression|not an ISF table"):
        IsfFile(str(path), cache=False)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("dumpkit.symbols.isf_json.JSON_LIMIT", 1 << 20)
    path = tmp_path / "bomb.json.xz"
    path.write_bytes(lzma.compress(bytes(8 << 20)))
    with pytest.raises(SymbolError, match="more than 1 MB of JSON"):
        IsfFile(str(path), cache=False)


def walk(file: IsfFile) -> int:
    """Decode everything that a table holds, as far as it goes; the number of things seen."""
    seen = sum(1 for _ in file.symbols())
    for name in file.type_names():
        found = file.type(name)
        if isinstance(found, EnumType):
            seen += len(found.enumerators)
        elif isinstance(found, RecordType):
            for member in found.members:
                inner: Type = member.type
                while isinstance(inner, (PointerType, ArrayType, BitfieldType)):
                    inner = (
                        inner.target
                        if isinstance(inner, PointerType)
                        else inner.element
                        if isinstance(inner, ArrayType)
                        else inner.base
                    )
                assert isinstance(inner, (BaseType, RecordType, EnumType, FunctionType))
                seen += 1
    return seen


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 32), flips=st.integers(1, 8))
def test_flipped_bits_give_a_table_or_a_symbol_error(tmp_path, seed, flips):
    chance = random.Random(seed)
    data = bytearray(json.dumps(tables.table()).encode())
    for _ in range(flips):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path = tmp_path / "flipped.json"
    path.write_bytes(data)
    try:
        assert walk(IsfFile(str(path), cache=False)) >= 0
    except SymbolError as refused:
        assert "\n" not in str(refused)


scalars = st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | st.text(max_size=8)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    section=st.sampled_from(["metadata", "base_types", "user_types", "enums", "symbols"]),
    key=st.sampled_from(["_GUEST", "_GUEST_STATE", "PartyBegin", "long", "format", "new"]),
    value=trees,
)
def test_any_json_in_any_place_gives_a_table_or_a_symbol_error(tmp_path, section, key, value):
    described = tables.table()
    described[section][key] = value
    try:
        assert walk(opened(tmp_path, described)) > 0
    except SymbolError as refused:
        assert "\n" not in str(refused)


@needs_symbols
@pytest.mark.parametrize("table", sorted((SHARED_SYMBOLS / "isf").glob("*.xz")), ids=lambda path: path.name[:8])
def test_every_type_and_symbol_of_a_kernel_table_is_read_as_its_json_says(table, tmp_path):
    described = json.loads(lzma.decompress(table.read_bytes()))
    file = IsfFile(str(table), cache=tmp_path)
    assert {symbol.linkage or symbol.name: symbol.rva for symbol in file.symbols()} == {
        symbol.get("linkage_name", name): symbol["address"] for name, symbol in described["symbols"].items()
    }
    assert sorted(file.type_names()) == sorted([*described["user_types"], *described["enums"]])
    for name, wanted in described["user_types"].items():
        found = record(file, name)
        assert (found.kind, found.size) == (wanted["kind"], wanted["size"])
        assert {member.name: member.offset for member in found.members} == {
            field: place["offset"] for field, place in wanted["fields"].items()
        }
    for name, wanted in described["enums"].items():
        assert dict(file.type(name).enumerators) == wanted["constants"]
    assert walk(file) > 50_000


@needs_symbols
def test_the_frames_of_the_crash_are_named_as_the_reference_names_them(tmp_path):
    table = SHARED_SYMBOLS / "isf" / "5278AFF86C341677D7D7835C85B7B844-1.json.xz"
    file = IsfFile(str(table), cache=tmp_path)
    frames = (SHARED_SYMBOLS.parent / "reference" / "triage_x64.frames.tsv").read_text().splitlines()
    seen = 0
    for line in frames:
        columns = line.split("\t")
        if len(columns) == 3 and columns[2].startswith("nt!"):
            rva = int(columns[1], 16) - 0xFFFFF8047BA00000
            name, displacement = columns[2][3:].split("+0x")
            found = file.nearest(rva)
            assert rva - found.rva == int(displacement, 16)
            # Aliases of one address count as equal.
            assert file.find(name).rva == found.rva
            seen += 1
    assert seen == 20
