"""The check of a dump: every part with what the file has of it."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from dumpkit.dump import open_dump
from dumpkit.dump.check import DumpCheck, Part, check_dump

from tests.dump.test_target import CONTEXTS, kernel_dump
from tests.forge.triage import KERNEL_BASE, Block, TriageFile, Unloaded, processor_blocks


def check(folder: Path, data: bytes) -> DumpCheck:
    path = folder / "made.dmp"
    path.write_bytes(data)
    return check_dump(open_dump(str(path)))


def parts(found: DumpCheck) -> Dict[str, Part]:
    return {part.name: part for part in found.parts}


def made_triage() -> bytes:
    return TriageFile(
        processors=4,
        processor=1,
        blocks=processor_blocks(CONTEXTS, array=KERNEL_BASE + 0x5000, first_prcb=0xFFFF800070000000),
        unloaded=(Unloaded(0x1000, 0x2000, "gone.sys"),),
        debugger_data={"KiProcessorBlock": KERNEL_BASE + 0x5000},
        tagged=((bytes(range(16)), b"payload"),),
    ).build()


def test_a_whole_triage_dump(tmp_path: Path) -> None:
    found = check(tmp_path, made_triage())
    assert found.is_whole
    assert (found.kind, found.dump_type, found.machine, found.build) == ("triage dump (minidump)", 4, "x64", 19041)
    assert (found.modules, found.unloaded_modules, found.registers) == (1, 1, (0, 1, 2, 3))
    assert len(found.tagged) == 1
    assert {"dump header", "PRCB", "stack", "loaded modules", "list of data blocks", "end mark", "tagged data"} <= set(
        parts(found)
    )
    assert all(part.is_whole for part in found.parts)


def test_memory_that_two_pieces_hold_counts_once(tmp_path: Path) -> None:
    alone = check(tmp_path, TriageFile(blocks=(Block(0xFFFF900000000000, bytes(64)),)).build())
    twice = check(
        tmp_path,
        TriageFile(blocks=(Block(0xFFFF900000000000, bytes(64)), Block(0xFFFF900000000010, bytes(16)))).build(),
    )
    assert alone.memory_size == twice.memory_size


def test_a_truncated_triage_dump_shows_what_is_cut(tmp_path: Path) -> None:
    data = made_triage()
    found = check(tmp_path, data[: data.index(b"TRGD") - 0x40])
    assert not found.is_whole
    assert parts(found)["end mark"].available == 0
    assert parts(found)["list of data blocks"].available < parts(found)["list of data blocks"].size
    assert parts(found)["stack"].is_whole
    assert any("truncated" in note for note in found.notes)
    assert found.modules == 1


def test_a_whole_kernel_dump(tmp_path: Path) -> None:
    data = kernel_dump()
    found = check(tmp_path, data)
    assert found.is_whole
    assert (found.dump_type, found.modules, found.unloaded_modules, found.registers) == (6, 3, 1, (0, 1, 2, 3))
    assert found.memory_size == parts(found)["pages"].size
    assert parts(found)["pages"].offset + parts(found)["pages"].size == len(data)


def test_a_truncated_kernel_dump_shows_how_many_pages_are_left(tmp_path: Path) -> None:
    data = kernel_dump()
    found = check(tmp_path, data[:-0x2800])
    pages = parts(found)["pages"]
    assert pages.size - pages.available == 0x3000
    assert not found.is_whole
    assert found.notes
