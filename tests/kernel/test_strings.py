"""Strings in memory: what a run is, how runs go on from one piece of memory to the next, and against a plain search."""

from __future__ import annotations

import re
from functools import partial
from typing import Iterator, List, Tuple
from unittest.mock import patch

import pytest
from dumpkit.kernel import strings
from dumpkit.kernel.strings import _CHUNK, _LONGEST, StringSearch, slices
from hypothesis import given
from hypothesis import strategies as st


def found(data: bytes, size: int = 1 << 20, minimum: int = 5, **which: bool) -> List[Tuple[int, str]]:
    """(offset, text) of what is found when the bytes come in pieces of `size`."""
    pieces = [(at, data[at : at + size]) for at in range(0, len(data), size)]
    return [place for part in StringSearch(lambda: pieces, minimum, **which).parts() for place in part.places()]


def plain_search(data: bytes, minimum: int = 5) -> List[Tuple[int, str]]:
    """The same by two expressions over all of the bytes; RSDS left out."""
    narrow = re.finditer(rb"[\t\n\r -~]{%d,}" % minimum, data)
    wide = re.finditer(rb"(?:[\t\n\r -~]\0){%d,}" % minimum, data)
    places = [(run.start(), run.group().decode("latin-1")) for run in narrow]
    return sorted(places + [(run.start(), run.group()[::2].decode("latin-1")) for run in wide])


def test_five_characters_are_a_string_and_four_are_none() -> None:
    assert found(b"\0.text\0\xff.bss\0INIT\0") == [(1, ".text")]
    assert found(b"\xffabcd\xff", minimum=4) == [(1, "abcd")]
    assert found(b"a\0b\0c\0d\0\0\0a\0b\0c\0d\0e\0") == [(10, "abcde")]


def test_the_signature_of_a_codeview_record_is_shown_although_it_is_short() -> None:
    assert found(b"\0RSDS\x91\x02\0") == [(1, "RSDS")]
    assert found(b"\0RSDSab\0") == [(1, "RSDSab")]
    assert found(b"\0RSDS\x91\0", minimum=6) == []
    assert found(b"\0xRSDS\x91\0RSDS\0") == [(1, "xRSDS"), (8, "RSDS")]


def test_wide_strings_are_found_at_odd_addresses_too() -> None:
    assert found(b"\xff" + "C:\\Temp".encode("utf-16-le") + b"\0\0") == [(1, "C:\\Temp")]


def test_either_kind_can_be_left_out() -> None:
    data = b"narrow\0\0" + "wide!".encode("utf-16-le") + b"\0\0"
    assert found(data) == [(0, "narrow"), (8, "wide!")]
    assert found(data, wide=False) == [(0, "narrow")]
    assert found(data, ascii=False) == [(8, "wide!")]


def test_a_string_across_two_pieces_is_one_and_across_a_gap_are_two() -> None:
    assert found(b"\xff" * 10 + b"one string" + b"\xff" * 3, size=13) == [(10, "one string")]
    search = StringSearch(lambda: [(0, b"first"), (5, b"half;"), (0x100, b"other half")])
    assert [place for part in search.parts() for place in part.places()] == [(0, "firsthalf;"), (0x100, "other half")]


def test_a_string_that_never_ends_is_shown_in_parts() -> None:
    texts = found(b"x" * (3 * _LONGEST), size=_LONGEST // 2)
    assert sum(len(text) for _, text in texts) == 3 * _LONGEST
    assert len(texts) < 8


def test_a_table_of_strings_with_a_zero_between_them_is_parted_only_there() -> None:
    names = [f"a_name_of_{number}" for number in range(_LONGEST // 4)]
    data = "\0".join(names).encode()
    assert [text for _, text in found(data, _CHUNK)] == names


_SLICED = st.lists(st.sampled_from([b"\0", b"A", b"\xff", b"words\0", b"w\0i\0d\0e\0", b"\0" * 30]), max_size=40)


@given(_SLICED.map(b"".join), st.integers(3, 60), st.integers(7, 90))
def test_slices_of_a_range_together_give_what_one_search_gives(data: bytes, size: int, slice: int) -> None:
    def pieces(start: int, count: int) -> Iterator[Tuple[int, bytes]]:
        # Every third of the pieces is a hole; the range begins at 100.
        for number, at in enumerate(range(0, len(data), size)):
            begin, end = max(at, start - 100), min(at + size, start - 100 + count, len(data))
            if begin < end and number % 3 < 2:
                yield 100 + begin, data[begin:end]

    whole = list(StringSearch(partial(pieces, 100, len(data))))
    with patch.object(strings, "SLICE", slice):
        parts = slices(pieces, 100, len(data))
        assert len(parts) == max(-(-len(data) // slice), 1)
        assert [each for part in parts for each in StringSearch(part)] == whole


def test_empty_memory_in_between_ends_what_was_before_it() -> None:
    pieces = [(0, b"before"), (6, bytes(_CHUNK)), (6 + _CHUNK, b"behind")]
    assert [found.text for found in StringSearch(lambda: pieces)] == ["before", "behind"]


def test_each_string_says_how_it_is_encoded() -> None:
    data = b"narrow\0\0" + "wide!".encode("utf-16-le")
    assert [each.encoding for each in StringSearch(lambda: [(0, data)])] == ["ascii", "utf-16"]


_BYTES = st.lists(st.sampled_from([b"\0", b"A", b" ", b"\n", b"\xff", b"words ", b"w\0i\0d\0e\0"]), max_size=60)


@given(_BYTES.map(b"".join), st.integers(1, 9), st.integers(1, 40))
def test_pieces_of_any_size_give_what_one_search_gives(data: bytes, minimum: int, size: int) -> None:
    assert found(data, size, minimum) == plain_search(data, minimum)


@pytest.mark.parametrize("size", [7, 4096, 1 << 20])
def test_real_code_gives_what_one_search_gives(size: int) -> None:
    with open(re.__file__, "rb") as file:
        data = file.read()[:20000] + bytes(range(256)) * 8
    assert found(data, size) == plain_search(data)


@pytest.mark.parametrize("minimum", [1, 2, 5, 7])
@pytest.mark.parametrize("length", range(1, 22))
def test_strings_of_every_length_end_where_they_end(length: int, minimum: int) -> None:
    text = "abcdefghijklmnopqrstuv"[:length].encode()
    for data in (text, b"\xff" + text, text + b"\0", b"\0" + text + b"\xff\0" + text, b"\1".join([text] * 3) + b"\1"):
        assert found(data, minimum=minimum, wide=False) == [
            (run.start(), run.group().decode()) for run in re.finditer(rb"[a-z]{%d,}" % minimum, data)
        ]
