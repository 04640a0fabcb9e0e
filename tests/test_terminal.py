"""What the terminal can do."""

from __future__ import annotations

import io

import pytest
from dumpkit.terminal import is_dumb, shows_colour


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.platform", "linux")


def test_a_terminal_shows_colour() -> None:
    assert shows_colour(Terminal())


def test_a_file_shows_none() -> None:
    assert not shows_colour(io.StringIO())


def test_no_color_is_obeyed_unless_it_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert not shows_colour(Terminal())
    monkeypatch.setenv("NO_COLOR", "")
    assert shows_colour(Terminal())


@pytest.mark.parametrize("name", ["dumb", "DUMB", "unknown"])
def test_a_dumb_terminal_shows_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", name)
    assert is_dumb()
    assert not shows_colour(Terminal())


def test_a_terminal_without_a_name_is_not_dumb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TERM")
    assert not is_dumb()
