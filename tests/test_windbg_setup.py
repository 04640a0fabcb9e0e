"""`dumpkit windbg-setup`: the launchers' folder, the checks, and taking them away."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import List, Tuple

import pytest
from dumpkit.errors import DumpkitError
from dumpkit.output import Output
from dumpkit.windbg_setup import (
    Launchers,
    aliases,
    all_names,
    check,
    extension_folders,
    find_script,
    main,
    path_folders,
    remove_launchers,
    system_folders,
    write_launchers,
)


def setup(*words: str, platform: str = "win32") -> Tuple[int, List[str]]:
    """The exit status and the lines of a call."""
    stream = io.StringIO()
    status = main(list(words), Output(stream), platform)
    return status, stream.getvalue().splitlines()


def test_every_command_gets_a_launcher_and_dumpkit_itself_one(tmp_path: Path) -> None:
    written = write_launchers(str(tmp_path))
    assert {f"dumpkit.{word}" for word in all_names()} | {"dumpkit.py"} == set(os.listdir(tmp_path))
    assert written.problems == []


def test_launchers_are_valid_python(tmp_path: Path) -> None:
    names = write_launchers(str(tmp_path)).files
    assert len(names) > 100
    for name in names:
        compile((tmp_path / name).read_text(encoding="ascii"), name, "exec")


def test_a_file_that_is_no_launcher_is_left_as_it_is_and_told(tmp_path: Path) -> None:
    (tmp_path / "dumpkit.di").write_text("mine", encoding="ascii")
    written = write_launchers(str(tmp_path))
    assert (tmp_path / "dumpkit.di").read_text(encoding="ascii") == "mine"
    assert "dumpkit.di" in written.problems[0] and "dumpkit.di" not in written.files


def test_launchers_of_commands_that_are_no_more_are_taken_away(tmp_path: Path) -> None:
    write_launchers(str(tmp_path))
    (tmp_path / "dumpkit.gone").write_bytes((tmp_path / "dumpkit.di").read_bytes())
    write_launchers(str(tmp_path))
    assert not (tmp_path / "dumpkit.gone").exists()


def test_remove_takes_away_launchers_and_nothing_else(tmp_path: Path) -> None:
    written = write_launchers(str(tmp_path))
    (tmp_path / "dumpkit.mine").write_text("mine", encoding="ascii")
    (tmp_path / "other.txt").write_text("other", encoding="ascii")
    assert sorted(remove_launchers(str(tmp_path))) == sorted(written.files)
    assert sorted(os.listdir(tmp_path)) == ["dumpkit.mine", "other.txt"]


def test_the_command_says_where_they_are_and_how_many_it_removed(tmp_path: Path) -> None:
    _, lines = setup("--folder", str(tmp_path))
    assert lines[0] == f"Wrote {len(all_names()) + 1} launchers to {tmp_path}"
    assert setup("--folder", str(tmp_path), "--remove") == (
        0,
        [f"Removed {len(all_names()) + 1} launchers from {tmp_path}"],
    )


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DumpkitError, match="cannot be read: No such file"):
        setup("--folder", str(tmp_path / "nowhere"))


def test_outside_windows_a_folder_must_be_named() -> None:
    with pytest.raises(DumpkitError, match="for Windows"):
        setup(platform="linux")


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(DumpkitError, match="unknown option --nonsense"):
        setup("--nonsense")


# --- Whether WinDbg finds them -----------------------------------------------


def problems(folder: Path, path: str) -> List[str]:
    return list(check(Launchers(str(folder), [], []), {"PATH": path, "SystemRoot": str(folder / "Windows")}))


def test_a_folder_on_path_is_found(tmp_path: Path) -> None:
    write_launchers(str(tmp_path))
    assert not any("PATH" in problem for problem in problems(tmp_path, str(tmp_path)))


def test_a_folder_that_is_not_on_path_is_told(tmp_path: Path) -> None:
    write_launchers(str(tmp_path))
    assert "is not on PATH" in problems(tmp_path, os.pathsep.join(["", str(tmp_path / "other")]))[0]


def test_another_dumpkit_before_it_on_path_is_told(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine, other):
        folder.mkdir()
        write_launchers(str(folder))
    assert f"stands before {mine} on PATH" in problems(mine, os.pathsep.join([str(other), str(mine)]))[0]


def test_missing_pykd_is_told_with_what_to_install(tmp_path: Path) -> None:
    assert any("pip install dumpkit[windbg]" in problem for problem in problems(tmp_path, ""))


def test_windbgs_extension_is_looked_for_where_windbg_does(tmp_path: Path) -> None:
    environment = {"LOCALAPPDATA": str(tmp_path), "PATH": "", "SystemRoot": "nowhere"}
    folder = next(iter(extension_folders(environment)))
    missing = list(check(Launchers(str(tmp_path), [], []), environment))
    assert any("pykd.dll" in problem and folder in problem for problem in missing)
    os.makedirs(folder)
    Path(folder, "pykd.dll").touch()
    assert not any("pykd.dll" in problem for problem in check(Launchers(str(tmp_path), [], []), environment))


def test_folders_are_searched_in_windows_order(tmp_path: Path) -> None:
    system, first, second = (tmp_path / name for name in ("System32", "first", "second"))
    for folder in (first, second):
        folder.mkdir()
        (folder / "dumpkit.di").touch()
    environment = {"Path": os.pathsep.join([f'"{first}"', str(second)]), "SystemRoot": str(tmp_path)}
    folders = [*system_folders(environment), *path_folders(environment)]
    assert find_script("dumpkit.di", folders) == str(first / "dumpkit.di")
    system.mkdir()
    (system / "dumpkit.di").touch()
    assert find_script("dumpkit.di", folders) == str(system / "dumpkit.di")


# --- Aliases -----------------------------------------------------------------


def test_aliases_leave_alone_what_windbg_has() -> None:
    lines = list(aliases())
    assert "as !di !py dumpkit.di" in lines
    assert "as !t !py dumpkit.t" in lines
    assert not any(line.startswith(("as !k ", "as !pool ", "as !analyze ", "as !.", "as !trap ")) for line in lines)


def test_all_aliases_hide_windbgs_own_extensions() -> None:
    assert "as !pool !py dumpkit.pool" in list(aliases(with_windbgs_own=True))


def test_aliases_are_printed_on_any_system() -> None:
    status, lines = setup("--aliases", platform="linux")
    assert status == 0 and lines == list(aliases())
