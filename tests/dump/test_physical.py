"""Physical memory: reads across runs, holes and their reasons, and what a peer reads from the same files."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Iterator, Tuple

import pytest
from dumpkit.dump.header import parse_header
from dumpkit.dump.physical import PhysicalMemory, open_physical
from dumpkit.errors import DumpFormatError, MemoryReadError
from hypothesis import given
from hypothesis import strategies as st

from tests.forge.dump_files import WRITERS, full_dump, sparse_bitmap_dump
from tests.forge.header import BITMAP_FULL, BITMAP_KERNEL, FULL, TRIAGE, build_header
from tests.forge.memory import PAGE_SIZE, PhysicalPages, Run, numbered_page
from tests.forge.page_tables import PageTables


def random_memory(seed: int, pages: int = 60) -> PhysicalPages:
    random = Random(seed)
    memory = PhysicalPages()
    for pfn in random.sample(range(1, 3 * pages), pages):
        memory.write(pfn * PAGE_SIZE, random.randbytes(PAGE_SIZE))
    return memory


def opened(data: bytes) -> PhysicalMemory:
    return open_physical(parse_header(data), data)


@pytest.fixture(scope="module")
def both() -> Iterator[Tuple[PhysicalPages, PhysicalMemory]]:
    memory = random_memory(1)
    yield memory, opened(WRITERS[BITMAP_KERNEL](memory, 0))


@given(st.integers(0, 200 * PAGE_SIZE), st.integers(0, 5 * PAGE_SIZE))
def test_reads_agree_with_the_memory_that_was_written(
    both: Tuple[PhysicalPages, PhysicalMemory], address: int, size: int
) -> None:
    memory, physical = both
    expected = b""
    while len(expected) < size:
        byte = memory.read(address + len(expected), 1)
        if byte is None:
            break
        rest = PAGE_SIZE - (address + len(expected)) % PAGE_SIZE
        expected += memory.read(address + len(expected), min(rest, size - len(expected))) or b""
    assert physical.read_prefix(address, size) == expected
    assert physical.read_optional(address, size) == (expected if len(expected) == size else None)


@given(st.integers(0, 200 * PAGE_SIZE), st.integers(0, 60 * PAGE_SIZE))
def test_the_next_readable_address_is_the_first_on_a_page_that_is_there(
    both: Tuple[PhysicalPages, PhysicalMemory], address: int, size: int
) -> None:
    memory, physical = both
    candidates = [address, *range((address // PAGE_SIZE + 1) * PAGE_SIZE, address + size, PAGE_SIZE)]
    expected = next((a for a in candidates if a < address + size and a // PAGE_SIZE in memory.pages), None)
    assert physical.next_readable(address, address + size) == expected


def test_a_strict_read_names_the_first_page_that_is_missing() -> None:
    memory = PhysicalPages()
    for pfn in (5, 6):
        memory.write(pfn * PAGE_SIZE, numbered_page(pfn))
    physical = opened(full_dump(memory, 0))
    with pytest.raises(MemoryReadError, match="physical address 0000000000007000: page 7 not in the dump") as caught:
        physical.read(5 * PAGE_SIZE + 8, 3 * PAGE_SIZE)
    assert caught.value.space == "physical"
    assert physical.explain(5 * PAGE_SIZE) == "readable"
    assert physical.end == 7 * PAGE_SIZE


def test_a_view_of_any_kind_gives_bytes() -> None:
    data = full_dump(random_memory(2, 3), 0)
    header = parse_header(data)
    for view in (data, bytearray(data), memoryview(data)):
        physical = open_physical(header, view)
        assert isinstance(physical.read(physical.runs.starts[0] * PAGE_SIZE, 8), bytes)


def test_a_triage_dump_has_no_physical_memory() -> None:
    data = build_header(TRIAGE, 0)
    with pytest.raises(DumpFormatError, match="No physical memory to open: this is a triage dump"):
        open_physical(parse_header(data), data)


def test_a_sparse_dump_of_many_runs_costs_runs_not_pages(tmp_path: Path) -> None:
    from mmap import ACCESS_READ, mmap

    path = tmp_path / "sparse.dmp"
    runs = [Run(0x1000 + i * 300, 256) for i in range(500)]
    sparse_bitmap_dump(path, runs, 0, [(0x1000 + 123 * 300 + 7, numbered_page(9))])
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as view:
        physical = open_physical(parse_header(view), view)
        assert physical.page_count == 500 * 256
        assert len(physical.runs) == len(physical.runs.deltas) == 500
        assert physical.read((0x1000 + 123 * 300 + 7) * PAGE_SIZE, PAGE_SIZE) == numbered_page(9)


@pytest.mark.parametrize("dump_type", [FULL, BITMAP_FULL, BITMAP_KERNEL])
def test_kdmp_parser_reads_the_same_pages(dump_type: int, tmp_path: Path) -> None:
    kdmp_parser = pytest.importorskip("kdmp_parser", reason="no kdmp-parser here that can be imported")
    # The header of a full dump has room for 42 runs.
    memory = random_memory(dump_type, 40)
    tables = PageTables(memory)
    tables.map_bytes(0xFFFF_8000_0001_2345, b"read by both")
    path = tmp_path / "forged.dmp"
    path.write_bytes(WRITERS[dump_type](memory, tables.root))
    physical = opened(path.read_bytes())
    peer = kdmp_parser.KernelDumpParser(path)
    assert {run.pfn + i for run in physical.runs for i in range(run.pages)} == set(memory.pages)
    for pfn in range(3 * len(memory.pages)):
        ours = physical.read_optional(pfn * PAGE_SIZE, PAGE_SIZE)
        theirs = peer.read_physical_page(pfn * PAGE_SIZE)
        assert ours == (None if theirs is None else bytes(theirs)), f"page {pfn:x}"
    assert peer.directory_table_base == tables.root
    assert bytes(peer.read_virtual_page(0xFFFF_8000_0001_2000))[0x345:0x351] == b"read by both"
