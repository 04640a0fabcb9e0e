"""Runs of pages: placed in the file, cut at its end, taken apart where they overlap."""

from __future__ import annotations

from array import array
from typing import Dict, List, Tuple

from dumpkit.dump.runs import PAGE_LIMIT, PAGE_SIZE, PageRuns, place_runs
from hypothesis import given
from hypothesis import strategies as st


def place(runs: List[Tuple[int, int]], first: int, file_size: int) -> PageRuns:
    starts = array("Q", [pfn for pfn, _ in runs])
    ends = array("Q", [pfn + count for pfn, count in runs])
    return place_runs(starts, ends, first, file_size)


def offsets(runs: PageRuns) -> Dict[int, int]:
    """Page frame number -> file offset."""
    return {run.pfn + i: run.offset + i * PAGE_SIZE for run in runs for i in range(run.pages)}


def test_pages_follow_one_another_in_the_file() -> None:
    runs = place([(0x10, 2), (0x40, 1)], 0x3000, 0x6000)
    assert list(runs) == [(0x10, 2, 0x3000), (0x40, 1, 0x5000)]
    assert runs.page_count == 3
    assert len(runs) == 2
    assert runs.notes == []


def test_the_file_end_cuts_the_run_across_it() -> None:
    runs = place([(0x10, 2), (0x40, 4), (0x80, 1)], 0x3000, 0x6FFF)
    assert list(runs) == [(0x10, 2, 0x3000), (0x40, 1, 0x5000)]
    assert [pfn for pfn in range(0x100) if runs.is_lost(pfn)] == [0x41, 0x42, 0x43, 0x80]
    assert runs.notes == ["The dump file is truncated: 3 of its 7 pages are there (12289 bytes are missing)."]


def test_a_file_that_ends_before_the_first_page_holds_none() -> None:
    runs = place([(0x10, 2)], 0x3000, 0x2800)
    assert list(runs) == []
    assert runs.page_count == 0
    assert runs.is_lost(0x11)


def test_runs_in_any_order_are_found() -> None:
    runs = place([(0x40, 1), (0x10, 1)], 0x2000, 0x4000)
    assert offsets(runs) == {0x40: 0x2000, 0x10: 0x3000}
    assert list(runs.starts) == [0x10, 0x40]


def test_of_overlapping_runs_the_lower_keeps_the_pages() -> None:
    runs = place([(0x10, 4), (0x12, 4)], 0x2000, 0x10000)
    assert offsets(runs) == {
        0x10: 0x2000,
        0x11: 0x3000,
        0x12: 0x4000,
        0x13: 0x5000,
        0x14: 0x8000,
        0x15: 0x9000,
    }
    assert "overlap" in runs.notes[0]


def test_a_run_inside_another_gives_nothing() -> None:
    runs = place([(0x10, 8), (0x12, 2), (0x20, 1)], 0x2000, 0x20000)
    assert offsets(runs)[0x12] == 0x4000
    assert offsets(runs)[0x20] == 0x2000 + 10 * PAGE_SIZE
    assert runs.page_count == 9


def test_pages_beyond_the_physical_address_space_are_ignored_with_a_note() -> None:
    runs = place([(PAGE_LIMIT - 1, 2), (5, 1)], 0x2000, 0x5000)
    assert offsets(runs) == {5: 0x4000}
    assert "2^52" in runs.notes[0]


def test_counts_that_overflow_64_bits_together_are_no_trouble() -> None:
    runs = place([(i << 30, PAGE_LIMIT - 1) for i in range(64)], 0x2000, 0x3000)
    assert offsets(runs) == {0: 0x2000}
    assert "truncated" in runs.notes[0]


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), max_size=8),
    st.integers(0, 80),
    st.integers(0, PAGE_SIZE - 1),
)
def test_every_page_stands_where_a_model_puts_one_of_its_copies(
    runs: List[Tuple[int, int]], pages_in_file: int, rest: int
) -> None:
    placed = place(runs, 0x2000, 0x2000 + pages_in_file * PAGE_SIZE + rest)
    copies: Dict[int, List[int]] = {}
    in_order = [pfn + i for pfn, count in runs for i in range(count)]
    for position, pfn in enumerate(in_order[:pages_in_file]):
        copies.setdefault(pfn, []).append(0x2000 + position * PAGE_SIZE)
    found = offsets(placed)
    assert set(found) == set(copies)
    assert all(found[pfn] in copies[pfn] for pfn in found)
    assert placed.page_count == len(found)
    assert list(placed.starts) == sorted(placed.starts)
