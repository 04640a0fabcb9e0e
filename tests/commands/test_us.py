"""us: each different stack once."""

from __future__ import annotations

from pathlib import Path
from typing import List

import pytest
from dumpkit.dispatcher import Dispatcher
from dumpkit.errors import CommandError
from dumpkit.output import data, dml

from tests.forged_session import drop_page, session_for
from tests.kernel.thread_machines import Lab, lab
from tests.running import run, run_lines, session_of
from tests.shared import needs_shared
from tests.thread_machine import make


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return lab(19041, tmp_path_factory.mktemp("us"))


def block(lines: List[str], of: str) -> List[str]:
    """The lines of the group that a thread is in."""
    start = next(index for index, line in enumerate(lines) if of in line)
    return lines[start : lines.index("", start)]


def test_a_stack_has_the_instruction_addresses_of_its_frames(at: Lab) -> None:
    lines = run_lines(at.session, "!mex.us")
    runner = f"{at.address('runner'):016x}"
    place = at.made.scene.return_into
    assert block(lines, runner) == [
        f"1 thread [stats]: {runner}",
        f"    {at.made.scene.places['nt!KeBugCheckEx'].address:016x} nt!KeBugCheckEx",
        f"    {place('test!Worker'):016x} test!Worker+0x40",
        f"    {place('nt!PspSystemThreadStartup'):016x} nt!PspSystemThreadStartup+0x55",
        f"    {place('nt!KiStartSystemThread'):016x} nt!KiStartSystemThread+0x28",
    ]


def test_alike_stacks_are_one_group_the_smallest_groups_come_first(at: Lab) -> None:
    lines = run_lines(at.session, "us")
    heads = [line for line in lines if " [stats]: " in line]
    counts = [int(line.split()[0]) for line in heads]
    assert counts == sorted(counts)
    assert counts[-1] > 10
    assert heads[-1].endswith(" ...")
    assert len(heads[-1].split()) == 3 + 10 + 1
    assert [line for line in heads if line.startswith("4 threads")] == [
        "4 threads [stats]: "
        + " ".join(f"{at.address(name):016x}" for name in ("exclusive", "shared", "entry", "pointer"))
    ]


def test_the_footer_counts_stacks_and_the_threads_without_one(at: Lab) -> None:
    lines = run_lines(at.session, "us")
    foot = next(index for index, line in enumerate(lines) if "displayed (" in line)
    total = len(at.made.threads) - 1
    groups = sum(" [stats]: " in line for line in lines)
    assert lines[foot - 1] == ""
    assert lines[foot] == f"{groups} stack(s) with {total - 2} threads displayed ({total} Total threads)"
    assert lines[foot + 1] == (
        "2 stack(s) were not displayed because we could not switch to thread context, or stack trace was empty"
    )
    assert sorted(lines[foot + 2 :]) == ["    1: Kernel stack not resident", "    1: The thread has not run yet"]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("us ExpWaitForResource", ["exclusive", "shared", "entry", "pointer"]),
        ("us -r nt!Exp[AW].*(Fast|Resource)", ["exclusive", "fast", "shared", "entry", "pointer"]),
        ("us -wr WrFastMutex -e ExpAcquire", ["selfish"]),
        ("us -p 9ac keWaitFor", ["user"]),
    ],
)
def test_a_filter_keeps_the_stacks_it_names(at: Lab, line: str, names: List[str]) -> None:
    lines = run_lines(at.session, line)
    shown = {word for each in lines if " [stats]: " in each for word in each.split("[stats]: ")[1].split()}
    assert shown == {f"{at.address(name):016x}" for name in names}
    assert lines[-1].startswith(f"Threads matching filter: {len(names)} out of ")


def test_the_processors_stacks_are_those_of_running(at: Lab) -> None:
    lines = run_lines(at.session, "us -cpu")
    assert f"1 thread: {at.address('runner'):016x}" in lines
    assert lines[-1] == "2 stack(s) with 2 threads displayed (2 Total threads)"


def test_k_shows_the_kernels_frames_under_a_head(at: Lab) -> None:
    lines = run_lines(at.session, "us -k -a")
    assert lines[:2] == ["Kernel Summary", "=" * 60]
    assert lines[-4].endswith(f"({len(at.made.threads)} Total threads)")


def test_threads_and_functions_are_links_and_the_frames_data(at: Lab) -> None:
    text = "\n".join(map(dml, Dispatcher(at.session).lines("us -p 9ac")))
    assert f'<link cmd="t {at.address("user"):x}">' in text
    found = data(run(at.session, "us -p 9ac"))
    assert found["stacks"][0]["threads"] == [f"0x{at.address('user'):x}"]
    assert found["stacks"][0]["frames"][0]["symbol"] == "nt!KiSwapContext+0x76"


@pytest.mark.parametrize(
    ("line", "said"), [("us -r [", "is no regular expression"), ("us -a -cpu", "exclude each other")]
)
def test_bad_arguments_are_refused_in_one_line(at: Lab, line: str, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        run_lines(at.session, line)


def test_a_stack_that_is_not_in_the_dump_is_counted_with_its_reason(tmp_path: Path) -> None:
    made = make()
    thread = made.threads["request"]
    drop_page(made.machine, thread["Tcb.KernelStack"])
    lines = run_lines(session_for(made.machine, made.symbols(), tmp_path), "us")
    assert any(line.startswith("3 stack(s) were not displayed") for line in lines)
    assert any(line.startswith("    1: The kernel stack at ") for line in lines)


@needs_shared
def test_a_triage_dump_shows_the_stack_of_the_thread_that_crashed() -> None:
    lines = run_lines(session_of("triage_x64"), "us -cpu")
    assert any("KeBugCheckEx" in line or line.startswith("    fffff") for line in lines)
    assert any(line.endswith("Total threads)") for line in lines)
