"""Wait blocks, dispatcher objects, resources, lock entries and push locks."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.kernel.lock_entry import lock_entries
from dumpkit.kernel.lock_survey import LockSurvey
from dumpkit.kernel.push_lock import lock_waited_for, push_lock, waiting_blocks
from dumpkit.kernel.resource import Resource, resources
from dumpkit.kernel.wait import DispatcherObject, fast_mutex_of, is_thread, wait_blocks

from tests.forge.locks import chain_waiters
from tests.kernel.thread_machines import Lab, lab


@pytest.fixture(scope="module", params=[19041, 22000])
def at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return lab(request.param, tmp_path_factory.mktemp("waits"))


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("semaphore", ["Semaphore"]),
        ("joiner", ["Thread"]),
        ("process", ["Process"]),
        ("worker 1", ["Queue"]),
        ("timer", ["NotificationTimer"]),
        ("notified", ["NotificationEvent"]),
        ("any", ["SynchronizationEvent", "Mutant"]),
        ("runner", []),
        # A thread's own timer is no object that it waits for, nor are the ones that stand for none.
        ("sleeper", []),
        ("dozer", []),
    ],
)
def test_a_thread_waits_for_the_objects_of_its_blocks(at: Lab, name: str, kinds: list[str]) -> None:
    found = wait_blocks(at.thread(name))
    assert [DispatcherObject(at.target, block.object).kind for block in found.blocks] == kinds
    assert found.problem is None and not found.is_for_all


def test_blocks_of_a_thread_that_is_none_are_bounded(tmp_path: Path) -> None:
    here = lab(19041, tmp_path)
    here.made.threads["semaphore"].set({"Tcb.WaitBlockCount": 255})
    here.made.threads["joiner"].set({"Tcb.WaitBlockCount": 3, "Tcb.WaitBlockList": 0xFFFF900000001000})
    here = Lab(here.made, tmp_path)
    assert len(wait_blocks(here.thread("semaphore")).blocks) <= 64
    lost = wait_blocks(here.thread("joiner"))
    assert lost.blocks == () and lost.problem is not None and "ffff900000001020" in lost.problem


def test_an_object_knows_its_waiters(at: Lab) -> None:
    queue = wait_blocks(at.thread("worker 2")).blocks[0].object
    found = DispatcherObject(at.target, queue).waiters()
    assert found.threads == [at.address(f"worker {number}") for number in (1, 2, 3)]
    assert found.problem is None


def test_a_loop_of_waiters_ends_and_is_told(at: Lab) -> None:
    found = DispatcherObject(at.target, wait_blocks(at.thread("looping")).blocks[0].object).waiters()
    assert len(found.waiters) == 1 and found.problem is not None and "loops" in found.problem


def test_a_fast_mutex_is_known_by_its_event(at: Lab) -> None:
    mutex = fast_mutex_of(at.target, wait_blocks(at.thread("fast")).blocks[0].object)
    assert mutex is not None
    assert (mutex.address, mutex.owner, mutex.contention) == (at.parts["fast mutex"], at.address("runner"), 1)
    assert mutex.owner_field == mutex.address + 8


def test_only_threads_are_taken_for_threads(at: Lab) -> None:
    assert is_thread(at.target, at.address("runner"))
    for address in (0, 8, 0x60001, at.parts["program"], at.address("runner") + 8, 0xFFFF900000001000):
        assert not is_thread(at.target, address)


def test_resources_tell_their_owners(at: Lab) -> None:
    held = Resource(at.target, at.parts["held"])
    assert held.is_listed and held.is_owned and held.is_exclusive
    assert [(owner.thread, owner.times) for owner in held.owners().owners] == [(at.address("ready"), 1)]
    shared = Resource(at.target, at.parts["shared"])
    assert not shared.is_exclusive and shared.contention_count == 39
    owners = [(owner.thread, owner.times) for owner in shared.owners().owners]
    assert owners == [(at.address("ready"), 1), (at.address("runner"), 2)]
    free = Resource(at.target, at.parts["free resource"])
    assert not free.is_owned and free.owners().owners == ()


def test_all_resources_are_listed(at: Lab) -> None:
    walk = resources(at.target)
    found = [resource.address for resource in walk]
    assert {at.parts[name] for name in ("held", "shared", "named", "free resource")} < set(found)
    assert walk.complete


def test_an_owner_that_is_a_pointer_is_no_thread(at: Lab) -> None:
    pointed = [each for each in resources(at.target) if any(not owner.is_thread for owner in each.owners().owners)]
    assert [owner.thread for owner in pointed[0].owners().owners] == [0xFFFFE00012345678]


def test_a_chain_of_waiters_leads_to_stacks(at: Lab) -> None:
    held = Resource(at.target, at.parts["held"])
    thread = at.thread("exclusive")
    stack = (thread.tcb.StackLimit, thread.tcb.StackBase)
    assert held.is_waited_for(stack, ()) is True
    assert Resource(at.target, at.parts["shared"]).is_waited_for(stack, ()) is None
    assert not held.waits_on_objects


def test_the_lists_of_damaged_resources_end(tmp_path: Path) -> None:
    here = lab(19041, tmp_path)
    held = here.machine.view("_ERESOURCE", here.parts["held"])
    chain_waiters(held, [held.address, held.address])
    held["NumberOfExclusiveWaiters"] = 0xFFFFFFFF
    shared = here.machine.view("_ERESOURCE", here.parts["shared"])
    here.machine.view("_OWNER_ENTRY", shared["OwnerTable"])["TableSize"] = 0x7FFFFFFF
    here.machine.view("_ERESOURCE", here.parts["named"]).set({"OwnerTable": 0xFFFF900000001000, "Flag": 0})
    here = Lab(here.made, tmp_path)
    assert Resource(here.target, here.parts["held"]).waiters().exclusive == (here.parts["held"],)
    problem = Resource(here.target, here.parts["shared"]).owners().problem
    assert problem is not None and "2147483647 entries" in problem
    problem = Resource(here.target, here.parts["named"]).owners().problem
    assert problem is not None and "cannot be read" in problem


def test_lock_entries_name_locks_and_their_owners(at: Lab) -> None:
    lock = at.parts["push lock"]
    (entry,) = lock_entries(at.thread("push owner"))
    assert (entry.lock, entry.is_acquired, entry.is_waiting) == (lock, True, False)
    (entry,) = lock_entries(at.thread("entry"))
    assert (entry.lock, entry.is_acquired, entry.is_waiting) == (at.parts["named"], False, True)
    assert lock_entries(at.thread("runner")) == []


def test_a_survey_knows_the_owners_of_locks_and_the_resources_that_are_waited_for(at: Lab) -> None:
    survey = LockSurvey(at.target)
    assert survey.owner_of(at.parts["push lock"]) == at.address("push owner")
    assert survey.owner_of(at.parts["held"]) is None
    contended = {resource.address for resource in survey.contended}
    assert {at.parts[name] for name in ("held", "shared", "named")} < contended
    assert at.parts["free resource"] not in contended


def test_a_push_locks_waiters_are_the_blocks_on_their_stacks(at: Lab) -> None:
    lock = push_lock(at.target, at.parts["push lock"])
    assert lock.is_held and lock.is_shared is None
    events = [wait_blocks(at.thread(name)).blocks[0].object for name in ("push 2", "push")]
    assert list(waiting_blocks(at.target.memory, lock))[:2] == events


@pytest.mark.parametrize("name", ["push", "push 2"])
def test_the_push_lock_that_a_thread_waits_for_is_found_on_its_stack(at: Lab, name: str) -> None:
    thread = at.thread(name)
    found = lock_waited_for(thread, tuple(block.object for block in wait_blocks(thread).blocks))
    assert found is not None and found.address == at.parts["push lock"]


def test_a_stack_that_names_no_push_lock_gives_none(at: Lab) -> None:
    thread = at.thread("push lost")
    assert lock_waited_for(thread, tuple(block.object for block in wait_blocks(thread).blocks)) is None
