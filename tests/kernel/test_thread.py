"""Threads: what the ETHREAD says, and the registers of threads that do not run."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.errors import DumpkitError, MemoryReadError
from dumpkit.kernel.stack import walk_stack
from dumpkit.kernel.thread import Thread, current_thread, running_threads

from tests.kernel.thread_machines import Lab, lab
from tests.running import session_of
from tests.shared import SYMBOLS, needs_shared, needs_symbols
from tests.thread_machine import TICKS


@pytest.fixture(scope="module", params=[19041, 22000])
def at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return lab(request.param, tmp_path_factory.mktemp("threads"))


def test_a_thread_says_whose_it_is_and_what_it_has_done(at: Lab) -> None:
    thread = at.thread("runner")
    assert (thread.pid, thread.tid, thread.teb) == (4, 0x80, 0)
    assert thread.process.address == at.made.scene.system.address
    assert thread.attached_process is None
    assert (thread.user_time, thread.kernel_time, thread.context_switches) == (1, 38, 3)
    assert (thread.priority, thread.base_priority, thread.io_priority, thread.page_priority) == (8, 8, 2, 5)
    assert (thread.wait_reason, thread.wait_time, thread.wait_ticks) == ("WrResource", TICKS - 1, 1)
    assert thread.is_valid and not thread.is_terminated


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("runner", "Running"),
        ("ready", "Ready"),
        ("standby", "Standby"),
        ("terminated", "Terminated"),
        ("initialized", "Initialized"),
        ("sleeper", "Waiting"),
    ],
)
def test_every_state_is_named(at: Lab, name: str, state: str) -> None:
    assert at.thread(name).state == state


def test_a_processor_is_told_of_threads_that_run_only(at: Lab) -> None:
    assert at.thread("runner").running_on == 0
    assert at.thread("standby").running_on is None
    assert at.thread("standby").next_processor == 1


def test_running_threads_are_those_of_the_processors(at: Lab) -> None:
    assert next(running_threads(at.target)) == at.thread("runner") == current_thread(at.target, 0)
    assert len(list(running_threads(at.target))) == 2


def test_a_thread_attached_elsewhere_names_both_processes(tmp_path: Path) -> None:
    here = lab(19041, tmp_path)
    here.made.threads["runner"]["Tcb.ApcState.Process"] = here.parts["program"]
    here = Lab(here.made, tmp_path)
    attached = here.thread("runner").attached_process
    assert attached is not None and attached.name == "a_very_long_name.exe"
    assert here.thread("runner").process.name == "System"


def test_the_registers_of_a_running_thread_are_its_processors(at: Lab) -> None:
    context = at.thread("runner").context()
    assert context.values == at.target.context(0).values


def test_a_waiting_threads_stack_begins_where_it_left_its_processor(at: Lab) -> None:
    thread = at.thread("semaphore")
    context = thread.context()
    assert context.stack_pointer == thread.kernel_stack + 0x40
    names = [str(at.target.symbols.nearest(frame.instruction_pointer)) for frame in walk_stack(at.target, context)]
    assert names[:5] == [
        "nt!KiSwapContext+0x76",
        "nt!KiSwapThread+0x500",
        "nt!KiCommitThreadWait+0x14f",
        "nt!KeWaitForSingleObject+0x233",
        "test!Worker+0x40",
    ]
    assert names[-1] == "nt!KiStartSystemThread+0x28"


@pytest.mark.parametrize(
    ("name", "reason"), [("swapped", "Kernel stack not resident"), ("initialized", "has not run yet")]
)
def test_a_thread_without_a_stack_says_why(at: Lab, name: str, reason: str) -> None:
    with pytest.raises(DumpkitError, match=reason):
        at.thread(name).context()


def test_a_stack_that_is_not_there_is_named_with_the_reason(tmp_path: Path) -> None:
    here = lab(19041, tmp_path)
    here.made.threads["ready"]["Tcb.KernelStack"] = 0xFFFF900000001000
    here.made.threads["standby"]["Tcb.KernelStack"] = 0
    here.made.threads["terminated"]["Tcb.State"] = 2
    here = Lab(here.made, tmp_path)
    with pytest.raises(DumpkitError, match="The kernel stack at ffff900000001000 cannot be read: not present"):
        here.thread("ready").context()
    with pytest.raises(DumpkitError, match="has no kernel stack any more"):
        here.thread("standby").context()
    with pytest.raises(DumpkitError, match="is running, but is no processor's current thread"):
        here.thread("terminated").context()


def test_requests_are_listed_as_far_as_the_list_is_sound(tmp_path: Path) -> None:
    here = lab(19041, tmp_path)
    assert here.thread("request").irps() == [here.parts["request"]]
    irp = here.machine.view("_IRP", here.parts["only request"])
    here.machine.put_u64(irp.at("ThreadListEntry"), irp.at("ThreadListEntry"))
    here = Lab(here.made, tmp_path)
    walk = here.thread("only request").irp_walk()
    assert list(walk) == [here.parts["only request"]]
    assert walk.ended is not None and "loops" in walk.ended


def test_what_is_no_thread_says_so_or_cannot_be_read(at: Lab) -> None:
    assert not Thread(at.target, at.parts["program"]).is_valid
    assert not Thread(at.target, 0xFFFF900000001000).is_valid
    with pytest.raises(MemoryReadError):
        _ = Thread(at.target, 0xFFFF900000001000).state


@needs_shared
@needs_symbols
def test_real_threads_say_who_they_are() -> None:
    session = session_of("100623-6156-01")
    session.target.symbol_path = str(SYMBOLS / "isf")  # type: ignore[union-attr]
    thread = current_thread(session.dump, 1)
    assert (thread.pid, thread.tid, thread.state, thread.running_on) == (4, 0xD50, "Running", 1)
    assert thread.process.name == "System"
    assert thread.irps() == [0xFFFFE78F984AE560]
    assert thread.tcb.IdealProcessor == 4


@needs_shared
def test_without_symbols_the_debugger_data_tells_the_little_that_it_knows() -> None:
    session = session_of("rts_9f")
    thread = current_thread(session.dump, session.processor)
    assert (thread.state, thread.next_processor, thread.wait_reason) == ("Running", 6, "UserRequest")
    assert thread.process.address == 0xFFFFD6800CE28080
    assert thread.teb == 0xFA0928C000
