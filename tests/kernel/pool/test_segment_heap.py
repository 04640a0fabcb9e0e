"""Blocks of the segment heap's allocators: found where the forge put them, whatever is damaged or missing around."""

from __future__ import annotations

from functools import cache
from typing import List, Tuple

import pytest
from dumpkit.kernel.pool import find_allocation
from dumpkit.kernel.pool.pools import pools_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.forge.pool import MMST, NON_PAGED_NX, PAGED, PAGED_TYPE
from tests.kernel.pool.lab import NONPAGED, OTHER, PAGED_AREA, HeapLab, mapped_pages, shown

BUILDS = (19041, 22000, 22621)


@pytest.fixture(params=BUILDS)
def lab(request) -> HeapLab:
    return HeapLab(request.param)


# --- VS --------------------------------------------------------------------------------


def test_a_vs_page_lists_its_chunks_as_the_debugger_does(lab):
    vs = lab.pool.segment(PAGED, PAGED_AREA).vs(16)
    vs.fill(0x10)
    first = vs.allocate(0x880, "MmSt", PAGED_TYPE)
    free = vs.fill()
    behind = vs.allocate(0x200, "Next", PAGED_TYPE)
    page = pools_of(lab.target).page(first + 0x20)
    assert (page.allocator, page.region_name) == ("VS", "Paged pool")
    assert shown(page.blocks) == [(first, 0x880, True, "MmSt"), (free, 0x760, False, None)]
    # The pair of headers that ends the page belongs to the next one's listing.
    assert first % 0x1000 == 0 and behind % 0x1000 == 0xFF0
    assert shown(pools_of(lab.target).page(behind + 0x20).blocks)[0] == (behind, 0x200, True, "Next")
    assert find_allocation(lab.target, behind).block == behind


def test_a_free_chunks_tag_is_a_part_of_its_encoded_header(lab):
    vs = lab.pool.segment(PAGED, PAGED_AREA).vs(4)
    vs.allocate(0x100, "Aaaa")
    free = vs.free(0x400)
    block = pools_of(lab.target).page(free).block
    assert block is not None and block.tag == lab.machine.u64(free) >> 32


def test_a_free_chunk_of_many_pages_is_found_from_each_of_them(lab):
    vs = lab.pool.segment(NON_PAGED_NX, NONPAGED).vs(32)
    vs.allocate(0x100, "Aaaa")
    vs.fill()
    free = vs.free(0x8020)
    vs.allocate(0x100, "Bbbb")
    for step in range(9):
        found = find_allocation(lab.target, free + step * 0x1000)
        assert (found.block, found.size, found.allocated, found.tag) == (free, 0x8020, False, None)


def test_an_allocation_of_more_than_a_page_is_told_by_the_table_of_big_pages(lab):
    vs = lab.pool.segment(PAGED, PAGED_AREA).vs(32)
    vs.fill(0x10)
    data = vs.allocate(0x5000, "BigV", PAGED_TYPE)
    for step in (0, 0x1234, 0x4FFF):
        found = find_allocation(lab.target, data + step)
        assert (found.allocator, found.block, found.size, found.tag) == ("VS", data, 0x5000, "BigV")
        assert found.paged is True and found.data == data


def test_the_process_whose_quota_was_charged_is_decoded(lab):
    vs = lab.pool.segment(PAGED, PAGED_AREA).vs(4)
    header = vs.allocate(0x100, "Toke", PAGED_TYPE, process=0xFFFFA08F31337080)
    assert find_allocation(lab.target, header).process == 0xFFFFA08F31337080


def test_a_protected_tag_is_shown_without_its_bit(lab):
    vs = lab.pool.segment(PAGED, PAGED_AREA).vs(4)
    header = vs.allocate(0x100, "Obj\xf4", PAGED_TYPE)
    found = find_allocation(lab.target, header)
    assert (found.tag, found.protected) == ("Objt", True)


def test_a_block_in_a_lookaside_list_is_known_to_be_freed(lab):
    vs = lab.pool.segment(NON_PAGED_NX, NONPAGED).vs(4)
    kept = [vs.allocate(0x400, "Kept") + 0x10 for _ in range(2)]
    used = vs.allocate(0x400, "Used")
    lab.pool.keep(kept, bucket=5)
    assert [find_allocation(lab.target, block).in_lookaside for block in (*kept, used)] == [True, True, False]
    assert find_allocation(lab.target, kept[1]).allocated is True


