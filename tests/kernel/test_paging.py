"""The page walk and virtual memory over it, on page tables that the tests build."""

from __future__ import annotations

from random import Random
from typing import Dict, List, Optional, Tuple

import pytest
from dumpkit.dump.header import parse_header
from dumpkit.dump.physical import open_physical
from dumpkit.errors import DumpFormatError, MemoryReadError
from dumpkit.kernel.paging import (
    ARM64_FOUR_LEVELS,
    X64_FIVE_LEVELS,
    X64_FOUR_LEVELS,
    PageState,
    PagingScheme,
    VirtualMemory,
    paging_scheme,
    prototype_address,
)
from dumpkit.memory import AddressSpace
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.forge.dump_files import bitmap_dump
from tests.forge.memory import PAGE_SIZE, PhysicalPages, numbered_page
from tests.forge.page_tables import (
    LARGE,
    PDE,
    PPE,
    PTE,
    PXE,
    SIZE_1G,
    SIZE_2M,
    PageTables,
    demand_zero_pte,
    page_file_pte,
    prototype_pte,
    transition_pte,
)

KERNEL = 0xFFFF_9000_0000_0000
SCHEMES = [X64_FOUR_LEVELS, X64_FIVE_LEVELS, ARM64_FOUR_LEVELS]


class Machine:
    """Physical memory and page tables in the making."""

    def __init__(self, scheme: PagingScheme = X64_FOUR_LEVELS) -> None:
        self.scheme = scheme
        self.memory = PhysicalPages()
        self.tables = PageTables(self.memory, scheme.levels, arm64=scheme is ARM64_FOUR_LEVELS)

    def page(self) -> int:
        """A new page that says its own number; its page frame number."""
        pfn = self.memory.allocate()
        self.memory.write(pfn * PAGE_SIZE, numbered_page(pfn))
        return pfn

    def physical(self) -> AddressSpace:
        data = bitmap_dump(self.memory, self.tables.root)
        return open_physical(parse_header(data), data)

    def virtual(self, mask: Optional[int] = None) -> VirtualMemory:
        return VirtualMemory(self.physical(), self.tables.root, self.scheme, mask)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_a_page_is_reached_through_every_level(scheme: PagingScheme) -> None:
    machine = Machine(scheme)
    pfn = machine.page()
    machine.tables.map(KERNEL, pfn)
    virtual = machine.virtual()
    assert virtual.read(KERNEL, PAGE_SIZE) == numbered_page(pfn)
    walk = virtual.translate(KERNEL + 0x123)
    names = ["PML5E", "PXE", "PPE", "PDE", "PTE"][-scheme.levels :]
    assert [level.name for level in walk.levels] == names
    for depth, level in enumerate(reversed(walk.levels)):
        assert level.address == machine.tables.entry_address(KERNEL, depth)
        assert level.value == machine.tables.entry(KERNEL, depth)
    assert (walk.state, walk.physical) == (PageState.VALID, pfn * PAGE_SIZE + 0x123)
    assert (walk.page_size, walk.reason) == (PAGE_SIZE, "readable")


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_large_pages_end_the_walk_early(scheme: PagingScheme) -> None:
    machine = Machine(scheme)
    base = machine.memory.allocate(512, align=512)
    machine.memory.write((base + 300) * PAGE_SIZE, numbered_page(base + 300))
    machine.tables.map(KERNEL, base, SIZE_2M)
    huge = base & ~0x3FFFF
    machine.tables.map(KERNEL + SIZE_1G, huge, SIZE_1G)
    virtual = machine.virtual()
    inside = KERNEL + 300 * PAGE_SIZE
    assert virtual.read(inside, PAGE_SIZE) == numbered_page(base + 300)
    assert virtual.translate(inside).page_size == SIZE_2M
    assert virtual.translate(inside).levels[-1].name == "PDE"
    same = KERNEL + SIZE_1G + (base - huge + 300) * PAGE_SIZE
    assert virtual.read(same, PAGE_SIZE) == numbered_page(base + 300)
    assert virtual.translate(same).page_size == SIZE_1G
    assert virtual.translate(same).levels[-1].name == "PPE"
    assert virtual.translate(same).physical == (base + 300) * PAGE_SIZE


def test_a_large_bit_at_the_top_is_reserved_and_maps_nothing() -> None:
    machine = Machine()
    machine.tables.set_entry(KERNEL, PXE, machine.tables.table_entry(5) | LARGE)
    assert machine.virtual().read_prefix(KERNEL, 1) == b""
    assert machine.virtual().explain(KERNEL) == "not present at PXE"


def test_the_bits_around_an_address_in_an_entry_do_not_matter() -> None:
    machine = Machine()
    pfn = machine.page()
    machine.tables.set_entry(KERNEL, PTE, 0x8AF0_0000_0000_0FFF & ~0x80 | pfn << 12)
    assert machine.virtual().read(KERNEL, PAGE_SIZE) == numbered_page(pfn)


