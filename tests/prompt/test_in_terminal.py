"""A whole session at the prompt in a pseudo-terminal: what a person at the keyboard sees."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from dumpkit.output import plain

CONTROL_C, CONTROL_D, CONTROL_R, UP = "\x03", "\x04", "\x12", "\x1b[A"

needs_pty = pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX")


@pytest.fixture
def terminal(tmp_path: Path) -> Any:
    from tests.terminals import Terminal, python

    with Terminal(python("tests.prompt_host"), {"XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)}) as opened:
        yield opened


@needs_pty
def test_a_session_in_a_terminal(terminal: Any) -> None:
    terminal.expect("4: kd> ")
    terminal.type(".echo first\r")
    terminal.expect("\nfirst\r\n")
    terminal.expect("4: kd> ")
    # Enter repeats.
    terminal.type("\r")
    terminal.expect("\nfirst\r\n")
    terminal.expect("4: kd> ")
    # Ctrl-C interrupts a command, and the session goes on.
    terminal.type("slow\r")
    terminal.expect("slow has begun")
    terminal.interrupt()
    terminal.expect("Interrupted")
    terminal.expect("4: kd> ")
    # Up, up: the line before `slow`.
    terminal.type(UP + UP + "\r")
    terminal.expect("\nfirst\r\n")
    terminal.expect("4: kd> ")
    # Ctrl-R finds a line by a part of it.
    terminal.type(CONTROL_R + "slo")
    terminal.expect("slow")
    terminal.type("\r")
    terminal.type("\r")
    terminal.expect("slow has begun")
    terminal.interrupt()
    terminal.expect("Interrupted")
    terminal.expect("4: kd> ")
    terminal.type(CONTROL_D)
    assert terminal.end() == 0


@needs_pty
def test_tab_completes_commands_modules_and_symbols(terminal: Any) -> None:
    terminal.expect("4: kd> ")
    terminal.type("vertar\t")
    terminal.expect("get")
    terminal.type(CONTROL_C + "lm m amd\t")
    terminal.expect("ppm")
    terminal.type("\r")
    terminal.expect("fffff800`00100000")
    terminal.expect("4: kd> ")
    terminal.type(".echo x; u nt!MmC\t")
    terminal.expect("opyMemory")


@needs_pty
def test_enter_on_an_entry_of_the_menu_takes_it_and_runs_nothing(terminal: Any) -> None:
    terminal.expect("4: kd> ")
    terminal.type(".echo x; u nt!KeBug\t")
    terminal.expect("KeBugCheckEx")
    terminal.type("\t\t\r")
    while terminal.read(0.5):
        pass
    assert "\nx\r\n" not in terminal.text
    terminal.type("\r")
    terminal.expect("\nx\r\n")
    terminal.expect("nt!KeBugCheckEx")


@needs_pty
def test_control_c_held_down_never_costs_the_session(terminal: Any) -> None:
    terminal.expect("4: kd> ")
    for _ in range(5):
        terminal.type("\x15slow\r")
        terminal.expect("slow has begun")
        for _ in range(8):
            terminal.interrupt()
            terminal.read(0.01)
        # With each Ctrl-C the driver drops what was not read yet, so that no text can be waited for.
        while terminal.read(0.3):
            pass
    terminal.type("\x15.echo alive\r")
    terminal.expect("\nalive\r\n")
    assert "Traceback" not in plain(terminal.raw)
    terminal.type("q\r")
    assert terminal.end() == 0


@needs_pty
def test_a_dumb_terminal_has_the_same_session(tmp_path: Path) -> None:
    from tests.terminals import Terminal, python

    with Terminal(python("tests.prompt_host"), {"TERM": "dumb"}) as terminal:
        terminal.expect("Plain input, without completion and history: TERM=dumb")
        terminal.expect("4: kd> ")
        terminal.type("slow\n")
        terminal.expect("slow has begun")
        terminal.interrupt()
        terminal.expect("Interrupted")
        terminal.expect("4: kd> ")
        terminal.type("half a li")
        # input() misses a Ctrl-C that comes between its prompt and its first wait.
        time.sleep(0.5)
        terminal.interrupt()
        terminal.expect("4: kd> ")
        terminal.type(".echo whole\n")
        terminal.expect("\nwhole\r\n")
        terminal.type(CONTROL_D)
        assert terminal.end() == 0
        assert "\x1b[" not in terminal.raw
