"""RDMP dumps: the list of page ranges, whole and damaged."""

from __future__ import annotations

from struct import pack_into

import pytest
from dumpkit.dump.header import parse_header
from dumpkit.dump.physical import open_physical
from dumpkit.dump.rdmp import read_runs
from dumpkit.errors import DumpFormatError

from tests.forge.dump_files import rdmp_dump
from tests.forge.header import RDMP_COMPLETE, RDMP_KERNEL, RDMP_KERNEL_AND_USER
from tests.forge.memory import PAGE_SIZE, PhysicalPages, numbered_page

PAGES = (1, 2, 3, 0x10, 0x2000, 0x2001)


def some_dump(dump_type: int = RDMP_KERNEL, spare_ranges: int = 0) -> bytearray:
    memory = PhysicalPages()
    for pfn in PAGES:
        memory.write(pfn * PAGE_SIZE, numbered_page(pfn))
    return bytearray(rdmp_dump(memory, 0, dump_type, spare_ranges))


@pytest.mark.parametrize("dump_type", [RDMP_KERNEL, RDMP_KERNEL_AND_USER, RDMP_COMPLETE])
def test_pages_are_read_by_their_ranges(dump_type: int) -> None:
    data = some_dump(dump_type)
    physical = open_physical(parse_header(data), data)
    assert [(run.pfn, run.pages) for run in physical.runs] == [(1, 3), (0x10, 1), (0x2000, 2)]
    for pfn in PAGES:
        assert physical.read(pfn * PAGE_SIZE, PAGE_SIZE) == numbered_page(pfn)
    assert physical.notes == ()


def test_an_empty_range_ends_the_list() -> None:
    data = some_dump(RDMP_KERNEL, spare_ranges=5)
    assert read_runs(parse_header(data), data).page_count == 6


def test_the_total_of_a_complete_dump_ends_the_list() -> None:
    data = some_dump(RDMP_COMPLETE)
    pack_into("<Q", data, 0x2028, 4)
    assert [run.pfn for run in read_runs(parse_header(data), data)] == [1, 0x10]


def test_a_total_that_differs_is_noted() -> None:
    data = some_dump(RDMP_COMPLETE)
    pack_into("<Q", data, 0x2028, 99)
    runs = read_runs(parse_header(data), data)
    assert runs.notes == ["The dump's page ranges have 6 pages, its header counts 99."]


@pytest.mark.parametrize("offset", [0x2000, 0x2004, 0x2008])
def test_a_wrong_signature_is_refused(offset: int) -> None:
    data = some_dump()
    data[offset] ^= 1
    with pytest.raises(DumpFormatError, match="'RDMPDUMP' should be"):
        read_runs(parse_header(data), data)


def test_sizes_that_do_not_fit_together_are_refused() -> None:
    data = some_dump()
    pack_into("<Q", data, 0x2010, 0x1234)
    with pytest.raises(DumpFormatError, match="1234 bytes of page ranges do not end at its first page"):
        read_runs(parse_header(data), data)


def test_an_impossible_range_ends_the_list_with_a_note() -> None:
    data = some_dump()
    pack_into("<Q", data, 0x2048, 1 << 60)
    runs = read_runs(parse_header(data), data)
    assert [run.pfn for run in runs] == [1]
    assert runs.notes == ["Its page range at 2040 (page 10, 1000000000000000 pages) is impossible."]


def test_a_list_without_pages_is_refused() -> None:
    data = some_dump()
    pack_into("<Q", data, 0x2030, 0)
    with pytest.raises(DumpFormatError, match="it lists no pages"):
        read_runs(parse_header(data), data)


def test_a_file_that_ends_in_the_list_gives_no_pages_and_says_so() -> None:
    data = bytes(some_dump()[:0x2048])
    physical = open_physical(parse_header(data), data)
    assert physical.page_count == 0
    assert physical.explain(2 * PAGE_SIZE) == "page 2 lies beyond the end of the file (truncated)"
    assert any("list of page ranges is cut short" in note for note in physical.notes)


def test_a_file_that_ends_in_the_header_is_refused() -> None:
    data = some_dump()
    with pytest.raises(DumpFormatError, match="ends at 2028"):
        read_runs(parse_header(data), data[:0x2028])