def test_heaps_of_other_nodes_and_of_prototype_ptes_are_known(lab):
    second = lab.pool.segment(NON_PAGED_NX, NONPAGED, node=1).vs(4).allocate(0x100, "Node")
    proto = lab.pool.segment(MMST, PAGED_AREA).vs(4).allocate(0x100, "MmSt", PAGED_TYPE)
    found = find_allocation(lab.target, second)
    assert (found.heap_kind, found.node, found.paged) == ("NonPagedNx", 1, False)
    found = find_allocation(lab.target, proto)
    assert (found.heap_kind, found.node, found.paged) == ("MmSt", 0, True)


def test_a_segment_of_16_megabytes_has_units_of_64_kilobytes(lab):
    segment = lab.pool.segment(NON_PAGED_NX, 0xFFFFA08F25000000, 1)
    big = segment.big(0x90000, "Huge")
    vs = segment.vs(2).allocate(0x300, "Some")
    assert find_allocation(lab.target, big + 0x8F123).block == big
    assert find_allocation(lab.target, vs + 0x2FF).tag == "Some"


def test_free_units_and_a_segments_header_are_no_allocation(lab):
    segment = lab.pool.segment(NON_PAGED_NX, NONPAGED)
    segment.vs(4)
    for address, allocated in ((NONPAGED + 0x80000, False), (NONPAGED + 0x10, None)):
        found = find_allocation(lab.target, address)
        assert (found.allocator, found.allocated) == (None, allocated)
        assert found.heap == lab.pool.heap(NON_PAGED_NX).address
    assert "the segment's own header" in found.problems


def test_an_address_outside_the_pools_is_nobodys(lab):
    lab.pool.track(OTHER, 0)
    found = find_allocation(lab.target, OTHER)
    assert (found.allocator, found.block, found.region) == (None, None, "Unknown")


def test_what_was_learnt_of_a_live_kernel_is_not_kept(lab):
    vs = lab.pool.segment(NON_PAGED_NX, NONPAGED).vs(4)
    header = vs.allocate(0x100, "Once")
    assert pools_of(lab.target) is pools_of(lab.target)
    lab.target.kind = "live kernel"
    assert find_allocation(lab.target, header).tag == "Once"
    after = vs.allocate(0x100, "Then")
    assert find_allocation(lab.target, after).tag == "Then"
    assert pools_of(lab.target) is not pools_of(lab.target)


# --- Damage ------------------------------------------------------------------------------


def overrun(lab: HeapLab) -> Tuple[int, int, int, int]:
    """A page in which a record was written too far: the record, the damaged chunk, the next one, the one behind."""
    vs = lab.pool.segment(NON_PAGED_NX, NONPAGED).vs(16)
    vs.allocate(0x200, "Even")
    record = vs.allocate(0x110, "Ovrn")
    damaged = vs.next
    hit = vs.allocate(0x300, "Irp ")
    free = vs.free(0x60)
    last = vs.allocate(0x140, "File")
    vs.fill()
    lab.machine.put(record + 0x10, b"A" * (hit - record - 0x10))
    return record, damaged, free, last


def test_a_damaged_header_is_named_and_the_next_sound_one_found(lab):
    record, damaged, free, last = overrun(lab)
    page = pools_of(lab.target).page(damaged)
    block = page.block
    assert block is not None and (block.start, block.end, block.allocated) == (damaged, free, None)
    assert block.problems[0] == "its header is damaged; the next header confirms its size"
    assert block.problems[1] == "the POOL_HEADER behind it is sound: Irp , 0x300 bytes"
    assert find_allocation(lab.target, record + 0x80).tag == "Ovrn"
    assert find_allocation(lab.target, free + 0x20).allocated is False
    assert find_allocation(lab.target, last + 0x20).tag == "File"


def test_a_damaged_pool_header_leaves_the_chunks_size(lab):
    vs = lab.pool.segment(NON_PAGED_NX, NONPAGED).vs(4)
    header = vs.allocate(0x180, "Good")
    lab.machine.put(header, b"\xff" * 16)
    block = pools_of(lab.target).page(header).block
    assert block is not None and block.size == 0x180 and "its POOL_HEADER is damaged" in block.problems[0]


