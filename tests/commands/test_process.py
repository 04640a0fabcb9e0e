"""`process`: processes as kdexts shows them."""

from __future__ import annotations

from pathlib import Path
from typing import List

import pytest
from dumpkit.errors import DumpkitError

from tests.kernel.thread_machines import Lab, lab
from tests.running import run, run_lines, session_of
from tests.shared import SYMBOLS, needs_shared, needs_symbols
from tests.thread_machine import make


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return lab(22000, tmp_path_factory.mktemp("process"))


def images(lines: List[str]) -> List[str]:
    return [line.split(": ")[1] for line in lines if line.startswith("    Image:")]


def test_all_processes_are_shown_in_short(at: Lab) -> None:
    lines = run_lines(at.session, "!process 0 0")
    system = at.made.scene.system
    assert lines == [
        "**** NT ACTIVE PROCESS DUMP ****",
        f"PROCESS {system.address:016x}",
        "    SessionId: none  Cid: 0004    Peb: 00000000  ParentCid: 0000",
        f"    DirBase: {at.machine.root:08x}  ObjectTable: 00000000  HandleCount:   0.",
        "    Image: System",
        "",
        f"PROCESS {at.parts['program']:016x}",
        "    SessionId: none  Cid: 09ac    Peb: 00000000  ParentCid: 0004",
        f"    DirBase: {at.machine.root:08x}  ObjectTable: 00000000  HandleCount:   0.",
        "    Image: a_very_long_name.exe",
        "",
    ]


def test_statistics_are_shown_with_flag_1(tmp_path: Path) -> None:
    made = make()
    process = made.machine.view("_EPROCESS", made.parts["program"])
    process.set(
        {
            "Pcb.UserTime": 3,
            "Pcb.KernelTime": 64,
            "VadCount": 17,
            "NumberOfPrivatePages": 79,
            "NumberOfLockedPages": 4,
            "ModifiedPageCount": 5,
            "Token.Object": 0xFFFFB001FAE020AF,
            "ProcessQuotaUsage[0]": 2512,
            "ProcessQuotaUsage[1]": 9728,
            "Vm.Instance.WorkingSetSize": 315,
            "Vm.Instance.MinimumWorkingSetSize": 50,
            "Vm.Instance.MaximumWorkingSetSize": 345,
            "Vm.Instance.PeakWorkingSetSize": 332,
            "VirtualSize": 2101287 << 20,
            "PeakVirtualSize": 2101290 << 20,
            "Vm.Instance.PageFaultCount": 392,
            "CommitCharge": 621,
            "Job": 0xFFFF9B07DCB8A060,
        }
    )
    lines = run_lines(Lab(made, tmp_path).session, "!process 9ac 1")
    assert lines[0] == "Searching for Process with Cid == 9ac"
    assert lines[5:] == [
        "    VadRoot 0000000000000000 Vads 17 Clone 0 Private 79. Modified 5. Locked 4.",
        "    DeviceMap 0000000000000000",
        "    Token                             ffffb001fae020a0",
        "    ElapsedTime                       00:16:40.000",
        "    UserTime                          00:00:00.046",
        "    KernelTime                        00:00:01.000",
        "    QuotaPoolUsage[PagedPool]         9728",
        "    QuotaPoolUsage[NonPagedPool]      2512",
        "    Working Set Sizes (now,min,max)  (315, 50, 345) (1260KB, 200KB, 1380KB)",
        "    PeakWorkingSetSize                332",
        "    VirtualSize                       2101287 Mb",
        "    PeakVirtualSize                   2101290 Mb",
        "    PageFaultCount                    392",
        "    MemoryPriority                    BACKGROUND",
        "    BasePriority                      8",
        "    CommitCharge                      621",
        "    Job                               ffff9b07dcb8a060",
        "",
    ]


def test_an_age_of_days_counts_them(tmp_path: Path) -> None:
    made = make()
    process = made.machine.view("_EPROCESS", made.parts["program"])
    process["CreateTime.QuadPart"] = process["CreateTime.QuadPart"] - 864_000_000_000
    lines = run_lines(Lab(made, tmp_path).session, "!process 9ac 1")
    assert "    ElapsedTime                       1 Day 00:16:40.000" in lines


