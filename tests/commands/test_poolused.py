"""`poolused`: how much pool each tag has."""

from __future__ import annotations

from typing import List

import pytest
from dumpkit.errors import CommandError

from tests.forge.pool import (
    set_tag_counts,
)
from tests.kernel.pool.lab import TAG_COUNTS, HeapLab
from tests.running import run, run_lines, session_on


@pytest.fixture(params=(19041, 22621))
def lab(request) -> HeapLab:
    return HeapLab(request.param)


def lines(lab, text: str) -> List[str]:
    return run_lines(session_on(lab.target), text)


def test_poolused_is_shown_as_the_documentation_does(lab):
    set_tag_counts(lab.machine, TAG_COUNTS)
    assert lines(lab, "!poolused") == [
        "   Sorting by  Tag",
        "",
        "  Pool Used:",
        "            NonPaged            Paged",
        " Tag    Allocs     Used    Allocs     Used",
        " File       40    13280         0        0File objects , Binary: nt!io",
        " Mine        0        0         7    49480UNKNOWN pooltag 'Mine', please update pooltag.txt",
        " Scbf        1      520         2      384Mass storage driver tags ",
        " TOTAL          41    13800         9    49864",
    ]


@pytest.mark.parametrize(
    "arguments, order",
    [
        ("", "File Mine Scbf"),
        ("2", "File Scbf Mine"),
        ("4", "Mine Scbf File"),
        ("1", "File Mine None Scbf"),
        ("0 S*", "Scbf"),
    ],
)
def test_poolused_sorts_and_chooses(lab, arguments, order):
    set_tag_counts(lab.machine, TAG_COUNTS)
    assert [row.tag for row in run(session_on(lab.target), f"poolused {arguments}").tags] == order.split()


def test_poolused_sums_the_tables_of_all_processors(lab):
    machine = lab.machine
    set_tag_counts(machine, {"Twop": (5, 500, 0, 0)})
    first, size = machine.u64(machine.address("PoolTrackTable")), machine.layouts.size("_POOL_TRACKER_TABLE")
    second = machine.allocate(16 * size)
    entry = machine.view("_POOL_TRACKER_TABLE", second)
    entry.set({"Key": int.from_bytes(b"Twop", "little"), "NonPagedFrees": 2, "NonPagedBytes": -200})
    machine.globals["ExPoolTagTables"] = 0xFFFFF80311100000
    machine.put_u64(0xFFFFF80311100000, first, second)
    lab.target.system = type(lab.target.system)(19041, False, 2, 1, 0x110, None, 0, None, None, None)
    row = run(session_on(lab.target), "poolused").tags[0]
    assert (row.nonpaged_allocations, row.nonpaged_bytes) == (3, 300)


@pytest.mark.parametrize(
    "arguments, words", [("6", "exclude each other"), ("8", "session"), ("0 abcde", "four characters")]
)
def test_poolused_refuses_what_it_cannot_do(lab, arguments, words):
    set_tag_counts(lab.machine, TAG_COUNTS)
    with pytest.raises(CommandError, match=words):
        lines(lab, f"poolused {arguments}")


def test_poolused_without_its_table_says_so(lab):
    with pytest.raises(CommandError, match="PoolTrackTable is not set up"):
        lines(lab, "poolused")
    set_tag_counts(lab.machine, TAG_COUNTS)
    lab.target.lose(lab.machine.u64(lab.machine.address("PoolTrackTable")))
    assert "of the table at" in lines(lab, "poolused")[-1]
