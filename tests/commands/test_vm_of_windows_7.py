"""vm on a kernel that keeps the memory manager's counts in variables of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.running import run_lines
from tests.session_machine import SessionLab


@pytest.fixture
def lab(tmp_path: Path) -> SessionLab:
    found = SessionLab(7601, tmp_path)
    machine = found.machine
    machine.set_global("MmNumberOfPhysicalPages", 0x100000)
    machine.set_global("MmAvailablePages", 0x4000)
    file = machine.place("_MMPAGING_FILE")
    file.set({"Size": 0x1000, "FreeSpace": 0x800, "MinimumSize": 0x1000, "MaximumSize": 0x3000})
    file["PageFileName"] = "\\??\\C:\\pagefile.sys"
    machine.set_global("MmPagingFile", file)
    machine.set_global("MmNumberOfPagingFiles", 1)
    return found


def test_counts_and_paging_files_are_those_of_the_variables(lab: SessionLab) -> None:
    lines = run_lines(lab.session, "!vm 1")
    assert lines[:6] == [
        "Page File: \\??\\C:\\pagefile.sys",
        "  Current:     16384 Kb  Free Space:      8192 Kb",
        "  Minimum:     16384 Kb  Maximum:        49152 Kb",
        "",
        "Physical Memory:          1048576 (    4194304 Kb)",
        "Available Pages:            16384 (      65536 Kb)",
    ]
    assert not any("partition" in line for line in lines)
    assert lines[-1].startswith("not in the dump, or not in this kernel: ")


def test_a_paging_file_that_is_missing_is_told(lab: SessionLab) -> None:
    lab.machine.set_global("MmNumberOfPagingFiles", 3)
    lines = run_lines(lab.session, "vm 1")
    assert "paging file 1 cannot be read: its address is missing" in lines
    assert lines[0] == "Page File: \\??\\C:\\pagefile.sys"
