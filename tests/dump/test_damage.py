"""Damaged dumps of every kind with physical memory: a clear error or a part of it, never anything else."""

from __future__ import annotations

import sys
from random import Random
from typing import Iterator, List, Tuple, Union

import pytest
from dumpkit.dump.header import HEADER_SIZE, parse_header
from dumpkit.dump.physical import open_physical
from dumpkit.errors import DumpFormatError, MemoryReadError
from dumpkit.kernel.paging import VirtualMemory, paging_scheme

from tests.forge.dump_files import WRITERS
from tests.forge.memory import PAGE_SIZE, PhysicalPages, numbered_page
from tests.forge.page_tables import PTE, PageTables, prototype_pte, transition_pte

KERNEL = 0xFFFF_9000_0000_0000
MOST_MEMORY = 200 << 20


def peak_memory() -> int:
    """Bytes that this process had in memory at its peak; 0 where the system does not tell."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return 0
    return getrusage(RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """No test here may take more than 200 MB at any moment."""
    before = peak_memory()
    yield
    assert peak_memory() - before < MOST_MEMORY


def small_dump(dump_type: int) -> bytes:
    """A dump with page tables, pages of every readable kind and some holes between them."""
    memory = PhysicalPages(first_free=0x10)
    tables = PageTables(memory)
    pool = KERNEL + 0x10_0000
    for i in range(6):
        memory.skip(i)
        pfn = memory.allocate()
        memory.write(pfn * PAGE_SIZE, numbered_page(pfn))
        entry = transition_pte(pfn) if i == 4 else tables.page_entry(pfn)
        tables.set_entry(KERNEL + i * PAGE_SIZE, PTE, entry)
        tables.map_bytes(pool + 8 * i, entry.to_bytes(8, "little"))
        tables.set_entry(KERNEL + (8 + i) * PAGE_SIZE, PTE, prototype_pte(pool + 8 * i))
    return WRITERS[dump_type](memory, tables.root, ps_loaded_module_list=KERNEL, kd_debugger_data_block=KERNEL + 16)


def use(data: bytes) -> Union[str, Tuple[int, int]]:
    """Open a dump and read all over it: the error's text, or how many pages and bytes it gave."""
    try:
        header = parse_header(data)
        physical = open_physical(header, data)
        root = header.directory_table_base or 0
        known = [header.ps_loaded_module_list or 0, header.kd_debugger_data_block or 0]
        virtual = VirtualMemory(physical, root, paging_scheme(physical, header.machine, root, known))
    except DumpFormatError as error:
        assert "\n" not in str(error)
        return str(error)
    assert all(note and "\n" not in note for note in physical.notes)
    assert physical.page_count * PAGE_SIZE <= len(data)
    got = 0
    for start in (0, 1 << 40, KERNEL, KERNEL + 8 * PAGE_SIZE + 5):
        got += len(virtual.read_prefix(start, 4 * PAGE_SIZE))
    for space in (physical, virtual):
        for address in (0, 0x123456, KERNEL + 4 * PAGE_SIZE, KERNEL + 0x20_0000, (1 << 64) - 1):
            assert space.explain(address)
            space.next_readable(address, address + (1 << 22))
            try:
                space.read(address, 16)
            except MemoryReadError as error:
                assert error.reason not in ("", "readable")
    for run in physical.runs:
        assert len(physical.read(run.pfn * PAGE_SIZE, PAGE_SIZE)) == PAGE_SIZE
    return physical.page_count, got


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit >> 3] ^= 1 << (bit & 7)
    return bytes(changed)


def tables_of(data: bytes) -> int:
    """Where the lists of pages and the page tables of a small dump end, about: its first six pages after the header."""
    return min(len(data), HEADER_SIZE + 0x1000 + 6 * PAGE_SIZE)


@pytest.mark.parametrize("dump_type", WRITERS)
def test_an_undamaged_dump_gives_everything(dump_type: int) -> None:
    pages, got = use(small_dump(dump_type))
    assert (pages, got) == (11, 8 * PAGE_SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("dump_type", WRITERS)
def test_bits_flipped_in_headers_and_tables_do_no_harm(dump_type: int) -> None:
    data = small_dump(dump_type)
    random = Random(dump_type)
    outcomes = set()
    ends = [0x1058, HEADER_SIZE + 0x80, tables_of(data)]
    starts = [0, HEADER_SIZE, HEADER_SIZE]
    for i in range(2000):
        where = i % 3
        outcomes.add(type(use(flip(data, random.randrange(starts[where] * 8, ends[where] * 8)))))
    assert outcomes == {str, tuple}


@pytest.mark.slow
@pytest.mark.parametrize("dump_type", WRITERS)
def test_every_single_bit_of_the_page_list_can_be_wrong(dump_type: int) -> None:
    data = small_dump(dump_type)
    first = 0x88 if dump_type == 1 else HEADER_SIZE
    for bit in range(first * 8, (first + 0x60) * 8):
        use(flip(data, bit))


def boundaries(data: bytes) -> List[int]:
    """Sizes at and around which something of a dump begins or ends."""
    places = [0, 8, 0x10, 0x80, 0x88, 0x348, 0xF00, 0xF98, 0x1030, 0x1058, HEADER_SIZE]
    places += [0x2008, 0x200C, 0x2018, 0x2020, 0x2028, 0x2030, 0x2038, 0x2040, 0x2060, 0x20B0, 0x3000, len(data)]
    return sorted({max(0, min(len(data), place + d)) for place in places for d in (-1, 0, 1)})


@pytest.mark.parametrize("dump_type", WRITERS)
def test_a_dump_may_end_anywhere(dump_type: int) -> None:
    data = small_dump(dump_type)
    random = Random(dump_type)
    sizes = sorted({*boundaries(data), *(random.randrange(len(data)) for _ in range(200))})
    results = [use(data[:size]) for size in sizes]
    pages = [result[0] for result in results if isinstance(result, tuple)]
    assert pages == sorted(pages)
    assert pages[-1] == 11
    assert all(isinstance(result, str) for size, result in zip(sizes, results) if size < HEADER_SIZE)


@pytest.mark.parametrize("dump_type", WRITERS)
def test_a_truncated_dump_says_so(dump_type: int) -> None:
    data = small_dump(dump_type)
    short = data[: -3 * PAGE_SIZE - 100]
    physical = open_physical(parse_header(short), short)
    assert physical.page_count == 7
    assert physical.notes == (
        f"The dump file is truncated: 7 of its 11 pages are there ({3 * PAGE_SIZE + 100} bytes are missing).",
    )
    lost = physical.runs.lost_starts[0] * PAGE_SIZE
    assert physical.explain(lost).endswith("lies beyond the end of the file (truncated)")


@pytest.mark.slow
@pytest.mark.parametrize("dump_type", WRITERS)
def test_zeroes_and_noise_behind_a_good_header_do_no_harm(dump_type: int) -> None:
    data = small_dump(dump_type)
    random = Random(7)
    use(data[:HEADER_SIZE] + bytes(len(data) - HEADER_SIZE))
    use(data[:HEADER_SIZE] + b"\xff" * (len(data) - HEADER_SIZE))
    for size in (0x28, 0x30, 0x38, 0x100, 0x1000):
        for _ in range(20):
            use(data[: HEADER_SIZE + 12] + random.randbytes(size) + data[HEADER_SIZE + 12 + size :])
