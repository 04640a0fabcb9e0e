"""A process's user mode in `k`, `.frame`, `.thread /r` and `.process /r`, on a complete dump."""

from __future__ import annotations

from typing import List

import pytest
from dumpkit.errors import DumpkitError

from tests.kernel.test_user_space import NTDLL, UserLab
from tests.running import run, run_lines

STACK = ["ntdll!NtWaitForSingleObject+0x14", "my_program!main+0x30", "ntdll!RtlUserThreadStart+0x28"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> UserLab:
    return UserLab(tmp_path_factory.mktemp("user"))


def sites(lab: UserLab, text: str) -> List[str]:
    return [frame.call_site for frame in run(lab.session, text).frames]


def test_the_stack_of_a_thread_goes_on_into_user_mode_without_its_modules_being_listed(lab: UserLab) -> None:
    run(lab.session, f".thread {lab.thread.address:x}")
    assert sites(lab, "k")[-3:] == STACK
    assert sites(lab, "k 7")[-1] == STACK[1]
    assert [frame.number for frame in run(lab.session, "k").frames] == list(range(8))
    assert run_lines(lab.session, ".frame 6")[0].endswith(STACK[1])


def test_user_modules_are_listed_and_named_until_another_process_takes_their_place(lab: UserLab) -> None:
    lines = run_lines(lab.session, f".thread /p /r {lab.thread.address:x}")
    assert lines[-1] == "Loading User Symbols"
    assert lab.session.evaluate("ntdll") == NTDLL
    assert run_lines(lab.session, "u ntdll!NtWaitForSingleObject L1") == [
        "ntdll!NtWaitForSingleObject:",
        "00007ff8`34651000 4c8bd1          mov     r10,rcx",
    ]
    assert sites(lab, "k")[-3:] == STACK
    lines = run_lines(lab.session, ".frame /r 6")
    assert lines[-2:] == [
        "my_program!main+0x30:",
        "0033:00007ff7`ebea1030 0f1f840000000000 nop     dword ptr [rax+rax]",
    ]
    assert run_lines(lab.session, ".process /r")[1:] == [
        "Loading User Symbols",
        "No or not all user modules: the process has no PEB",
    ]
    with pytest.raises(DumpkitError):
        lab.session.evaluate("ntdll")


def test_source_lines_can_be_left_out(lab: UserLab) -> None:
    assert run_lines(lab.session, ".lines") == ["Line number information will not be loaded"]
    assert run_lines(lab.session, ".lines") == ["Line number information will be loaded"]
    assert run_lines(lab.session, ".lines -d") == run_lines(lab.session, ".lines -d")
    assert run(lab.session, ".lines -e").shown
