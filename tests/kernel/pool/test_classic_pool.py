"""Pages of the pool before the segment heap."""

from __future__ import annotations

import pytest
from dumpkit.kernel.pool import find_allocation
from dumpkit.kernel.pool.pools import pools_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.forge.pool import PAGED_TYPE, Block, classic_page, free_list, put_pool_header
from tests.kernel.pool.lab import NONPAGED, OTHER, PAGED_AREA, ClassicLab, shown

PAGE = PAGED_AREA + 0x5000
BLOCKS = [
    Block(0x60, "MmDT"),
    Block(0x120, "Mm  ", False),
    Block(0x700, "ObDi"),
    Block(0x80, "Symt", True),
    Block(0x700, "File"),
]


@pytest.fixture(params=(17763, 9600))
def lab(request) -> ClassicLab:
    return ClassicLab(request.param)


def test_a_page_is_listed_block_by_block(lab):
    places = classic_page(lab.machine, PAGE, BLOCKS, PAGED_TYPE)
    page = pools_of(lab.target).page(places[2] + 0x123)
    assert (page.allocator, page.region_name, page.corruption) == ("classic", "Paged pool", None)
    assert shown(page.blocks) == [
        (place, block.size, block.allocated, block.tag if block.allocated else None)
        for place, block in zip(places, BLOCKS)
    ]
    assert [block.previous_size for block in page.blocks] == [0, 0x60, 0x120, 0x700, 0x80]
    assert page.block is not None and page.block.address == places[2]


def test_a_free_block_keeps_the_tag_that_it_had(lab):
    places = classic_page(lab.machine, PAGE, BLOCKS)
    found = find_allocation(lab.target, places[1])
    assert (found.allocated, found.tag) == (False, "Mm  ")


def test_a_free_block_is_held_against_its_list(lab):
    places = classic_page(lab.machine, PAGE, [Block(0x800, "Aaaa", False), Block(0x800, "Bbbb", False)])
    head = lab.machine.allocate(16)
    free_list(lab.machine, head, places)
    assert "it is in a list of free blocks" in find_allocation(lab.target, places[0]).evidence
    lab.machine.put_u64(head + 8, 0x4141414141414141)
    assert "its links to the list of free blocks are broken" in find_allocation(lab.target, places[1]).problems


def test_the_process_whose_quota_was_charged_is_decoded(lab):
    process = 0xFFFFA08F31337080
    places = classic_page(lab.machine, PAGE, [Block(0xF00, "Toke", True, process), Block(0x100, "Rest", False)])
    assert find_allocation(lab.target, places[0]).process == process


def test_a_kernel_without_a_quota_cookie_has_the_process_as_it_is(lab):
    process = 0xFFFFA08F31337080
    lab.machine.set_global("ExpPoolQuotaCookie", 0)
    lab.target.symbols.without.add("ExpPoolQuotaCookie")
    places = classic_page(lab.machine, PAGE, [Block(0xF00, "Toke"), Block(0x100, "Rest", False)])
    put_pool_header(lab.machine, places[0], 0xF00, "Toke", 0xB)
    lab.machine.put_u64(places[0] + 8, process)
    assert find_allocation(lab.target, places[0]).process == process


@pytest.mark.parametrize(
    "member, value, kind, words",
    [
        ("PreviousSize", 0x41, "previous size", "its previous size is 0x410, the block before has 0x120"),
        ("BlockSize", 0, "zero", "its block size is zero"),
        ("BlockSize", 0xFF, "too large", "its block of 0xff0 bytes is too large for the page"),
    ],
)
def test_a_damaged_header_is_named_and_the_rest_of_the_page_still_listed(lab, member, value, kind, words):
    places = classic_page(lab.machine, PAGE, BLOCKS)
    lab.machine.view("_POOL_HEADER", places[2])[member] = value
    page = pools_of(lab.target).page(places[4])
    assert page.corruption is not None
    assert (page.corruption.address, page.corruption.kind, page.corruption.resumes) == (places[2], kind, places[3])
    assert words in page.problems[0]
    assert [block.address for block in page.blocks] == list(places)
    assert page.block is not None and page.block.address == places[4]
    hit = find_allocation(lab.target, places[2] + 0x10)
    assert (hit.allocated, hit.start, hit.end) == (None, places[2], places[3])


def test_a_block_that_lies_about_its_size_leads_to_the_header_that_contradicts_it(lab):
    places = classic_page(lab.machine, PAGE, BLOCKS)
    lab.machine.view("_POOL_HEADER", places[0])["BlockSize"] = 0x18
    page = pools_of(lab.target).page(PAGE)
    assert page.corruption is not None and page.corruption.kind == "previous size"
    assert page.corruption.address == places[2]


def test_a_page_of_zeros_is_no_pool(lab):
    lab.machine.put(PAGE, bytes(0x1000))
    page = pools_of(lab.target).page(PAGE + 0x80)
    assert page.allocator is None and page.corruption is not None and page.corruption.kind == "zero"


def test_a_page_that_is_not_there_is_no_pool(lab):
    page = pools_of(lab.target).page(OTHER + 0xC08)
    assert (page.allocator, page.is_readable) == (None, False)
    assert "the page cannot be read: not mapped" in page.problems


def test_large_allocations_are_told_by_the_table_of_big_pages(lab):
    machine = lab.machine
    table = machine.allocate(0x1000 * machine.layouts.size("_POOL_TRACKER_BIG_PAGES"), 0x1000)
    machine.set_global("PoolBigPageTable", table)
    machine.set_global("PoolBigPageTableSize", 0x1000)
    place = NONPAGED + 0x7000
    page = place >> 12
    slot = (page >> 24 ^ page >> 16 ^ page >> 8 ^ page) & 0xFFF
    entry = machine.view("_POOL_TRACKER_BIG_PAGES", table + slot * machine.layouts.size("_POOL_TRACKER_BIG_PAGES"))
    entry.set({"Va": place, "Key": int.from_bytes(b"Big ", "little"), "NumberOfBytes": 0x3210})
    machine.put(place, b"\x7f" * 0x4000)
    for step in (0, 0x1234, 0x320F):
        found = find_allocation(lab.target, place + step)
        assert (found.allocator, found.block, found.size, found.tag) == ("large", place, 0x3210, "Big ")
    entry["Va"] = place | 1
    assert find_allocation(lab.target, place).allocator is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_every_address_of_a_random_page_is_found_in_its_block(data):
    lab = ClassicLab()
    blocks, left = [], 0x1000
    while left:
        size = min(data.draw(st.integers(2, 0xFF)) * 16, left, 0xFF0)
        size = left if left - size < 0x20 and left <= 0xFF0 else size
        size -= 0x10 if left - size == 0x10 else 0
        blocks.append(Block(size, f"B{len(blocks):03}", data.draw(st.booleans())))
        left -= size
    places = classic_page(lab.machine, PAGE, blocks)
    for place, block in zip(places, blocks):
        found = find_allocation(lab.target, place + data.draw(st.integers(0, block.size - 1)))
        assert (found.block, found.size, found.allocated, found.tag) == (place, block.size, block.allocated, block.tag)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(min_size=1, max_size=0x200), st.integers(0, 0xFFF), st.integers(0, 0xFFF))
def test_random_damage_never_raises_and_every_answer_is_in_bounds(junk, where, asked):
    lab = ClassicLab()
    classic_page(lab.machine, PAGE, BLOCKS)
    lab.machine.put(PAGE + where, junk[: 0x1000 - where])
    found = find_allocation(lab.target, PAGE + asked)
    assert found.block is None or found.start <= found.address < found.end
