"""`poolval`: whether a page of pool is sound, and what damaged it."""

from __future__ import annotations

from pathlib import Path
from typing import List

import pytest
from dumpkit.dump import open_dump
from dumpkit.session import Session

from tests.forge.pool import (
    NON_PAGED_NX,
    PAGED_TYPE,
    Block,
    classic_page,
)
from tests.kernel.pool.lab import NONPAGED, OTHER, PAGED_AREA, ClassicLab, HeapLab
from tests.running import run, run_lines, session_on

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "pool-0x13a"


@pytest.fixture(params=(19041, 22621))
def lab(request) -> HeapLab:
    return HeapLab(request.param)


@pytest.fixture(scope="module")
def example() -> Session:
    return session_on(open_dump(str(EXAMPLE / "MEMORY.DMP"), symbol_path=str(EXAMPLE / "symbols")))


def lines(lab, text: str) -> List[str]:
    return run_lines(session_on(lab.target), text)


def test_poolval_shows_a_wrong_previous_size_as_in_the_transcript():
    lab = ClassicLab()
    blocks = [Block(0x100, "Aaaa"), Block(0x800, "Bbbb"), Block(0x700, "Cccc")]
    places = classic_page(lab.machine, PAGED_AREA, blocks, PAGED_TYPE)
    lab.machine.view("_POOL_HEADER", places[0])["PreviousSize"] = 0x41
    assert lines(lab, f"!poolval {PAGED_AREA + 8:x}") == [
        f"Pool page {PAGED_AREA + 8:016x} region is Paged pool",
        "",
        f"Validating Pool headers for pool page: {PAGED_AREA + 8:016x}",
        "",
        f"Pool page [ {PAGED_AREA:016x} ] is INVALID.",
        "",
        "Analyzing linked list...",
        f"[ {PAGED_AREA:016x} ]: invalid previous size [ 0x41 ] should be [ 0x0 ]",
        f"[ {PAGED_AREA:016x} --> {places[1]:016x} (size = 0x100 bytes)]: Corrupt region",
        "",
        "",
        "Scanning for single bit errors...",
        "",
        "None found",
    ]


def test_poolval_finds_the_bit_that_was_turned_over():
    lab = ClassicLab()
    places = classic_page(lab.machine, PAGED_AREA, [Block(0x100, "Aaaa"), Block(0x800, "Bbbb"), Block(0x700, "Cccc")])
    lab.machine.view("_POOL_HEADER", places[1])["BlockSize"] = 0x80 ^ 0x20
    found = run(session_on(lab.target), f"poolval {PAGED_AREA:x}")
    assert [(error.address, error.bit) for error in found.single_bit_errors] == [(places[1] + 2, 5)]
    assert f"{places[1] + 2:016x}: with bit 5 turned over the headers agree" in lines(lab, f"poolval {PAGED_AREA:x}")


def test_poolval_finds_the_bit_in_a_chunks_encoded_header(lab):
    vs = lab.pool.segment(NON_PAGED_NX, NONPAGED).vs(4)
    vs.allocate(0x100, "Aaaa")
    chunk = vs.next
    vs.allocate(0x200, "Bbbb")
    vs.allocate(0x100, "Cccc")
    vs.fill()
    lab.machine.put_u64(chunk, lab.machine.u64(chunk) ^ 1 << 22)
    found = run(session_on(lab.target), f"poolval {chunk:x}")
    assert not found.valid
    assert [(error.address, error.bit) for error in found.single_bit_errors] == [(chunk + 2, 6)]


def test_poolval_calls_a_sound_page_valid(example):
    assert run_lines(example, "poolval ffffe2809abee000")[4:] == ["Pool page [ ffffe2809abee000 ] is VALID."]
    listed = run_lines(example, "poolval ffffe2809abee000 3")
    assert listed[6] == " ffffe2809abee000 size:  880 previous size:    0  (Allocated)  MmSt"
    assert listed[7] == "    PoolType: 0x3  PoolTag: MmSt (74536d4d)"


def test_poolval_of_what_is_no_pool_is_invalid_and_says_why(lab):
    shown = lines(lab, f"poolval {OTHER:x}")
    assert f"Pool page [ {OTHER & -0x1000:016x} ] is INVALID." in shown
    assert "No allocator of the pool is known to have this page" in shown
