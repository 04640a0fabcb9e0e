"""lt and trep: threads by state, wait reason and process."""

from __future__ import annotations

from pathlib import Path
from typing import List

import pytest
from dumpkit.errors import CommandError
from dumpkit.output import data

from tests.forged_session import drop_page, session_for
from tests.kernel.thread_machines import Lab, lab
from tests.running import run, run_lines
from tests.thread_machine import make


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return lab(19041, tmp_path_factory.mktemp("lt"))


def threads(at: Lab, line: str) -> List[str]:
    """The names of the threads that a line lists."""
    names = {f"{made.address:016x}": name for name, made in at.made.threads.items()}
    lines = run_lines(at.session, line)
    rows = lines[2 : lines.index("")] if lines[0].startswith("Process") else []
    assert next(each for each in lines if each.startswith("Thread Count: ")) == f"Thread Count: {len(rows)}"
    found = [next(word for word in row.split() if word in names or word.startswith("ffff")) for row in rows]
    return [names.get(word, word) for word in found]


def test_the_threads_of_the_current_process_are_listed(at: Lab) -> None:
    lines = run_lines(at.session, "!lt")
    assert lines[0] == "Process PID Thread            Id State        Time Reason"
    assert lines[2].startswith(f"System    4 {at.address('runner'):016x}  80 Running ")
    assert threads(at, "lt")[:3] == ["runner", "ready", "standby"]
    assert "terminated" not in threads(at, "lt")


def test_every_column_stands_under_its_head(at: Lab) -> None:
    lines = run_lines(at.session, "lt -wr WrQueue")
    assert lines == [
        "Process PID Thread            Id State    Time Reason",
        "======= === ================ === ======= ===== =======",
        *(
            f"System    4 {at.address(name):016x} {at.thread(name).tid:x} Waiting 656ms WrQueue"
            for name in ("worker 1", "worker 2", "worker 3")
        ),
        "",
        "Thread Count: 3",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lt -s Running", ["runner"]),
        ("lt -state ready,standby", ["ready", "standby"]),
        ("lt -s terminated", ["terminated"]),
        ("lt -wr WrLpcReply,DelayExecution", ["sleeper", "dozer"]),
        ("lt -wr resource", ["exclusive", "shared", "entry", "pointer"]),
        ("lt -bk", ["fast", "push", "push 2", "push lost", "selfish"]),
        ("lt -b -wr DelayExecution", ["sleeper", "dozer", "fast", "push", "push 2", "push lost", "selfish"]),
        ("lt -r", ["runner", "ready", "standby", "initialized"]),
        ("lt -pid 9ac", ["user"]),
        ("lt -pid 0n2476", ["user"]),
        ("lt a_very_long_name", ["user"]),
    ],
)
def test_a_filter_lets_pass_what_it_names(at: Lab, line: str, expected: List[str]) -> None:
    assert threads(at, line) == expected


def test_a_process_is_named_by_address_or_id_and_all_by_a(at: Lab) -> None:
    program = at.parts["program"]
    assert threads(at, f"lt {program:x}") == threads(at, "lt 9ac") == ["user"]
    assert len(threads(at, "lt -a -z")) == len(at.made.threads)


def test_v_and_wf_add_columns(at: Lab) -> None:
    head, _, row = run_lines(at.session, "lt -v -wf -wr WrFastMutex")[:3]
    assert head.split() == "Process PID Thread Id Pri CSwitches User Kernel State Time Reason Wait Function".split()
    assert row.endswith(" WrFastMutex test!Worker+0x40")


def test_the_rows_are_data_with_how_many_were_looked_at(at: Lab) -> None:
    found = data(run(at.session, "lt -s Standby"))
    assert found["looked_at"] == len(at.made.threads) - 1
    assert [row["wait_reason"] for row in found["threads"]] == ["WrPreempted"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lt -a 9ac", "exclude each other"),
        ("lt -pid zz", "'zz' is no process id"),
        ("lt 7777", "No active process has the id 7777"),
        ("lt nothing.exe", "no active process has that name"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(at: Lab, line: str, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        run_lines(at.session, line)


def test_trep_counts_states_the_rarest_first(at: Lab) -> None:
    waiting = len(at.made.threads) - 5
    assert run_lines(at.session, "!mex.trep") == [
        "Count State",
        "===== ===========",
        "    1 Initialized",
        "    1 Ready",
        "    1 Running",
        "    1 Standby",
        "    1 Terminated",
        f"   {waiting} Waiting",
        "===== ===========",
        f"   {waiting + 5} ",
    ]


def test_a_thread_that_cannot_be_read_is_named_and_the_others_are_listed(tmp_path: Path) -> None:
    made = make()
    drop_page(made.machine, made.threads["request"].at("Tcb.State"))
    session = session_for(made.machine, made.symbols(), tmp_path)
    lines = run_lines(session, "lt -a")
    count = int(next(line for line in lines if line.startswith("Thread Count: ")).split()[2])
    assert 3 < count < len(made.threads)
    assert any("not" in line and "thread" in line for line in lines[-4:])


def test_a_list_of_threads_that_loops_ends_and_is_named(tmp_path: Path) -> None:
    made = make()
    link = made.threads["ready"].at("ThreadListEntry")
    made.machine.put_u64(link, link)
    lines = run_lines(session_for(made.machine, made.symbols(), tmp_path), "lt")
    assert "Thread Count: 2" in lines
    assert lines[-1].endswith(f"the list loops at {link:016x}")
