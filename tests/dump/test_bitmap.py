"""Bitmap dumps: the scan of the bitmap, and headers that do not fit."""

from __future__ import annotations

import tracemalloc
from struct import pack_into
from typing import List, Tuple

import pytest
from dumpkit.dump import bitmap
from dumpkit.dump.bitmap import read_runs, scan_bitmap
from dumpkit.dump.header import parse_header
from dumpkit.dump.physical import open_physical
from dumpkit.dump.runs import LOST_RUNS
from dumpkit.errors import DumpFormatError
from hypothesis import example, given
from hypothesis import strategies as st

from tests.forge.dump_files import WRITERS, bitmap_dump, summary_dump
from tests.forge.header import BITMAP_FULL, BITMAP_KERNEL, SUMMARY, build_header
from tests.forge.memory import PAGE_SIZE, PhysicalPages, numbered_page


def some_memory() -> PhysicalPages:
    memory = PhysicalPages()
    for pfn in (3, 4, 5, 8, 64, 65, 0x1000):
        memory.write(pfn * PAGE_SIZE, numbered_page(pfn))
    return memory


def scan(data: bytes, bits: int, offset: int = 0) -> List[Tuple[int, int]]:
    starts, ends = scan_bitmap(data, offset, bits)
    return list(zip(starts, ends))


def naive_scan(data: bytes, bits: int) -> List[Tuple[int, int]]:
    runs: List[Tuple[int, int]] = []
    for bit in range(bits):
        if data[bit >> 3] >> (bit & 7) & 1:
            if runs and runs[-1][1] == bit:
                runs[-1] = (runs[-1][0], bit + 1)
            else:
                runs.append((bit, bit + 1))
    return runs


chunks = st.one_of(
    st.binary(max_size=20),
    st.integers(1, 40).map(lambda n: b"\xff" * n),
    st.integers(1, 40).map(lambda n: b"\0" * n),
    st.integers(1, 9).map(lambda n: b"\x55" * n),
)


@given(st.lists(chunks, max_size=8).map(b"".join), st.integers(0, 15))
@example(b"\xff", 0)
@example(b"", 0)
def test_the_scan_finds_the_runs_that_a_bit_by_bit_one_finds(data: bytes, unused: int) -> None:
    bits = max(0, len(data) * 8 - unused)
    assert scan(data, bits) == naive_scan(data, bits)


@given(st.lists(chunks, max_size=8).map(b"".join), st.integers(1, 5))
def test_chunks_of_the_scan_join_without_a_seam(data: bytes, chunk: int) -> None:
    size = bitmap._CHUNK
    bitmap._CHUNK = chunk
    try:
        assert scan(data, len(data) * 8) == naive_scan(data, len(data) * 8)
    finally:
        bitmap._CHUNK = size


def test_a_run_across_the_real_chunk_size_is_one_run() -> None:
    data = b"\0" * (bitmap._CHUNK - 1) + b"\x80" + b"\x01" + b"\0" * 10
    assert scan(data, len(data) * 8) == [(bitmap._CHUNK * 8 - 1, bitmap._CHUNK * 8 + 1)]


def test_bits_behind_the_last_page_do_not_count() -> None:
    assert scan(b"\xff\xff", 11) == [(0, 11)]
    assert scan(b"\0\x08", 11) == []


def test_the_scan_stops_at_its_limit_of_runs() -> None:
    starts, ends = scan_bitmap(b"\x55" * 100, 0, 800, limit=3)
    assert list(zip(starts, ends)) == [(0, 1), (2, 3), (4, 5)]


@pytest.mark.parametrize("dump_type", [SUMMARY, BITMAP_FULL, BITMAP_KERNEL])
def test_the_pages_of_a_bitmap_dump_are_read(dump_type: int) -> None:
    memory = some_memory()
    data = WRITERS[dump_type](memory, 0)
    physical = open_physical(parse_header(data), data)
    assert physical.page_count == 7
    assert [(run.pfn, run.pages) for run in physical.runs] == memory.runs()
    assert physical.notes == ()
    for pfn, page in memory.pages.items():
        assert physical.read(pfn * PAGE_SIZE, PAGE_SIZE) == page


def test_either_signature_stands_in_either_type() -> None:
    data = bytearray(bitmap_dump(some_memory(), 0, BITMAP_KERNEL))
    data[0x2000:0x2004] = b"FDMP"
    assert open_physical(parse_header(data), data).page_count == 7