@pytest.mark.parametrize(("level", "name"), [(PXE, "PXE"), (PPE, "PPE"), (PDE, "PDE"), (PTE, "PTE")])
def test_an_entry_that_is_zero_names_its_level(level: int, name: str) -> None:
    machine = Machine()
    machine.tables.set_entry(KERNEL, level, 0)
    walk = machine.virtual().translate(KERNEL)
    assert (walk.state, walk.reason, walk.physical) == (PageState.NOT_PRESENT, f"not present at {name}", None)
    assert walk.levels[-1].name == name
    with pytest.raises(MemoryReadError, match=f"virtual address {KERNEL:016x}: not present at {name}"):
        machine.virtual().read(KERNEL, 1)


def test_a_page_table_that_was_not_dumped_is_named() -> None:
    machine = Machine()
    machine.tables.map(KERNEL, machine.page())
    table = machine.tables.entry_address(KERNEL, PPE) // PAGE_SIZE
    machine.memory.remove(table)
    walk = machine.virtual().translate(KERNEL)
    assert walk.state is PageState.TABLE_MISSING
    assert walk.reason == f"page {table:x} not in the dump (it holds the PPE)"
    assert [(level.name, level.value is None) for level in walk.levels] == [("PXE", False), ("PPE", True)]


def test_a_page_that_was_not_dumped_is_named() -> None:
    machine = Machine()
    machine.tables.map(KERNEL, 0x19E511)
    walk = machine.virtual().translate(KERNEL + 8)
    assert (walk.state, walk.physical, walk.reason) == (
        PageState.VALID,
        0x19E511008,
        "page 19e511 not in the dump",
    )


def test_a_page_in_transition_is_read_where_it_lies() -> None:
    machine = Machine()
    pfn = machine.page()
    machine.tables.set_entry(KERNEL, PTE, transition_pte(pfn))
    virtual = machine.virtual()
    assert virtual.read(KERNEL, PAGE_SIZE) == numbered_page(pfn)
    assert virtual.translate(KERNEL).state is PageState.TRANSITION


def test_a_transition_bit_above_the_pte_leads_nowhere() -> None:
    machine = Machine()
    machine.tables.set_entry(KERNEL, PDE, transition_pte(machine.page()))
    assert machine.virtual().explain(KERNEL) == "not present at PDE"


@pytest.mark.parametrize("mask", [1 << 45, None], ids=["known mask", "unknown mask"])
def test_the_l1tf_bit_of_a_page_in_transition_is_taken_off(mask: Optional[int]) -> None:
    machine = Machine()
    marked, swizzled = machine.page(), machine.page()
    machine.tables.set_entry(KERNEL, PTE, transition_pte(marked) | 1 << 45)
    machine.tables.set_entry(KERNEL + PAGE_SIZE, PTE, transition_pte(swizzled) | 1 << 4)
    virtual = machine.virtual(mask)
    assert virtual.read(KERNEL, 2 * PAGE_SIZE) == numbered_page(marked) + numbered_page(swizzled)
    assert virtual.translate(KERNEL).physical == marked * PAGE_SIZE


@pytest.mark.parametrize(
    ("entry", "state", "reason"),
    [
        (page_file_pte(2, 0x1BBEDA), PageState.PAGE_FILE, "in a page file, at page 1bbeda of it"),
        (demand_zero_pte(), PageState.DEMAND_ZERO, "demand zero"),
        (0x00003E98_00000000, PageState.NOT_PRESENT, ""),
        (prototype_pte(0xFFFF_FFFF_FFFF_0000), PageState.VAD, "only the VAD describes the page"),
        (
            prototype_pte(0xFFFF_C182_CC1F_FDF8),
            PageState.PROTOTYPE,
            "prototype PTE ffffc182cc1ffdf8 has no page",
        ),
    ],
)
def test_a_pte_without_a_page_says_what_became_of_it(entry: int, state: PageState, reason: str) -> None:
    machine = Machine()
    machine.tables.set_entry(KERNEL, PTE, entry)
    virtual = machine.virtual()
    walk = virtual.translate(KERNEL)
    assert (walk.state, walk.physical) == (state, None)
    assert walk.reason == "not present at PTE" + (f" ({reason})" if reason else "")
    assert virtual.read_prefix(KERNEL, 8) == b""


def test_the_page_file_offset_is_told_without_the_l1tf_bit() -> None:
    machine = Machine()
    machine.tables.set_entry(KERNEL, PTE, page_file_pte(0, 0x77) | 1 << 45)
    assert machine.virtual(1 << 45).explain(KERNEL).endswith("at page 77 of it)")


