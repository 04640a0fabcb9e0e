"""A process's user mode in `k`, `.frame`, `.thread /r` and `.process /r`, on a complete dump."""

from __future__ import annotations

from pathlib import Path
from typing import List, Tuple

import pytest
from dumpkit.errors import DumpkitError
from dumpkit.numbers import quoted
from dumpkit.session import Session

from tests.forge.page_tables import PageTables
from tests.forged_session import session_for
from tests.kernel.test_user_space import NTDLL, UserLab
from tests.kernel.thread_machines import lab as lab_of_threads
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
    for _ in range(2):
        assert run_lines(lab.session, ".lines -d") == ["Line number information will not be loaded"]
    assert run(lab.session, ".lines -e").shown


PLACE = 0x7FF700000000


def two_address_spaces(folder: Path, has_kernel: bool = True) -> Tuple[Session, int]:
    """A session where a user address holds one thing in the processor's process and another in the program's."""
    here = lab_of_threads(19041, folder)
    machine = here.machine
    machine.put(PLACE, b"processor's page".ljust(0x1000, b"\0"))
    tables = PageTables(machine.memory, self_map=None)
    if has_kernel:
        for index in range(256, 512):
            entry = machine.memory.read(machine.root + 8 * index, 8)
            machine.memory.write(tables.root + 8 * index, entry or bytes(8))
    tables.map_bytes(PLACE, b"program's own page".ljust(0x1000, b"\0"))
    process = machine.view("_EPROCESS", here.parts["program"])
    process["Pcb.DirectoryTableBase"] = tables.root
    return session_for(machine, here.made.symbols(), folder, 5), process.address


def test_user_addresses_are_read_through_the_page_tables_of_the_chosen_process(tmp_path: Path) -> None:
    session, process = two_address_spaces(tmp_path)
    assert run_lines(session, f"da {PLACE:x}")[0].endswith('"processor\'s page"')
    assert run_lines(session, f".process /p {process:x}") == [f"Implicit process is now {quoted(process)}"]
    assert run_lines(session, f"da {PLACE:x}")[0].endswith('"program\'s own page"')
    assert session.dump.type("_EPROCESS").at(process).UniqueProcessId == 0x9AC
    run(session, ".process")
    assert run_lines(session, f"da {PLACE:x}")[0].endswith('"processor\'s page"')
    run(session, f".process {process:x}")
    run(session, "~0s")
    assert run_lines(session, f"da {PLACE:x}")[0].endswith('"processor\'s page"')


def test_page_tables_that_do_not_lead_to_the_kernel_are_not_used(tmp_path: Path) -> None:
    session, process = two_address_spaces(tmp_path, has_kernel=False)
    lines = run_lines(session, f".process {process:x}")
    assert lines[0] == f"Implicit process is now {quoted(process)}"
    assert lines[1].startswith("Memory is read through the page tables of the processor's process: the page tables at")
    assert run_lines(session, f"da {PLACE:x}")[0].endswith('"processor\'s page"')
    assert session.evaluate("@$proc") == process
