"""dumpkit for programs, on an example."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Iterator

import dumpkit
import pytest
from dumpkit.errors import CommandError, DumpFormatError, DumpkitError
from dumpkit.library import Dump

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def dump() -> Iterator[Dump]:
    with dumpkit.open(str(EXAMPLES / "fast-mutex-irql")) as opened:
        yield opened


def test_a_command_gives_its_data_as_json_has_it(dump: Dump) -> None:
    answer = dump.run(".bugcheck")
    assert answer.data["code"] == "0xd1"
    assert answer.data["arguments"][0] == "0xffff80091002ac08"
    assert answer.result.arguments[0] == 0xFFFF80091002AC08
    assert answer.command == ".bugcheck"


def test_a_command_gives_its_text_too(dump: Dump) -> None:
    answer = dump.run(".bugcheck")
    assert answer.lines[0] == "Bugcheck code 000000D1"
    assert str(answer) == answer.text == "".join(f"{line}\n" for line in answer.lines)


def test_what_one_command_makes_current_holds_for_the_next(dump: Dump) -> None:
    assert dump.session.processor == 4
    dump.run("~2s")
    assert dump.run("k").result.processor == 2


def test_types_and_expressions_reach_the_memory(dump: Dump) -> None:
    process = dump.type("_EPROCESS").at(dump.evaluate("poi(nt!PsInitialSystemProcess)"))
    assert process.ImageFileName.text() == "System"
    assert dump.memory.u64(process.address + dump.type("_EPROCESS").offset("UniqueProcessId")) == 4


def test_threads_and_processes_are_the_kernels(dump: Dump) -> None:
    assert "System" in [process.name for process in dump.processes()]
    crashed = next(thread for thread in dump.threads() if thread.address == 0xFFFFB507729E3040)
    assert (crashed.pid, crashed.tid) == (4, 0x26EC)


def test_several_commands_at_once_are_refused(dump: Dump) -> None:
    with pytest.raises(CommandError, match="one command at a time: 'k; r' holds 2"):
        dump.run("k; r")


def test_an_unknown_command_and_a_file_that_is_no_dump_are_errors(dump: Dump, tmp_path: Path) -> None:
    with pytest.raises(DumpkitError, match="No such command: nothing"):
        dump.run("nothing")
    (tmp_path / "no.dmp").write_bytes(b"no dump" * 2000)
    with pytest.raises(DumpFormatError):
        dumpkit.open(str(tmp_path / "no.dmp"))


def test_importing_dumpkit_imports_no_part_of_it() -> None:
    import subprocess

    # How a package is installed decides whether Python has read __future__ before it comes here.
    code = "import __future__, sys; old = set(sys.modules); import dumpkit; print(sorted(set(sys.modules) - old))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "['dumpkit']\n"


def test_the_package_lists_what_programs_find_in_it() -> None:
    assert {"open", "Dump", "Answer", "DumpkitError", "errors"} <= set(dir(dumpkit))
    for name in dir(dumpkit):
        assert getattr(dumpkit, name) is not None
    assert dumpkit.DumpkitError is DumpkitError
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        dumpkit.nothing  # noqa: B018


def test_paths_and_symbol_folders_may_be_path_objects(tmp_path: Path) -> None:
    for symbols in (tmp_path, [tmp_path, str(tmp_path)], str(tmp_path), None, []):
        with dumpkit.open(EXAMPLES / "fast-mutex-irql", symbols) as dump:
            assert dump.run("k").lines[1].endswith("nt!KeBugCheckEx")


def test_a_closed_dump_says_that_it_was_closed() -> None:
    with dumpkit.open(EXAMPLES / "fast-mutex-irql") as dump:
        answer = dump.run("k")
    dump.close()
    assert repr(dump).endswith("MEMORY.DMP: closed>")
    assert len(answer.lines) == 37
    for ask in (
        lambda: dump.run("k"),
        lambda: dump.evaluate("1"),
        lambda: dump.memory,
        lambda: dump.modules,
        lambda: dump.type("_EPROCESS"),
        lambda: list(dump.processes()),
        lambda: list(dump.threads()),
        lambda: dump.symbol(0),
    ):
        with pytest.raises(DumpkitError, match=r"MEMORY\.DMP was closed"):
            ask()


def test_a_pickled_dump_is_opened_anew_and_results_can_be_pickled(dump: Dump) -> None:
    with pickle.loads(pickle.dumps(dump)) as other:
        assert other.run("k").lines == dump.run("k").lines
    answer = dump.run("k")
    assert pickle.loads(pickle.dumps(answer.result)) == answer.result
    with pytest.raises(TypeError, match="an Answer belongs to its open dump"):
        pickle.dumps(answer)


def test_addresses_are_shown_in_hexadecimal_to_who_looks_and_stay_numbers(dump: Dump) -> None:
    frame = dump.run("k").result.frames[0]
    assert "return_address=0xfffff8020442bfa9" in repr(frame)
    assert f"{frame.return_address}" == str(frame.return_address) == str(0xFFFFF8020442BFA9)
    assert repr(dump.modules[0]) == "<Module nt fffff80204000000 fffff80205047000 ntoskrnl.exe>"
    assert dump.run("k")._repr_html_().startswith("<pre>Child-SP ")


def test_names_and_addresses_lead_to_each_other(dump: Dump) -> None:
    address = dump.evaluate("nt!KeBugCheckEx")
    assert dump.symbol(address) == "nt!KeBugCheckEx"
    assert dump.symbol(address + 1) == "nt!KeBugCheckEx+0x1"
    assert dump.symbol(0) is None


def test_a_kernel_list_is_walked_by_the_name_of_its_head(dump: Dump) -> None:
    walk = dump.list("nt!PsActiveProcessHead", "_EPROCESS", "ActiveProcessLinks")
    found = [record.ImageFileName.text() for record in walk]
    assert found[0] == "System" and walk.complete
    head = dump.evaluate("nt!PsActiveProcessHead")
    assert len(list(dump.list(head, "_EPROCESS", "ActiveProcessLinks"))) == len(found)


def test_a_process_is_found_by_its_name_or_id(dump: Dump) -> None:
    system = dump.process("system")
    assert system is not None and system.pid == 4
    assert dump.process(4) == system
    assert dump.process("nobody.exe") is None
    assert dump.bugcheck is not None and dump.bugcheck.code == 0xD1


def test_threads_of_a_program_may_ask_one_dump(dump: Dump) -> None:
    wanted = {command: dump.run(command).lines for command in ("k", "t", "di")}
    with ThreadPoolExecutor(4) as pool:
        commands = list(wanted) * 4
        assert list(pool.map(lambda command: dump.run(command).lines, commands)) == [wanted[one] for one in commands]


@pytest.mark.skipif(sys.platform == "win32", reason="a mapped file cannot be cut there")
def test_a_dump_that_is_cut_while_it_is_open_is_an_error_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "MEMORY.DMP"
    shutil.copyfile(EXAMPLES / "fast-mutex-irql" / "MEMORY.DMP", path)
    with dumpkit.open(path) as dump:
        os.truncate(path, 0x3000)
        with pytest.raises(DumpkitError, match=r"was cut to 12,288 of its [\d,]+ bytes since it was opened"):
            dump.run("k")


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
def test_a_dump_that_is_deleted_while_it_is_open_can_still_be_read(tmp_path: Path) -> None:
    path = tmp_path / "MEMORY.DMP"
    shutil.copyfile(EXAMPLES / "fast-mutex-irql" / "MEMORY.DMP", path)
    with dumpkit.open(path) as dump:
        path.unlink()
        assert dump.run("k").lines
