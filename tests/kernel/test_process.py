"""Processes: the EPROCESS, the list of them, their threads and their memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.errors import DumpkitError
from dumpkit.kernel.process import Process, find_process, idle_process, processes
from dumpkit.kernel.user_modules import user_modules

from tests.forge.process import add_process
from tests.kernel.thread_machines import Lab, lab


@pytest.fixture(scope="module", params=[19041, 22000])
def at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return lab(request.param, tmp_path_factory.mktemp("processes"))


def test_a_process_says_who_it_is(at: Lab) -> None:
    process = Process(at.target, at.parts["program"])
    assert (process.pid, process.parent_pid, process.session_id, process.peb) == (0x9AC, 4, None, 0)
    assert process.directory_table_base == at.machine.root
    assert process.is_valid and not process.is_wow64


def test_a_long_name_is_the_audited_paths(at: Lab) -> None:
    process = Process(at.target, at.parts["program"])
    assert process.image_file_name == "a_very_long_na"
    assert process.image_path == "\\Device\\HarddiskVolume3\\bin\\a_very_long_name.exe"
    assert process.name == "a_very_long_name.exe"


def test_a_path_of_another_image_does_not_rename_a_process(tmp_path: Path) -> None:
    here = lab(19041, tmp_path)
    made = add_process(here.machine, "short.exe", 0x500, path="\\Device\\x\\other.exe")
    here = Lab(here.made, tmp_path)
    assert Process(here.target, made.address).name == "short.exe"


def test_every_active_process_is_listed_but_the_idle_one(at: Lab) -> None:
    walk = processes(at.target)
    assert [process.name for process in walk] == ["System", "a_very_long_name.exe"]
    assert walk.complete
    idle = idle_process(at.target)
    assert idle is not None and (idle.name, idle.pid) == ("Idle", 0)


def test_a_looping_list_ends_with_what_it_had(tmp_path: Path) -> None:
    here = lab(19041, tmp_path)
    link = here.machine.view("_EPROCESS", here.parts["program"]).at("ActiveProcessLinks")
    here.machine.put_u64(link, here.made.scene.system.at("ActiveProcessLinks"))
    here = Lab(here.made, tmp_path)
    walk = processes(here.target)
    assert len(list(walk)) == 2
    assert walk.ended is not None and "loops" in walk.ended


def test_processes_are_found_by_id_and_by_name_in_any_case(at: Lab) -> None:
    program = Process(at.target, at.parts["program"])
    assert find_process(at.target, 0x9AC) == program
    assert find_process(at.target, "A_VERY_long_name.EXE") == program == find_process(at.target, "a_very_long_name")
    assert find_process(at.target, "nobody.exe") is None
    assert find_process(at.target, 0x7777) is None


def test_a_process_is_not_said_to_be_none_where_the_list_ends_early(tmp_path: Path) -> None:
    here = lab(19041, tmp_path)
    link = here.machine.view("_EPROCESS", here.parts["program"]).at("ActiveProcessLinks")
    here.machine.put_u64(link, 0)
    here = Lab(here.made, tmp_path)
    assert find_process(here.target, 0x9AC) is not None
    with pytest.raises(DumpkitError, match=r"No process that can be read is 7777, but .* null link"):
        find_process(here.target, 0x7777)
    with pytest.raises(DumpkitError, match=r"No process that can be read is nobody.exe, but .* null link"):
        find_process(here.target, "nobody.exe")


def test_a_processs_threads_are_those_of_its_list(at: Lab) -> None:
    walk = Process(at.target, at.parts["program"]).threads()
    assert list(walk) == [at.thread("user")]
    assert walk.complete


def test_a_process_with_the_targets_page_tables_has_the_targets_memory(at: Lab) -> None:
    assert Process(at.target, at.parts["program"]).memory is at.target.memory


def test_a_process_with_page_tables_of_its_own_is_read_through_them(tmp_path: Path) -> None:
    here = lab(19041, tmp_path)
    here.machine.view("_EPROCESS", here.parts["program"])["Pcb.DirectoryTableBase"] = 0x5000
    here = Lab(here.made, tmp_path)
    memory = Process(here.target, here.parts["program"]).memory
    assert memory is not here.target.memory
    # Nothing lies under these tables.
    assert memory.read_optional(here.parts["program"], 8) is None


def test_a_process_without_a_peb_has_no_modules_and_says_so(at: Lab) -> None:
    found = user_modules(Process(at.target, at.parts["program"]))
    assert found.modules == () and found.problem == "the process has no PEB"
