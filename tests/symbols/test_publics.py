"""Public symbols and the tables that find them, whole, missing and wrong."""

from __future__ import annotations

import struct
from typing import Dict, List, Tuple

import pytest
from dumpkit.symbols.publics import Publics, SymbolHash, hash_name, symbol_hash
from hypothesis import given
from hypothesis import strategies as st

from tests.forge import pdb_hash

Symbol = Tuple[int, int, str]
SYMBOLS: List[Symbol] = [
    (1, 0x10, "First"),
    (1, 0x20, "??_C@_03ABCDEFGH@Dis@"),
    (1, 0x30, "Alias"),
    (1, 0x30, "Beta"),
    (1, 0x50, "??_C@_04ABCDEFGH@Diss@"),
    (2, 0x00, "Second"),
]


def record(section: int, offset: int, name: str) -> bytes:
    body = struct.pack("<HIIH", 0x110E, 2, offset, section) + name.encode() + b"\0"
    body += bytes(-(len(body) + 2) % 4)
    return struct.pack("<H", len(body)) + body


def records_of(symbols: List[Symbol]) -> Tuple[bytes, List[int]]:
    data, offsets = b"", []
    for symbol in symbols:
        offsets.append(len(data))
        data += record(*symbol)
    return data, offsets


def hash_table(symbols: List[Symbol], offsets: List[int], plain: bool = False) -> bytes:
    buckets: Dict[int, List[int]] = {}
    for (_, _, name), offset in zip(symbols, offsets):
        buckets.setdefault(hash_name(name.encode()) % 4096, []).append(offset)
    entries, starts, present = b"", [], 0
    for bucket in sorted(buckets):
        starts.append(len(entries) // 8 * 12)
        present |= 1 << bucket
        entries += b"".join(struct.pack("<II", offset + 1, 1) for offset in buckets[bucket])
    if plain:
        by_bucket = dict(zip(sorted(buckets), starts))
        return entries + struct.pack("<4097i", *(by_bucket.get(bucket, -1) for bucket in range(4097)))
    table = present.to_bytes(516, "little") + struct.pack(f"<{len(starts)}I", *starts)
    return struct.pack("<IIII", 0xFFFFFFFF, 0xEFFE0000 + 19990810, len(entries), len(table)) + entries + table


def publics(symbols: List[Symbol], *, hashed: bool = True, mapped: bool = True, plain: bool = False) -> Publics:
    data, offsets = records_of(symbols)
    table = hash_table(symbols, offsets, plain) if hashed else b""
    order = [offset for _, offset in sorted(zip(symbols, offsets))] if mapped else []
    address_map = struct.pack(f"<{len(order)}I", *order)
    return Publics(struct.pack("<II20x", len(table), len(address_map)) + table + address_map, data)


def shown(table: Publics, section: int, offset: int, literals: bool = False):
    found = table.before(section, offset, literals)
    return (found.name.decode(), found.offset) if found is not None else None


ALL = [{}, {"hashed": False}, {"mapped": False}, {"hashed": False, "mapped": False}, {"plain": True}]


@pytest.mark.parametrize("missing", ALL, ids=str)
def test_names_are_found_with_and_without_the_tables(missing):
    table = publics(SYMBOLS, **missing)
    assert [each.offset for each in table.named(b"Beta")] == [0x30]
    assert list(table.named(b"beta")) == []
    assert [each.name for each in table.named(b"beta", any_case=True)] == [b"Beta"]
    assert list(table.named(b"Gamma")) == []


@pytest.mark.parametrize("missing", ALL, ids=str)
def test_the_symbol_before_a_place_is_of_its_section_and_no_literal(missing):
    table = publics(SYMBOLS, **missing)
    assert shown(table, 1, 0x0F) is None
    assert shown(table, 1, 0x10) == ("First", 0x10)
    assert shown(table, 1, 0x2F) == ("First", 0x10)
    assert shown(table, 1, 0x2F, literals=True) == ("??_C@_03ABCDEFGH@Dis@", 0x20)
    assert shown(table, 1, 0x5000) == ("Alias", 0x30)
    assert shown(table, 2, 0) == ("Second", 0)
    assert shown(table, 3, 0) is None


def test_long_runs_of_literals_are_passed_over():
    literals = [(1, 0x100 + number, f"??_C@_0{number}@") for number in range(1000)]
    table = publics([(1, 0x10, "First"), *literals, (1, 0x5000, "Last")])
    for offset in (0x4FF, 0x120, 0x4FE):
        assert shown(table, 1, offset) == ("First", 0x10)
    assert shown(table, 1, 0x5001) == ("Last", 0x5000)


def test_many_names_at_one_place_show_the_first():
    table = publics([(1, 0x10, f"Name{number:03}") for number in range(100)])
    assert shown(table, 1, 0x11) == ("Name000", 0x10)


def test_an_address_map_that_is_out_of_order_is_not_believed():
    data, offsets = records_of([(1, number * 16, f"Name{number:03}") for number in range(100)])
    wrong = struct.pack("<100I", *reversed(offsets))
    table = Publics(struct.pack("<II20x", 0, len(wrong)) + wrong, data)
    assert shown(table, 1, 0x101) == ("Name016", 0x100)


def test_an_address_map_of_places_outside_the_records_is_not_believed():
    data, _ = records_of(SYMBOLS)
    wrong = struct.pack("<6I", *[0x7FFFFFF0] * 6)
    assert shown(Publics(struct.pack("<II20x", 0, len(wrong)) + wrong, data), 1, 0x11) == ("First", 0x10)


def test_a_hash_table_whose_starts_do_not_fit_its_buckets_is_replaced_by_a_scan():
    data, offsets = records_of(SYMBOLS)
    table = hash_table(SYMBOLS, offsets)
    assert SymbolHash(table).is_whole and not SymbolHash(table[:-4]).is_whole and not SymbolHash(b"").is_whole
    scanned = symbol_hash(table[:-4], lambda: data, publics=True)
    assert sorted(scanned.offsets()) == sorted(offsets) == sorted(SymbolHash(table).offsets())


def test_no_streams_are_no_symbols():
    table = Publics(b"", b"")
    assert list(table) == [] and list(table.in_order()) == [] and shown(table, 1, 0) is None
    assert list(table.named(b"x")) == []


@given(st.binary(max_size=12))
def test_the_hash_of_a_name_is_what_the_forge_files_names_under(name):
    assert hash_name(name) == pdb_hash.hash_name(name)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_the_hash_of_a_name_is_blind_to_case(name):
    assert hash_name(name.lower().encode()) == hash_name(name.upper().encode())


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 300), st.text("abAB?_@", min_size=1, max_size=6)), max_size=60
    ),
    st.integers(1, 3),
    st.integers(0, 320),
)
def test_what_is_before_a_place_is_what_a_sorted_list_says(symbols, section, offset):
    table = publics(symbols)
    plain = [each for each in sorted(symbols) if each[0] == section and each[1] <= offset]
    place = plain[-1][1] if plain else None
    expected = next((name for _, at, name in plain if at == place), None)
    found = table.before(section, offset)
    assert (found.name.decode() if found is not None else None) == expected
