"""A deadlock over locks of three kinds: a mutant, an executive resource and a fast mutex, found from every side."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List

import pytest
from dumpkit.kernel.wait_chain import wait_chain
from dumpkit.output import data

from tests.forge.structure import Structure
from tests.forge.sync import add_event, add_fast_mutex, add_mutant, add_resource
from tests.forge.thread import wait
from tests.forged_session import session_for
from tests.kernel.thread_machines import Lab
from tests.running import run, run_lines
from tests.thread_machine import EXECUTIVE, FAST_MUTEX, FIRST_WITH_STACK_WAITERS, RESOURCE, make

#: Who waits for what, and who holds that.
RING = ("dead 1", "dead 2", "dead 3")


class Mixed(Lab):
    """The machine of threads, whose three threads of the deadlock wait for locks of three kinds."""

    def __init__(self, build: int, folder: Path, has_event: bool = False) -> None:
        made = make(build)
        machine = made.machine
        first, second, third = (made.threads[name] for name in RING)
        for thread in (first, second, third):
            for index in range(2):
                machine.link(thread.at(f"Tcb.WaitBlock[{index}].WaitListEntry"), ())
        mutant = add_mutant(machine, second)
        wait(first, EXECUTIVE, [mutant])
        resource = add_resource(machine, exclusive=third, contention=1, exclusive_waiters=1)
        _wait_for_resource(second, resource, build)
        mutex = add_fast_mutex(machine, owner=first, contention=1)
        wait(third, FAST_MUTEX, [mutex.at("Event")])
        if has_event:
            # What an event may end is no deadlock.
            wait(third, EXECUTIVE, [mutant, add_event(machine)])
        made.parts.update(mutant=mutant.address, resource=resource.address, mutex=mutex.address)
        super().__init__(made, folder)
        self.session = session_for(machine, made.symbols(), folder)

    @property
    def names(self) -> Dict[int, str]:
        return {self.address(name): name for name in RING}


def _wait_for_resource(thread: Structure, resource: Structure, build: int) -> None:
    machine = thread.machine
    if build < FIRST_WITH_STACK_WAITERS:
        event = add_event(machine)
        resource["ExclusiveWaiters"] = event
        wait(thread, RESOURCE, [event])
        return
    event = add_event(machine, thread["Tcb.StackBase"] - 0x1200)
    wait(thread, RESOURCE, [event])
    # The head of the chain is a block on the waiter's stack.
    machine.put_u64(thread["Tcb.StackBase"] - 0x11E0, 0)
    resource["ExclusiveWaiters"] = thread["Tcb.StackBase"] - 0x11E0


@pytest.fixture(scope="module", params=(7601, 19041, 22000))
def at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    return Mixed(request.param, tmp_path_factory.mktemp("mixed"))


@pytest.mark.parametrize("start", range(3))
def test_the_chain_of_each_thread_names_the_whole_deadlock(at: Mixed, start: int) -> None:
    order = [RING[(start + step) % 3] for step in range(3)]
    chain = wait_chain(at.thread(order[0]))
    (cycle,) = chain.deadlocks
    assert [at.names[thread.address] for thread in cycle] == order


def test_each_link_has_its_lock_and_its_owner(at: Mixed) -> None:
    kinds: List[str] = []
    for name, owner, part in (
        ("dead 1", "dead 2", "mutant"),
        ("dead 2", "dead 3", "resource"),
        ("dead 3", "dead 1", "mutex"),
    ):
        lines = run_lines(at.session, f"t -a {at.address(name):x}")
        text = "\n".join(lines[2:])
        assert f"{at.parts[part]:016x}" in text
        assert f"{at.address(owner):016x}" in text
        kinds.append(part)
    assert kinds == ["mutant", "resource", "mutex"]


def test_the_whole_machines_analysis_names_it_once(at: Mixed) -> None:
    lines = [line for line in run_lines(at.session, "analyze -hang") if line.startswith("Deadlock: ")]
    mixed = [line for line in lines if f"{at.address('dead 1'):016x}" in line]
    assert len(mixed) == 1
    assert " waits for ".join(f"{at.address(name):016x}" for name in (*RING, RING[0])) in mixed[0]


def test_locks_names_it_with_the_resource(at: Mixed) -> None:
    found = data(run(at.session, "locks"))
    cycles = [[at.names.get(int(thread, 16), "?") for thread in cycle] for cycle in found["deadlocks"]]
    assert sorted(map(sorted, cycles)) == [sorted(RING)]
    view = data(run(at.session, f"eresource {at.parts['resource']:x}"))
    assert len(view["deadlocks"]) == 1


def test_a_way_out_by_an_event_makes_it_no_deadlock(tmp_path: Path) -> None:
    at = Mixed(19041, tmp_path, has_event=True)
    assert wait_chain(at.thread("dead 1")).deadlocks == ()