@pytest.mark.parametrize("large", [False, True], ids=["in a 4 KB page", "in a 2 MB page"])
def test_a_prototype_pte_leads_to_its_page(large: bool) -> None:
    machine = Machine()
    pool = 0xFFFF_C182_CC00_0000
    valid, standby = machine.page(), machine.page()
    prototypes = [valid << 12 | 0x863, transition_pte(standby), demand_zero_pte(), prototype_pte(pool)]
    if large:
        base = machine.memory.allocate(512, align=512)
        machine.tables.map(pool, base, SIZE_2M)
        machine.memory.write(base * PAGE_SIZE, b"".join(p.to_bytes(8, "little") for p in prototypes))
    else:
        machine.tables.map_bytes(pool, b"".join(p.to_bytes(8, "little") for p in prototypes))
    for i in range(4):
        machine.tables.set_entry(KERNEL + i * PAGE_SIZE, PTE, prototype_pte(pool + 8 * i))
    virtual = machine.virtual()
    assert virtual.read(KERNEL, 2 * PAGE_SIZE) == numbered_page(valid) + numbered_page(standby)
    assert virtual.translate(KERNEL).state is PageState.PROTOTYPE
    assert virtual.translate(KERNEL).physical == valid * PAGE_SIZE
    assert virtual.read_prefix(KERNEL + 2 * PAGE_SIZE, 1) == b""
    assert virtual.read_prefix(KERNEL + 3 * PAGE_SIZE, 1) == b""


def test_a_prototype_pte_that_names_itself_ends() -> None:
    machine = Machine()
    machine.tables.set_entry(KERNEL, PTE, prototype_pte(KERNEL))
    assert machine.virtual().read_prefix(KERNEL, 1) == b""


def test_prototype_addresses_are_sign_extended() -> None:
    assert prototype_address(prototype_pte(0xFFFF_C182_CC1F_FDF8)) == 0xFFFF_C182_CC1F_FDF8
    assert prototype_address(prototype_pte(0x7FF6_1234_5678)) == 0x7FF6_1234_5678


@pytest.mark.parametrize("address", [0x0000_8000_0000_0000, 0xFFFF_7FFF_FFFF_FFFF, 0x1234_5678_9ABC_DEF0])
def test_addresses_that_are_not_canonical_are_called_that(address: int) -> None:
    walk = Machine().virtual().translate(address)
    assert (walk.state, walk.levels, walk.reason) == (PageState.NOT_CANONICAL, (), "not a canonical address")


def test_five_levels_reach_addresses_that_four_do_not() -> None:
    machine = Machine(X64_FIVE_LEVELS)
    pfn = machine.page()
    far = 0xFF12_3456_789A_B000
    machine.tables.map(far, pfn)
    assert machine.virtual().read(far, PAGE_SIZE) == numbered_page(pfn)
    assert VirtualMemory(machine.physical(), machine.tables.root).explain(far) == "not a canonical address"


def test_a_pcid_in_the_root_is_dropped() -> None:
    machine = Machine()
    pfn = machine.page()
    machine.tables.map(KERNEL, pfn)
    virtual = VirtualMemory(machine.physical(), machine.tables.root | 1 << 63 | 0x002)
    assert virtual.root == machine.tables.root
    assert virtual.read(KERNEL, PAGE_SIZE) == numbered_page(pfn)


def test_a_root_that_is_not_in_the_dump_explains_every_address() -> None:
    virtual = VirtualMemory(Machine().physical(), 0x1AD000)
    assert virtual.explain(KERNEL) == "page 1ad not in the dump (it holds the PXE)"
    assert virtual.next_readable(0, 1 << 64) is None


@pytest.mark.parametrize("scheme", [X64_FOUR_LEVELS, X64_FIVE_LEVELS], ids=lambda scheme: scheme.name)
def test_four_levels_and_five_are_told_apart_by_known_addresses(scheme: PagingScheme) -> None:
    machine = Machine(scheme)
    known = [0xFFFF_F802_0C2A_2770, 0xFFFF_F802_0C20_0B20]
    for address in known:
        machine.tables.map(address & -PAGE_SIZE, machine.page())
    # As in Windows, the top 512 GB hold the HAL in either.
    machine.tables.map(0xFFFF_FFFF_FFD0_0000, machine.page())
    physical = machine.physical()
    assert paging_scheme(physical, 0x8664, machine.tables.root, [0, *known]) is scheme


def test_without_known_addresses_an_x64_machine_has_four_levels() -> None:
    machine = Machine(X64_FIVE_LEVELS)
    assert paging_scheme(machine.physical(), 0x8664, machine.tables.root) is X64_FOUR_LEVELS


