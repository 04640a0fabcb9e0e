"""Full dumps: the run list in the header, whole and damaged."""

from __future__ import annotations

from struct import pack_into

import pytest
from dumpkit.dump.full import read_runs
from dumpkit.dump.header import parse_header
from dumpkit.dump.physical import open_physical
from dumpkit.errors import DumpFormatError

from tests.forge.dump_files import full_dump
from tests.forge.header import FULL, build_header
from tests.forge.memory import PAGE_SIZE, PhysicalPages, numbered_page


def some_dump() -> bytearray:
    memory = PhysicalPages()
    for pfn in (1, 2, 0x100, 0x101, 0x102, 0x7000):
        memory.write(pfn * PAGE_SIZE, numbered_page(pfn))
    return bytearray(full_dump(memory, 0))


def test_pages_are_read_by_the_runs_of_the_header() -> None:
    data = some_dump()
    physical = open_physical(parse_header(data), data)
    assert list(physical.runs) == [(1, 2, 0x2000), (0x100, 3, 0x4000), (0x7000, 1, 0x7000)]
    for pfn in (1, 2, 0x100, 0x101, 0x102, 0x7000):
        assert physical.read(pfn * PAGE_SIZE, PAGE_SIZE) == numbered_page(pfn)
    assert physical.notes == ()


def test_a_header_without_a_run_list_is_refused() -> None:
    data = build_header(FULL, 0)
    with pytest.raises(DumpFormatError, match="does not list the runs"):
        read_runs(parse_header(data), data)


def test_an_empty_run_list_is_refused() -> None:
    data = build_header(FULL, 0, runs=[])
    with pytest.raises(DumpFormatError, match="lists no run"):
        read_runs(parse_header(data), data)


def test_a_count_of_runs_beyond_the_header_is_cut_to_what_fits() -> None:
    data = some_dump()
    pack_into("<I", data, 0x88, 0xFFFFFFFF)
    runs = read_runs(parse_header(data), data)
    assert runs.page_count == 6
    assert runs.notes == ["The header counts 4294967295 runs of physical memory; it has room for 42."]


def test_an_impossible_run_ends_the_list_with_a_note() -> None:
    data = some_dump()
    pack_into("<Q", data, 0xA0 + 16, 1 << 63)
    runs = read_runs(parse_header(data), data)
    assert [run.pfn for run in runs] == [1]
    assert runs.notes[0].startswith("Run 1 of the header's physical memory (page 100, 8000000000000000 pages)")


def test_a_total_that_differs_is_noted() -> None:
    data = some_dump()
    pack_into("<Q", data, 0x90, 7)
    runs = read_runs(parse_header(data), data)
    assert runs.notes == ["The header's runs of physical memory have 6 pages, its total says 7."]


def test_overlapping_runs_are_noted_and_read_once() -> None:
    data = some_dump()
    pack_into("<Q", data, 0x98 + 16, 2)
    physical = open_physical(parse_header(data), data)
    assert physical.read(2 * PAGE_SIZE, 8) == numbered_page(2)[:8]
    assert physical.read(3 * PAGE_SIZE, 8) == numbered_page(0x101)[:8]
    assert "overlap" in physical.notes[0]


def test_a_truncated_file_keeps_the_pages_before_its_end() -> None:
    data = bytes(some_dump()[:0x5800])
    physical = open_physical(parse_header(data), data)
    assert physical.page_count == 3
    assert physical.explain(0x102 * PAGE_SIZE) == "page 102 lies beyond the end of the file (truncated)"
    assert physical.explain(3 * PAGE_SIZE) == "page 3 not in the dump"
