"""locks and eresource: executive resources, their owners and waiters, and deadlocks."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.dispatcher import Dispatcher
from dumpkit.errors import DumpkitError, SymbolError
from dumpkit.output import data, dml

from tests.forge.locks import chain_waiters
from tests.forge.sync import add_resource
from tests.forge.thread import wait
from tests.forged_session import drop_page, session_for
from tests.kernel.thread_machines import Lab
from tests.running import run, run_lines, session_of
from tests.shared import needs_shared
from tests.thread_machine import RESOURCE, Made, make

HEADS = ["**** DUMP OF ALL RESOURCE OBJECTS ****", "KD: Scanning for held locks."]


def local(made: Made, name: str, offset: int = 0) -> int:
    return made.threads[name]["Tcb.StackBase"] - 0x1200 + offset


def with_deadlock(build: int) -> Made:
    """The machine of threads; worker 1 and 2 each have a resource that the other waits for, worker 3 waits shared."""
    made = make(build)
    machine, threads = made.machine, made.threads
    first = add_resource(machine, exclusive=threads["worker 1"], contention=2)
    second = add_resource(machine, exclusive=threads["worker 2"], contention=1)
    made.parts["first"], made.parts["second"] = first.address, second.address
    for name in ("worker 1", "worker 2", "worker 3"):
        event = machine.view("_KEVENT", local(made, name))
        event.set({"Header.Type": 1, "Header.Size": 6})
        machine.link(event.at("Header.WaitListHead"), ())
        wait(threads[name], RESOURCE, [event])
    chain_waiters(first, [local(made, "worker 2", 0x20)])
    chain_waiters(second, [local(made, "worker 1", 0x20)])
    chain_waiters(second, [local(made, "worker 3", 0x20)], exclusive=False)
    return made


@pytest.fixture(scope="module", params=(19041, 22000))
def at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(with_deadlock(request.param), tmp_path_factory.mktemp("locks"))


def test_held_resources_are_listed_with_owners_and_waiters(at: Lab) -> None:
    lines = run_lines(at.session, "!locks")
    thread = {name: f"{made.address:016x}" for name, made in at.made.threads.items()}
    assert lines[:2] == HEADS
    start = lines.index(f"Resource @ 0x{at.parts['held']:016x}    Exclusively owned")
    assert lines[start - 1 : start + 8] == [
        "",
        f"Resource @ 0x{at.parts['held']:016x}    Exclusively owned",
        "    Contention Count = 1",
        "    NumberOfExclusiveWaiters = 1",
        f"     Threads: {thread['ready']}-01<*> ",
        "",
        "     Threads Waiting On Exclusive Access:",
        f"              {thread['exclusive']}       ",
        "",
    ]
    start = lines.index(f"Resource @ 0x{at.parts['shared']:016x}    Shared 2 owning threads")
    assert lines[start + 1] == "    Contention Count = 39"
    assert lines[start + 3] == f"     Threads: {thread['ready']}-01<*> {thread['runner']}-02<*> "
    assert "7 total locks, 6 locks currently held" in lines
    assert f"Resource @ 0x{at.parts['free resource']:016x}    Available" not in lines


def test_d_lists_those_that_nobody_owns_too(at: Lab) -> None:
    lines = run_lines(at.session, "locks -d")
    assert f"Resource @ 0x{at.parts['free resource']:016x}    Available" in lines


def test_an_owner_that_is_no_thread_is_shown_with_what_it_stands_for(at: Lab) -> None:
    line = "     Threads: ffffe0001234567b-01<*> *** Actual Thread ffffe00012345678"
    assert line in run_lines(at.session, "locks")


def test_a_deadlock_is_found_and_named(at: Lab) -> None:
    one, two = (f"{at.address(name):016x}" for name in ("worker 1", "worker 2"))
    named = [line for line in run_lines(at.session, "locks") if line.startswith("Deadlock: ")]
    assert named in (
        [f"Deadlock: {one} waits for {two} waits for {one}"],
        [f"Deadlock: {two} waits for {one} waits for {two}"],
    )
    assert data(run(at.session, f"eresource {at.parts['second']:x}"))["deadlocks"] == [
        [f"0x{at.address('worker 1'):x}", f"0x{at.address('worker 2'):x}"]
    ]


def test_shared_and_exclusive_waiters_are_told_apart(at: Lab) -> None:
    lines = run_lines(at.session, f"locks {at.parts['second']:x}")
    shared = lines.index("     Threads Waiting On Shared Access:")
    exclusive = lines.index("     Threads Waiting On Exclusive Access:")
    assert f"{at.address('worker 3'):016x}" in lines[shared + 1]
    assert f"{at.address('worker 1'):016x}" in lines[exclusive + 1]


def test_one_resource_is_shown_with_its_owners_thread(at: Lab) -> None:
    lines = run_lines(at.session, f"locks -v {at.parts['named']:x}")
    assert lines[0] == HEADS[1]
    assert any(line.startswith(f"     THREAD {at.address('terminated'):x}") for line in lines)
    assert "1 total locks" in lines


def test_eresource_shows_who_owns_and_who_waits_and_where(at: Lab) -> None:
    lines = run_lines(at.session, f"!mex.eresource {at.parts['second']:x}")
    assert lines[:12] == [
        f"nt!_ERESOURCE @ {at.parts['second']:016x} [verbose]",
        "Contention count: 1",
        "",
        "Exclusive owner:",
        "    Process Thread            Time Wait Function",
        "    ======= ================ ===== ================",
        f"    System  {at.address('worker 2'):016x} 656ms test!Worker+0x40",
        "",
        "Exclusive Waiters: 1",
        "    Process Thread            Time Wait Function",
        "    ======= ================ ===== ================",
        f"    System  {at.address('worker 1'):016x} 656ms test!Worker+0x40",
    ]
    assert lines[12] == "Shared Waiters: 1"


def test_an_owner_that_does_not_wait_has_no_wait_function(at: Lab) -> None:
    assert run_lines(at.session, f"eresource {at.parts['held']:x}")[3:7] == [
        "Exclusive owner:",
        "    Process Thread            Time",
        "    ======= ================ =====",
        f"    System  {at.address('ready'):016x} 656ms",
    ]
    free = run_lines(at.session, f"eresource {at.parts['free resource']:x}")
    assert free[3:] == ["No owner", "", "Exclusive Waiters: 0", "Shared Waiters: 0"]


def test_threads_and_resources_are_links(at: Lab) -> None:
    text = "\n".join(map(dml, Dispatcher(at.session).lines("locks")))
    assert f'<link cmd="t {at.address("exclusive"):x}">' in text
    assert f'<link cmd="eresource {at.parts["held"]:x}">' in text


def test_what_is_no_resource_is_said_to_be_none(at: Lab) -> None:
    lines = run_lines(at.session, f"eresource {at.address('runner'):x}")
    assert any(line.endswith("no resource of the kernel's list") for line in lines)
    with pytest.raises(DumpkitError):
        run_lines(at.session, "eresource 1000")


def test_a_list_of_resources_that_loops_ends_and_is_named(tmp_path: Path) -> None:
    made = with_deadlock(19041)
    link = made.parts["shared"]
    made.machine.put_u64(link, link)
    lines = run_lines(session_for(made.machine, made.symbols(), tmp_path), "locks")
    assert "2 total locks, 2 locks currently held" in lines
    assert lines[-1] == f"the end of the list of resources: the list loops at {link:016x}"


def test_a_resource_that_is_missing_is_named_and_the_others_are_shown(tmp_path: Path) -> None:
    made = with_deadlock(19041)
    drop_page(made.machine, made.threads["exclusive"].at("Tcb.State"))
    lines = run_lines(session_for(made.machine, made.symbols(), tmp_path), "locks")
    assert any("total locks" in line for line in lines)
    assert any("not" in line for line in lines[-6:])


@needs_shared
def test_without_symbols_the_reason_is_said_in_one_line() -> None:
    with pytest.raises(SymbolError, match="has no symbols"):
        run_lines(session_of("100623-6156-01"), "locks")
