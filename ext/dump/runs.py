"""Runs of physical pages in a dump file: which page frames lie where.

The kinds of dump differ only in how they list their pages; the pages themselves follow one another
in the file. A run is kept as three numbers in flat arrays, so a dump of millions of pages costs a
few bytes for each run and nothing for each page.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import accumulate

from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Tuple

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT

#: x64 and ARM64 have at most 52 bits of physical address.
PAGE_LIMIT = 1 << 40

#: So many runs are remembered of those that lie behind the end of a truncated file.
LOST_RUNS = 1 << 18


class PageRun(NamedTuple):
    """`pages` pages from page frame number `pfn` on; `offset` is the file offset of the first."""

    pfn: int
    pages: int
    offset: int


class PageRuns:
    """The runs of a dump: disjoint, ascending by page frame number.

    `starts` and `ends` hold the page frame numbers of the runs (the end is exclusive); `deltas` what
    is to be added to a physical address in the run to get its file offset.
    """

    def __init__(self, starts: array[int], ends: array[int], deltas: array[int]) -> None:
        self.starts = starts
        self.ends = ends
        self.deltas = deltas
        #: Pages that the dump lists and the truncated file no longer has: as `starts` and `ends`.
        self.lost_starts: array[int] = array("Q")
        self.lost_ends: array[int] = array("Q")
        #: What is wrong with the list, one line each.
        self.notes: List[str] = []

    @property
    def page_count(self) -> int:
        """Pages that can be read."""
        return sum(self.ends) - sum(self.starts)

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[PageRun]:
        for start, end, delta in zip(self.starts, self.ends, self.deltas):
            yield PageRun(start, end - start, (start << PAGE_SHIFT) + delta)

    def is_lost(self, pfn: int) -> bool:
        """Whether the dump lists a page that lies beyond the end of the file."""
        index = bisect_right(self.lost_starts, pfn) - 1
        return index >= 0 and pfn < self.lost_ends[index]


def place_runs(starts: array[int], ends: array[int], first_offset: int, file_size: int) -> PageRuns:
    """Place runs whose pages follow one another in the file, in the order given, from `first_offset` on.

    Runs behind the end of the file are set aside as lost, the one across it is cut; overlapping and
    impossible ones are taken out. `notes` of the result tells each.
    """
    available = max(0, file_size - first_offset) >> PAGE_SHIFT
    counts = [end - start for start, end in zip(starts, ends)]
    pages_before = array("Q", accumulate(counts, initial=0))
    listed = pages_before[-1]
    lost_starts: array[int] = array("Q")
    lost_ends: array[int] = array("Q")
    if listed > available:
        # The run that the end of the file cuts, or the first behind it.
        cut = bisect_right(pages_before, available) - 1
        split = starts[cut] + available - pages_before[cut]
        lost_starts, lost_ends = array("Q", [split]) + starts[cut + 1 :], ends[cut:]
        starts, ends = starts[: cut + 1], ends[:cut] + array("Q", [split])
        if split == starts[cut]:
            starts, ends = starts[:cut], ends[:cut]
    deltas = array("q", [first_offset + (before - start << PAGE_SHIFT) for start, before in zip(starts, pages_before)])
    notes: List[str] = []
    if any(end > next_start for end, next_start in zip(ends, starts[1:])) or (ends and max(ends) > PAGE_LIMIT):
        starts, ends, deltas = _disjoint(starts, ends, deltas, notes)
    runs = PageRuns(starts, ends, deltas)
    runs.notes = notes
    if lost_starts:
        _set_lost(runs, lost_starts, lost_ends)
        runs.notes.append(
            f"The dump file is truncated: {available} of its {listed} pages are there "
            f"({first_offset + (listed << PAGE_SHIFT) - file_size} bytes are missing)."
        )
    return runs


def _set_lost(runs: PageRuns, starts: array[int], ends: array[int]) -> None:
    if any(a > b for a, b in zip(starts, starts[1:])):
        order = sorted(range(len(starts)), key=starts.__getitem__)
        starts, ends = array("Q", [starts[i] for i in order]), array("Q", [ends[i] for i in order])
    runs.lost_starts, runs.lost_ends = starts, ends


def _disjoint(
    starts: array[int], ends: array[int], deltas: array[int], notes: List[str]
) -> Tuple[array[int], array[int], array[int]]:
    """The runs ascending, none over another: where two overlap, the one that begins lower keeps the pages."""
    kept_starts: array[int] = array("Q")
    kept_ends: array[int] = array("Q")
    kept_deltas: array[int] = array("q")
    overlapping = impossible = 0
    covered = 0
    for start, end, delta in sorted(zip(starts, ends, deltas)):
        if end > PAGE_LIMIT:
            impossible += 1
            continue
        if start < covered:
            overlapping += 1
            start = covered
        if start < end:
            kept_starts.append(start)
            kept_ends.append(end)
            kept_deltas.append(delta)
            covered = end
    if overlapping:
        notes.append(f"{overlapping} of the dump's runs of pages overlap others; each page is read from the first.")
    if impossible:
        notes.append(f"{impossible} of the dump's runs of pages lie above 2^52 bytes of physical memory; ignored.")
    return kept_starts, kept_ends, kept_deltas
