"""What a heap does not cut into blocks: ranges of their own, large allocations, special pool."""

from __future__ import annotations

from typing import List

import pytest
from dumpkit.kernel.pool import find_allocation

from tests.forge.pool import NON_PAGED_NX, PAGED, PAGED_TYPE, SPECIAL_NODE, special_page
from tests.kernel.pool.lab import PAGED_AREA, SPECIAL_AREA, HeapLab

BUILDS = (19041, 22000, 22621)


@pytest.fixture(params=BUILDS)
def lab(request) -> HeapLab:
    return HeapLab(request.param)


def test_a_range_of_its_own_is_found_from_every_page(lab):
    segment = lab.pool.segment(PAGED, PAGED_AREA)
    big = segment.big(0x2800, "Toke", PAGED_TYPE)
    for step in (0, 0x1000, 0x27FF, 0x2FFF):
        found = find_allocation(lab.target, big + step)
        assert (found.allocator, found.block, found.size, found.tag) == ("big", big, 0x2800, "Toke")


def test_a_range_without_an_entry_of_the_tracker_has_no_tag(lab):
    big = lab.pool.segment(PAGED, PAGED_AREA).big(0x3000, "Toke", PAGED_TYPE)
    lab.machine.set_global("PoolBigPageTable", lab.machine.allocate(0x2000, 0x1000))
    found = find_allocation(lab.target, big + 0x1000)
    assert (found.block, found.size, found.tag) == (big, 0x3000, None)
    assert "PoolBigPageTable has no entry for it" in found.problems


@pytest.mark.parametrize("encoded", [None, "tree", "node"])
def test_large_allocations_are_found_in_the_tree(lab, encoded):
    places = [0xFFFFD80120000000 + step * 0x1000000 for step in (4, 2, 6, 1, 3, 5, 7)]
    for place in places:
        lab.pool.large(PAGED, place, 0x23000, "V2lg", PAGED_TYPE)
    if encoded is not None:
        encode_tree(lab, encoded)
    for place in places:
        found = find_allocation(lab.target, place + 0x22FFF)
        assert (found.allocator, found.block, found.size, found.tag) == ("large", place, 0x23000, "V2lg")
    assert find_allocation(lab.target, places[0] + 0x23000).allocator is None


def encode_tree(lab: HeapLab, way: str) -> None:
    """Encode the links of the tree of large allocations, with the tree's address or with each node's."""
    machine = lab.machine
    heap = lab.pool.heap(PAGED)
    tree = heap.at("LargeAllocMetadata")
    waiting: List[int] = [heap["LargeAllocMetadata.Root"]]
    while waiting:
        node = machine.view("_HEAP_LARGE_ALLOC_DATA", waiting.pop())
        for side in ("TreeNode.Left", "TreeNode.Right"):
            if node[side]:
                waiting.append(node[side])
                node[side] = node[side] ^ (tree if way == "tree" else node.address)
    heap["LargeAllocMetadata.Root"] = heap["LargeAllocMetadata.Root"] ^ tree
    heap["LargeAllocMetadata.Encoded"] = 1


def test_a_cut_tree_of_large_allocations_is_told(lab):
    lab.pool.large(PAGED, 0xFFFFD80120000000, 0x4000, "V2lg", PAGED_TYPE)
    lab.machine.set_global("PoolBigPageTableSize", 0)
    lab.target.lose(lab.pool.heap(PAGED)["LargeAllocMetadata.Root"])
    found = find_allocation(lab.target, 0xFFFFD80120000000)
    assert found.block is None and any("tree of large allocations" in text for text in found.problems)


def test_a_special_heaps_page_is_special_pool(lab):
    page = lab.pool.segment(NON_PAGED_NX, SPECIAL_AREA & -0x100000, node=SPECIAL_NODE).range(1, 3)
    data = special_page(lab.machine, page, 0x4F0, "Scbf")
    found = find_allocation(lab.target, data + 0x10)
    assert (found.allocator, found.region, found.block, found.data) == ("special", "Special pool", page, data)
    assert (found.size, found.tag, found.allocated, found.paged) == (0x4F0, "Scbf", True, False)


def test_freed_special_pool_is_told_by_its_heap(lab):
    lab.pool.segment(NON_PAGED_NX, SPECIAL_AREA & -0x100000, node=SPECIAL_NODE).range(1, 3)
    found = find_allocation(lab.target, (SPECIAL_AREA & -0x100000) + 0x9123)
    assert (found.allocator, found.allocated, found.data) == ("special", False, None)
