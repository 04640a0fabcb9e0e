"""Every command on both backends: dumpkit's own reader and, through pykd, Microsoft's engine. The text is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Sequence

import pytest
from dumpkit.dump import open_dump

from tests.fidelity.placed_pdb import place_pdb
from tests.forge.rig import needs_rig
from tests.shared import SYMBOLS, dump, needs_shared, needs_symbols
from tests.windbg.arguments import SHORT, lines_for
from tests.windbg.backends import ROOT, Dump, inside, outside, values
from tests.windbg.differences import DIFFERENCES, kept

pytestmark = [pytest.mark.rig, pytest.mark.slow, needs_rig]


def compare(dump: Dump, folder: Path, backends: Dict[str, List[int]]) -> None:
    """Run every command on a dump on both backends; fails with the first differences that are not listed."""
    compare_lines(dump, lines_for(values(dump)), folder, backends)


def compare_lines(dump: Dump, lines: Sequence[str], folder: Path, backends: Dict[str, List[int]]) -> None:
    """As `compare`, of these lines."""
    ours, theirs = outside(dump, lines), inside(dump, lines, folder)
    counts = backends.setdefault(dump.name, [0, 0, 0])
    failed = []
    for line, here, there in zip(lines, ours, theirs):
        if here.lines == there.lines:
            counts[0] += 1
            continue
        listed = [difference for difference in DIFFERENCES if difference.covers(line, dump.name)]
        if listed and kept(here.lines, listed) == kept(there.lines, listed):
            counts[1] += 1
            continue
        counts[2] += 1
        failed.append((line, here.lines, there.lines))
    assert not failed, "\n".join(_shown(*each) for each in failed)


def _shown(line: str, here: List[str], there: List[str]) -> str:
    from difflib import unified_diff

    rows = list(unified_diff(here, there, "dumpkit's reader", "inside WinDbg", lineterm="", n=0))
    return "\n".join([f"=== {line}", *rows[:14]])


@pytest.mark.parametrize("name", ["fast-mutex-irql", "pool-0x13a", "power-0x9f"])
def test_every_command_on_an_example_prints_the_same_inside_windbg(
    name: str, tmp_path: Path, backends: Dict[str, List[int]]
) -> None:
    folder = ROOT / "examples" / name
    compare(Dump(name, folder / "MEMORY.DMP", [folder / "symbols"], [".reload /f"], ".reload /f"), tmp_path, backends)


def test_dumpkits_own_reader_prints_the_same_on_windows(tmp_path: Path) -> None:
    folder = ROOT / "examples" / "fast-mutex-irql"
    dump = Dump("fast-mutex-irql", folder / "MEMORY.DMP", [folder / "symbols"])
    lines = lines_for(values(dump))
    here, there = outside(dump, lines), inside(dump, lines, tmp_path, reader=True)
    failed = [(line, ours.lines, theirs.lines) for line, ours, theirs in zip(lines, here, there)]
    failed = [each for each in failed if kept(each[1], DIFFERENCES) != kept(each[2], DIFFERENCES)]
    assert not failed, "\n".join(_shown(*each) for each in failed)


@needs_shared
@pytest.mark.parametrize("name", ["100623-6156-01", "rts_d1"])
def test_every_command_on_a_real_dump_prints_the_same_inside_windbg(
    name: str, tmp_path: Path, backends: Dict[str, List[int]]
) -> None:
    compare(Dump(name, Path(dump(name)).resolve(), [], [".reload"], ".reload"), tmp_path, backends)


#: Each has something that the others have not: no KPRCB of any processor, one processor's, ARM64, Windows 8.1 and 11.
OTHERS = ("011620-8250-01", "082325-12593-01", "111417-58375-01", "rts_116_0", "rts_13a", "rts_9f", "triage_arm64")


@needs_shared
@pytest.mark.parametrize("name", OTHERS)
def test_what_is_current_prints_the_same_inside_windbg_on_every_kind_of_real_dump(
    name: str, tmp_path: Path, backends: Dict[str, List[int]]
) -> None:
    compare_lines(Dump(name, Path(dump(name)).resolve(), [], [".reload"], ".reload"), SHORT, tmp_path, backends)


@needs_shared
@needs_symbols
def test_every_command_on_a_real_dump_with_its_symbols_prints_the_same_inside_windbg(
    tmp_path: Path, backends: Dict[str, Any]
) -> None:
    symbols = tmp_path / "symbols"
    symbols.mkdir()
    target = open_dump(dump("triage_x64"), offline=True)
    place_pdb(SYMBOLS / "pdb" / "ntkrnlmp-19041-public.pdb", target, symbols / "ntoskrnl.pdb")
    target.close()
    places = [symbols, SYMBOLS / "store"]
    path, before = Path(dump("triage_x64")).resolve(), [".symopt+0x40", ".reload /f nt"]
    made = Dump("triage_x64", path, places, before, ".reload /i nt")
    compare(made, tmp_path, backends)
