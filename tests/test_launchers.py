"""The doors from WinDbg: names, words and errors. pykd is not needed for these; tests/windbg runs the real one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Dict

import pytest
from dumpkit.commands import INDEX
from dumpkit.launchers import (
    MARK,
    command_called,
    launcher_names,
    launcher_text,
    module_spec,
    windbg_command,
)
from dumpkit.windbg_setup import all_names, find_script

from tests.windbg.bang_py import run


def test_every_command_has_a_launcher_but_those_that_run_files_and_those_that_differ_in_case_only() -> None:
    without = set(INDEX) - set(launcher_names(INDEX).values())
    others = {name for name in without if not name.startswith("$")}
    assert {"dD", "dW"} <= others
    assert all(name != name.lower() and name.lower() in INDEX for name in others)


def test_a_launcher_means_the_command_that_it_was_written_for() -> None:
    for word, name in launcher_names(INDEX).items():
        assert command_called(word) == name


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("di", "di"),
        ("trap", ".trap"),
        ("dot_formats", ".formats"),
        ("evaluate", "?"),
        ("processor", "~"),
        ("physical_db", "!db"),
        ("kn", "kn"),
        ("lmvm", "lmvm"),
    ],
)
def test_names_that_no_file_can_have_are_spoken(word: str, name: str) -> None:
    assert command_called(word) == name


def test_a_dotted_command_gives_way_to_an_undotted_one_and_to_modules_of_dumpkit() -> None:
    assert launcher_names([".process", "process"]) == {"process": "process", "dot_process": ".process"}
    assert launcher_names([".formats"]) == {"dot_formats": ".formats"}
    assert launcher_names([".frame"]) == {"frame": ".frame"}


def test_no_launcher_has_the_name_of_a_module_that_python_m_would_run_instead() -> None:
    from importlib.machinery import PathFinder

    import dumpkit

    hidden = [word for word in launcher_names(INDEX) if PathFinder.find_spec(word, list(dumpkit.__path__))]
    assert hidden == []


def test_launchers_names_are_files_that_windows_tells_apart() -> None:
    words = list(all_names())
    assert len({word.lower() for word in words}) == len(words)
    assert all(word.replace("_", "").isalnum() for word in words)


def test_python_m_finds_commands_and_nothing_else() -> None:
    assert module_spec("dumpkit.di") is not None
    assert module_spec("dumpkit.nonsense") is None


@pytest.mark.parametrize("name", ["dumpkit.output", "dumpkit.windbg_setup", "dumpkit.errors"])
def test_modules_of_dumpkit_are_found_before_commands(name: str) -> None:
    from importlib import import_module

    assert import_module(name).__file__


def test_a_name_that_is_neither_module_nor_command_is_the_usual_error() -> None:
    done = subprocess.run([sys.executable, "-m", "dumpkit.nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "No module named dumpkit.nonsense" in done.stderr


def _without_pykd(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_without_pykd_a_command_says_in_one_line_what_to_install() -> None:
    done = _without_pykd("-m", "dumpkit.di")
    assert done.stdout.count("\n") == 1
    assert "needs pykd" in done.stdout and "pip install dumpkit[windbg]" in done.stdout
    assert done.stderr == ""


def test_without_pykd_importing_the_backend_says_in_one_line_what_to_install() -> None:
    done = _without_pykd("-c", "import dumpkit.windbg")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: dumpkit.windbg needs pykd") and "pip install dumpkit[windbg]" in last


def test_a_call_with_debug_shows_the_traceback() -> None:
    done = _without_pykd("-m", "dumpkit.di", "-debug")
    assert "Traceback" in done.stderr and "dumpkit.windbg needs pykd" in done.stderr


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("t ffffb507729e3040", "!py dumpkit.t ffffb507729e3040"),
        ("u fffff802084d9062", "!py dumpkit.u fffff802084d9062"),
        ("lmvm nt", '!py dumpkit "lmvm nt"'),
        ("k; r", '!py dumpkit "k; r"'),
    ],
)
def test_links_run_the_command_through_py(command: str, line: str) -> None:
    assert windbg_command(command) == line


# --- The files ---------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dumpkit.di").write_text("\n".join(launcher_text("di", (3, 9))) + "\n", encoding="ascii")
    (tmp_path / "dumpkit.py").write_text("\n".join(launcher_text(None, (3, 13))) + "\n", encoding="ascii")
    return tmp_path


def test_a_launcher_runs_as_py_runs_it(folder: Path) -> None:
    text = run("dumpkit.di", lambda name: find_script(name, [str(folder)])).text
    assert text.count("\n") == 1
    assert "dumpkit.windbg needs pykd" in text


def test_py_dumpkit_finds_the_file_with_the_ending(folder: Path) -> None:
    text = run('dumpkit "di; t"', lambda name: find_script(name, [str(folder)])).text
    assert "dumpkit.windbg needs pykd" in text


def test_py_m_runs_the_command(folder: Path) -> None:
    assert "dumpkit.windbg needs pykd" in run("-m dumpkit.di", lambda name: None).text


def test_a_launcher_asks_for_its_python_where_pykd_understands_it() -> None:
    assert launcher_text("di", (3, 9))[0] == "#!python3.9"
    assert MARK in launcher_text("di", (3, 13))[0]


def test_dumpkit_py_does_not_hide_the_package_from_those_who_search_its_folder(folder: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import dumpkit; print(dumpkit.__version__, len(sys.path))"
    done = _without_pykd("-c", code)
    assert done.stderr == ""
    assert done.stdout.startswith("0.")


def test_search_path_adds_the_ending_only_to_names_without_a_dot(folder: Path) -> None:
    found: Dict[str, object] = {name: find_script(name, [str(folder)]) for name in ("dumpkit", "dumpkit.di", "di")}
    assert found["dumpkit"] == str(folder / "dumpkit.py")
    assert found["dumpkit.di"] == str(folder / "dumpkit.di")
    assert found["di"] is None


# --- What ends a command -----------------------------------------------------


def _ended_by(error: BaseException, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    from dumpkit import launchers

    def fail(line: str) -> None:
        raise error

    monkeypatch.setattr(launchers, "_run", fail)
    launchers.main("di", arguments)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit("CTRL+BREAK")])
def test_ctrl_break_ends_a_command_with_a_word(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _ended_by(error, monkeypatch)
    assert capsys.readouterr().out == "Interrupted\n"


def test_a_defect_is_one_line_that_says_whose_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _ended_by(ZeroDivisionError("division by zero"), monkeypatch)
    shown = capsys.readouterr().out
    assert shown.count("\n") == 1 and shown.startswith("Defect in dumpkit, not in the dump: ZeroDivisionError")


def test_with_debug_a_defect_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        _ended_by(ZeroDivisionError(), monkeypatch, "-debug")
