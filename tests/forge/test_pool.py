"""Pool pages of the forge, read back by the rules that readers of real pools follow."""

from __future__ import annotations

import pytest

from tests.forge.machine import Machine
from tests.forge.pool import BIG, LFH, NON_PAGED_NX, PAGED, PAGED_TYPE, VS, Block, Pool, classic_page, tag_value
from tests.forge.test_machine import Small

SEGMENT = 0xFFFFC98600000000
MAGIC = 0xA2E64EADA2E64EAD


@pytest.fixture(params=(19041, 22621))
def pool(request) -> Pool:
    return Pool(Small(request.param).machine)


def find_range(pool: Pool, address: int):
    """(segment's context address, descriptor, start of the range) of an address, found as PoolViewer does."""
    machine = pool.machine
    segment = machine.view("_HEAP_PAGE_SEGMENT", address & -0x100000)
    context = segment["Signature"] ^ pool.heap_key ^ segment.address ^ MAGIC
    index = address - segment.address >> 12
    descriptor = segment.member(f"DescArray[{index}]")
    if descriptor["RangeFlags"] == 1:
        index -= descriptor["UnitOffset"]
        descriptor = segment.member(f"DescArray[{index}]")
    assert descriptor["TreeSignature"] == 0xCCDDCCDD
    return context, descriptor, segment.address + (index << 12)


def chunks(pool: Pool, start: int, count: int):
    """(address, size, allocated) of the chunks of a VS subsegment."""
    machine = pool.machine
    header = machine.view("_HEAP_VS_SUBSEGMENT", start)
    assert header["Signature"] == (header["Size"] ^ 0x2BED) & 0x7FFF
    at = start + 0x30
    for _ in range(count):
        raw = machine.u64(at) ^ pool.heap_key ^ at
        size = (raw >> 16 & 0xFFFF) << 4
        yield at, size, bool(raw >> 48 & 0xFF)
        at += size


def test_a_vs_page_decodes_to_its_chunks(pool):
    vs = pool.segment(PAGED, SEGMENT).vs(4)
    first = vs.allocate(0x880, "MmSt", PAGED_TYPE)
    free = vs.free(0x40)
    second = vs.allocate(0x100, "File", PAGED_TYPE)
    rest = vs.fill()
    context, descriptor, start = find_range(pool, second)
    assert context == pool.heap(PAGED).at("SegContexts[0]")
    assert descriptor["RangeFlags"] == VS and start == vs.address
    found = list(chunks(pool, start, 4))
    assert [(at, busy) for at, _, busy in found] == [
        (first - 16, True),
        (free, False),
        (second - 16, True),
        (rest, False),
    ]
    assert found[0][1] == 0x890 and (rest + found[3][1]) & 0xFFF == 0xFE0
    header = pool.machine.view("_POOL_HEADER", first)
    assert (header["BlockSize"], header["PoolTag"], header["PreviousSize"]) == (0x88, tag_value("MmSt"), 0)


def test_an_allocation_may_not_cross_a_page(pool):
    vs = pool.segment(PAGED, SEGMENT).vs(4)
    vs.allocate(0xF00, "Aaaa")
    with pytest.raises(ValueError, match="would cross a page"):
        vs.allocate(0x200, "Bbbb")
    vs.fill()
    # A pair of headers may end the page whose data begins the next one.
    assert vs.allocate(0x200, "Cccc") & 0xFFF == 0xFF0


def test_an_lfh_page_decodes_to_its_blocks(pool):
    places = pool.segment(NON_PAGED_NX, SEGMENT).lfh(1, 0x60, ["Irp ", None, "Even"])
    machine = pool.machine
    _, descriptor, start = find_range(pool, places[0])
    assert descriptor["RangeFlags"] == LFH
    header = machine.view("_HEAP_LFH_SUBSEGMENT", start)
    decoded = header["BlockOffsets.EncodedData"] ^ pool.lfh_key & 0xFFFFFFFF ^ start >> 12 & 0xFFFFFFFF
    assert (decoded & 0xFFFF, start + (decoded >> 16)) == (0x60, places[0])
    assert header["BlockBitmap[0]"] == 0b010001
    assert machine.view("_POOL_HEADER", places[2])["PoolTag"] == tag_value("Even")


def big_entry(machine: Machine, address: int):
    size = machine.u64(machine.address("PoolBigPageTableSize"))
    table = machine.u64(machine.address("PoolBigPageTable"))
    mixed = (address >> 12 & 0xFFFFFFFF) * 0x9E5F
    slot = (mixed ^ mixed >> 32) & size - 1
    while True:
        entry = machine.view("_POOL_TRACKER_BIG_PAGES", table + slot * machine.layouts.size("_POOL_TRACKER_BIG_PAGES"))
        if entry["Va"] == address:
            return entry
        assert entry["Va"] != 1
        slot = (slot + 1) % size


def test_big_and_large_allocations_are_in_the_table_of_big_pages(pool):
    big = pool.segment(PAGED, SEGMENT).big(0x2800, "Big ", PAGED_TYPE)
    _, descriptor, start = find_range(pool, big)
    assert descriptor["RangeFlags"] == BIG and start == big and descriptor["UnitSize"] == 3
    assert big_entry(pool.machine, big)["NumberOfBytes"] == 0x2800
    for number in (2, 1, 3):
        pool.large(PAGED, SEGMENT + number * 0x1000000, 0x4000, "V2lg", PAGED_TYPE)
    entry = big_entry(pool.machine, SEGMENT + 0x1000000)
    assert (entry["Key"], entry["NumberOfBytes"], entry["PoolType"]) == (tag_value("V2lg"), 0x4000, 1)
    root = pool.machine.view("_HEAP_LARGE_ALLOC_DATA", pool.heap(PAGED)["LargeAllocMetadata.Root"])
    left, right = (pool.machine.view(root.type, root[f"TreeNode.{side}"]) for side in ("Left", "Right"))
    assert [each["VirtualAddress"] >> 24 & 3 for each in (left, root, right)] == [1, 2, 3]
    assert left["AllocatedPages"] == 4


def test_the_tracker_knows_segments_and_large_allocations(pool):
    pool.segment(PAGED, SEGMENT)
    pool.segment(PAGED, SEGMENT + 0x1000000, 1)
    pool.large(PAGED, SEGMENT + 0x3000000, 0x2000, "V2lg")
    manager = pool.state.member("HeapManager")
    base, bitmap = manager["AllocTracker.BaseAddress"], manager["AllocTracker.AllocTrackerBitmap.UserBitmap"]

    def kind(address):
        bit = (address - base >> 20) * 2
        return pool.machine.read(bitmap + bit // 8, 1)[0] >> bit % 8 & 3

    assert [kind(SEGMENT + at) for at in (0, 0x100000, 0x1F00000, 0x3000000)] == [1, 0, 2, 3]


def test_a_classic_page_is_a_chain_of_headers(pool):
    page = 0xFFFFE00000001000
    places = classic_page(pool.machine, page, [Block(0x100, "Aaaa"), Block(0xF00, "Bbbb", False)])
    headers = [pool.machine.view("_POOL_HEADER", place) for place in places]
    assert [(header["PreviousSize"], header["BlockSize"]) for header in headers] == [(0, 0x10), (0x10, 0xF0)]
    assert [bool(header["PoolType"]) for header in headers] == [True, False]