def test_a_damaged_subsegment_header_costs_a_line_and_no_block(lab):
    vs = lab.pool.segment(NON_PAGED_NX, NONPAGED).vs(4)
    header = vs.allocate(0x180, "Good")
    lab.machine.view("_HEAP_VS_SUBSEGMENT", vs.address)["Signature"] = 0x123
    found = find_allocation(lab.target, header)
    assert found.tag == "Good" and any("its signature is wrong" in problem for problem in found.problems)


def test_a_damaged_segment_signature_is_made_up_for_by_the_heaps_list(lab):
    segment = lab.pool.segment(NON_PAGED_NX, NONPAGED)
    header = segment.vs(4).allocate(0x180, "Good")
    segment.header["Signature"] = 0x4141414141414141
    found = find_allocation(lab.target, header)
    assert found.tag == "Good" and any(
        "is damaged: its signature names no pool heap" in text for text in found.problems
    )


def test_a_damaged_descriptor_is_told_and_used(lab):
    segment = lab.pool.segment(NON_PAGED_NX, NONPAGED)
    header = segment.vs(4).allocate(0x180, "Good")
    segment.header["DescArray[2].TreeSignature"] = 0
    found = find_allocation(lab.target, header)
    assert found.tag == "Good" and "the descriptor of unit 2 is damaged: it has no signature" in found.problems


def test_an_interior_descriptor_that_leads_nowhere_is_told(lab):
    segment = lab.pool.segment(NON_PAGED_NX, NONPAGED)
    vs = segment.vs(4)
    segment.header["DescArray[3].UnitOffset"] = 200
    found = find_allocation(lab.target, vs.address + 0x1800)
    assert found.allocator is None
    assert any("leads outside its segment (UnitOffset 200)" in problem for problem in found.problems)


def test_a_list_of_segments_that_loops_ends(lab):
    segment = lab.pool.segment(NON_PAGED_NX, NONPAGED)
    segment.vs(4).allocate(0x180, "Good")
    lab.machine.put_u64(segment.header.at("ListEntry"), segment.header.at("ListEntry"))
    lab.machine.set_global("RtlpHpHeapGlobals", bytes(16))
    segment.header["Signature"] = 0
    assert find_allocation(lab.target, NONPAGED + 0x2100).region == "Nonpaged pool"


# --- Missing pages -------------------------------------------------------------------------


def good_block(lab: HeapLab) -> int:
    vs = lab.pool.segment(NON_PAGED_NX, NONPAGED).vs(16)
    vs.allocate(0xF00, "Frst")
    vs.fill()
    vs.allocate(0x200, "Aaaa")
    header = vs.allocate(0x180, "Good")
    vs.allocate(0x200, "Bbbb")
    vs.fill()
    return header


