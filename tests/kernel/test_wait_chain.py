"""Why a thread waits, from owner to owner."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.wait_chain import MOST_THREADS, Cause, WaitNode, wait_chain
from dumpkit.symbols.types import BaseType, Member, PointerType, RecordType

from tests.forge.pdb import Pdb
from tests.forge.sync import add_mutant
from tests.forge.thread import wait
from tests.forged_session import session_for
from tests.kernel.thread_machines import Lab, lab
from tests.thread_machine import make


@pytest.fixture(scope="module", params=[19041, 22000])
def at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return lab(request.param, tmp_path_factory.mktemp("chains"))


def only_cause(at: Lab, name: str) -> Cause:
    (cause,) = wait_chain(at.thread(name)).root.causes
    return cause


def ending(at: Lab, name: str) -> str:
    node = wait_chain(at.thread(name)).root
    assert not node.causes
    return node.ending


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("runner", "running on processor 0"),
        ("ready", "ready to run"),
        ("standby", "next to run on processor 1"),
        ("terminated", "never released"),
        ("initialized", "in state Initialized"),
        ("sleeper", "sleeping"),
    ],
)
def test_a_thread_that_waits_for_nothing_ends_the_way(at: Lab, name: str, words: str) -> None:
    assert words in ending(at, name)


@pytest.mark.parametrize(
    ("name", "kind", "part", "owner"),
    [
        ("fast", "fast mutex", "fast mutex", "runner"),
        ("exclusive", "resource", "held", "ready"),
        ("entry", "resource", "named", "terminated"),
        ("push", "push lock", "push lock", "push owner"),
        ("push 2", "push lock", "push lock", "push owner"),
    ],
)
def test_a_lock_leads_to_its_owner(at: Lab, name: str, kind: str, part: str, owner: str) -> None:
    cause = only_cause(at, name)
    assert (cause.kind, cause.object) == (kind, at.parts[part])
    assert [node.thread for node in cause.owners] == [at.thread(owner)]
    assert cause.evidence


def test_a_shared_resource_leads_to_each_of_its_owners(at: Lab) -> None:
    cause = only_cause(at, "shared")
    assert cause.note == "owned shared"
    assert [node.thread for node in cause.owners] == [at.thread("ready"), at.thread("runner")]


def test_a_resource_owned_by_a_pointer_says_that_it_is_no_thread(at: Lab) -> None:
    cause = only_cause(at, "pointer")
    assert cause.owners == () and "a pointer that is no thread" in cause.note


def test_a_push_lock_that_nothing_names_is_said_to_be_unknown(at: Lab) -> None:
    cause = only_cause(at, "push lost")
    assert (cause.kind, cause.object, cause.owners) == ("push lock", 0, ())
    assert "which one is not known" in cause.note


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("semaphore", "Semaphore"),
        ("process", "the end of a process"),
        ("worker 1", "work in a queue"),
        ("timer", "timer"),
        ("push owner", "SynchronizationEvent"),
    ],
)
def test_what_names_no_owner_says_so(at: Lab, name: str, kind: str) -> None:
    cause = only_cause(at, name)
    assert (cause.kind, cause.owners) == (kind, ()) and cause.note


def test_waiting_for_a_threads_end_leads_to_that_thread(at: Lab) -> None:
    assert [node.thread for node in only_cause(at, "joiner").owners] == [at.thread("ready")]


@pytest.mark.parametrize(
    ("name", "evidence"),
    [
        ("request", "the request's UserEvent"),
        ("file request", "the event of the request's file"),
        ("only request", "its only pending request"),
    ],
)
def test_a_request_is_named_with_the_driver_that_has_it(at: Lab, name: str, evidence: str) -> None:
    cause = only_cause(at, name)
    assert (cause.kind, cause.irp, cause.driver) == ("I/O request", at.parts[name], "testdrv")
    assert evidence in cause.evidence


def test_a_deadlock_names_its_threads_in_the_order_of_waiting(at: Lab) -> None:
    chain = wait_chain(at.thread("dead 2"))
    assert chain.deadlocks == (tuple(at.thread(f"dead {number}") for number in (2, 3, 1)),)


def test_a_thread_that_waits_for_its_own_fast_mutex_is_a_deadlock_of_one(at: Lab) -> None:
    chain = wait_chain(at.thread("selfish"))
    assert chain.deadlocks == ((at.thread("selfish"),),)
    assert chain.root.causes[0].owners[0].ending == "deadlock: it waits for itself"


def test_a_cycle_that_another_object_may_end_is_no_deadlock(at: Lab) -> None:
    chain = wait_chain(at.thread("lucky"))
    assert chain.deadlocks == ()
    assert "any of several objects" in chain.root.causes[0].owners[0].ending


def test_an_object_that_cannot_be_read_is_a_cause_without_owner(at: Lab) -> None:
    cause = only_cause(at, "wild")
    assert (cause.kind, cause.object, cause.owners) == ("object", 0xFFFF900000001000, ())
    assert "cannot be read" in cause.evidence


def test_an_owner_that_is_no_thread_ends_the_way(tmp_path: Path) -> None:
    made = make()
    mutant = add_mutant(made.machine, made.threads["runner"])
    mutant["OwnerThread"] = 0xFFFF900000001000
    wait(made.threads["semaphore"], 0, [mutant])
    here = Lab(made, tmp_path)
    (owner,) = only_cause(here, "semaphore").owners
    assert owner.ending == "no thread is there"


def test_the_lock_that_a_thread_boosts_is_the_resource_it_waits_for(tmp_path: Path) -> None:
    made = make()
    resource = made.machine.view("_ERESOURCE", made.parts["named"])
    entry = made.threads["entry"].member("LockEntries[2]")
    entry["LockUnsafe"] = 0
    made.threads["entry"]["Tcb.AbWaitObject"] = resource
    here = Lab(made, tmp_path)
    cause = only_cause(here, "entry")
    assert (cause.object, cause.evidence) == (resource.address, "AbWaitObject of the thread")


def test_a_resource_that_only_the_stack_names_is_found(tmp_path: Path) -> None:
    made = make()
    made.threads["entry"].member("LockEntries[2]")["LockUnsafe"] = 0
    made.machine.put_u64(made.threads["entry"]["Tcb.KernelStack"] + 0x300, made.parts["named"])
    here = Lab(made, tmp_path)
    cause = only_cause(here, "entry")
    assert (cause.object, cause.evidence) == (made.parts["named"], "named on the thread's stack, and waited for")


def test_of_two_resources_that_the_stack_names_none_is_taken(tmp_path: Path) -> None:
    made = make()
    made.threads["entry"].member("LockEntries[2]")["LockUnsafe"] = 0
    stack = made.threads["entry"]["Tcb.KernelStack"]
    made.machine.put_u64(stack + 0x300, made.parts["named"], made.parts["held"])
    cause = only_cause(Lab(made, tmp_path), "entry")
    assert cause.object == 0 and "which one is not known" in cause.note


def alpc_message_type() -> RecordType:
    """_KALPC_MESSAGE as public symbols have it, which the forge's tables leave out."""
    pointer = PointerType(lambda: BaseType("void", 0, "void"), 8)
    rows = [("WaitingThread", 0x20), ("ServerThread", 0xC8)]
    return RecordType(
        "_KALPC_MESSAGE", 0x118, "struct", lambda: [Member(name, at, lambda: pointer) for name, at in rows]
    )