def test_the_machine_decides_otherwise() -> None:
    physical = Machine().physical()
    assert paging_scheme(physical, 0xAA64, 0) is ARM64_FOUR_LEVELS
    with pytest.raises(DumpFormatError, match="machine 0x14c"):
        paging_scheme(physical, 0x14C, 0)


def random_space(seed: int) -> Tuple[Machine, Dict[int, bytes]]:
    """A region of 40 pages around a 2 MB boundary: mapped in a row, scattered, missing, or not dumped."""
    random = Random(seed)
    machine = Machine()
    model: Dict[int, bytes] = {}
    row = machine.memory.allocate(64)
    for i in range(40):
        address = SIZE_2M - 20 * PAGE_SIZE + i * PAGE_SIZE + KERNEL
        kind = random.choice(["row", "row", "row", "scattered", "hole", "not dumped", "transition"])
        if kind == "hole":
            continue
        pfn = row + i if kind == "row" else machine.page()
        if kind == "row":
            machine.memory.write(pfn * PAGE_SIZE, numbered_page(pfn))
        entry = transition_pte(pfn) if kind == "transition" else machine.tables.page_entry(pfn)
        machine.tables.set_entry(address, PTE, entry)
        if kind == "not dumped":
            machine.memory.remove(pfn)
        else:
            model[address] = numbered_page(pfn)
    return machine, model


def model_extents(model: Dict[int, bytes], address: int, size: int) -> List[Tuple[int, bytes]]:
    extents: List[Tuple[int, bytes]] = []
    end = address + size
    while address < end:
        page = address & -PAGE_SIZE
        piece = model.get(page, b"")[address - page : end - page]
        if piece:
            if extents and extents[-1][0] + len(extents[-1][1]) == address:
                extents[-1] = (extents[-1][0], extents[-1][1] + piece)
            else:
                extents.append((address, piece))
        address = page + PAGE_SIZE
    return extents


@settings(max_examples=60)
@given(st.integers(0, 50), st.integers(-22 * PAGE_SIZE, 22 * PAGE_SIZE), st.integers(1, 30 * PAGE_SIZE))
def test_partial_reads_agree_with_a_model(seed: int, start: int, size: int) -> None:
    machine, model = random_space(seed)
    address = KERNEL + SIZE_2M + start
    assert machine.virtual().read_partial(address, size) == model_extents(model, address, size)


@settings(max_examples=60)
@given(st.integers(0, 50), st.lists(st.tuples(st.integers(-22, 21), st.integers(0, 0x3000)), max_size=20))
def test_repeated_reads_from_one_space_agree_with_a_model(seed: int, reads: List[Tuple[int, int]]) -> None:
    machine, model = random_space(seed)
    virtual = machine.virtual()
    for page, size in reads:
        address = KERNEL + SIZE_2M + page * PAGE_SIZE + size % 4096
        extents = model_extents(model, address, size)
        expected = extents[0][1] if extents and extents[0][0] == address else b""
        assert virtual.read_prefix(address, size) == expected
        assert (virtual.explain(address) == "readable") == (address & -PAGE_SIZE in model)


def test_the_next_readable_address_is_found_across_the_whole_space() -> None:
    machine = Machine()
    base = machine.memory.allocate(512, align=512)
    machine.memory.remove(base)
    machine.tables.map(0x7FF6_1234_5000, machine.page())
    machine.tables.map(KERNEL, base, SIZE_2M)
    machine.tables.map(0xFFFF_FFFF_FFFF_F000, machine.page())
    virtual = machine.virtual()
    assert virtual.next_readable(0, 1 << 64) == 0x7FF6_1234_5000
    assert virtual.next_readable(0x7FF6_1234_6000, 1 << 64) == KERNEL + PAGE_SIZE
    assert virtual.next_readable(0x7FF6_1234_6000, KERNEL) is None
    assert virtual.next_readable(0xFFFF_FFFF_0000_0000, 1 << 70) == 0xFFFF_FFFF_FFFF_F000


def test_a_read_over_the_end_of_the_address_space_stops_or_wraps_without_harm() -> None:
    machine = Machine()
    pfn = machine.page()
    machine.tables.map(0xFFFF_FFFF_FFFF_F000, pfn)
    assert machine.virtual().read_prefix(0xFFFF_FFFF_FFFF_FFF8, 64) == numbered_page(pfn)[-8:]


def test_the_cache_of_page_tables_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dumpkit.kernel.paging._KEPT_TABLES", 3)
    machine = Machine()
    pfns = [machine.page() for _ in range(10)]
    for i, pfn in enumerate(pfns):
        machine.tables.map(KERNEL + i * SIZE_2M, pfn)
    virtual = machine.virtual()
    for _ in range(2):
        for i, pfn in enumerate(pfns):
            assert virtual.read(KERNEL + i * SIZE_2M, PAGE_SIZE) == numbered_page(pfn)
        assert len(virtual._regions) == 3
