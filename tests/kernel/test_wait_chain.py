"""Why a thread waits, from owner to owner."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.wait_chain import MOST_THREADS, Cause, WaitNode, wait_chain

from tests.forge.sync import add_mutant
from tests.forge.thread import wait
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
