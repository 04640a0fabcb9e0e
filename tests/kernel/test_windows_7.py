"""A machine with Windows 7's layouts: the same facts as of the same machine with Windows 10's.

What differs: threads count no wait blocks, resources have events of their own, types' numbers are not mixed with a
cookie, page tables lie at their fixed place, and many members are elsewhere or missing.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List

import pytest
from dumpkit.kernel.object_header import KernelObject
from dumpkit.output import data

from tests.kernel.thread_machines import Lab, lab
from tests.running import run, run_lines


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return lab(7601, tmp_path_factory.mktemp("windows7"))


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return lab(19041, tmp_path_factory.mktemp("windows10"))


def named(at: Lab, value: Any) -> Any:
    """JSON data with the names of the machine's threads and parts for their addresses, and no other addresses."""
    names = {f"0x{thread.address:x}": name for name, thread in at.made.threads.items()}
    names.update({f"0x{address:x}": name for name, address in at.parts.items()})
    names[f"0x{at.made.scene.system.address:x}"] = "System"
    if isinstance(value, dict):
        return {key: named(at, each) for key, each in value.items()}
    if isinstance(value, list):
        return [named(at, each) for each in value]
    if isinstance(value, str):
        return names.get(value, "0x…" if re.fullmatch("0x[0-9a-f]{9,16}", value) else value)
    return value


def rows(at: Lab, line: str) -> Dict[str, Dict[str, Any]]:
    """The rows of a listing of threads, by the threads' names; their ids count on with every thread that is made."""
    found = {}
    answer = named(at, data(run(at.session, line)))
    for row in answer["threads"] if "threads" in answer else [wait["thread"] for wait in answer["waits"]]:
        row = {key: value for key, value in row.items() if key not in ("tid", "thread_id", "id", "affinity")}
        found[row["thread"]] = row
    return found


@pytest.mark.parametrize(
    "line", ["lt -a -wf -v -z", "running", "ready", "Standby", "WrFastMutex", "lt -a -wr WrResource"]
)
def test_threads_have_the_same_states_reasons_times_and_owners(old: Lab, new: Lab, line: str) -> None:
    before, after = rows(old, line), rows(new, line)
    common = [name for name in before if name in after and name != "0x…"]
    assert len(common) >= {"running": 1, "ready": 1, "Standby": 1}.get(line.split()[0], 2)
    assert {name: before[name] for name in common} == {name: after[name] for name in common}
    # Windows 7 has no lock entries and no push locks that wait on stacks: all else is there.
    assert {name for name in after if name not in before} <= {"push", "push 2", "push lost", "push owner"}


def test_processes_have_the_same_counts_and_times(old: Lab, new: Lab) -> None:
    def counts(at: Lab) -> List[Any]:
        found = named(at, data(run(at.session, "tl -t -cpu")))["processes"]
        for each in found:
            each["threads"].pop("total")
            # The push locks' waiters are blocked, too.
            each["threads"].pop("blocked")
            each.pop("thread_count")
        return found

    assert counts(old) == counts(new)
    assert run_lines(old.session, "tl -t System")[2].split()[4:] == [".", "1", "2", "2", ".", ".", "4"]


@pytest.mark.parametrize("name", ["held", "shared", "named", "free resource"])
def test_resources_have_the_same_owners_and_waiters(old: Lab, new: Lab, name: str) -> None:
    before, after = (named(at, data(run(at.session, f"eresource {at.parts[name]:x}")))["lock"] for at in (old, new))
    for lock in (before, after):
        for entry in (*lock["owners"], *lock["waiters"]):
            # Ids count on with every thread that is made; evidence is what differs.
            entry.pop("evidence", None)
            if isinstance(entry.get("row"), dict):
                entry["row"].pop("tid", None)
    assert before["owners"] == after["owners"]
    assert sorted(map(str, before["waiters"])) == sorted(map(str, after["waiters"]))


def test_who_waits_for_a_resources_semaphore_wants_it_shared(old: Lab) -> None:
    (waiter,) = named(old, data(run(old.session, f"eresource {old.parts['pointed']:x}")))["lock"]["waiters"]
    assert (waiter["thread"], waiter["is_exclusive"]) == ("pointer", False)


def test_deadlocks_are_named_the_same_way(old: Lab, new: Lab) -> None:
    def deadlock(at: Lab) -> List[str]:
        names = {f"{thread.address:016x}": name for name, thread in at.made.threads.items()}
        lines = run_lines(at.session, "analyze -hang")
        text = [line for line in lines if line.startswith("Deadlock: ")]
        return [re.sub("[0-9a-f]{16}", lambda match: names.get(match.group(), "?"), line) for line in text]

    assert deadlock(old) == deadlock(new)
    assert deadlock(old)[0] == "Deadlock: dead 1 waits for dead 2 waits for dead 3 waits for dead 1"


def test_wait_chains_lead_over_resources_to_the_same_owners(old: Lab) -> None:
    for name, owner in (("exclusive", "ready"), ("entry", "terminated"), ("fast", "runner")):
        lines = run_lines(old.session, f"t -a {old.address(name):x}")
        assert any(f"{old.address(owner):016x}" in line for line in lines), name


def test_stacks_are_the_same(old: Lab, new: Lab) -> None:
    def groups(at: Lab) -> List[Any]:
        left_out = {"push", "push 2", "push lost", "push owner"}
        found = named(at, data(run(at.session, "us -a")))["stacks"]
        return sorted(
            (
                [frame["symbol"] for frame in group["frames"]],
                sorted(name for name in group["threads"] if name not in left_out),
            )
            for group in found
            if not left_out.issuperset(group["threads"])
        )

    assert groups(old) == groups(new)


def test_types_of_objects_are_known_without_a_cookie(old: Lab) -> None:
    assert KernelObject(old.target, old.address("user")).type.name == "Thread"
    assert KernelObject(old.target, old.parts["program"]).type.name == "Process"
    lines = run_lines(old.session, f"object {old.address('user'):x}")
    assert lines[0] == f"Object: {old.address('user'):016x}  Type: ({lines[0].split('(')[1].split(')')[0]}) Thread"


def test_page_tables_are_at_their_fixed_place(old: Lab) -> None:
    lines = run_lines(old.session, "pte nt!KeBugCheckEx")
    assert lines[1].startswith("PXE at FFFFF6FB7DBED")


def test_requests_threads_and_processes_are_shown_whole(old: Lab) -> None:
    assert run_lines(old.session, "irp")[-1] == "3 requests of 33 threads"
    assert run(old.session, "process 4 7").problems == (
        "object ffff900000001000: ffff900000001000: not present at PXE",
    )
    assert run(old.session, f"thread {old.address('any'):x}").problems == ()
    assert run(old.session, "p 9ac").problems == ()
    assert run_lines(old.session, "vertarget")[0] == "Windows 7 Kernel Version 7601 MP (2 procs) Free x64"


def test_timers_and_dpcs_have_one_table_and_doubly_linked_queues(old: Lab) -> None:
    assert len(run(old.session, "dpcs").dpcs) == 0
    assert len([line for line in run_lines(old.session, "timer") if line.startswith("PROCESSOR ")]) == 2
