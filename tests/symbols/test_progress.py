"""The line that shows a download's progress."""

from __future__ import annotations

import io

import pytest
from dumpkit.symbols import progress
from dumpkit.symbols.progress import TerminalProgress, progress_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_says_how_much_of_what_is_here():
    assert progress_line("made.pdb", 3_000_000, 12_000_000) == "made.pdb  [######                  ]  3.0 of 12.0 MB"
    assert progress_line("made.pdb", 3_000_000, None) == "made.pdb  3.0 MB"
    assert len(progress_line("x" * 200, 1, 2)) < 80


def test_it_is_drawn_over_itself_and_wiped_when_the_file_is_here(clock):
    terminal = Terminal()
    show = TerminalProgress(terminal)
    show("made.pdb", 0, 1_000_000)
    clock[0] += 0.5
    show("made.pdb", 500_000, 1_000_000)
    clock[0] += 0.01
    show("made.pdb", 500_001, 1_000_000)
    line = progress_line("made.pdb", 500_000, 1_000_000)
    assert terminal.getvalue() == "\r" + line
    show("made.pdb", 1_000_000, 1_000_000)
    assert terminal.getvalue() == f"\r{line}\r{' ' * len(line)}\r"


def test_what_is_here_at_once_is_not_shown(clock):
    terminal = Terminal()
    show = TerminalProgress(terminal)
    for done in (0, 500, 1000):
        clock[0] += 0.05
        show("made.pdb", done, 1000)
    assert terminal.getvalue() == ""


def test_nothing_is_written_where_there_is_no_terminal(clock):
    stream = io.StringIO()
    show = TerminalProgress(stream)
    for done in range(5):
        clock[0] += 1
        show("made.pdb", done, 10)
    assert stream.getvalue() == ""
