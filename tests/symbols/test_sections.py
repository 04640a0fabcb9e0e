"""Section:offset and RVA, with and without OMAP."""

from __future__ import annotations

import struct

import pytest
from dumpkit.symbols.omap import Omap, words
from dumpkit.symbols.sections import Section, SectionMap, parse_sections
from hypothesis import given
from hypothesis import strategies as st

TEXT, DATA = Section(".text", 0x1000, 0x1800, 0x60000020), Section(".data", 0x3000, 0x100, 0xC0000040)


def header(name: bytes, rva: int, virtual: int, raw: int) -> bytes:
    return struct.pack("<8s6I2HI", name, virtual, rva, raw, 0, 0, 0, 0, 0, 0x60000020)


def omap(*pairs) -> Omap:
    return Omap(b"".join(struct.pack("<II", *pair) for pair in pairs))


def test_headers_are_read_and_a_cut_off_one_is_left_out():
    data = header(b".text", 0x1000, 0x1800, 0x1A00) + header(b"PAGEabcd", 0x3000, 0, 0x200)
    found = parse_sections(data + data[:30])
    assert [(each.name, each.rva, each.size, each.end) for each in found] == [
        (".text", 0x1000, 0x1800, 0x2800),
        ("PAGEabcd", 0x3000, 0x200, 0x3200),
    ]


def test_places_and_addresses_turn_into_each_other():
    sections = SectionMap([TEXT, DATA])
    assert sections.rva(1, 0x10) == 0x1010 and sections.place(0x1010) == (1, 0x10)
    assert sections.rva(2, 0) == 0x3000 and sections.place(0x3000) == (2, 0)


def test_slack_counts_to_the_section_before_it_and_headers_to_none():
    sections = SectionMap([TEXT, DATA])
    assert sections.place(0x2FFF) == (1, 0x1FFF)
    assert sections.place(0x9999999) == (2, 0x9999999 - 0x3000)
    assert sections.place(0xFFF) is None


def test_sections_that_are_not_there_have_no_addresses():
    sections = SectionMap([TEXT, DATA])
    assert sections.rva(0, 0) is None and sections.rva(3, 0) is None
    assert SectionMap([]).place(0x1000) is None


def test_blocks_of_code_go_where_omap_says():
    to_image = omap((0x1000, 0x1100), (0x1010, 0x1000), (0x1020, 0), (0x3000, 0x3000))
    to_source = omap((0x1000, 0x1010), (0x1010, 0), (0x1100, 0x1000), (0x1110, 0), (0x3000, 0x3000))
    sections = SectionMap([TEXT, DATA], to_image, to_source)
    assert sections.rva(1, 4) == 0x1104 and sections.place(0x1104) == (1, 4)
    assert sections.rva(1, 0x14) == 0x1004 and sections.place(0x1004) == (1, 0x14)
    assert sections.rva(1, 0x24) is None
    # What was put between blocks counts to the one before.
    assert sections.place(0x1112) == (1, 0x12)


def test_an_address_before_the_first_entry_is_in_no_layout():
    table = omap((0x1000, 0x2000))
    assert table.translate(0xFFF) is None and table.translate(0xFFF, over_gaps=True) is None
    assert table.translate(0x1004) == 0x2004 and len(table) == 1
    assert omap((0x1000, 0)).translate(0x1004, over_gaps=True) is None


def test_half_an_entry_is_left_out():
    assert list(words(b"\1\0\0\0\2\0\0")) == [1]
    assert len(Omap(struct.pack("<III", 1, 2, 3))) == 1


@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 1 << 20)), max_size=20), st.integers(0, 1 << 21))
def test_a_translation_is_that_of_the_last_entry_before_it(pairs, rva):
    pairs = sorted(dict(pairs).items())
    before = [pair for pair in pairs if pair[0] <= rva]
    expected = before[-1][1] + rva - before[-1][0] if before and before[-1][1] else None
    assert omap(*pairs).translate(rva) == expected


@pytest.mark.parametrize("order", [(TEXT, DATA), (DATA, TEXT)])
def test_sections_need_not_lie_in_the_order_of_their_numbers(order):
    sections = SectionMap(list(order))
    assert sections.place(0x3004) == (order.index(DATA) + 1, 4)
