"""`thread`: a thread as kdexts shows it."""

from __future__ import annotations

from pathlib import Path
from typing import List

import pytest
from dumpkit.errors import DumpkitError

from tests.kernel.thread_machines import Lab, lab
from tests.running import run, run_lines, session_of
from tests.shared import SYMBOLS, needs_shared, needs_symbols
from tests.thread_machine import TICKS, make


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return lab(22000, tmp_path_factory.mktemp("thread"))


def shown(at: Lab, name: str, flags: str = "") -> List[str]:
    return run_lines(at.session, f"!thread {at.address(name):x} {flags}")


def test_a_waiting_thread_is_shown_as_a_block(at: Lab) -> None:
    thread = at.made.threads["any"]
    lines = shown(at, "any")
    mutant = at.machine.view("_KWAIT_BLOCK", thread.at("Tcb.WaitBlock[1]"))["Object"]
    event = at.machine.view("_KWAIT_BLOCK", thread.at("Tcb.WaitBlock[0]"))["Object"]
    tid = thread["Cid.UniqueThread"]
    assert lines[:13] == [
        f"THREAD {thread.address:016x}  Cid 0004.{tid:04x}  Teb: 0000000000000000 Win32Thread: 0000000000000000"
        " WAIT: (UserRequest) KernelMode Non-Alertable",
        f"    {event:016x}  SynchronizationEvent",
        f"    {mutant:016x}  Mutant - owning thread {at.address('runner'):016x}",
        "Not impersonating",
        f"Owning Process            {at.made.scene.system.address:016x}       Image:         System",
        "Attached Process          N/A            Image:         N/A",
        f"Wait Start TickCount      {TICKS - 42}          Ticks: 42 (0:00:00:00.656)",
        "Context Switch Count      1              IdealProcessor: 0",
        "UserTime                  00:00:00.000",
        "KernelTime                00:00:00.000",
        f"Win32 Start Address test!Worker (0x{at.made.scene.places['test!Worker'].address:016x})",
        f"Stack Init {thread['Tcb.InitialStack']:016x} Current {thread['Tcb.KernelStack']:016x}",
        f"Base {thread['Tcb.StackBase']:016x} Limit {thread['Tcb.StackLimit']:016x} Call 0000000000000000",
    ]
    assert lines[13] == "Priority 9 BasePriority 9 PriorityDecrement 0 IoPriority 2 PagePriority 5"
    assert lines[14].startswith("Child-SP          RetAddr               : Args to Child")
    assert lines[15].endswith(" : nt!KiSwapContext+0x76")


def test_times_are_cut_to_milliseconds(at: Lab) -> None:
    lines = shown(at, "runner")
    assert "UserTime                  00:00:00.015" in lines
    assert "KernelTime                00:00:00.593" in lines


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("runner", "RUNNING on processor 0"),
        ("ready", "READY on processor 1"),
        ("standby", "STANDBY on processor 1"),
        ("terminated", "TERMINATED"),
        ("initialized", "INITIALIZED"),
        ("user", "WAIT: (UserRequest) UserMode Non-Alertable"),
    ],
)
def test_every_state_is_shown(at: Lab, name: str, state: str) -> None:
    assert shown(at, name)[0].endswith(f" {state}")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("semaphore", "Semaphore Limit 0x7"),
        ("joiner", "Thread"),
        ("process", "ProcessObject"),
        ("worker 1", "QueueObject"),
        ("timer", "NotificationTimer"),
        ("wild", "????"),
    ],
)
def test_every_kind_of_object_is_named(at: Lab, name: str, words: str) -> None:
    assert shown(at, name, "2")[1].endswith(f"  {words}")


def test_flags_choose_how_much_is_shown(at: Lab) -> None:
    assert len(shown(at, "semaphore", "0")) == 1 and shown(at, "semaphore", "0")[0].endswith(" WAIT")
    assert shown(at, "semaphore", "4") == shown(at, "semaphore", "0")
    assert len(shown(at, "semaphore", "2")) == 2
    plain = shown(at, "semaphore", "e")
    assert any(line.startswith("Child-SP          RetAddr               Call Site") for line in plain)


def test_requests_are_listed_with_their_first_words(at: Lab) -> None:
    lines = shown(at, "request")
    irp = at.machine.view("_IRP", at.parts["request"])
    place = lines.index("IRP List:")
    assert lines[place + 1] == f"    {irp.address:016x}: (0006,{irp['Size']:04x}) Flags: 00000000  Mdl: 00000000"


def test_impersonation_and_attachment_are_shown(tmp_path: Path) -> None:
    made = make()
    made.threads["runner"].set({"ActiveImpersonationInfo": 1, "ClientSecurity.ImpersonationData": 0xFFFFA08F20000002})
    made.threads["runner"]["Tcb.ApcState.Process"] = made.parts["program"]
    lines = run_lines(Lab(made, tmp_path).session, "thread")
    assert "Impersonation token:  ffffa08f20000000 (Level Impersonation)" in lines
    assert f"Attached Process          {made.parts['program']:016x}       Image:         a_very_long_name.exe" in lines


def test_a_stack_that_is_not_resident_is_told(at: Lab) -> None:
    assert shown(at, "swapped")[-1] == "Kernel stack not resident."


def test_a_suspended_thread_says_how_often(tmp_path: Path) -> None:
    made = make()
    made.threads["semaphore"]["Tcb.SuspendCount"] = 2
    here = Lab(made, tmp_path)
    assert shown(here, "semaphore")[1] == "SuspendCount 2"


def test_a_thread_is_found_by_id_and_shown_with_its_process(at: Lab) -> None:
    lines = run_lines(at.session, "!thread -p -t 9b0 0")
    assert lines[0] == f"PROCESS {at.parts['program']:016x}"
    assert "    Image: a_very_long_name.exe" in lines
    assert lines[-1].startswith(f"THREAD {at.address('user'):016x}  Cid 09ac.09b0  Teb: 0000000917d7a000 ")


def test_the_current_thread_is_shown_where_none_or_minus_one_is_said(at: Lab) -> None:
    assert run_lines(at.session, "!thread")[0] == run_lines(at.session, "!thread -1")[0] == shown(at, "runner")[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("!thread ffff900000001000", "is no thread: not present"),
        ("!thread -t 7777", "No thread has the id 7777"),
        ("!thread 1 2 3", "unexpected '3'"),
    ],
)
def test_what_is_no_thread_is_refused_in_one_line(at: Lab, text: str, words: str) -> None:
    with pytest.raises(DumpkitError, match=words):
        run(at.session, text)


@needs_shared
@needs_symbols
def test_a_real_thread_is_shown_as_far_as_its_dump_goes() -> None:
    session = session_of("triage_x64")
    session.target.symbol_path = str(SYMBOLS / "isf")  # type: ignore[union-attr]
    lines = run_lines(session, "!thread")
    assert lines[0].endswith(
        "Cid 0004.0108  Teb: 0000000000000000 Win32Thread: 0000000000000000 RUNNING on processor 0"
    )
    assert "Wait Start TickCount      239            Ticks: ????" in lines
    assert "Win32 Start Address nt!ExpWorkerThread (0xfffff8047bc25870)" in lines
    assert "Priority 13 BasePriority 12 PriorityDecrement 0 IoPriority 2 PagePriority 5" in lines