def test_threads_are_indented_below_their_process(at: Lab) -> None:
    lines = run_lines(at.session, f"!process {at.parts['program']:x} 2")
    assert lines[5].startswith(f"        THREAD {at.address('user'):016x}  Cid 09ac.09b0  Teb: 0000000917d7a000 ")
    assert lines[6].startswith("            ") and lines[6].endswith("  NotificationEvent")
    assert lines[7] == ""


def test_flag_4_alone_shows_a_line_for_each_thread(at: Lab) -> None:
    lines = run_lines(at.session, "!process 4 4")
    threads = [line for line in lines if line.startswith("        THREAD")]
    assert len(threads) == len(at.made.threads) - 1
    assert threads[0].endswith(" RUNNING on processor 0") and threads[-1].endswith(" WAIT")


def test_flag_7_shows_stacks(at: Lab) -> None:
    lines = run_lines(at.session, f"!process {at.parts['program']:x} 7")
    assert any(line.startswith("        fffffe80`3000f250 ") and "nt!KiSwapContext" in line for line in lines)


def test_a_process_without_threads_says_so(tmp_path: Path) -> None:
    made = make()
    process = made.machine.view("_EPROCESS", made.parts["program"])
    made.machine.link(process.at("ThreadListHead"), ())
    made.machine.link(process.at("Pcb.ThreadListHead"), ())
    assert "No active threads" in run_lines(Lab(made, tmp_path).session, "!process 9ac 2")


def test_processes_are_chosen_by_image_session_and_module(at: Lab) -> None:
    assert images(run_lines(at.session, "!process 0 0 SYSTEM")) == ["System"]
    assert images(run_lines(at.session, "!process 0 0 a_very_long_name.exe")) == ["a_very_long_name.exe"]
    # Names in the EPROCESS end behind their fourteenth character.
    assert images(run_lines(at.session, "!process 0 0 a_very_long_nail.exe")) == ["a_very_long_name.exe"]
    assert images(run_lines(at.session, "!process /s 1 0 0")) == []
    without = run_lines(at.session, "!process /m ntdll.dll 0 0")
    assert images(without) == [] and "the process has no PEB" in without[0]


def test_the_current_process_is_shown_where_none_or_minus_one_is_said(at: Lab) -> None:
    assert images(run_lines(at.session, "!process")) == images(run_lines(at.session, "!process -1 0")) == ["System"]
    assert "**** NT" not in run_lines(at.session, "!process")[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("!process 7777", "No active process has the id 7777"),
        ("!process ffff900000001000", "is no process: not present"),
        ("!process /s x 0", "'x' is no session"),
        ("!process /m", "/m needs its value"),
        ("!process 4 0 a.exe", "behind 0 FLAGS only"),
        ("!process 0 0 a b", "unexpected 'b'"),
    ],
)
def test_what_is_no_process_is_refused_in_one_line(at: Lab, text: str, words: str) -> None:
    with pytest.raises(DumpkitError, match=words):
        run(at.session, text)


def test_a_broken_list_shows_what_it_had_and_where_it_ends(tmp_path: Path) -> None:
    made = make()
    made.machine.put_u64(made.scene.system.at("ActiveProcessLinks"), 0xFFFF900000001000)
    lines = run_lines(Lab(made, tmp_path).session, "!process 0 0")
    assert images(lines)[0] == "System"
    assert lines[-1].startswith("the end of the list of processes: link at ffff900000001000 cannot be read")


@needs_shared
@needs_symbols
def test_a_real_process_is_shown_as_far_as_its_dump_goes() -> None:
    session = session_of("100623-6156-01")
    session.target.symbol_path = str(SYMBOLS / "isf")  # type: ignore[union-attr]
    lines = run_lines(session, "!process")
    assert lines[0] == "PROCESS ffffe78f89ce71c0"
    assert "    ElapsedTime                       00:02:56.669" in lines
    assert "    Working Set Sizes (now,min,max)  (871, 50, 450) (3484KB, 200KB, 1800KB)" in lines
    assert "        *** Error in reading nt!_ETHREAD @ ffffe78f89c98040" in lines
