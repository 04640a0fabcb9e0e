"""mut, evt, sem and obj, and the remarks of ddt that they show."""

from __future__ import annotations

import pytest
from dumpkit.errors import DumpkitError
from dumpkit.kernel.pointer_remark import pointer_remark
from dumpkit.symbols.types import BaseType

from tests.commands.object_machine import make
from tests.forge.sync import add_event, add_mutant, add_semaphore
from tests.forge.thread import wait
from tests.forged_session import drop_page, session_for
from tests.running import run, run_lines


def with_waits(build: int = 19041):
    """A mutant that is owned and waited for, and one that is free; an event with two waiters; a semaphore."""
    made = make(build)
    machine, scene, parts = made.machine, made.scene, made.parts
    owner = parts["thread"]
    parts["mutant"] = add_mutant(machine, owner)
    parts["free"] = add_mutant(machine)
    parts["signal"] = add_event(machine)
    parts["semaphore"] = add_semaphore(machine, 1)
    ticks = {"wait_time": 12345678900 // 156250 - 3026, "context_switches": 3723, "kernel_ticks": 29}
    for number, name in enumerate(("one", "two", "three")):
        parts[name] = scene.waiting_thread(
            0x1410 + number, 0xFFFFFE8014000000 + number * 0x10000, ["npfs!NpFsdRead"], **ticks
        )
    wait(parts["one"], 0, [parts["mutant"]])
    wait(parts["two"], 0, [parts["signal"]])
    wait(parts["three"], 0, [parts["signal"], parts["semaphore"]])
    return made


@pytest.fixture(scope="module", params=(19041, 22621))
def made(request):
    return with_waits(request.param)


@pytest.fixture(scope="module")
def session(made, tmp_path_factory):
    opened = session_for(made.machine, made.symbols(), tmp_path_factory.mktemp("waits"))
    yield opened
    opened.target.close()


def test_a_mutex_is_shown_with_its_owner_and_waiters(made, session):
    place, owner = made.parts["mutant"].address, made.parts["thread"].address
    lines = run_lines(session, f"mut {place:x}")
    assert lines[:3] == [
        "",
        f"dt nt!_KMUTANT {place:x} () Recursive: [ -r1 -r2 -r ] Verbose Normal dt",
        "=" * 82,
    ]
    assert f"   +0x028 OwnerThread          : 0x{owner >> 32:x}`{owner & 0xFFFFFFFF:08x} _KTHREAD (System)" in lines
    assert lines[-4:] == ["", "", "Number of waiters: 1", f"Owning Thread: {owner:x}"]


def test_a_mutex_that_nobody_has_says_so(made, session):
    assert run_lines(session, f"mut {made.parts['free'].address:x}")[-2:] == [
        "Number of waiters: 0",
        "No owning thread",
    ]


@pytest.mark.parametrize(
    ("line", "type", "waiters"), [("evt", "_KEVENT", 2), ("sem", "_KSEMAPHORE", 1)], ids=["evt", "sem"]
)
def test_events_and_semaphores_are_shown_with_their_header(made, session, line, type, waiters):
    place = made.parts["signal" if line == "evt" else "semaphore"].address
    lines = run_lines(session, f"{line} {place:x}")
    assert lines[1] == f"dt -r1 nt!{type} {place:x} () Recursive: [ -r1 -r2 -r ] Verbose Normal dt"
    assert any(text.startswith("      +0x004 SignalState") for text in lines)
    assert lines[-3:] == ["", "", f"Number of waiters: {waiters}"]


def test_the_waiters_are_listed(made, session):
    two, three = made.parts["two"].address, made.parts["three"].address
    assert run_lines(session, f"obj -waiters {made.parts['signal'].address:x}") == [
        "Process Thread             Id CSwitches User Kernel State      Time Reason    Wait Function",
        "======= ================ ==== ========= ==== ====== ======= ======= ========= ===================",
        f"System  {two:x} 1411      3723    0  453ms Waiting 47s.281 Executive npfs!NpFsdRead+0x40",
        f"System  {three:x} 1412      3723    0  453ms Waiting 47s.281 Executive npfs!NpFsdRead+0x40",
    ]


def test_an_object_without_waiters_says_so(made, session):
    assert run_lines(session, f"obj -waiters {made.parts['free'].address:x}") == ["No waiters"]


def test_without_the_option_the_object_itself_is_shown(made, session):
    assert run_lines(session, f"obj {made.parts['low'].address:x}") == run_lines(
        session, f"object {made.parts['low'].address:x}"
    )


def test_another_object_is_shown_and_said_to_be_one(made, session):
    lines = run_lines(session, f"mut {made.parts['signal'].address:x}")
    assert "Number of waiters: 2" in lines
    assert lines[-1].endswith("its header says SynchronizationEvent, not mutant")


@pytest.mark.parametrize("line", ("mut 0xffffdead00000000", "obj -waiters 0xffffdead00000000", "sem 8"))
def test_memory_that_is_not_there_is_refused_in_one_line(session, line):
    with pytest.raises(DumpkitError) as failure:
        run(session, line)
    assert "\n" not in str(failure.value)


def test_a_list_of_waiters_that_loops_is_said(tmp_path):
    made = with_waits()
    block = made.parts["two"].member("Tcb.WaitBlock[0]")
    block["WaitListEntry.Flink"] = block.at("WaitListEntry")
    session = session_for(made.machine, made.symbols(), tmp_path)
    assert run_lines(session, f"evt {made.parts['signal'].address:x}")[-1].startswith("the list of waiters: ")
    assert "loops" in run_lines(session, f"obj -waiters {made.parts['signal'].address:x}")[-1]
    session.target.close()


VOID = BaseType("void", 0, "void")


def test_pointers_are_remarked_on_by_what_they_lead_to(made, session):
    remark = pointer_remark(session.target)
    types = {name: session.target.type(name).type for name in ("_KTHREAD", "_EPROCESS", "_DEVICE_OBJECT", "_KEVENT")}
    user = made.parts["user"].address
    assert remark(made.parts["thread"].address, types["_KTHREAD"]) == " (System)"
    assert remark(user, types["_EPROCESS"]) == " (forged.exe)"
    assert remark(user, VOID) == "  [process] (forged.exe)"
    assert remark(made.parts["low"].address, types["_DEVICE_OBJECT"]) == "   !deviceobject   !devstack"
    assert remark(made.parts["signal"].address, types["_KEVENT"]) is None
    assert remark(0x44, VOID) is None
    assert remark(made.scene.images["nt"].base, VOID) is None


def test_ddt_shows_the_remarks(made, session):
    lines = run_lines(session, f"ddt nt!_DEVICE_OBJECT {made.parts['low'].address:x}")
    attached = next(line for line in lines if " AttachedDevice " in line)
    assert attached.endswith(" _DEVICE_OBJECT   !deviceobject   !devstack")
    unknown = next(line for line in lines if " DeviceExtension " in line)
    assert unknown.endswith("Void    [ !ndao dps dc !handle ln ? ]")


def test_a_pointer_to_memory_that_is_not_there_has_no_remark(tmp_path):
    made = with_waits()
    away = made.machine.place("_EPROCESS", 0xFFFFA08F50000000)
    drop_page(made.machine, away.address)
    session = session_for(made.machine, made.symbols(), tmp_path)
    assert pointer_remark(session.target)(away.address, session.target.type("_EPROCESS").type) is None
    session.target.close()
