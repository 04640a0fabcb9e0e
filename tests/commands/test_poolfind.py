"""`poolfind`: the blocks of a tag, in every allocator."""

from __future__ import annotations

from typing import List

import pytest
from dumpkit.errors import CommandError

from tests.forge.pool import (
    NON_PAGED_NX,
    PAGED,
    PAGED_TYPE,
    SPECIAL_NODE,
    Block,
    classic_page,
    special_page,
)
from tests.kernel.pool.lab import NONPAGED, PAGED_AREA, SPECIAL_AREA, ClassicLab, HeapLab
from tests.running import run, run_lines, session_on


@pytest.fixture(params=(19041, 22621))
def lab(request) -> HeapLab:
    return HeapLab(request.param)


def lines(lab, text: str) -> List[str]:
    return run_lines(session_on(lab.target), text)


def test_poolfind_finds_a_tag_in_every_allocator(lab):
    nonpaged = lab.pool.segment(NON_PAGED_NX, NONPAGED)
    vs = nonpaged.vs(4).allocate(0x100, "Find")
    places = nonpaged.lfh(1, 0x60, ["Find", None, "Othr", "Find"])
    big = nonpaged.big(0x3000, "Find")
    lab.pool.segment(PAGED, PAGED_AREA).vs(4).allocate(0x100, "Find", PAGED_TYPE)
    lab.pool.large(PAGED, 0xFFFFD80120000000, 0x20000, "Find", PAGED_TYPE)
    found = run(session_on(lab.target), "poolfind Find")
    assert [each.address for each in found.allocations] == [big, vs, places[0], places[3]]
    paged = run(session_on(lab.target), "poolfind Fi* 1")
    assert [each.allocator for each in paged.allocations] == ["large", "VS"]


def test_poolfind_is_shown_as_the_documentation_does(lab):
    header = lab.pool.segment(NON_PAGED_NX, NONPAGED).vs(4).allocate(0x100, "SeSd")
    table = lab.machine.u64(lab.machine.address("PoolBigPageTable"))
    end = table + 256 * lab.machine.layouts.size("_POOL_TRACKER_BIG_PAGES")
    assert lines(lab, "!poolfind SeSd 0") == [
        "",
        f"Scanning large pool allocation table for Tag: SeSd ({table:016x} : {end:016x})",
        "",
        "Searching NonPaged pool (ffffa08000000000 : ffffa10000000000) for Tag: SeSd",
        "",
        f" {header:016x} size:  100 previous size:    0  (Allocated)  SeSd",
        "",
    ]


@pytest.mark.parametrize("build", (17763, 9600))
def test_poolfind_walks_classic_pages(build):
    lab = ClassicLab(build)
    for page in range(3):
        blocks = [Block(0x100, "Find"), Block(0x300, "Othr"), Block(0xC00, "Find", page != 1)]
        classic_page(lab.machine, NONPAGED + page * 0x3000, blocks)
    found = run(session_on(lab.target), "poolfind Find")
    assert [(each.address - NONPAGED, each.allocated) for each in found.allocations] == [
        (0, True), (0x400, True), (0x3000, True), (0x3400, False), (0x6000, True), (0x6400, True),
    ]  # fmt: skip


def test_poolfind_finds_special_pool(lab):
    page = lab.pool.segment(NON_PAGED_NX, SPECIAL_AREA & -0x100000, node=SPECIAL_NODE).range(2, 3)
    special_page(lab.machine, page + 0x1000, 0x230, "Spcl")
    assert [each.address for each in run(session_on(lab.target), "poolfind Spcl 2").allocations] == [page + 0x1000]


def test_poolfind_searches_headers_where_the_heaps_are_missing(lab):
    header = lab.pool.segment(NON_PAGED_NX, NONPAGED).vs(4).allocate(0x100, "Find")
    lab.target.lose(lab.pool.state.at("PoolNode[0].Heaps[0]"))
    assert lines(lab, "poolfind Find")[5] == (
        f" {header:016x} size:  100 previous size:    0  (Allocated)  Find  (by its header alone)"
    )


def test_poolfind_takes_a_tags_value(lab):
    header = lab.pool.segment(NON_PAGED_NX, NONPAGED).vs(4).allocate(0x100, "Irp ")
    assert run(session_on(lab.target), "poolfind 0x20707249").allocations[0].address == header
    assert run(session_on(lab.target), "poolfind Irp").allocations[0].address == header


@pytest.mark.parametrize(
    "arguments, words", [("Find 5", "pool type 5"), ("toolong", "no tag"), ("0xzz", "no tag's value")]
)
def test_poolfind_refuses_what_it_cannot_do(lab, arguments, words):
    with pytest.raises(CommandError, match=words):
        lines(lab, f"poolfind {arguments}")
