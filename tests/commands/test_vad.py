"""vad: the tree of a process's regions, whole and damaged; pfn: the page frame database."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.errors import CommandError, DumpkitError, MemoryReadError
from dumpkit.output import data

from tests.forged_session import drop_page
from tests.running import run, run_lines
from tests.session_machine import SessionLab, add_descriptors, add_page_frames


@pytest.fixture(params=(7601, 19041, 22000))
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> SessionLab:
    return SessionLab(request.param, tmp_path)


def in_the_program(lab: SessionLab) -> None:
    run(lab.session, f".process {lab.program.address:x}")


def test_the_tree_is_listed_ascending_with_levels_files_and_sums(lab: SessionLab) -> None:
    first, root, last = add_descriptors(lab)
    in_the_program(lab)
    assert run_lines(lab.session, "!vad") == [
        "VAD             Level         Start             End              Commit",
        f"{first.address:016x}  1           7ffe0           7ffe0               1 Private      READONLY           ",
        f"{root.address:016x}  0        20ba8dc0        20ba8dda               0 Mapped       READWRITE          "
        "Pagefile section, shared commit 0x1b",
        f"{last.address:016x}  1       7ff7ebea0       7ff7ebeaf              41 Mapped  Exe  EXECUTE_WRITECOPY  "
        "\\bin\\a_very_long_name.exe",
        "",
        "Total VADs: 3, average level: 0, maximum depth: 1",
        "Total private commit: 0x2a pages (168 KB)",
        "Total shared commit:  0x1b pages (108 KB)",
    ]
    found = data(run(lab.session, f"vad {root.address:x}"))
    assert [vad["start"] for vad in found["vads"]] == ["0x7ffe0", "0x20ba8dc0", "0x7ff7ebea0"]


def test_one_is_shown_in_detail_by_its_own_or_a_user_address(lab: SessionLab) -> None:
    last = add_descriptors(lab)[2]
    in_the_program(lab)
    lines = run_lines(lab.session, "vad 7ff7ebea1234 1")
    assert lines == run_lines(lab.session, f"vad {last.address:x} 1")[: len(lines)]
    assert lines[1] == f"VAD @ {last.address:x}"
    assert "   Mapped  Exe EXECUTE_WRITECOPY" in lines
    with pytest.raises(CommandError, match="no VAD of process"):
        run(lab.session, "vad 10000")


def test_a_process_without_user_mode_has_no_vads(lab: SessionLab) -> None:
    with pytest.raises(DumpkitError, match="has no VADs"):
        run(lab.session, "vad")


def test_a_tree_that_loops_ends_and_is_named(lab: SessionLab) -> None:
    first, root, _ = add_descriptors(lab)
    first["VadNode.Left" if "VadNode" in first else "LeftChild"] = root
    in_the_program(lab)
    lines = run_lines(lab.session, "vad")
    assert f"the tree of VADs: the tree loops at {root.address:016x}" in lines
    assert "Total VADs: 3, average level: 0, maximum depth: 1" in lines


def test_what_lies_below_a_missing_node_is_told(lab: SessionLab) -> None:
    _, root, _ = add_descriptors(lab)
    root["VadNode.Right" if "VadNode" in root else "RightChild"] = 0xFFFFF90012340000
    in_the_program(lab)
    lines = run_lines(lab.session, "vad")
    assert "Total VADs: 3, average level: 0, maximum depth: 1" in lines
    assert any("fffff90012340000" in line and "not in the dump" in line for line in lines)


def test_a_page_frame_is_shown_as_the_database_has_it(lab: SessionLab) -> None:
    add_page_frames(lab, 0x2011, 3)
    place = 0xFFFFFA8000000000 + 0x2011 * lab.machine.layouts.size("_MMPFN")
    lines = run_lines(lab.session, "!pfn 2011")
    assert lines == [
        f"    PFN 00002011 at address {place:016X}",
        f"    flink       00000000  blink / share count 00000001  pteaddress {0xFFFFF6FB40001230 + 8 * 0x2011:016X}",
        "    reference count 0001    used entry count  0000      Cached    color 0   Priority 5",
        "    restore pte 00000080  containing page 000914  Active     M       ",
        "    Modified",
    ]
    assert len(run_lines(lab.session, "pfn 2012")) == 4
    assert data(run(lab.session, "pfn 2012"))["location"] == "Active"


def test_a_page_frame_that_is_not_in_the_dump_is_one_line(lab: SessionLab) -> None:
    add_page_frames(lab, 0x2011, 1)
    with pytest.raises(MemoryReadError):
        run(lab.session, "pfn 77777")
    with pytest.raises(DumpkitError, match="no page frame number"):
        run(lab.session, "pfn ffffffffffffffff")


def test_without_the_database_its_absence_is_told(lab: SessionLab) -> None:
    drop_page(lab.machine, lab.machine.address("MmPfnDatabase"))
    with pytest.raises(DumpkitError, match="MmPfnDatabase"):
        run(lab.session, "pfn 1")
