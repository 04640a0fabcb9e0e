"""`t`: a thread as mex shows it, and why it waits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import List

import pytest
from dumpkit.commands.t import ThreadReport
from dumpkit.dispatcher import Dispatcher, parse_call
from dumpkit.dump import open_dump
from dumpkit.errors import DumpkitError
from dumpkit.output import data, dml

from tests.forge.process import add_process
from tests.forged_session import drop_page
from tests.kernel.thread_machines import Lab, lab
from tests.running import run, run_lines, session_of, session_on
from tests.shared import needs_shared
from tests.thread_machine import make

HEADER = (
    "Process                   Thread                       CID       UserTime KernelTime ContextSwitches"
    " Wait Reason  Time State"
)
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fast-mutex-irql" / "MEMORY.DMP"


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return lab(19041, tmp_path_factory.mktemp("t"))


def shown(at: Lab, name: str, options: str = "-d") -> List[str]:
    return [line.rstrip() for line in run_lines(at.session, f"t {options} {at.address(name):x}")]


def block(lines: List[str], head: str) -> List[str]:
    """The lines below a head, up to an empty one."""
    start = next(index for index, line in enumerate(lines) if line.startswith(head)) + 1
    end = next((index for index in range(start, len(lines)) if not lines[index]), len(lines))
    return lines[start:end]


def test_the_header_is_a_table_of_one_row(at: Lab) -> None:
    head, row = shown(at, "semaphore")[:2]
    system = at.made.scene.system.address
    assert head == HEADER
    assert row == (
        f"System ({system:016x}) {at.address('semaphore'):016x} (E|K|W|R|V) 4.11c            0          0"
        "               1 Executive   656ms Waiting"
    )


def test_processor_time_is_rounded_and_waiting_time_cut(at: Lab) -> None:
    row = shown(at, "runner")[1]
    assert " 16ms      594ms               3 WrResource  15ms Running on processor 0" in row


def test_a_thread_of_user_mode_shows_its_teb_and_its_processs_long_name(at: Lab) -> None:
    head, row = shown(at, "user")[:2]
    assert head.split()[:4] == ["Process", "Thread", "CID", "TEB"]
    assert row.startswith(f"a_very_long_name.exe ({at.parts['program']:016x})")
    assert " 9ac.9b0   0000000917d7a000  10s.547 " in row


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("ready", "Ready"),
        ("standby", "Standby on processor 1"),
        ("terminated", "Terminated"),
        ("initialized", "Initialized"),
    ],
)
def test_every_state_is_shown(at: Lab, name: str, state: str) -> None:
    assert shown(at, name)[1].endswith(f" {state}")


def test_requests_are_shown_with_file_and_driver(at: Lab) -> None:
    assert block(shown(at, "file request"), "Irp List:") == [
        "    IRP              File                   Driver",
        f"    {at.parts['file request']:016x} \\data\\file request.txt testdrv",
    ]


def test_a_mutant_names_its_owner(at: Lab) -> None:
    lines = block(shown(at, "any"), "WaitBlockList:")
    assert lines[0] == "    Object           Type                 Other Waiters Info"
    assert lines[1].endswith(" SynchronizationEvent             0")
    assert lines[2].endswith(f" Mutant                           0 Owning Thread: {at.address('runner'):016x} (System)")


def test_a_semaphore_shows_its_limit_and_a_queue_its_other_waiters(at: Lab) -> None:
    assert block(shown(at, "semaphore"), "WaitBlockList:")[1].endswith(" Semaphore             0 Limit: 7")
    assert block(shown(at, "worker 2"), "WaitBlockList:")[0] == "    Object           Type  Other Waiters"
    assert block(shown(at, "worker 2"), "WaitBlockList:")[1].endswith(" Queue             2")


def test_a_fast_mutex_shows_where_its_owner_is_written_as_mex_does(at: Lab) -> None:
    row = block(shown(at, "fast"), "WaitBlockList:")[1]
    assert row.endswith(f" SynchronizationEvent             0 Fast Mutex Owner: {at.parts['fast mutex'] + 8:016x}")


def test_a_notification_event_on_the_stack_is_marked(at: Lab) -> None:
    head, row = block(shown(at, "notified"), "WaitBlockList:")
    assert head == "    Object                  Type              Other Waiters"
    assert (
        row
        == f"    {at.made.threads['notified']['Tcb.StackBase'] - 0x1200:016x}(stack) NotificationEvent             0"
    )


def test_a_sleeping_thread_has_no_list_of_objects(at: Lab) -> None:
    for name in ("sleeper", "dozer"):
        assert not any(line.startswith("WaitBlockList") for line in shown(at, name))


def test_priorities_are_shown_where_they_are_not_a_plain_8(at: Lab) -> None:
    assert block(shown(at, "standby"), "Priority:") == [
        "    Current Base Decrement ForegroundBoost IO Page",
        "    8       8    0         32              0  5",
    ]
    assert not any(line.startswith("Priority") for line in shown(at, "ready"))


def test_a_waiting_threads_stack_is_shown_from_the_switch_on(at: Lab) -> None:
    lines = block(shown(at, "semaphore"), "# Child-SP")
    assert [line.split()[-1] for line in lines] == [
        "nt!KiSwapContext+0x76",
        "nt!KiSwapThread+0x500",
        "nt!KiCommitThreadWait+0x14f",
        "nt!KeWaitForSingleObject+0x233",
        "test!Worker+0x40",
        "nt!PspSystemThreadStartup+0x55",
        "nt!KiStartSystemThread+0x28",
    ]
    assert lines[-1].split()[2] == "0000000000000000"


def test_the_frame_that_waits_for_a_resource_says_who_has_it(at: Lab) -> None:
    lines = shown(at, "exclusive")
    row = next(line for line in lines if "ExAcquireResourceExclusiveLite" in line)
    assert row.endswith(
        f" nt!ExAcquireResourceExclusiveLite+0x40 Thread: {at.address('ready'):016x} (System)"
        f" exclusive owner of EResource: {at.parts['held']:016x}"
    )
    assert next(line for line in lines if line.startswith("# Child-SP")).split()[-1] == "Info"
    shared = next(line for line in shown(at, "shared") if "ExAcquireResource" in line)
    assert f"{at.address('runner'):016x} (System) shared owner of EResource: {at.parts['shared']:016x}" in shared


def test_a_terminated_thread_is_warned_of_behind_its_stack(at: Lab) -> None:
    assert shown(at, "terminated")[-2:] == ["", "Warning!!! Thread is marked as terminated"]


def test_a_stack_that_is_not_resident_is_told_before_and_behind(at: Lab) -> None:
    lines = shown(at, "swapped")
    assert lines[0] == "Could not switch to thread. Error d0000147"
    assert lines[-2:] == ["", "Kernel stack not resident"]


def test_a_thread_that_never_ran_says_so_in_the_place_of_a_stack(at: Lab) -> None:
    assert shown(at, "initialized")[-1].endswith("has not run yet")


def test_options_choose_what_of_the_stack_is_shown(at: Lab) -> None:
    assert block(shown(at, "semaphore", "-d -c"), "Call Site")[0] == "nt!KiSwapContext"
    assert not any("Child-SP" in line for line in shown(at, "semaphore", "-i"))
    sized = shown(at, "semaphore", "-d -f")
    assert next(line for line in sized if "KiSwapThread" in line).split()[3] == "b0"
    summary = shown(at, "semaphore", "-d -fv")
    assert summary[-6].strip().split() == ["Size", "Call", "Site"]
    assert any(line.startswith("Stack used: ") for line in summary)
    raw = shown(at, "semaphore", "-raw")
    assert any(line.endswith(" test!Worker+0x40") and "`" in line for line in raw)
    verbose = shown(at, "semaphore", "-d -v")
    assert any(line.strip().startswith("Start:") and line.endswith("test!Worker") for line in verbose)
    assert shown(at, "semaphore", "-i -w")[-1].startswith("The windows of a thread cannot be shown")


def test_a_context_record_gives_the_stack(at: Lab, tmp_path: Path) -> None:
    made = make()
    place = made.machine.allocate(0x500)
    context = at.thread("semaphore").context()
    from tests.forge.processor import context_record

    made.machine.put(place, context_record({name: context[name] for name in ("rip", "rsp", "rbp")}))
    here = Lab(made, tmp_path)
    lines = [line for line in run_lines(here.session, f"t -cxr {place:x}") if "+0x" in line]
    assert lines[0].split()[-1] == "nt!KiSwapContext+0x76" and len(lines) == 7


def test_source_lines_are_a_column_that_l_hides() -> None:
    session = session_on(open_dump(str(EXAMPLE)))
    assert any("Driver.c @ 64" in line for line in run_lines(session, "t"))
    assert not any("Driver.c" in line for line in run_lines(session, "t -l"))


def test_threads_are_chosen_by_address_id_processor_or_none(at: Lab) -> None:
    for text in ("t -i", "t -i 0", "t -i -t 128", "t -i -t 0x80", "t 80 -i", f"t -i {at.address('runner'):x}"):
        report = run(at.session, text)
        assert isinstance(report, ThreadReport)
        assert report.facts.thread == at.address("runner")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("t -t 7777", "No thread has the id 1e61"),
        ("t -t x9", "is no thread id"),
        ("t ffff900000001000", "is no thread: not present"),
        ("t 7777", "No thread has the id 7777"),
    ],
)
def test_what_is_no_thread_is_refused_in_one_line(at: Lab, text: str, words: str) -> None:
    with pytest.raises(DumpkitError, match=words):
        run(at.session, text)
    with pytest.raises(DumpkitError, match="its header says that it is another object"):
        run(at.session, f"t {at.parts['program']:x}")


def test_the_thread_becomes_current_unless_d_is_said(tmp_path: Path) -> None:
    here = lab(19041, tmp_path)
    runner, semaphore = here.address("runner"), here.address("semaphore")
    run_lines(here.session, f"t -d {semaphore:x}")
    assert here.session.thread_address == runner
    run_lines(here.session, f"t {semaphore:x}")
    assert here.session.thread_address == semaphore
    assert run_lines(here.session, "k")[2].endswith("nt!KiSwapContext+0x76")
    assert run(here.session, "t -i").facts.thread == semaphore


def test_links_lead_to_the_thread_its_process_and_its_requests(at: Lab) -> None:
    call = parse_call(f"t -d {at.address('request'):x}")
    dispatcher = Dispatcher(at.session)
    text = "\n".join(dml(line) for line in dispatcher.render(call, dispatcher.call(call)))
    for link in (f"t {at.address('request'):x}", f"irp {at.parts['request']:x}", f"t -a {at.address('request'):x}"):
        assert f'<link cmd="{link}">' in text


def test_the_result_is_data(at: Lab) -> None:
    found = json.loads(json.dumps(data(run(at.session, f"t -a {at.address('dead 1'):x}"))))
    names = [f"0x{at.address(f'dead {number}'):x}" for number in (1, 2, 3)]
    assert found["analysis"]["deadlocks"] == [names]
    cause = found["analysis"]["thread"]["causes"][0]
    assert cause["kind"] == "mutant" and cause["owners"][0]["thread"] == names[1]
    assert found["facts"]["waits"][0]["owner"] == names[1]


def test_the_way_from_owner_to_owner_ends_with_the_deadlock(at: Lab) -> None:
    lines = shown(at, "dead 1", "-a")
    one, two, three = (f"{at.address(f'dead {number}'):016x}" for number in (1, 2, 3))
    start = lines.index("Wait analysis:")
    assert lines[start + 1] == f"    {one} (System) Waiting (Executive) for 656ms"
    assert lines[start + 3] == f"        {two} (System) Waiting (Executive) for 656ms"
    assert lines[-3].endswith(f"{one} (System): deadlock: the threads above wait for each other")
    assert lines[-1] == f"Deadlock: {one} -> {two} -> {three} -> {one}"


def test_av_tells_the_evidence_and_the_waiting_function(at: Lab) -> None:
    lines = shown(at, "push", "-av")
    assert "      in test!Worker+0x40" in lines
    assert "      known by: its newest waiter's block leads to the thread; the owner's lock entry" in lines


def test_a_request_names_the_driver_that_has_it(at: Lab) -> None:
    lines = shown(at, "request", "-a")
    assert lines[-1] == f"      waits for I/O request {at.parts['request']:016x} (the request is with testdrv)"


def test_what_cannot_be_read_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    made = make()
    # A process in pages of its own, which the dump then lacks.
    lost = add_process(made.machine, "lost.exe", 0x600, 0xFFFFA08F20000000, listed=False)
    made.threads["semaphore"]["Tcb.Process"] = lost
    made.threads["semaphore"]["Tcb.ApcState.Process"] = lost
    drop_page(made.machine, lost.address)
    here = Lab(made, tmp_path)
    lines = shown(here, "semaphore")
    assert lines[1].startswith("? (ffffa08f20000000) ")
    assert any(line.startswith("its process's name: ffffa08f20000000: ") for line in lines)
    assert any("KiSwapContext" in line for line in lines)


@pytest.mark.parametrize("name", ["wild", "looping", "swapped", "pointer", "push lost"])
@pytest.mark.parametrize("options", ["-d", "-a", "-av", "-d -v -fv"])
def test_damaged_threads_are_shown_as_far_as_they_go(at: Lab, name: str, options: str) -> None:
    lines = shown(at, name, options)
    assert len(lines) > 3 and lines[0 if name != "swapped" or "-a" in options else 1].startswith("Process")


@needs_shared
@pytest.mark.parametrize("name", ["rts_9f", "rts_d1", "triage_arm64", "011620-8250-01", "111417-58375-01"])
def test_without_symbols_the_crashing_thread_is_shown_with_its_stack(name: str) -> None:
    session = session_of(name)
    lines = run_lines(session, "t")
    assert "Running on processor" in lines[1]
    assert any("# Child-SP" in line for line in lines)
    assert len([line for line in lines if "has no symbols" in line]) == 1
    with pytest.raises(DumpkitError, match="not known"):
        run(session, "t -a")
