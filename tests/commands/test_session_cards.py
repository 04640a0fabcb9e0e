"""crash, w, p and WrFastMutex."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.dispatcher import Dispatcher
from dumpkit.errors import DumpkitError, SymbolError
from dumpkit.output import data, dml

from tests.forged_session import drop_page, session_for
from tests.kernel.thread_machines import Lab, lab
from tests.running import run, run_lines, session_of
from tests.shared import needs_shared
from tests.thread_machine import make


@pytest.fixture(params=(19041, 22000), scope="module")
def at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    made = make(request.param)
    program = made.machine.view("_EPROCESS", made.parts["program"])
    program.set({"VirtualSize": 4390000000, "PeakVirtualSize": 2 << 40, "CommitCharge": 310})
    program.set({"ProcessQuotaUsage[0]": 8038, "ProcessQuotaUsage[1]": 124232})
    return Lab(made, tmp_path_factory.mktemp("cards"))


def test_crash_is_di_bugcheck_and_kn_under_heads(at: Lab) -> None:
    lines = run_lines(at.session, "!crash")
    rule = "=" * 44
    assert lines == [
        "Dump Info",
        rule,
        *run_lines(at.session, "di"),
        "",
        "Bugcheck details",
        rule,
        *run_lines(at.session, ".bugcheck"),
        "",
        "Crashing Stack",
        rule,
        *run_lines(at.session, "kn"),
    ]


@needs_shared
@pytest.mark.parametrize("name", ["triage_x64", "100623-6156-01", "triage_arm64"])
def test_crash_shows_triage_dumps(name: str) -> None:
    lines = run_lines(session_of(name), "crash")
    assert [line for line in lines if line in ("Dump Info", "Bugcheck details", "Crashing Stack")] == [
        "Dump Info",
        "Bugcheck details",
        "Crashing Stack",
    ]
    assert any(line.startswith("Bugcheck code ") for line in lines)
    assert any(line.startswith("00 ") for line in lines)


def test_w_says_where_the_session_is(at: Lab) -> None:
    session = at.session
    system = at.made.scene.system.address
    session.thread = session.process = None
    assert run_lines(session, "!w") == [
        "Session: 0",
        f"Process: {system:016x} System",
        f"Thread:  {at.address('runner'):016x} System {system:016x}",
        "Pid: 4",
        "Tid: 80",
        "Frame: 0",
        "Teb: 0",
        "Dbgid: 0 (Debugger thread ID in usermode / Processor ID in kernelmode)",
    ]


def test_w_follows_the_thread_that_was_chosen(at: Lab) -> None:
    try:
        run(at.session, f".thread {at.address('user'):x}")
        lines = run_lines(at.session, "w")
    finally:
        at.session.thread = None
        at.session.reset_context()
    assert lines[2].endswith(f" a_very_long_name.exe {at.parts['program']:016x}")
    assert (lines[4], lines[6]) == ("Tid: 9b0", "Teb: 917d7a000")


@needs_shared
def test_w_on_a_triage_dump_says_what_it_cannot() -> None:
    lines = run_lines(session_of("triage_x64"), "w")
    assert lines[1].startswith("Process: ffff") and lines[2].startswith("Thread:  ffff")
    assert any("has no symbols" in line for line in lines)


def test_p_shows_a_process_its_memory_and_what_to_look_at_next(at: Lab) -> None:
    place = at.parts["program"]
    assert run_lines(at.session, "!p 9ac") == [
        "Name                 Address                  Ses PID          Parent  PEB             "
        " Create Time                Mods Handle Thrd",
        "==================== ======================== === ============ ======= ================"
        " ========================== ==== ====== ====",
        f"a_very_long_name.exe {place:016x} (E|K|O)   0 9ac (0n2476) 4 (0n4) 0000000000000000"
        " 12/04/2023 02:39:05.455 PM    0      0    1",
        "",
        "Memory Details:",
        "",
        "    VM      Peak Commit Size PP Quota  NPP Quota",
        "    ======= ==== =========== ========= =========",
        "    4.09 GB 2 TB     1.21 MB 121.32 KB   7.85 KB",
        "",
        "Show LPC Port information for process",
        "",
        f"Show Threads: Unique Stacks    !mex.listthreads (!lt) {place:016x}    !process {place:016x} 7",
    ]


def test_p_of_system_has_its_own_links(at: Lab) -> None:
    lines = run_lines(at.session, "p")
    assert lines[2].startswith("System ")
    assert "File Server Threads (Active threads running srv or srv2 driver)" in lines
    assert "Exective Work Queues" in lines


def test_every_link_of_p_is_a_command_that_works(at: Lab) -> None:
    for line in Dispatcher(at.session).lines("p"):
        for piece in line if not isinstance(line, str) else ():
            if not isinstance(piece, str) and piece.command is not None:
                assert list(Dispatcher(at.session).lines(piece.command))


def test_p_takes_names_and_addresses_and_refuses_others(at: Lab) -> None:
    place = at.parts["program"]
    assert data(run(at.session, "p a_very_long_name"))["process"] == f"0x{place:x}"
    assert data(run(at.session, f"p {place:x}"))["pid"] == 0x9AC
    for line in ("p 12345", "p nothing.exe", f"p {at.address('runner'):x}"):
        with pytest.raises(DumpkitError):
            run(at.session, line)


@needs_shared
def test_p_without_symbols_is_one_line() -> None:
    with pytest.raises(SymbolError, match="has no symbols"):
        run_lines(session_of("triage_x64"), "p")


def test_wrfastmutex_names_the_real_owners(at: Lab) -> None:
    runner, selfish = at.address("runner"), at.address("selfish")
    assert run_lines(at.session, "!WrFastMutex") == [
        "Process PID Thread            Id CSwitches User Kernel State    Time Reason      Waiting On"
        "                      Wait Function",
        "======= === ================ === ========= ==== ====== ======= ===== ==========="
        " =============================== ================",
        f"System    4 {at.address('fast'):016x} {at.thread('fast').tid:x}         1    0      0 Waiting 656ms"
        f" WrFastMutex Owning Thread: {runner:016x} test!Worker+0x40",
        f"System    4 {selfish:016x} {at.thread('selfish').tid:x}         1    0      0 Waiting 656ms"
        f" WrFastMutex Owning Thread: {selfish:016x} test!Worker+0x40",
        "Count: 2",
    ]
    text = "\n".join(map(dml, Dispatcher(at.session).lines("WrFastMutex")))
    assert f'Owning Thread: <link cmd="t {runner:x}">' in text


def test_wrfastmutex_on_a_mutex_that_is_missing_keeps_the_row(tmp_path: Path) -> None:
    made = make()
    drop_page(made.machine, made.parts["fast mutex"])
    lines = run_lines(session_for(made.machine, made.symbols(), tmp_path), "WrFastMutex")
    assert any(line.startswith("Count: ") for line in lines)


def test_wrfastmutex_where_nobody_waits_counts_none(tmp_path: Path) -> None:
    made = make()
    for name in ("fast", "selfish"):
        made.threads[name]["Tcb.WaitReason"] = 0
    assert run_lines(session_for(made.machine, made.symbols(), tmp_path), "WrFastMutex") == ["Count: 0"]


def test_damaged_links_do_not_stop_the_cards(tmp_path: Path) -> None:
    _lab = lab(19041, tmp_path)
    link = _lab.address("ready") + _lab.target.type("_ETHREAD").offset("ThreadListEntry")
    made = make()
    made.machine.put_u64(link, link)
    folder = tmp_path / "damaged"
    folder.mkdir()
    lines = run_lines(session_for(made.machine, made.symbols(), folder), "WrFastMutex")
    assert lines[0] == "Count: 0"
    assert "the list loops" in lines[-1]
