"""dumpkit for programs, on an example."""

from __future__ import annotations

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
    import sys

    # How a package is installed decides whether Python has read __future__ before it comes here.
    code = "import __future__, sys; old = set(sys.modules); import dumpkit; print(sorted(set(sys.modules) - old))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "['dumpkit']\n"
