"""Memory that an engine reads, which gives all that it is asked for or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.windbg.fake_pykd import FakePykd

BASE = 0xFFFFF800_00001000


def memory(physical: bool = False) -> Any:
    from dumpkit.windbg.engine import Engine
    from dumpkit.windbg.memory import EngineMemory

    return EngineMemory(Engine(), physical)


def test_pages_are_read_whole_and_once(pykd: FakePykd) -> None:
    pykd.put(BASE, bytes(range(256)) * 16)
    read = memory()
    assert read.read(BASE + 3, 4) == bytes([3, 4, 5, 6])
    pykd.memory.clear()
    assert read.read(BASE + 0x100, 2) == b"\0\1"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(length=st.integers(0, 0x1800), start=st.integers(0, 0x1100), size=st.integers(0, 0x2100))
def test_a_read_ends_at_the_first_missing_byte(pykd: FakePykd, length: int, start: int, size: int) -> None:
    data = bytes(index * 7 & 0xFF for index in range(length))
    pykd.memory.clear()
    pykd.put(BASE, data)
    assert memory().read_prefix(BASE + start, size) == data[start : start + size]


def test_a_hole_says_where_it_is_missing(pykd: FakePykd) -> None:
    assert memory().explain(BASE) == "not in this triage dump"
    assert memory(physical=True).explain(0x123456) == "page 123 not in the dump"


def test_physical_memory_is_not_virtual_memory(pykd: FakePykd) -> None:
    pykd.put(0x2000, b"physical", physical=True)
    assert memory(physical=True).read(0x2000, 8) == b"physical"
    assert memory().read_prefix(0x2000, 8) == b""


def test_addresses_wrap_at_the_end_of_memory(pykd: FakePykd) -> None:
    pykd.put(0xFFFFFFFF_FFFFF000, b"e" * 0x1000)
    pykd.put(0, b"s" * 0x1000)
    assert memory().read_prefix(0xFFFFFFFF_FFFFFFFE, 4) == b"eess"


def test_a_minidumps_blocks_are_found_however_far_apart(pykd: FakePykd) -> None:
    from dumpkit.windbg.engine import Engine
    from dumpkit.windbg.memory import EngineTriageMemory

    far = BASE + 0x40_0000_0123
    pykd.put(BASE + 0x10, b"near")
    pykd.put(far, b"far")
    starts = (f"{start >> 32:08x}`{start & 0xFFFFFFFF:08x}" for start in (far, BASE + 0x10))
    pykd.commands[".dumpdebug"] = "".join(f"  {start} - {start} at offset 000206a8\n" for start in starts)
    read = EngineTriageMemory(Engine())
    assert list(read.extents(BASE, 0x80_0000_0000)) == [(BASE + 0x10, b"near"), (far, b"far")]
    assert read.next_readable(far + 3, BASE + 0x80_0000_0000) is None


def test_pages_that_no_block_holds_are_found_in_a_small_range(pykd: FakePykd) -> None:
    from dumpkit.windbg.engine import Engine
    from dumpkit.windbg.memory import EngineTriageMemory

    pykd.put(BASE + 0x3000, bytes(0x1000))
    assert EngineTriageMemory(Engine()).next_readable(BASE, BASE + 0x10000) == BASE + 0x3000


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9])
def test_sizes_that_are_no_words_are_read_too(pykd: FakePykd, size: int) -> None:
    from dumpkit.windbg.engine import Engine

    pykd.put(BASE, b"123456789")
    assert Engine().read(BASE, size) == b"123456789"[:size]
