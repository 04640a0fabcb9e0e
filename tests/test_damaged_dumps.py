"""Damaged dumps under every command: a clear error or a partial result, never anything else."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Iterator, List

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import DumpkitError

from tests.forge.triage import Block, TriageFile
from tests.running import session_on
from tests.shared import DUMPS, needs_shared

COMMANDS = (
    "di -v",
    "vertarget",
    ".bugcheck",
    ".time",
    "r",
    "lm",
    "lmv m nt",
    "k",
    "kv 20",
    "u @$ip L4",
    "ub @$ip L4",
    "db @$csp L40",
    "dps @$csp L10",
    "da @$csp",
    "irql",
    "imports -a nt",
    "strings -m nt",
    "pte @$csp",
    "reg hivelist",
    "~1s",
    "r",
)

#: Commands that find nothing in a minidump without symbols, however sound it is.
WITHOUT_RESULT = 6


def flipped(data: bytes, random: Random, bits: int) -> bytes:
    """The data with some bits flipped, most of them in the headers and tables at the start."""
    damaged = bytearray(data)
    for _ in range(bits):
        limit = min(len(data), 0x3000 if random.random() < 0.7 else len(data))
        damaged[random.randrange(limit)] ^= 1 << random.randrange(8)
    return bytes(damaged)


def run_all(path: Path) -> int:
    """Run every command on a dump; how many of them gave a result."""
    try:
        target = open_dump(str(path))
    except DumpkitError as error:
        assert "\n" not in str(error) and str(error)
        return 0
    session = session_on(target)
    done = 0
    for command in COMMANDS:
        try:
            session.execute(command)
            done += 1
        except DumpkitError as error:
            assert "\n" not in str(error) and str(error)
    target.close()
    return done


def damaged_copies(data: bytes, seed: int, flips: int, cuts: int) -> Iterator[bytes]:
    random = Random(seed)
    for _ in range(flips):
        yield flipped(data, random, random.randrange(1, 9))
    for _ in range(cuts):
        yield data[: random.randrange(len(data))]


def forged() -> bytes:
    stack = 0xFFFFA00000003000
    return TriageFile(blocks=[Block(stack, bytes(range(256)) * 8)]).build()


@pytest.mark.parametrize("flips, cuts", [(40, 15), pytest.param(150, 50, marks=pytest.mark.slow)])
def test_a_forged_minidump_survives_flipped_bits_and_cuts(flips: int, cuts: int, tmp_path: Path) -> None:
    path = tmp_path / "damaged.dmp"
    results: List[int] = []
    for copy in damaged_copies(forged(), 1, flips, cuts):
        path.write_bytes(copy)
        results.append(run_all(path))
    assert max(results) >= len(COMMANDS) - WITHOUT_RESULT
    assert min(results) == 0


@pytest.mark.slow
@needs_shared
@pytest.mark.parametrize("name", ["triage_x64", "011620-8250-01", "111417-58375-01", "triage_arm64", "rts_9f"])
def test_real_minidumps_survive_flipped_bits_and_cuts(name: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged.dmp"
    data = (DUMPS / f"{name}.dmp").read_bytes()
    results: List[int] = []
    for copy in damaged_copies(data, 2, 200, 20):
        path.write_bytes(copy)
        results.append(run_all(path))
    assert max(results) >= len(COMMANDS) - WITHOUT_RESULT
