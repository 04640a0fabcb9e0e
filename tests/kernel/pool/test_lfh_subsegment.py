"""LFH subsegments: their blocks by the bitmap, and what damage costs."""

from __future__ import annotations

import pytest
from dumpkit.kernel.pool import find_allocation
from dumpkit.kernel.pool.pools import pools_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.forge.pool import PAGED, PAGED_TYPE
from tests.kernel.pool.lab import PAGED_AREA, HeapLab, shown

BUILDS = (19041, 22000, 22621)


@pytest.fixture(params=BUILDS)
def lab(request) -> HeapLab:
    return HeapLab(request.param)


def test_lfh_blocks_are_busy_or_free_as_the_bitmap_says(lab):
    tags = ["CM31", None, "MmSt", "Key ", None]
    places = lab.pool.segment(PAGED, PAGED_AREA).lfh(1, 0x60, tags, PAGED_TYPE)
    page = pools_of(lab.target).page(places[2] + 0x5F)
    assert page.allocator == "LFH"
    assert shown(page.blocks) == [(place, 0x60, tag is not None, tag) for place, tag in zip(places, tags)]
    assert page.block is not None and page.block.address == places[2]


def test_a_block_that_would_cross_a_page_is_not_there(lab):
    places = lab.pool.segment(PAGED, PAGED_AREA).lfh(2, 0x330, ["Aaaa"] * 9, PAGED_TYPE)
    crossing = [place for place in places if place % 0x1000 + 0x330 > 0x1000]
    assert crossing
    assert find_allocation(lab.target, crossing[0]).block is None
    assert pools_of(lab.target).page(crossing[0] + 0x330).blocks[0].address not in crossing


def test_a_damaged_lfh_header_is_told(lab):
    segment = lab.pool.segment(PAGED, PAGED_AREA)
    places = segment.lfh(1, 0x60, ["CM31"], PAGED_TYPE)
    lab.machine.view("_HEAP_LFH_SUBSEGMENT", places[0] & -0x1000)["BlockOffsets.EncodedData"] = 0xFFFFFFFF
    found = find_allocation(lab.target, places[0])
    assert found.block is None and any(
        "LFH subsegment's header" in text and "damaged" in text for text in found.problems
    )


def test_without_the_lfh_key_an_lfh_block_cannot_be_told(lab):
    places = lab.pool.segment(PAGED, PAGED_AREA).lfh(1, 0x60, ["CM31"], PAGED_TYPE)
    lab.target.lose(lab.machine.address("RtlpHpHeapGlobals"))
    found = find_allocation(lab.target, places[0])
    assert found.block is None and any("LfhKey cannot be read" in text for text in found.problems)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(BUILDS), st.integers(2, 0x60), st.integers(1, (1 << 64) - 1))
def test_every_address_of_a_random_lfh_subsegment_is_found_in_its_block(data, build, units, key):
    lab = HeapLab(build)
    lab.pool.lfh_key = key
    lab.machine.put_u64(lab.machine.address("RtlpHpHeapGlobals") + 8, key)
    size = units * 16
    count = min(200, (0x4000 - 0x200) // size)
    tags = data.draw(st.lists(st.sampled_from([None, "Aaaa", "Bbbb"]), min_size=1, max_size=count))
    places = lab.pool.segment(PAGED, PAGED_AREA).lfh(4, size, tags, PAGED_TYPE)
    for place, tag in zip(places, tags):
        address = place + data.draw(st.integers(0, size - 1))
        found = find_allocation(lab.target, address)
        if place % 0x1000 + size > 0x1000:
            assert found.block != place
        else:
            assert (found.block, found.tag, found.allocated) == (place, tag, tag is not None)
