"""running, ready and Standby: what the processors run, run next, and have queued."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.output import data, dml

from tests.forge.processor import Processor
from tests.forge.structure import Structure
from tests.forge.thread import ready
from tests.forged_session import drop_page, session_for
from tests.kernel.thread_machines import Lab
from tests.running import run, run_lines, session_of
from tests.shared import needs_shared
from tests.thread_machine import Made, make


def processor(made: Made, number: int) -> Processor:
    machine = made.machine
    block = machine.u64(machine.address("KiProcessorBlock") + 8 * number)
    return Processor(number, machine.view("_KPCR", block), machine.view("_KPRCB", block))


def with_queues(build: int) -> Made:
    """The machine of threads, with one more in a shared queue and one in the second processor's deferred queue."""
    made = make(build)
    machine = made.machine
    shared = machine.place("_KSHARED_READY_QUEUE")
    for priority in range(32):
        machine.link(shared.at(f"ReadyListHead[{priority}]"), ())
    for number in (0, 1):
        processor(made, number).prcb["SharedReadyQueue"] = shared
    high = made.threads["dozer"]
    high["Tcb.Priority"] = 15
    ready(high, processor(made, 0), shared)
    deferred = made.threads["sleeper"]
    deferred.set({"Tcb.State": 7, "Tcb.Priority": 3})
    head = processor(made, 1).prcb.at("DeferredReadyListHead")
    machine.put_u64(head, deferred.at("Tcb.SwapListEntry"))
    machine.put_u64(deferred.at("Tcb.SwapListEntry"), 0)
    return made


@pytest.fixture(scope="module", params=(19041, 22000))
def at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(with_queues(request.param), tmp_path_factory.mktemp("running"))


def test_running_has_a_row_for_each_processor_in_their_order(at: Lab) -> None:
    lines = run_lines(at.session, "running")
    runner = at.address("runner")
    idle = at.target.thread_address(1)
    assert lines[0] == (
        "Process PID Thread           Id Pri Base Pri Next CPU CSwitches User Kernel State         Time Reason"
    )
    assert lines[1] == (
        "======= === ================ == === ======== ======== ========= ==== ====== ======= ========== =========="
    )
    assert lines[2] == (
        f"System    4 {runner:016x} 80   8        8        0         3 16ms  594ms Running       15ms WrResource"
    )
    assert lines[3].startswith(f"Idle      0 {idle:016x}  0   0        0        1         1    0      0 Running ")
    assert lines[4:] == ["", "Count: 2 | Show Unique Stacks"]


def test_running_links_to_threads_processes_and_stacks(at: Lab) -> None:
    from dumpkit.dispatcher import Dispatcher

    text = "\n".join(map(dml, Dispatcher(at.session).lines("!mex.running")))
    assert f'<link cmd="t {at.address("runner"):x}">' in text
    assert f'<link cmd="p {at.made.scene.system.address:x}">System</link>' in text
    assert '<link cmd="us -cpu">Show Unique Stacks</link>' in text


def test_ready_has_every_queue_by_descending_priority(at: Lab) -> None:
    lines = run_lines(at.session, "ready")
    heads = "Process PID Thread Id Pri Base Pri Affinity Next CPU Ideal CPU CSwitches User Kernel State Time Reason"
    assert lines[0].split() == heads.split()
    rows = [line.split() for line in lines[2:5]]
    assert [(row[2], row[4]) for row in rows] == [
        (f"{at.address('dozer'):016x}", "15"),
        (f"{at.address('ready'):016x}", "8"),
        (f"{at.address('sleeper'):016x}", "3"),
    ]
    assert "DeferredReady" in rows[2]
    assert lines[5:] == ["", "Count: 3"]


def test_standby_has_the_next_threads(at: Lab) -> None:
    lines = run_lines(at.session, "!Standby")
    assert lines[2].split()[2] == f"{at.address('standby'):016x}"
    assert lines[2].endswith(" Standby    0 WrPreempted")
    assert lines[3:] == ["", "Count: 1"]


def test_the_rows_are_data(at: Lab) -> None:
    found = data(run(at.session, "running"))
    first = found["threads"][0]
    assert first["thread"] == f"0x{at.address('runner'):x}"
    assert (first["pid"], first["tid"], first["kernel_time"], first["next_processor"]) == ("0x4", "0x80", 594, 0)
    assert found["problems"] == []


def test_a_queue_that_loops_ends_and_is_named(tmp_path: Path) -> None:
    made = with_queues(19041)
    entry = made.threads["ready"].at("Tcb.WaitListEntry")
    made.machine.put_u64(entry, entry)
    with_loop = session_for(made.machine, made.symbols(), tmp_path)
    lines = run_lines(with_loop, "ready")
    assert "Count: 3" in lines
    assert lines[-1] == f"the ready queue of priority 8 of processor 1: the list loops at {entry:016x}"


