"""C13 line tables, forged."""

from __future__ import annotations

import struct

import pytest
from dumpkit.symbols.lines import ModuleLines, NameTable
from dumpkit.symbols.pdb import PdbFile

NAMES = NameTable(struct.pack("<III", 0xEFFEEFFE, 1, 16) + b"\0one.c\0two.c\0\0\0\0")
CHECKSUMS = struct.pack("<IBB2x", 1, 0, 0) + struct.pack("<IBB", 7, 4, 1) + b"abcd" + bytes(2)
ONE, TWO = 0, 8


def subsection(kind: int, body: bytes) -> bytes:
    return struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 4)


def block(section: int, start: int, size: int, *files) -> bytes:
    body = struct.pack("<IHHI", start, section, 0, size)
    for file, rows in files:
        body += struct.pack("<III", file, len(rows), 12 + 8 * len(rows))
        body += b"".join(struct.pack("<II", offset, line | 0x80000000) for offset, line in rows)
    return subsection(0xF2, body)


def lines(*parts: bytes) -> ModuleLines:
    return ModuleLines(b"".join(parts) + subsection(0xF4, CHECKSUMS), NAMES)


def number(table: ModuleLines, section: int, offset: int):
    entry = table.entry_at(section, offset)
    return entry.number if entry is not None else None


def test_a_line_holds_to_the_next_and_the_last_to_the_functions_end():
    table = lines(block(1, 0x100, 0x20, (ONE, [(0, 10), (8, 11)])))
    assert [number(table, 1, offset) for offset in (0xFF, 0x100, 0x107, 0x108, 0x11F, 0x120)] == [
        None,
        10,
        10,
        11,
        11,
        None,
    ]
    assert number(table, 2, 0x100) is None


def test_of_lines_at_one_offset_the_first_is_that_offsets_and_the_last_goes_on():
    table = lines(block(1, 0x100, 0x20, (ONE, [(0, 10), (0, 11), (8, 12)])))
    assert [number(table, 1, offset) for offset in (0x100, 0x101, 0x108)] == [10, 11, 12]


def test_of_functions_folded_into_one_the_first_of_the_file_has_the_lines():
    table = lines(block(1, 0x100, 8, (ONE, [(0, 10), (4, 11)])), block(1, 0x100, 8, (ONE, [(0, 20), (4, 21)])))
    assert [number(table, 1, offset) for offset in (0x100, 0x104, 0x107)] == [10, 11, 11]


def test_lines_of_several_files_are_told_apart():
    table = lines(block(1, 0, 0x20, (ONE, [(0, 1), (0x10, 3)]), (TWO, [(8, 2)])))
    entries = [table.entry_at(1, offset) for offset in (0, 8, 0x10)]
    assert [(table.file_name(entry.file), entry.number) for entry in entries] == [
        ("one.c", 1),
        ("two.c", 2),
        ("one.c", 3),
    ]


def test_marks_of_hidden_code_are_no_lines():
    table = lines(block(1, 0, 0x20, (ONE, [(0, 5), (8, 0xFEEFEE), (16, 0xF00F00)])))
    hidden = [table.entry_at(1, offset).is_hidden for offset in (0, 8, 16)]
    assert hidden == [False, True, True]


def test_hidden_code_of_a_pdb_has_no_line(compiled, tmp_path):
    whole = PdbFile(str(compiled("driver")))
    entry = whole.find("DriverEntry")
    assert entry is not None
    second = next(line for line in whole.lines() if line.rva > entry.rva)
    data = compiled("driver").read_bytes()
    old = struct.pack("<I", second.rva - entry.rva)
    places = [at for at in range(len(data) - 8) if data[at : at + 4] == old]
    changed = bytearray(data)
    for at in places:
        (word,) = struct.unpack_from("<I", data, at + 4)
        if word & 0xFFFFFF == second.number:
            struct.pack_into("<I", changed, at + 4, word & 0xFF000000 | 0xFEEFEE)
    path = tmp_path / "hidden.pdb"
    path.write_bytes(changed)
    hidden = PdbFile(str(path))
    assert whole.line(second.rva) == second and hidden.line(second.rva) is None
    assert hidden.line(entry.rva) == whole.line(entry.rva)


def test_subsections_marked_to_be_ignored_are():
    ignored = bytearray(block(1, 0, 8, (ONE, [(0, 1)])))
    ignored[3] |= 0x80
    assert lines(bytes(ignored)).blocks == []


def test_inlinees_have_a_file_and_a_line_with_or_without_further_files():
    plain = struct.pack("<I", 0) + struct.pack("<III", 0x1001, ONE, 7) + struct.pack("<III", 0x1002, TWO, 9)
    extra = (
        struct.pack("<I", 1) + struct.pack("<IIIII", 0x1003, ONE, 3, 1, TWO) + struct.pack("<IIII", 0x1004, TWO, 4, 0)
    )
    found = lines(subsection(0xF6, plain), subsection(0xF6, extra)).inlinees
    assert {index: tuple(inlinee) for index, inlinee in found.items()} == {
        0x1001: (ONE, 7),
        0x1002: (TWO, 9),
        0x1003: (ONE, 3),
        0x1004: (TWO, 4),
    }


@pytest.mark.parametrize(
    "data", [b"", b"\xf2\0\0\0", struct.pack("<II", 0xF2, 4) + b"abcd", struct.pack("<II", 0xF2, 999)]
)
def test_tables_that_are_cut_off_have_no_lines(data):
    table = ModuleLines(data, NAMES)
    assert table.blocks == [] and table.entry_at(1, 0) is None and table.inlinees == {} and table.file_name(0) == ""


def test_a_name_table_of_another_kind_names_nothing():
    assert NameTable(b"")[1] == "" and NameTable(bytes(40))[1] == "" and NAMES[999] == "" and NAMES[7] == "two.c"
