"""stacks: every thread in a line, by detail and by text."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.errors import CommandError
from dumpkit.kernel.blocker import blocker

from tests.forged_session import drop_page, session_for
from tests.kernel.thread_machines import Lab, lab
from tests.running import run, run_lines
from tests.thread_machine import make


@pytest.fixture(scope="module", params=(19041, 22000))
def at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return lab(request.param, tmp_path_factory.mktemp("stacks"))


def test_threads_stand_below_their_processes_with_what_blocks_them(at: Lab) -> None:
    lines = run_lines(at.session, "!stacks")
    assert lines[0] == "Proc.Thread  .Thread  Ticks   ThreadState Blocker"
    assert lines[1] == f"{'':28}[{at.made.scene.idle_process.address:016x} Idle]"
    fast = at.made.threads["fast"]
    tid = fast["Cid.UniqueThread"]
    row = f"   4.{tid:06x}  {fast.address:016x} 000002a Blocked    nt!ExpAcquireFastMutexContended+0x40"
    assert row in lines
    assert not any("Stack paged out" in line for line in lines)
    assert lines[-1] == f"Threads Processed: {len(at.made.threads) + 2}"


def test_stacks_that_are_paged_out_are_asked_for(at: Lab) -> None:
    swapped = at.made.threads["swapped"]
    assert f" {swapped.address:016x} 000002a Blocked    Stack paged out" in "\n".join(run_lines(at.session, "stacks 1"))


def test_whole_stacks_of_those_that_have_a_text(at: Lab) -> None:
    lines = run_lines(at.session, "!stacks 2 expacquirefast")
    rows = [line for line in lines if " Blocked " in line]
    assert len(rows) == 1
    start = lines.index(rows[0])
    assert rows[0].endswith("nt!KiSwapContext+0x76")
    assert [line.strip() for line in lines[start + 1 : start + 6]] == [
        "nt!KiSwapThread+0x500",
        "nt!KiCommitThreadWait+0x14f",
        "nt!KeWaitForSingleObject+0x233",
        "nt!ExpAcquireFastMutexContended+0x40",
        "test!Worker+0x40",
    ]
    assert lines[start + 1].startswith(" " * 40 + "nt!")


def test_a_thread_that_is_missing_is_told_and_the_others_are_shown(tmp_path: Path) -> None:
    made = make(19041)
    drop_page(made.machine, made.threads["user"].at("Tcb.State"))
    session = session_for(made.machine, made.symbols(), tmp_path)
    found = run(session, "stacks 1")
    assert len(found.problems) > 0
    assert sum(len(process.threads) for process in found.processes) > 20


def test_a_detail_that_is_none_is_refused(at: Lab) -> None:
    with pytest.raises(CommandError, match="DETAIL is 0, 1 or 2, not '3'"):
        run(at.session, "stacks 3")


@pytest.mark.parametrize(
    ("names", "index"),
    [
        (["nt!KiSwapContext+0x76", "nt!KeWaitForGate+0x1", "srv!Wait+0x3"], 2),
        (["nt!KiSwapContext+0x76"], 0),
        (["test!KiSwapThread"], 0),
        (["nt!KiSwapThread", None], 1),
    ],
)
def test_the_blocker_is_the_first_that_is_not_the_kernels_own_waiting(names: list, index: int) -> None:
    assert blocker(names) == index
