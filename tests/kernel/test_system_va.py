"""What the slots of the system's address space are used for."""

from __future__ import annotations

import pytest
from dumpkit.kernel.system_va import region_of, system_va_types

from tests.forge.target import MachineTarget
from tests.kernel.pool.lab import NONPAGED, OTHER, PAGED_AREA, SPECIAL_AREA, ClassicLab, HeapLab, bare_machine


@pytest.mark.parametrize("lab", [HeapLab(19041), HeapLab(22000), ClassicLab(17763), ClassicLab(9600)])
@pytest.mark.parametrize(
    "address, name, type",
    [
        (NONPAGED, "Nonpaged pool", "NonPagedPool"),
        (PAGED_AREA + 0x12345, "Paged pool", "PagedPool"),
        (SPECIAL_AREA, "Special pool", "SpecialPoolPaged"),
        (OTHER, "Unknown", "Unused"),
    ],
)
def test_a_region_has_the_name_that_the_debugger_gives_it(lab, address, name, type):
    region = region_of(lab.target, address)
    assert (region.name, region.type) == (name, type)
    assert region.is_pool == (name != "Unknown")


def test_a_region_takes_all_neighbouring_slots_of_its_type():
    lab = HeapLab()
    region = region_of(lab.target, PAGED_AREA)
    assert (region.base, region.end) == (0xFFFFD80000000000, 0xFFFFD88000000000)
    rest = region_of(lab.target, 0xFFFFFFFFFFFFF000)
    assert rest.end == 0 and rest.base == 0xFFFFD88000000000


def test_regions_are_listed_by_name():
    types = system_va_types(HeapLab().target)
    assert [region.base for region in types.of_type(lambda name: name.endswith("aged pool"))] == [
        0xFFFFA08000000000,
        0xFFFFD80000000000,
    ]


@pytest.mark.parametrize("address, reason", [(0x7FF612340000, "user space"), (0x800000000000, "not canonical")])
def test_addresses_below_the_kernels_are_unknown(address, reason):
    region = region_of(HeapLab().target, address)
    assert region.name == "Unknown" and reason in region.evidence


def test_a_table_behind_a_null_pointer_is_taken_from_mistate():
    lab = HeapLab()
    types = lab.machine.read(lab.machine.u64(lab.machine.address("MiVisibleState")), 0xCC0)
    lab.machine.set_global("MiVisibleState", 0)
    place = lab.machine.address("MiState") + lab.machine.layouts.offset("_MI_SYSTEM_INFORMATION", "Vs")
    lab.machine.put(place, types)
    region = region_of(lab.target, PAGED_AREA)
    assert region.name == "Paged pool" and region.evidence.startswith("_MI_SYSTEM_INFORMATION.Vs.SystemVaType[")


def test_a_table_that_is_not_in_the_dump_makes_every_region_unknown_and_says_why():
    lab = HeapLab()
    lab.target.lose(lab.machine.address("MiVisibleState"))
    region = region_of(lab.target, PAGED_AREA)
    assert (
        region.name == "Unknown" and "nt!MiVisibleState cannot be read: the test took the page away" in region.evidence
    )


def test_kernels_without_a_table_have_ranges_in_variables():
    machine = bare_machine(19041)
    target = MachineTarget(machine)
    target.symbols.without |= {"MiVisibleState", "MiState"}
    ranges = {
        "MmPagedPool": (0xFFFFF8A000000000, 0xFFFFF8C000000000),
        "MmNonPagedPool": (0xFFFFFA8000000000, 0xFFFFFA9000000000),
    }
    for number, (name, (start, end)) in enumerate(ranges.items()):
        for suffix, value in (("Start", start), ("End", end)):
            machine.globals[name + suffix] = place = 0xFFFFF80311000000 + number * 32 + (8 if suffix == "End" else 0)
            machine.put_u64(place, value)
    assert region_of(target, 0xFFFFF8A012345000).name == "Paged pool"
    assert region_of(target, 0xFFFFFA8012345000).name == "Nonpaged pool"
    assert region_of(target, 0xFFFFF98012345000).name == "Unknown"
    assert [region.name for region in system_va_types(target).of_type(lambda name: True)] == [
        "Paged pool",
        "Nonpaged pool",
    ]
