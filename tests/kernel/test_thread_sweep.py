"""Every thread of a machine, and what is said of those that cannot be found."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.errors import DumpkitError
from dumpkit.kernel.thread_sweep import ThreadSweep, find_thread

from tests.kernel.thread_machines import Lab, lab


@pytest.fixture(scope="module", params=[19041, 22000])
def at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return lab(request.param, tmp_path_factory.mktemp("sweeps"))


@pytest.fixture
def broken(tmp_path: Path) -> Lab:
    """The list of the system process's threads ends behind its first one."""
    here = lab(19041, tmp_path)
    first = next(iter(ThreadSweep(here.target)))
    here.machine.put_u64(here.machine.view("_ETHREAD", first.address).at("ThreadListEntry"), 0)
    return Lab(here.made, tmp_path)


def test_threads_are_found_by_id(at: Lab) -> None:
    assert find_thread(at.target, 0x9B0) == at.thread("user")
    assert find_thread(at.target, 0x7777) is None


def test_a_sound_machine_has_every_thread_and_no_problem(at: Lab) -> None:
    sweep = ThreadSweep(at.target)
    assert at.thread("user") in list(sweep)
    assert sweep.problems == []


def test_no_more_threads_are_looked_at_than_asked_for(at: Lab) -> None:
    sweep = ThreadSweep(at.target, most=2)
    assert len(list(sweep)) == 2
    assert sweep.problems == ["only 2 threads were looked at"]


def test_threads_behind_a_broken_link_are_a_problem(broken: Lab) -> None:
    sweep = ThreadSweep(broken.target)
    assert broken.thread("user") in list(sweep)
    (problem,) = sweep.problems
    assert problem.startswith(f"the threads of process {broken.made.scene.system.address:016x}: null link at")


def test_a_thread_is_not_said_to_be_none_where_a_list_ends_early(broken: Lab) -> None:
    with pytest.raises(DumpkitError, match=r"No thread that can be read has the id 7777, but .* null link"):
        find_thread(broken.target, 0x7777)
