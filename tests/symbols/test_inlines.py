"""The binary annotations of inline sites."""

from __future__ import annotations

from dumpkit.symbols.inlines import InlineRow, decode_annotations
from hypothesis import given
from hypothesis import strategies as st

FILE, LINE = 24, 100


def rows(*numbers: int) -> list:
    """Rows of annotations given as numbers, each in as few bytes as it needs."""
    return decode_annotations(b"".join(map(compressed, numbers)), FILE, LINE)


def compressed(value: int) -> bytes:
    if value < 0x80:
        return bytes([value])
    if value < 0x4000:
        return bytes([0x80 | value >> 8, value & 0xFF])
    return (0xC0000000 | value).to_bytes(4, "big")


def signed(value: int) -> int:
    return -value << 1 | 1 if value < 0 else value << 1


def test_code_runs_to_the_length_given_at_its_end():
    assert rows(3, 0x20, 4, 0x10) == [InlineRow(0x20, 0x30, FILE, LINE)]


def test_each_row_ends_where_the_next_begins():
    assert rows(6, signed(2), 3, 0x20, 6, signed(-1), 3, 8, 4, 4) == [
        InlineRow(0x20, 0x28, FILE, LINE + 2),
        InlineRow(0x28, 0x2C, FILE, LINE + 1),
    ]


def test_offset_and_line_may_come_in_one_number():
    assert rows(3, 5, 11, signed(3) << 4 | 7, 4, 2) == [
        InlineRow(5, 12, FILE, LINE),
        InlineRow(12, 14, FILE, LINE + 3),
    ]


def test_length_and_offset_may_come_together_and_leave_gaps():
    assert rows(12, 4, 0x10, 12, 6, 0x20) == [InlineRow(0x10, 0x14, FILE, LINE), InlineRow(0x34, 0x3A, FILE, LINE)]


def test_another_file_holds_from_there_on():
    assert rows(3, 1, 5, 48, 3, 4, 4, 2) == [InlineRow(1, 5, FILE, LINE), InlineRow(5, 7, 48, LINE)]


def test_numbers_of_two_and_four_bytes_are_read():
    assert rows(3, 0x1234, 4, 0x123456) == [InlineRow(0x1234, 0x1234 + 0x123456, FILE, LINE)]


def test_columns_and_kinds_change_nothing():
    assert rows(9, 3, 10, 4, 13, 5, 7, 2, 8, 1, 3, 2, 4, 2) == [InlineRow(2, 4, FILE, LINE)]


def test_padding_and_what_is_cut_off_end_the_program():
    assert decode_annotations(b"\x03\x10\x04\x02\x00\x00\x03\x50", FILE, LINE) == [InlineRow(0x10, 0x12, FILE, LINE)]
    assert decode_annotations(b"\x03\x10\x04\x02\x03", FILE, LINE) == [InlineRow(0x10, 0x12, FILE, LINE)]
    assert decode_annotations(b"\x03\x10\x04\x02\x03\x81", FILE, LINE) == [InlineRow(0x10, 0x12, FILE, LINE)]
    assert decode_annotations(b"\x03\x10\x04\x02\x63\x01", FILE, LINE) == [InlineRow(0x10, 0x12, FILE, LINE)]


def test_code_in_another_section_is_left_out():
    assert rows(3, 1, 4, 2, 2, 1, 3, 1, 4, 2) == [InlineRow(1, 3, FILE, LINE)]


@given(st.binary(max_size=64))
def test_any_program_gives_rows_of_some_length_in_order_of_its_making(data):
    for row in decode_annotations(data, FILE, LINE):
        assert 0 <= row.start < row.end
