"""tl: the processes, their threads, memory, times and users."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest
from dumpkit.dispatcher import Dispatcher
from dumpkit.errors import CommandError, SymbolError
from dumpkit.kernel.process_identity import service_name
from dumpkit.output import data, dml
from dumpkit.sizes import short_size

from tests.forge.process import add_process
from tests.forged_session import drop_page, session_for
from tests.kernel.thread_machines import Lab
from tests.running import run, run_lines, session_of
from tests.shared import needs_shared
from tests.thread_machine import Made, make


def with_processes(build: int) -> Made:
    """The machine of threads, with memory, times, a token and a process that has ended."""
    made = make(build)
    machine = made.machine
    program = machine.view("_EPROCESS", made.parts["program"])
    program.set({"VirtualSize": 2 << 40, "PeakVirtualSize": int(4.09 * (1 << 30)), "CommitCharge": 310})
    program.set({"ProcessQuotaUsage[0]": 8038, "ProcessQuotaUsage[1]": 124232, "Pcb.KernelTime": 1})
    sid = machine.allocate(16)
    machine.put(sid, pack("<BB6BII", 1, 2, 0, 0, 0, 0, 0, 5, 32, 544))
    groups = machine.allocate(16)
    machine.put_u64(groups, sid, 0)
    token = machine.place("_TOKEN")
    token.set({"UserAndGroupCount": 1, "UserAndGroups": groups})
    program["Token.Object"] = token.address | 0xF
    ended = add_process(machine, "gone.exe", 0x777, None, made.scene.objects)
    ended["ExitTime.QuadPart"] = 133461753454550000
    made.parts["ended"] = ended.address
    return made


@pytest.fixture(scope="module", params=(19041, 22000))
def at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(with_processes(request.param), tmp_path_factory.mktemp("tl"))


def test_processes_are_listed_between_two_heads_the_idle_one_first(at: Lab) -> None:
    idle, system = at.made.scene.idle_process.address, at.made.scene.system.address
    assert run_lines(at.session, "!tl") == [
        "PID          Address          Name",
        "============ ================ ====================",
        f"0x0   0n0    {idle:016x} Idle",
        f"0x4   0n4    {system:016x} System",
        f"0x9ac 0n2476 {at.parts['program']:016x} a_very_long_name.exe",
        "============ ================ ====================",
        "PID          Address          Name",
        "",
        "Warning! Zombie process(es) detected (not displayed). Count: 1 [zombie report]",
    ]


def test_threads_are_counted_by_what_they_do(at: Lab) -> None:
    lines = run_lines(at.session, "!mex.tl -t")
    assert lines[0].endswith(" Name                 !! Rn Ry Bk Lc IO Er")
    rows = {line.split()[3]: line.split()[4:] for line in lines[2:5]}
    assert rows["Idle"] == [".", "2", ".", ".", ".", ".", "."]
    # Ready and standby; the fast mutexes and push locks; the resources.
    assert rows["System"] == [".", "1", "2", "5", ".", ".", "4"]
    assert rows["a_very_long_name.exe"] == ["."] * 7


def test_a_count_leads_to_its_threads(at: Lab) -> None:
    text = "\n".join(map(dml, Dispatcher(at.session).lines("tl -t System")))
    system = at.made.scene.system.address
    command = f"lt {system:x} -wr WrFastMutex,WrGuardedMutex,WrMutex,WrPushLock"
    assert f'<link cmd="{command}">5</link>' in text
    assert "Thread Count: 5" in run_lines(at.session, command)


def test_memory_is_shown_in_the_largest_units_and_nothing_for_zero(at: Lab) -> None:
    lines = run_lines(at.session, "tl -mem a_very")
    assert lines[0].endswith("   VM    Peak Shared Awe Size Commit Size  PP Quota NPP Quota")
    assert lines[2].endswith(" 2 TB 4.09 GB               0     1.21 MB 121.32 KB   7.85 KB")


def test_times_are_cut_for_user_and_rounded_for_kernel_mode(at: Lab) -> None:
    lines = run_lines(at.session, "tl -cpu a_very")
    assert lines[0].endswith("    User Kernel   Total")
    assert lines[2].endswith(" 10s.546   16ms 10s.562")


def test_users_are_named_by_their_sid_where_no_account_is_there(at: Lab) -> None:
    row = next(line for line in run_lines(at.session, "tl -u") if "a_very" in line)
    assert row.endswith(" S-1-5-32-544")


def test_sorting_by_threads_counts_them(at: Lab) -> None:
    lines = run_lines(at.session, "tl -sort thread")
    assert [line.split()[3] for line in lines[2:5]] == ["a_very_long_name.exe", "Idle", "System"]
    assert lines[0].endswith(" Thd")


def test_details_show_threads_handles_and_the_time_of_making(at: Lab) -> None:
    lines = run_lines(at.session, "tl -proc 9ac")
    assert lines[0].endswith(" Thd Hnd Create Time                Command Line")
    assert "   1   0 12/04/2023 0" in lines[2]


@pytest.mark.parametrize("filter", ["VERY", "9ac", "0n2476"])
def test_a_filter_is_a_part_of_the_name_or_an_id(at: Lab, filter: str) -> None:
    assert [row["name"] for row in data(run(at.session, f"tl {filter}"))["processes"]] == ["a_very_long_name.exe"]


def test_the_processes_that_have_ended_are_listed_by_z(at: Lab) -> None:
    lines = run_lines(at.session, "tl -z")
    assert lines[2].split() == ["0x777", "0n1911", f"{at.parts['ended']:016x}", "gone.exe"]
    assert not any("Zombie" in line for line in lines)


def test_the_session_that_follows_s_is_the_only_one(at: Lab) -> None:
    assert run_lines(at.session, "tl -s 7")[0] == "No process matches."
    assert run_lines(at.session, "tl -s")[0].endswith(" Ses")


def test_bad_arguments_are_refused_in_one_line(at: Lab) -> None:
    with pytest.raises(CommandError, match="cannot sort by 'size'"):
        run_lines(at.session, "tl -sort size")
    with pytest.raises(CommandError, match="unexpected 'two'"):
        run_lines(at.session, "tl one two")


def test_a_list_of_processes_that_loops_ends_and_is_named(tmp_path: Path) -> None:
    made = with_processes(19041)
    link = made.parts["program"] + made.machine.view("_EPROCESS", 0).at("ActiveProcessLinks")
    made.machine.put_u64(link, link)
    lines = run_lines(session_for(made.machine, made.symbols(), tmp_path), "tl")
    assert any("a_very_long_name" in line for line in lines)
    assert lines[-1] == f"the end of the list of processes: the list loops at {link:016x}"


def test_counts_of_threads_that_cannot_be_read_are_not_called_none(tmp_path: Path) -> None:
    made = with_processes(19041)
    drop_page(made.machine, made.threads["user"].at("Tcb.State"))
    lines = run_lines(session_for(made.machine, made.symbols(), tmp_path), "tl -t a_very")
    assert lines[2].split()[4:] == ["?"] * 7
    assert lines[-1].startswith("thread ") or "the threads of process" in lines[-1]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (272, "272 B"), (13926, "13.6 KB"), (90721747, "86.52 MB"), (2 << 40, "2 TB"), (45056, "44 KB")],
)
def test_sizes_have_up_to_two_decimals(size: int, text: str) -> None:
    assert short_size(size) == text


@pytest.mark.parametrize(
    ("line", "service"),
    [
        ("C:\\Windows\\system32\\svchost.exe -k NetworkService -s TermService", "TermService"),
        ("svchost.exe -k DcomLaunch -p", "DcomLaunch"),
        ('"C:\\Windows\\svchost.exe" -k', None),
        ("notepad.exe -s x", None),
        ("", None),
    ],
)
def test_the_service_of_a_command_line_is_found(line: str, service: object) -> None:
    assert service_name(line) == service


@needs_shared
def test_a_dump_without_symbols_says_so_in_one_line() -> None:
    with pytest.raises(SymbolError, match="has no symbols"):
        run_lines(session_of("triage_x64"), "tl")
