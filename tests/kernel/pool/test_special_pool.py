"""Special pool: an allocation in a page of its own."""

from __future__ import annotations

import pytest
from dumpkit.kernel.pool import find_allocation

from tests.forge.pool import special_page
from tests.kernel.pool.lab import SPECIAL_AREA, ClassicLab, HeapLab

PAGE = SPECIAL_AREA + 0x6000


@pytest.fixture(params=[HeapLab, ClassicLab, lambda: ClassicLab(9600)], ids=["segment heap", "17763", "9600"])
def lab(request):
    return request.param()


@pytest.mark.parametrize("size", [1, 0x10, 0x4F0, 0xFEF, 0xFF0])
@pytest.mark.parametrize("paged", [False, True])
def test_data_that_ends_with_the_page_is_found(lab, size, paged):
    data = special_page(lab.machine, PAGE, size, "Spcl", paged)
    found = find_allocation(lab.target, data)
    assert (found.allocator, found.region) == ("special", "Special pool")
    assert (found.block, found.data, found.size) == (PAGE, data, size)
    assert (found.tag, found.paged, found.allocated) == ("Spcl", paged, True)


def test_data_that_begins_the_page_is_found(lab):
    special_page(lab.machine, PAGE, 0x230, "Undr", underruns=True)
    found = find_allocation(lab.target, PAGE + 0x100)
    assert (found.data, found.size, found.tag) == (PAGE, 0x230, "Undr")


@pytest.mark.parametrize("underruns", [False, True])
def test_bytes_behind_the_data_that_are_no_filling_are_told(lab, underruns):
    data = special_page(lab.machine, PAGE, 0x4E9, "Over", underruns=underruns)
    lab.machine.put(data + 0x4E9, b"X")
    assert "bytes behind its data were overwritten" in find_allocation(lab.target, data).problems


def test_bytes_in_front_of_the_data_that_are_no_filling_are_told(lab):
    data = special_page(lab.machine, PAGE, 0x200, "Undr")
    lab.machine.put(data - 8, b"XXXX")
    assert "bytes in front of its data were overwritten" in find_allocation(lab.target, data).problems


def test_a_page_that_is_not_there_may_have_been_freed(lab):
    found = find_allocation(lab.target, PAGE + 0x123)
    assert (found.allocator, found.allocated, found.data) == ("special", None, None)
    assert "the page cannot be read: not mapped" in found.problems


def test_a_page_without_a_header_is_freed_or_damaged(lab):
    lab.machine.put(PAGE, b"\xff" * 0x1000)
    found = find_allocation(lab.target, PAGE + 0x123)
    assert found.allocated is None and any("freed or is damaged" in problem for problem in found.problems)