@pytest.mark.parametrize("has_server", [True, False])
def test_a_message_leads_to_the_thread_that_serves_it(tmp_path: Path, has_server: bool) -> None:
    made = make()
    message = made.machine.allocate(0x118)
    made.machine.put_u64(message + 0x20, made.threads["semaphore"].address)
    made.machine.put_u64(message + 0xC8, made.threads["ready"].address if has_server else 0)
    made.threads["semaphore"].set({"Tcb.WaitReason": 17, "AlpcMessage": message | 1})
    layouts = made.machine.layouts
    kernel, *others = made.symbols()
    types = [*(layouts.type(name) for name in layouts), alpc_message_type()]
    session = session_for(made.machine, [Pdb(kernel.image, types, private=False), *others], tmp_path)
    (cause,) = wait_chain(Thread(session.dump, made.threads["semaphore"].address)).root.causes
    assert (cause.kind, cause.object) == ("the answer to a message", message)
    served = [made.threads["ready"].address] if has_server else []
    assert [node.thread.address for node in cause.owners] == served
    assert bool(cause.note) is not has_server


@pytest.mark.parametrize(
    ("reason", "words"),
    [(9, "a page is being read in"), (8, "when memory becomes free"), (37, "a lock of user mode"), (36, "rundown")],
)
def test_a_wait_reason_tells_what_an_event_does_not(tmp_path: Path, reason: int, words: str) -> None:
    made = make()
    made.threads["notified"]["Tcb.WaitReason"] = reason
    made.threads["initialized"].set({"Tcb.WaitReason": reason, "Tcb.State": 5})
    here = Lab(made, tmp_path)
    assert words in only_cause(here, "notified").note
    assert words in ending(here, "initialized")


def _nodes(node: WaitNode) -> int:
    return 1 + sum(_nodes(owner) for cause in node.causes for owner in cause.owners)


def test_owners_without_end_are_not_followed_for_ever(tmp_path: Path) -> None:
    """Threads that each wait for every other's mutant: the ways through them are without number."""
    made = make()
    names = ["dead 1", "dead 2", "dead 3", "semaphore", "timer", "joiner", "process", "worker 1", "any", "lucky"]
    mutants = {name: add_mutant(made.machine, made.threads[name]) for name in names}
    for name in names:
        others = [mutants[other] for other in names if other != name][:4]
        wait(made.threads[name], 0, others)
    here = Lab(made, tmp_path)
    assert _nodes(wait_chain(Thread(here.target, here.address("dead 1"))).root) <= 5 * MOST_THREADS
