"""The command line in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forge.triage import TriageFile
from tests.running import dumpkit
from tests.shared import DUMPS, SYMBOLS


@pytest.fixture
def dump(tmp_path: Path) -> str:
    path = tmp_path / "forged.dmp"
    path.write_bytes(TriageFile().build())
    return str(path)


def test_commands_are_run_in_order_and_only_their_output_is_shown(dump: str) -> None:
    done = dumpkit(dump, "-c", ".echo one; .bugcheck; .echo two")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "one" and lines[1].startswith("Bugcheck code ") and lines[-1] == "two"


def test_a_failing_command_ends_the_batch_with_status_1(dump: str) -> None:
    done = dumpkit(dump, "-c", ".echo one; nosuch; .echo two")
    assert (done.returncode, done.stdout) == (1, "one\n")
    assert done.stderr.startswith("No such command: nosuch")


def test_keeping_going_still_ends_with_status_1(dump: str) -> None:
    done = dumpkit(dump, "--keep-going", "-c", "nosuch; .echo two")
    assert (done.returncode, done.stdout) == (1, "two\n")


def test_an_expressions_error_points_to_its_place_as_the_engine_does(dump: str) -> None:
    done = dumpkit(dump, "-c", "r nosuch")
    assert done.stderr.splitlines() == [" " * len("kd> r nosuch") + "^ Bad register error in 'r nosuch'"]


def test_a_script_shows_each_command_behind_the_prompt(dump: str, tmp_path: Path) -> None:
    (tmp_path / "beside.dk").write_text(".echo one\n.echo two\n")
    done = dumpkit(dump, "-f", "beside.dk")
    assert done.stdout.splitlines() == ["kd> .echo one", "one", "kd> .echo two", "two"]
    assert dumpkit(dump, "-f", "beside.dk", "--no-echo").stdout.splitlines() == ["one", "two"]


def test_a_failing_script_reports_file_and_line_once(dump: str, tmp_path: Path) -> None:
    (tmp_path / "bad.dk").write_text(".echo one\nnosuch\n")
    done = dumpkit(dump, "-f", "bad.dk", "--no-echo")
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["bad.dk:2: No such command: nosuch (help lists them)"]


def test_json_is_one_object_in_a_line_for_each_command(dump: str) -> None:
    done = dumpkit(dump, "--json", "-c", "di; .bugcheck; k 2; lm; r; db @rsp L4; u @rip L1")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["name"] for record in records] == ["di", ".bugcheck", "k", "lm", "r", "db", "u"]
    assert all("data" in record for record in records)
    assert records[1]["data"]["code"].startswith("0x")


def test_commands_are_read_from_a_pipe(dump: str) -> None:
    done = dumpkit(dump, stdin=".echo one\n\n.echo two; q\n.echo three\n")
    assert (done.returncode, done.stdout.splitlines()) == (0, ["one", "two"])


def test_a_folder_with_one_dump_is_that_dump(dump: str) -> None:
    assert dumpkit(str(Path(dump).parent), "-c", ".echo found").stdout == "found\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the path of a dump is missing"),
        (["nowhere.dmp", "-c", "r"], "nowhere.dmp"),
        (["a.dmp", "b.dmp"], "one dump at a time"),
        (["a.dmp", "k"], "commands stand behind -c"),
        (["trige", "x"], "there is no dump trige; is `dumpkit triage` meant?"),
        (["a.dmp", "--nonsense"], "unknown option --nonsense"),
        (["a.dmp", "-c"], "-c needs its COMMANDS"),
        (["a.dmp", "--time-zone", "Mars", "-c", "q"], "a.dmp"),
    ],
)
def test_a_wrong_call_is_one_clear_line_and_status_2(arguments: list, words: str) -> None:
    done = dumpkit(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    first, *usage = done.stderr.splitlines()
    assert words in first
    assert all(line.startswith("  usage: dumpkit FILE") for line in usage)


def test_help_and_version_need_no_dump() -> None:
    assert "usage: dumpkit FILE" in dumpkit("--help").stdout
    assert dumpkit("--version").stdout.startswith("dumpkit ")
    assert "vertarget" in dumpkit("help").stdout
    assert dumpkit("help", "lm").stdout.startswith("lm [QUERY]")
    assert dumpkit("help", "nosuch").returncode == 1


def test_words_behind_two_dashes_are_no_options(tmp_path: Path) -> None:
    done = dumpkit("check", "--", "--json")
    assert (done.returncode, done.stdout.splitlines()[0]) == (2, "--json")


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--help"], ["help"], ["DUMP", "-c", "r"], ["check", "DUMP"], ["triage", "--help"]])
def test_a_full_disk_is_one_line(words: list, unbuffered: str, dump: str) -> None:
    command = [sys.executable, "-m", "dumpkit", *(dump if word == "DUMP" else word for word in words)]
    places = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=places, check=False)
    assert done.returncode in (1, 2)
    assert done.stderr == "Cannot write output: No space left on device\n"


@pytest.mark.skipif(sys.platform == "win32", reason="a shell closes a stream")
def test_a_process_without_standard_input_has_no_commands(dump: str) -> None:
    command = ["sh", "-c", '"$0" -m dumpkit "$1" <&-', sys.executable, dump]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_log_on_the_command_line_gets_errors_too(dump: str, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    dumpkit(dump, "--log", str(log), "-c", ".echo one; nosuch")
    assert log.read_text().splitlines() == ["one", "No such command: nosuch (help lists them)"]


def test_check_says_what_a_file_holds(dump: str) -> None:
    done = dumpkit("check", dump)
    assert "triage dump (minidump) (type 4)" in done.stdout
    record = json.loads(dumpkit("check", "--json", dump).stdout)
    assert record["dump_type"] == 4 and record["is_whole"] in (True, False)


def test_check_goes_on_behind_a_file_that_is_no_dump(dump: str, tmp_path: Path) -> None:
    (tmp_path / "zero.dmp").write_bytes(bytes(0x3000))
    done = dumpkit("check", str(tmp_path / "zero.dmp"), dump)
    assert done.returncode == 2
    assert "all zero" in done.stdout and "triage dump" in done.stdout


def test_times_are_shown_in_the_zone_that_was_asked_for(dump: str) -> None:
    assert "(UTC - 8:00)" in dumpkit(dump, "--time-zone", "-8", "-c", ".time").stdout


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys; before = set(sys.modules); import dumpkit, dumpkit.cli, dumpkit.dispatcher\n"
        "heavy = {'capstone', 'prompt_toolkit', 'pdbparse', 'dataclasses', 'argparse', 'json', 'lzma', 'ctypes'}\n"
        "heavy.add('typing')\n"
        "sys.exit(' '.join(sorted(heavy & set(sys.modules) - before)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == "" and done.returncode == 0


#: What an analysis of a minidump must not import: each costs a hundredth of it or more. (collections is what most of
#: the others import.)
_HEAVY = {
    *(
        "argparse",
        "capstone",
        "collections",
        "contextlib",
        "dataclasses",
        "enum",
        "functools",
        "hashlib",
        "importlib",
        "json",
    ),
    *("lzma", "pathlib", "prompt_toolkit", "re", "subprocess", "threading", "typing", "urllib"),
    *("dumpkit.expression", "dumpkit.kernel.thread", "dumpkit.mcp", "dumpkit.report", "dumpkit.symbols.isf_json"),
}


@pytest.mark.parametrize("commands", ["!analyze -v", "analyze -v"])
def test_a_cold_analysis_imports_nothing_heavy(commands: str) -> None:
    path = DUMPS / "triage_x64.dmp"
    if not path.exists():
        pytest.skip("../shared/dumps is not here")
    symbols = f"{SYMBOLS / 'isf'};{SYMBOLS / 'store'}"
    call = [str(path), "-y", symbols, "--offline", "-c", commands]
    code = (
        "import sys\n"
        "sys.modules['pdbparse'] = None\n"
        # What an editable installation has imported is forgotten: it would come back if it were asked for.
        f"for name in {_HEAVY!r}: sys.modules.pop(name, None)\n"
        "from dumpkit.cli import main\n"
        f"status = main({call!r})\n"
        f"sys.exit(status or ' '.join(sorted({_HEAVY!r} & set(sys.modules))) or None)"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert "STACK_TEXT" in done.stdout
    assert done.stderr == "" and done.returncode == 0
