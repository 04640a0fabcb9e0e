"""Address spaces: the three reads, holes, and numbers."""

from __future__ import annotations

import pytest
from dumpkit.errors import MemoryReadError
from hypothesis import given
from hypothesis import strategies as st

from tests.flat_memory import FlatMemory

PAGE = 0x1000
TOP = 0xFFFF_FFFF_FFFF_F000
#: A page, a hole of two pages, a page and a half.
MEMORY = FlatMemory({4 * PAGE: b"a" * PAGE, 7 * PAGE: b"b" * PAGE + b"c" * (PAGE // 2), TOP: b"t" * PAGE})


def test_a_strict_read_gives_all_or_says_which_byte_is_missing_and_why() -> None:
    assert MEMORY.read(5 * PAGE - 2, 2) == b"aa"
    with pytest.raises(MemoryReadError) as raised:
        MEMORY.read(5 * PAGE - 2, 3)
    assert (raised.value.address, raised.value.reason) == (5 * PAGE, "not in the test's memory")


def test_an_optional_read_gives_all_or_none() -> None:
    assert MEMORY.read_optional(5 * PAGE - 2, 2) == b"aa"
    assert MEMORY.read_optional(5 * PAGE - 2, 3) is None


def test_a_partial_read_gives_the_pieces_on_both_sides_of_a_hole() -> None:
    assert MEMORY.read_partial(5 * PAGE - 2, 2 * PAGE + 3) == [(5 * PAGE - 2, b"aa"), (7 * PAGE, b"b")]
    assert MEMORY.read_partial(5 * PAGE, 2 * PAGE) == []


def test_the_next_readable_address_is_below_the_limit() -> None:
    assert MEMORY.next_readable(4 * PAGE + 5, 8 * PAGE) == 4 * PAGE + 5
    assert MEMORY.next_readable(5 * PAGE + 5, 7 * PAGE + 1) == 7 * PAGE
    assert MEMORY.next_readable(5 * PAGE + 5, 7 * PAGE) is None


def test_addresses_wrap_at_the_end_of_64_bits() -> None:
    assert MEMORY.read(TOP - (1 << 64), 2) == b"tt"
    with pytest.raises(MemoryReadError) as raised:
        MEMORY.read(TOP + PAGE - 1, 2)
    assert raised.value.address == 0


def test_numbers_are_little_endian() -> None:
    memory = FlatMemory({0: bytes(range(1, 9))})
    assert (memory.u8(0), memory.u16(0), memory.u32(0)) == (0x01, 0x0201, 0x04030201)
    assert memory.u64(0) == memory.u64_optional(0) == 0x0807060504030201
    assert memory.u64_optional(1) is None


@given(st.integers(0, 12 * PAGE), st.integers(0, 6 * PAGE))
def test_the_pieces_of_a_partial_read_are_what_single_bytes_say(start: int, size: int) -> None:
    pieces = dict(MEMORY.read_partial(start, size))
    covered = {place + index for place, data in pieces.items() for index in range(len(data))}
    edges = (start, start + size - 1, 4 * PAGE, 5 * PAGE - 1, 5 * PAGE, 7 * PAGE, 17 * PAGE // 2)
    for place in edges:
        inside = start <= place < start + size
        assert (place in covered) == (inside and MEMORY.read_optional(place, 1) is not None)