@pytest.mark.parametrize(
    "missing, reason, found",
    [
        (lambda lab: lab.machine.address("RtlpHpHeapGlobals"), "computed from a segment's signature", "Good"),
        (lambda lab: lab.pool.state.address, "bitmap cannot be read", "Good"),
        (lambda lab: 0xFFFFD50000000000 + (NONPAGED - 0xFFFF800000000000 >> 20) // 4, "bitmap cannot be read", "Good"),
        (lambda lab: NONPAGED, "segment header at ffffa08f24000000 cannot be read", "Good"),
        (lambda lab: NONPAGED + 0x2000, "VS subsegment's header at ffffa08f24002000 cannot be read", "Good"),
        (lambda lab: NONPAGED + 0x3000, "the test took the page away", None),
        (lambda lab: lab.pool.heap(NON_PAGED_NX).address, "", "Good"),
        (lambda lab: lab.machine.address("PoolBigPageTable"), "", "Good"),
        (lambda lab: lab.machine.address("ExpPoolQuotaCookie"), "", "Good"),
    ],
    ids=["globals", "state", "tracker", "segment", "subsegment", "page", "heap", "big pages", "cookie"],
)
def test_a_missing_page_at_any_step_costs_what_it_holds_and_no_more(lab, missing, reason, found):
    header = good_block(lab)
    lab.target.lose(missing(lab))
    answer = find_allocation(lab.target, header + 0x20)
    assert answer.tag == found
    assert any(reason in text for text in answer.problems) or not reason


def test_without_the_heaps_types_big_pages_are_still_found(lab):
    lab.pool.large(PAGED, 0xFFFFD80120000000, 0x4000, "V2lg", PAGED_TYPE)
    lab.target.symbols.without.add("_SEGMENT_HEAP")
    found = find_allocation(lab.target, 0xFFFFD80120002345)
    assert (found.allocator, found.block, found.tag) == ("large", 0xFFFFD80120000000, "V2lg")


@pytest.mark.parametrize(
    "name", ["_HEAP_VS_CHUNK_HEADER", "_HEAP_SEG_CONTEXT", "_HEAP_PAGE_RANGE_DESCRIPTOR", "_RTLP_HP_HEAP_GLOBALS"]
)
def test_a_missing_type_is_a_clear_line_and_no_defect(lab, name):
    header = good_block(lab)
    lab.target.symbols.without.add(name)
    found = find_allocation(lab.target, header)
    assert (found.allocator, found.block) in ((None, None), ("VS", header))
    assert any(name in problem for problem in found.problems)


# --- Random pages ---------------------------------------------------------------------------


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(BUILDS), st.integers(1, (1 << 64) - 1))
def test_every_address_of_a_random_vs_subsegment_is_found_in_its_chunk(data, build, key):
    lab = HeapLab(build)
    lab.pool.heap_key = key
    lab.machine.put_u64(lab.machine.address("RtlpHpHeapGlobals"), key)
    vs = lab.pool.segment(NON_PAGED_NX, NONPAGED).vs(8)
    truth = []
    for number in range(data.draw(st.integers(1, 40))):
        size = data.draw(st.integers(2, 0xFF)) * 16
        start = vs.next
        room = 0x1000 - (start + 0x10) % 0x1000
        if start + size + 0x20 > vs.address + vs.size:
            break
        if data.draw(st.booleans()) or (size > room and room != 0x10):
            vs.free(size)
            truth.append((start, vs.next, None))
        else:
            vs.allocate(size, f"T{number:03}")
            truth.append((start, vs.next, f"T{number:03}"))
    for start, end, tag in truth:
        for address in {start, start + 8, data.draw(st.integers(start, end - 1)), end - 1}:
            found = find_allocation(lab.target, address)
            assert (found.start, found.end, found.tag, found.allocated) == (start, end, tag, tag is not None)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sets(st.integers(0, 60), max_size=12), st.sampled_from(BUILDS))
def test_whatever_pages_are_missing_no_answer_is_wrong(lost, build):
    lab, header, place, large = lab_of_three(build)
    pages = pages_of(build)
    for number in lost:
        lab.target.lose(pages[number * len(pages) // 61])
    for address, block, tag in ((header + 8, header, "Good"), (place, place, "CM31"), (large + 0x5000, large, "V2lg")):
        found = find_allocation(lab.target, address)
        assert (found.block, found.tag) in ((block, tag), (block, None), (None, None)) or found.allocated is None


def lab_of_three(build: int) -> Tuple[HeapLab, int, int, int]:
    """A machine with a VS, an LFH and a large allocation."""
    lab = HeapLab(build)
    header = good_block(lab)
    place = lab.pool.segment(PAGED, PAGED_AREA).lfh(1, 0x60, ["CM31"], PAGED_TYPE)[0]
    lab.pool.large(PAGED, 0xFFFFD80120000000, 0x14000, "V2lg", PAGED_TYPE)
    return lab, header, place, 0xFFFFD80120000000


@cache
def pages_of(build: int) -> List[int]:
    """The pages of that machine: the same calls give the same ones."""
    return mapped_pages(lab_of_three(build)[0])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(min_size=1, max_size=0x400), st.integers(0, 0x1FFFF), st.integers(0, 0xFFFF))
def test_random_damage_never_raises_and_every_answer_is_in_bounds(junk, where, asked):
    lab = HeapLab()
    good_block(lab)
    lab.pool.segment(PAGED, PAGED_AREA).lfh(1, 0x60, ["CM31", None], PAGED_TYPE)
    lab.machine.put(NONPAGED + where, junk)
    found = find_allocation(lab.target, NONPAGED + asked)
    assert found.block is None or (found.start <= found.address < found.end)
