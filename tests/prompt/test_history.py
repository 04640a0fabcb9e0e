"""The lines of earlier sessions, in their file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from dumpkit.prompt.history import LARGEST, History, HistoryError, state_folder


def test_the_state_folder_follows_each_systems_rule(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert state_folder({}, "linux") == tmp_path / ".local" / "state" / "dumpkit"
    assert state_folder({"XDG_STATE_HOME": "relative"}, "linux") == tmp_path / ".local" / "state" / "dumpkit"
    assert state_folder({"XDG_STATE_HOME": "/state"}, "linux") == Path("/state/dumpkit")
    assert state_folder({}, "darwin") == tmp_path / "Library" / "Application Support" / "dumpkit"
    assert state_folder({"LOCALAPPDATA": "C:\\Local"}, "win32") == Path("C:\\Local") / "dumpkit"
    assert state_folder({}, "win32") == tmp_path / "AppData" / "Local" / "dumpkit"


def test_lines_come_back_in_their_order(tmp_path: Path) -> None:
    history = History(tmp_path / "new" / "folder" / "history")
    assert history.load() == []
    history.prepare()
    for line in ("lm", "du 'тест'", "k"):
        history.append(line)
    assert History(history.path).load() == ["lm", "du 'тест'", "k"]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
def test_the_file_is_for_its_users_eyes_only(tmp_path: Path) -> None:
    history = History(tmp_path / "folder" / "history")
    history.prepare()
    assert stat.S_IMODE(history.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.path.parent.stat().st_mode) == 0o700


def test_a_line_with_a_line_end_stays_one_line(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    history.append("lm\nk")
    assert history.load() == ["lm k"]


def test_a_file_that_has_grown_too_large_keeps_its_newest_half(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    lines = [f"db {number:016x}" for number in range(LARGEST // 16)]
    history.path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    kept = history.load()
    assert kept == lines[-len(kept) :]
    assert 0.4 * LARGEST < history.path.stat().st_size < 0.6 * LARGEST
    assert history.load() == kept
    assert [path.name for path in tmp_path.iterdir()] == ["history"]


def test_bytes_that_are_no_text_cost_nothing_else(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    history.path.write_bytes(b"lm\n\xff\xfe\x00\nk\n")
    assert history.load()[0] == "lm"
    assert history.load()[-1] == "k"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HistoryError, match="history: "):
        History(tmp_path / "file" / "history").prepare()


def test_a_file_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    history = History(tmp_path)
    with pytest.raises(HistoryError):
        history.load()
    with pytest.raises(HistoryError):
        history.append("lm")
