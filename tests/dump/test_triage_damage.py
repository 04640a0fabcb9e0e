"""Damaged triage dumps: a clear error or a part of the dump, never a traceback, a hang or a lot of memory."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, List, Tuple

import pytest
from dumpkit.dump import open_dump
from dumpkit.dump.check import check_dump
from dumpkit.dump.header import HEADER_SIZE
from dumpkit.dump.triage import TABLES_END
from dumpkit.errors import DumpkitError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.dump.test_check import made_triage
from tests.dump.test_damage import MOST_MEMORY, peak_memory
from tests.dump.test_target import kernel_dump
from tests.forge.kernel import BASE

TRIAGE = made_triage()
KERNEL = kernel_dump()
BOUNDARIES = sorted(
    {0, 1, 8, 0x88, 0x348, 0xF98, HEADER_SIZE - 1, HEADER_SIZE, HEADER_SIZE + 4, TABLES_END - 1, TABLES_END}
)

IN_A_FOLDER = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=200
)


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """No test here may take more than 200 MB at any moment."""
    before = peak_memory()
    yield
    assert peak_memory() - before < MOST_MEMORY


def use(folder: Path, data: bytes) -> Tuple[str, int]:
    """Open a dump and ask it everything: ("", modules), or (the error's text, 0)."""
    path = folder / "damaged.dmp"
    path.write_bytes(data)
    try:
        target = open_dump(str(path))
    except DumpkitError as error:
        assert "\n" not in str(error)
        return str(error), 0
    found = check_dump(target)
    assert all("\n" not in note for note in found.notes)
    assert found.memory_size <= found.memory_pieces * len(data)
    assert target.system.build == found.build
    assert len(target.memory.read_partial(BASE, 0x10000)) <= 0x10000
    for module in target.modules:
        assert target.symbols.nearest(module.base) is not None
    for ask in (target.prcb_address, target.thread_address, target.process_address):
        try:
            assert ask(target.current_processor) >= 0
        except DumpkitError as error:
            assert str(error)
    target.close()
    return "", found.modules


def test_the_whole_dumps_are_usable(tmp_path: Path) -> None:
    assert use(tmp_path, TRIAGE) == ("", 1)
    assert use(tmp_path, KERNEL) == ("", 3)


@pytest.mark.parametrize("size", BOUNDARIES)
def test_a_dump_cut_at_a_boundary(tmp_path: Path, size: int) -> None:
    error, modules = use(tmp_path, TRIAGE[:size])
    assert bool(error) == (size < HEADER_SIZE)
    assert modules == 0


@IN_A_FOLDER
@given(st.integers(HEADER_SIZE, len(TRIAGE)))
def test_a_dump_cut_anywhere_behind_its_header_opens(tmp_path: Path, size: int) -> None:
    assert use(tmp_path, TRIAGE[:size])[0] == ""


@IN_A_FOLDER
@given(st.lists(st.tuples(st.integers(0, TABLES_END - 1), st.integers(0, 7)), min_size=1, max_size=4))
def test_flipped_bits_in_the_headers(tmp_path: Path, flips: List[Tuple[int, int]]) -> None:
    data = bytearray(TRIAGE)
    for place, bit in flips:
        data[place] ^= 1 << bit
    error, _ = use(tmp_path, bytes(data))
    assert len(error) < 300


@IN_A_FOLDER
@given(st.lists(st.tuples(st.integers(TABLES_END, len(TRIAGE) - 1), st.integers(0, 255)), min_size=1, max_size=20))
def test_changed_bytes_behind_the_headers_leave_a_dump_that_opens(
    tmp_path: Path, changes: List[Tuple[int, int]]
) -> None:
    data = bytearray(TRIAGE)
    for place, value in changes:
        data[place] = value
    assert use(tmp_path, bytes(data))[0] == ""


@IN_A_FOLDER
@given(st.lists(st.tuples(st.integers(HEADER_SIZE, len(KERNEL) - 1), st.integers(0, 255)), min_size=1, max_size=40))
def test_changed_bytes_in_a_kernel_dumps_lists_and_tables(tmp_path: Path, changes: List[Tuple[int, int]]) -> None:
    data = bytearray(KERNEL)
    for place, value in changes:
        data[place] = value
    error, modules = use(tmp_path, bytes(data))
    assert error or modules < 50