def test_a_missing_bitmap_header_is_refused_with_what_stands_there() -> None:
    data = bytearray(bitmap_dump(some_memory(), 0))
    data[0x2000:0x2008] = b"\1\2\3\4\5\6\7\x08"
    with pytest.raises(DumpFormatError, match="01 02 03 04 05 06 07 08 at 2000"):
        read_runs(parse_header(data), bytes(data))


@pytest.mark.parametrize("dump_type", [SUMMARY, BITMAP_KERNEL])
def test_a_file_that_ends_in_the_bitmap_header_is_refused(dump_type: int) -> None:
    data = WRITERS[dump_type](some_memory(), 0)
    with pytest.raises(DumpFormatError, match="ends at 2020"):
        read_runs(parse_header(data), data[:0x2020])


def test_a_bitmap_longer_than_its_room_is_scanned_up_to_the_first_page() -> None:
    data = bytearray(bitmap_dump(some_memory(), 0))
    pack_into("<Q", data, 0x2030, (1 << 64) - 1)
    physical = open_physical(parse_header(data), bytes(data))
    assert [(run.pfn, run.pages) for run in physical.runs] == some_memory().runs()
    assert physical.read(4 * PAGE_SIZE, PAGE_SIZE) == numbered_page(4)
    assert physical.notes == (
        "The dump's page bitmap has 18446744073709551615 bits, but only 32320 fit before its first page.",
    )


def test_a_file_that_ends_in_the_bitmap_has_no_pages_and_says_what_it_listed() -> None:
    data = bitmap_dump(some_memory(), 0)[:0x2039]
    physical = open_physical(parse_header(data), data)
    assert physical.page_count == 0
    assert physical.explain(4 * PAGE_SIZE) == "page 4 lies beyond the end of the file (truncated)"
    assert physical.notes[1] == "The page bitmap is cut short: 8 of its 4160 bits lie in the file."


def test_an_empty_bitmap_is_refused() -> None:
    data = bytearray(bitmap_dump(some_memory(), 0))
    pack_into("<Q", data, 0x2030, 0)
    with pytest.raises(DumpFormatError, match="bitmap is empty"):
        read_runs(parse_header(data), data)


def test_a_first_page_inside_the_headers_is_refused() -> None:
    data = bytearray(bitmap_dump(some_memory(), 0))
    pack_into("<Q", data, 0x2020, 0x1000)
    with pytest.raises(DumpFormatError, match="inside its headers"):
        read_runs(parse_header(data), data)


def test_a_first_page_inside_the_bitmap_is_noted() -> None:
    data = bytearray(bitmap_dump(some_memory(), 0))
    pack_into("<Q", data, 0x2020, 0x2040)
    runs = read_runs(parse_header(data), data)
    assert runs.notes == ["The dump's page bitmap has 4160 bits, but only 64 fit before its first page."]


def test_a_count_that_differs_from_the_bits_is_noted() -> None:
    data = bytearray(summary_dump(some_memory(), 0))
    pack_into("<I", data, 0x2014, 9)
    runs = read_runs(parse_header(data), data)
    assert runs.notes == ["The page bitmap marks 7 pages, its header counts 9."]


def test_a_truncated_dump_gives_its_first_pages_and_explains_the_others() -> None:
    whole = bitmap_dump(some_memory(), 0)
    data = whole[: len(whole) - 3 * PAGE_SIZE + 1]
    physical = open_physical(parse_header(data), data)
    assert physical.page_count == 4
    assert physical.read(8 * PAGE_SIZE, 8) == numbered_page(8)[:8]
    assert physical.explain(64 * PAGE_SIZE) == "page 40 lies beyond the end of the file (truncated)"
    assert physical.explain(0x1000 * PAGE_SIZE) == "page 1000 lies beyond the end of the file (truncated)"
    assert physical.explain(66 * PAGE_SIZE) == "page 42 not in the dump"
    assert physical.notes[0].startswith("The dump file is truncated: 4 of its 7 pages are there")


def test_a_bitmap_of_single_pages_without_their_pages_stays_small() -> None:
    header = bytes(build_header(BITMAP_KERNEL, 0))
    bits = b"\x55" * (4 << 20)
    start = bytearray(header + b"SDMPDUMP" + bytes(0x30))
    pack_into("<QQQ", start, 0x2020, 0x2038 + len(bits), len(bits) * 4, len(bits) * 8)
    data = bytes(start) + bits
    tracemalloc.start()
    try:
        runs = read_runs(parse_header(data), data)
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()
    assert runs.page_count == 0
    assert runs.is_lost(2 * LOST_RUNS - 2)
