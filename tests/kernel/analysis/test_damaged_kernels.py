"""Analyses of kernels with missing pages: each ends, says what it could not read, and keeps what it had."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, Set

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import DumpkitError
from dumpkit.kernel.analysis.crash_analysis import CrashAnalysis, analyze_crash
from dumpkit.kernel.analysis.hang import analyze_hang
from dumpkit.memory import PAGE_SIZE, AddressSpace
from dumpkit.target import Target

from tests.kernel.analysis.crash_scene import crash


class Holed(AddressSpace):
    """Memory with a page that cannot be read; it remembers the pages that were asked for."""

    def __init__(self, memory: AddressSpace, hole: int = -1) -> None:
        self._memory = memory
        self._hole = hole
        self.asked: Set[int] = set()

    def read_prefix(self, address: int, size: int) -> bytes:
        self.asked.update(range(address // PAGE_SIZE, (address + max(size, 1) - 1) // PAGE_SIZE + 1))
        start = self._hole * PAGE_SIZE
        if start <= address < start + PAGE_SIZE:
            return b""
        if address < start < address + size:
            size = start - address
        return self._memory.read_prefix(address, size)

    def explain(self, address: int) -> str:
        return "taken away by the test" if address // PAGE_SIZE == self._hole else self._memory.explain(address)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(crash().write_symbols(tmp_path_factory.mktemp("symbols")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dumps")


CASES = {0xD1: "ADDR 2 1 IP", 0x7E: "c0000005 IP ER CX", 0x9F: "3 DEV 0 IRP", 0x13A: "12 0 ADDR 0", 0x101: "c 0 PRCB 1"}


def opened(folder: Path, store: str, code: int, hole: int) -> Target:
    path = folder / f"{code:x}.dmp"
    if not path.exists():
        path.write_bytes(crash().dump(code, crash().parameters(CASES[code].split())))
    target = open_dump(str(path), symbol_path=store, offline=True)
    target.memory = Holed(target.memory, hole)  # type: ignore[assignment]
    return target


def analysed(target: Target, code: int) -> CrashAnalysis:
    return analyze_crash(target, code, crash().parameters(CASES[code].split()))


def pages_asked(target: Target) -> Iterator[int]:
    memory = target.memory
    assert isinstance(memory, Holed)
    return iter(sorted(memory.asked))


@pytest.mark.parametrize("code", CASES)
def test_each_page_may_be_missing(code: int, folder: Path, store: str) -> None:
    whole = opened(folder, store, code, -1)
    expected = analysed(whole, code)
    told = 0
    for page in pages_asked(whole):
        found = analysed(opened(folder, store, code, page), code)
        assert found.bucket
        assert found.bugcheck.name == expected.bugcheck.name
        # What is not found as before has a reason.
        if found.failing is None or found.culprit.module is None or found.process != expected.process:
            assert found.unknown
            told += 1
    assert told


def test_a_hang_is_looked_for_whatever_page_is_missing(folder: Path, store: str) -> None:
    whole = opened(folder, store, 0xD1, -1)
    expected = analyze_hang(whole)
    assert expected.threads == 2
    for page in pages_asked(whole):
        try:
            found = analyze_hang(opened(folder, store, 0xD1, page))
        except DumpkitError as error:
            assert "\n" not in str(error)
        else:
            assert found.threads == expected.threads or found.problems
