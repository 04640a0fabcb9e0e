"""`address` and `vm`: their texts on forged machines, on the examples and on real dumps."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import CommandError
from dumpkit.session import Session

from tests.forge.pool import NON_PAGED_NX
from tests.kernel.pool.lab import NONPAGED, OTHER, PAGED_AREA, HeapLab
from tests.running import run, run_lines, session_of, session_on
from tests.shared import needs_shared

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def example() -> Session:
    return session_on(open_dump(str(EXAMPLES / "pool-0x13a" / "MEMORY.DMP")))


@pytest.fixture(params=(19041, 22000))
def lab(request) -> HeapLab:
    return HeapLab(request.param)


def lines(lab: HeapLab, text: str):
    return run_lines(session_on(lab.target), text)


# --- address --------------------------------------------------------------------------


def test_a_module_is_shown_as_in_the_documentation(example):
    assert run_lines(example, "!address nt!KeBugCheckEx") == [
        "Usage:                  Module",
        "Base Address:           fffff803`70000000",
        "End Address:            fffff803`70150000",
        "Region Size:            00000000`00150000",
        "VA Type:                BootLoaded",
        "Module name:            ntoskrnl.exe",
        "Module path:            [\\SystemRoot\\system32\\ntoskrnl.exe]",
    ]


def test_the_stack_of_a_thread_is_known(example):
    found = run(example, "address @rsp")
    assert (found.usage, found.va_type, found.thread) == ("Stack", "KernelStacks", example.dump.thread_address(1))
    assert found.base <= example.context["rsp"] < found.end


def test_a_pool_block_is_named(lab):
    header = lab.pool.segment(NON_PAGED_NX, NONPAGED).vs(4).allocate(0x100, "Mine")
    assert lines(lab, f"address {header + 0x20:x}") == [
        "Usage:                  Pool",
        f"Base Address:           ffffa08f`{header - 16 & 0xFFFFFFFF:08x}",
        f"End Address:            ffffa08f`{header + 0x100 & 0xFFFFFFFF:08x}",
        "Region Size:            00000000`00000110",
        "VA Type:                NonPagedPool",
        f"Pool block:             {header:016x} (allocated, tag Mine)",
    ]


def test_what_is_in_no_block_has_its_region(lab):
    assert lines(lab, f"address {PAGED_AREA + 0x40000000:x}")[:2] == [
        "Usage:                  Paged pool",
        "Base Address:           ffffd800`00000000",
    ]
    assert lines(lab, f"address {OTHER:x}")[-1] == "VA Type:                Unused"


def test_the_shared_page_and_user_space_are_known(lab):
    assert lines(lab, "address fffff78000000320")[0] == "Usage:                  SharedPage"
    assert lines(lab, "address 7ff612345678") == ["Usage:                  ", "the address is user space"]


def test_without_an_address_all_regions_are_listed(lab):
    shown = lines(lab, "address")
    assert shown[0] == "ffff8000`00000000 ffffa07f`ffffffff Unused"
    assert shown[1] == "ffffa080`00000000 ffffa0ff`ffffffff NonPagedPool"
    assert shown[-1].startswith("ffffd880`00000000 ffffffff`ffffffff")


def test_without_a_table_of_regions_the_reason_is_told(lab):
    lab.target.lose(lab.machine.address("MiVisibleState"))
    assert lines(lab, "address")[-1].startswith("no table of system address types: nt!MiVisibleState cannot be read")
    assert "cannot be read" in lines(lab, f"address {OTHER:x}")[-1]


@needs_shared
@pytest.mark.parametrize("name", ["triage_x64", "111417-58375-01", "triage_arm64", "rts_d1"])
def test_modules_of_real_dumps_are_known_without_symbols(name):
    session = session_of(name)
    base = session.dump.modules[0].base
    assert run(session, f"address {base:x}").module == session.dump.modules[0].image_name


# --- vm -----------------------------------------------------------------------------------


COUNTS: Dict[str, int] = {
    "NumberOfPhysicalPages": 4194044,
    "AvailablePages": 3332119,
    "ResidentAvailablePages": 3959228,
    "ModifiedPageListHead.Total": 26112,
    "TotalPagesForPagingFile": 25658,
    "ModifiedNoWritePageListHead.Total": 38,
    "SharedCommit": 77,
    "TotalCommittedPages": 1453392,
    "TotalCommitLimit": 18446735300397918280,
}


def with_counts(lab: HeapLab) -> HeapLab:
    machine = lab.machine
    machine.globals["MiSystemPartition"] = 0xFFFFF80311200000
    partition = machine.place("_MI_PARTITION", 0xFFFFF80311200000)
    partition.set({f"Vp.{path}": value for path, value in COUNTS.items()})
    partition["Vp.NumberOfPagingFiles"] = 2
    for number, (name, sizes) in enumerate(
        (("\\??\\C:\\pagefile.sys", (753664, 753662, 753664, 12582912)), ("", (4, 3, 2, 1)))
    ):
        file = machine.place("_MMPAGING_FILE")
        file.set(dict(zip(("Size", "FreeSpace", "MinimumSize", "MaximumSize"), sizes)))
        if name:
            file["PageFileName"] = name
        partition[f"Vp.PagingFile[{number}]"] = file
    state = machine.view("_MI_VISIBLE_STATE", machine.u64(machine.address("MiVisibleState")))
    state.set({"MaximumNonPagedPoolInPages": 1 << 32, "DriverCommit": 5})
    return lab


def test_counts_are_shown_as_in_a_public_transcript(lab):
    shown = lines(with_counts(lab), "!vm 1")
    assert shown[:10] == [
        "Page File: \\??\\C:\\pagefile.sys",
        "  Current:   3014656 Kb  Free Space:   3014648 Kb",
        "  Minimum:   3014656 Kb  Maximum:     50331648 Kb",
        "No Name for Paging File",
        "  Current:        16 Kb  Free Space:        12 Kb",
        "  Minimum:         8 Kb  Maximum:            4 Kb",
        "",
        "Physical Memory:          4194044 (   16776176 Kb)",
        "Available Pages:          3332119 (   13328476 Kb)",
        "ResAvail Pages:           3959228 (   15836912 Kb)",
    ]
    for line in (
        "Modified Pages:             26112 (     104448 Kb)",
        "Modified PF Pages:          25658 (     102632 Kb)",
        "Modified No Write Pages:       38 (        152 Kb)",
        "NonPagedPool Max:      4294967296 (17179869184 Kb)",
    ):
        assert line in shown


def test_a_missing_structure_costs_its_counts_and_is_told(lab):
    with_counts(lab).target.lose(0xFFFFF80311200000 + lab.machine.layouts.offset("_MI_PARTITION", "Vp"))
    shown = lines(lab, "vm 1")
    assert "NonPagedPool Max:      4294967296 (17179869184 Kb)" in shown
    assert "Available Pages" in shown[-1] and shown[-1].startswith("not in the dump, or not in this kernel: ")


def test_older_kernels_have_variables(lab):
    lab.target.symbols.without |= {"_MI_PARTITION", "_MI_VISIBLE_STATE", "_MI_SYSTEM_INFORMATION"}
    lab.machine.set_global("MmNumberOfPhysicalPages", 1234)
    assert lines(lab, "vm 1")[0] == "Physical Memory:             1234 (       4936 Kb)"


def test_flag_20_lists_what_the_address_space_is_used_for(lab):
    assert "ffffd80000000000 - ffffd87fffffffff  PagedPool" in lines(with_counts(lab), "vm 21")


def test_processes_are_listed_by_what_they_committed(example):
    shown = run(example, "vm")
    assert [process.name for process in shown.processes] == ["System"]


@needs_shared
def test_a_dump_without_symbols_says_so_in_one_line():
    with pytest.raises(CommandError, match="cannot be read"):
        run_lines(session_of("111417-58375-01"), "vm 1")