def test_a_processor_that_is_missing_costs_its_row_only(tmp_path: Path) -> None:
    made = with_queues(19041)
    drop_page(made.machine, processor(made, 1).prcb.at("CurrentThread"))
    session = session_for(made.machine, made.symbols(), tmp_path)
    lines = run_lines(session, "running")
    assert "Count: 1 | Show Unique Stacks" in lines
    assert lines[-1].startswith("the thread of processor 1: ")


def test_a_thread_that_cannot_be_read_is_running_all_the_same(tmp_path: Path) -> None:
    made = with_queues(19041)
    drop_page(made.machine, made.threads["runner"].at("Tcb.State"))
    lines = run_lines(session_for(made.machine, made.symbols(), tmp_path), "running")
    assert f"{made.threads['runner'].address:016x}" in lines[2]
    assert " Running " in lines[2]


@needs_shared
def test_a_triage_dump_shows_its_thread_and_says_what_is_missing() -> None:
    lines = run_lines(session_of("triage_x64"), "running")
    assert any(line.startswith("Count: ") for line in lines)
    assert any("processor" in line or "has no symbols" in line for line in lines)


# --- As kdexts shows processors ---------------------------------------------------------------------------------


def test_processors_are_shown_with_their_threads_and_spin_locks(tmp_path: Path) -> None:
    made = make(19041)
    first = processor_of(made, 0)
    lock = made.machine.allocate(16)
    made.machine.view("_KSPIN_LOCK_QUEUE", first.at("LockQueue[1]"))["Lock"] = lock | 2
    session = session_for(made.machine, made.symbols(), tmp_path)
    lines = run_lines(session, "!running -i")
    runner, standby = made.threads["runner"], made.threads["standby"]
    idle = [processor_of(made, number)["IdleThread"] for number in range(2)]
    prcbs = [session.dump.prcb_address(number) for number in range(2)]
    assert lines == [
        "",
        "System Processors:  (0000000000000003)",
        "  Idle Processors:  (0000000000000002)",
        "",
        "       Prcbs             Current         (pri) Next            (pri) Idle",
        f"  0    {prcbs[0]:016x}  {runner.address:016x} ( 8) {'':16}      {idle[0]:016x}  .O..............",
        f"  1    {prcbs[1]:016x}  {idle[1]:016x} ( 0) {standby.address:016x} ( 8) {idle[1]:016x}  ................",
    ]
    assert run_lines(session, "running -t")[5].startswith("  0    ")


def processor_of(made: Made, number: int) -> Structure:
    """The KPRCB of a processor."""
    block = made.machine.u64(made.machine.address("KiProcessorBlock") + 8 * number)
    return made.machine.view("_KPRCB", block)


def test_stacks_are_shown_behind_each_processor(at: Lab) -> None:
    lines = run_lines(at.session, "!running -it")
    heads = [index for index, line in enumerate(lines) if line.startswith(" # Child-SP")]
    assert len(heads) == 2
    assert lines[heads[0] + 1].startswith("00 ")
    assert lines[heads[0] + 1].endswith("nt!KeBugCheckEx")
    assert lines[heads[1] + 1].endswith("nt!PoIdle+0x3c0")
    assert [each["number"] for each in data(run(at.session, "running -t"))["processors"]] == [0]


def test_a_processor_that_is_missing_leaves_the_others_in_the_summary(tmp_path: Path) -> None:
    made = make(19041)
    drop_page(made.machine, processor_of(made, 1).at("CurrentThread"))
    lines = run_lines(session_for(made.machine, made.symbols(), tmp_path), "running -it")
    assert "System Processors:  (0000000000000001)" in lines
    assert lines[-1].startswith("processor 1: ")


def test_queues_are_shown_one_by_one_with_flags(at: Lab) -> None:
    lines = run_lines(at.session, "!ready 0")
    shared = next(line for line in lines if line.startswith("SharedReadyQueue "))
    assert lines[0] == "Processor 0: No threads in READY state"
    assert shared.endswith(": Ready Threads at priority 15")
    assert lines[lines.index(shared) + 1].startswith(f"    THREAD {at.address('dozer'):016x}  Cid 0004.")
    assert "Processor 1: Ready Threads at priority 8" in lines
    deferred = lines.index("Processor 1: Deferred Ready Threads at priority 3")
    assert lines[deferred + 1].startswith(f"    THREAD {at.address('sleeper'):016x}  Cid 0004.")
    queues = data(run(at.session, "ready 6"))["queues"]
    assert [queue["processor"] for queue in queues] == [0, None, 1, 1]
    assert queues[2]["threads"][0]["thread"]["stack_place"] is not None
