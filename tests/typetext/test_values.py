from __future__ import annotations

import json
import struct

import pytest
from dumpkit.typetext.dump import LIST_LIMIT, NOTHING_FOUND, TypeDump
from dumpkit.typetext.request import parse
from dumpkit.typetext.values import NARROW_LIMIT, WIDE_LIMIT, Reader, Value, hexadecimal, read_string, visible
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.flat_memory import FlatMemory
from tests.typetext import lab


def reader(data: bytes, address: int = 0x1000) -> Reader:
    return Reader(FlatMemory({address: data}), lambda address: f"+{address:x}")


def dumped(text: str, memory: Reader, type=None) -> list:
    request = parse(text)
    found = type or lab.TYPES[request.bare_name]
    address = None if request.address is None else int(request.address, 16)
    return list(TypeDump(request, Value(memory, found, address)).lines())


def test_strings_end_at_the_nul_and_at_the_first_oddity():
    assert read_string(reader(b"abc\0def"), 0x1000, 1, 7) == "abc"
    assert read_string(reader(b"a\tb\nc"), 0x1000, 1, 5) == "a.b.c"
    assert read_string(reader(b"ab\xe9cd"), 0x1000, 1, 5) == "ab???"
    assert read_string(reader("é".encode("utf-16-le")), 0x1000, 2, 1) == "é"
    assert read_string(reader(b"a\0\x00\xd8b\0"), 0x1000, 2, 3) == "a???"


def test_strings_are_bounded_and_show_what_is_there_before_a_hole():
    assert read_string(reader(b"x" * 100), 0x1000, 1, None) == "x" * 100
    assert len(read_string(reader(b"x" * 9000), 0x1000, 1, None)) == NARROW_LIMIT
    assert read_string(reader(b"x\0" * 9000), 0x1000, 2, None) == "x" * WIDE_LIMIT + "..."
    assert read_string(reader(b""), 0x2000, 1, 4) == "--- memory read error at address 0x00000000`00002000 ---"


def test_control_characters_of_a_dump_never_reach_the_terminal():
    assert visible("\x1b[31mred", 1) == "???"
    assert visible("a\x9bb", 2) == "a???"


def test_large_numbers_have_a_back_tick():
    assert [hexadecimal(number) for number in (0, 0xFFFFFFFF, 1 << 32)] == ["0x0", "0xffffffff", "0x00000001`00000000"]


def test_a_value_is_data_for_json():
    memory = reader(struct.pack("<iHxxiqq", 5, 7, 0, 0x1000, 0x1000))
    assert Value(memory, lab.COLOR, 0x1000).as_data() == {"value": 5, "name": "Green"}
    assert Value(memory, lab.TYPES["Inner"], 0x1000).as_data() == {"a": 5, "b": 7}
    whole = Value(lab.reader(), *lab.VARIABLES["gArrays"]).as_data(2)
    assert (whole["ac"], whole["ai"], whole["as"][1]) == ("ab", [1, 2, 3], {"a": 3, "b": 4})
    assert json.loads(json.dumps(whole)) == whole


def test_a_missing_number_is_none_and_shown_as_such():
    assert Value(reader(b""), lab.INT, 0x5000).number is None
    assert Value(reader(b"ab"), lab.INT, 0x1000).number is None
    assert dumped("Inner 5000", reader(b"")) == [
        "   +0x000 a                : ??",
        "   +0x004 b                : ??",
        "Memory read error 0000000000005004",
    ]


def test_the_last_line_names_the_last_part_of_the_object_that_is_missing():
    data = struct.pack("<i", 3)
    assert dumped("Inner 1000", reader(data)) == [
        "   +0x000 a                : 0n3",
        "   +0x004 b                : ??",
        "Memory read error 0000000000001004",
    ]


def test_fields_by_pattern_wherever_the_star_stands():
    assert dumped("Known *t*", reader(b"")) == [
        "   +0x028 st  : _STRING",
        "   +0x068 ft  : _FILETIME",
    ]
    assert dumped("Known s? li", reader(b""))[0] == "   +0x028 st : _STRING"
    assert dumped("Known nothing", reader(b"")) == [NOTHING_FOUND]
    assert dumped("Known LI.quadpart", reader(b"")) == [
        "   +0x048 li          : ",
        "      +0x000 QuadPart    : Int8B",
    ]


def test_a_path_leads_through_pointers():
    memory = reader(struct.pack("<qqqq", 0, 0, 0, 0x1000) + struct.pack("<i", 9) + bytes(60))
    lines = dumped("Deep 1000 next.l1.l2.y", memory)
    assert lines[0].strip().startswith("+0x018 next")
    lines = dumped("Node 1000 Next.id", reader(struct.pack("<qqqqq", 4, 0, 0, 0x1000, 0)))
    assert lines == ["   +0x018 Next    : ", "      +0x000 id      : 0n4"]


def test_a_list_ends_at_null_at_its_start_and_at_its_bound(monkeypatch):
    def node(number: int, following: int) -> bytes:
        return struct.pack("<qqqqq", number, 0, 0, following, 0)

    ends = reader(node(1, 0x1028) + node(2, 0))
    loops = reader(node(1, 0x1028) + node(2, 0x1000))
    for memory in (ends, loops):
        lines = dumped("Node id -l Next 1000", memory)
        assert [line for line in lines if "id" in line] == ["   +0x000 id : 0n1", "   +0x000 id : 0n2"]
        assert lines[:2] == ["Next at 0x00000000`00001000", "-" * 45]
    monkeypatch.setattr("dumpkit.typetext.dump.LIST_LIMIT", 1)
    assert sum("id" in line for line in dumped("Node id -l Next 1000", loops)) == 1
    assert LIST_LIMIT > 1000


def test_a_list_of_embedded_links_goes_back_to_the_records():
    data = struct.pack("<qqqqq", 1, 0x1030, 0x1030, 0, 0) + struct.pack("<qqqqq", 2, 0x1008, 0x1008, 0, 0)
    lines = dumped("Node id -l Links.Flink 1000", reader(data))
    assert [line for line in lines if "id" in line] == ["   +0x000 id : 0n1", "   +0x000 id : 0n2"]


def test_recursion_is_bounded_by_its_levels_even_in_a_type_that_holds_pointers_to_itself():
    memory = reader(struct.pack("<qq", 0x1000, 0x1000))
    lines = dumped("-r6 _LIST_ENTRY 1000", memory)
    assert len(lines) == 1 + sum(2**level for level in range(1, 8))


@pytest.mark.parametrize("name", sorted(lab.TYPES))
@settings(max_examples=30, deadline=None)
@given(
    data=st.binary(max_size=0x200), depth=st.integers(0, 3), options=st.sampled_from(["", "-b ", "-v ", "-c ", "-a "])
)
def test_any_bytes_give_text(name, data, depth, options):
    lines = dumped(f"{options}-r{depth} {name} 1000", reader(data))
    assert lines
    assert all("\n" not in line for line in lines)
