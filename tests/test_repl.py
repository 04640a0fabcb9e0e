"""The prompt: lines typed, commands run, and what the user is told."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List, Optional

import pytest
from dumpkit.prompt.history import History
from dumpkit.prompt.interrupts import Interrupts
from dumpkit.prompt.reader import PromptReader
from dumpkit.registry import REGISTERED
from dumpkit.repl import PlainReader, Repl, open_reader
from dumpkit.session import Session
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from tests import prompt_host
from tests.made_target import MadeTarget
from tests.running import session_on, shown

CONTROL_C, CONTROL_D, CONTROL_R, UP = "\x03", "\x04", "\x12", "\x1b[A"


class Written:
    """A reader of lines that are known before."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self.forgotten = False

    def read(self, prompt: str) -> str:
        if not self.lines:
            raise EOFError
        return self.lines.pop(0)

    def forget(self) -> None:
        self.forgotten = True

    def take_problem(self) -> None:
        """Nothing is kept."""


@pytest.fixture(autouse=True)
def own_commands() -> Iterator[None]:
    """The host's commands, for these tests alone: others of the same process list what is registered."""
    prompt_host.register()
    yield
    for name in prompt_host.NAMES:
        del REGISTERED[name]


def session() -> Session:
    return session_on(MadeTarget())


def after_banner(session: Session) -> List[str]:
    """What was shown by lines; the banner ends with the current instruction."""
    lines = shown(session)
    return lines[next(number for number, line in enumerate(lines) if "BugCheck" in line) + 3 :]


def run_lines(*lines: str, on: Optional[Session] = None) -> List[str]:
    """What lines show, one after the other."""
    on = on or session()
    assert Repl(on, Written(*lines)).run() == 0  # type: ignore[arg-type]
    return after_banner(on)


def type_keys(keys: str, history: Optional[Path] = None, on: Optional[Session] = None) -> List[str]:
    """What keys show, typed into prompt_toolkit; Ctrl-D ends them."""
    on = on or session()
    with create_pipe_input() as input, create_app_session(input=input, output=DummyOutput()):
        input.send_text(keys + CONTROL_D)
        reader = PromptReader(on, History(history) if history is not None else None)
        assert Repl(on, reader).run() == 0
    return after_banner(on)


# --- Lines -------------------------------------------------------------------


def test_a_line_is_run_and_its_result_shown() -> None:
    assert run_lines("count 2") == ["line 1", "line 2"]


def test_q_ends_the_session_and_nothing_behind_it_runs() -> None:
    assert run_lines(".echo a; q; .echo b", ".echo c") == ["a"]


def test_an_empty_line_repeats_the_one_before_it_word_for_word() -> None:
    assert run_lines(".echo a; .echo b", "", "") == ["a", "b"] * 3


def test_an_empty_line_first_does_nothing() -> None:
    assert run_lines("", "") == []


def test_a_blank_line_is_no_repetition_and_ends_it() -> None:
    assert run_lines(".echo a", "  ", "") == ["a"]


def test_a_line_that_failed_is_not_repeated() -> None:
    assert run_lines(".echo a", "broken", "") == run_lines(".echo a", "broken")


def test_an_unknown_command_is_one_line() -> None:
    (line,) = run_lines("vertagret")
    assert line.startswith("No such command: vertagret; near it: vertarget")


def test_wrong_arguments_show_the_usage_below_the_error() -> None:
    assert run_lines("count 1 2") == ["count: unexpected '2'", "  usage: count [LAST]"]


def test_a_defect_is_one_line_with_its_place_and_the_session_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DUMPKIT_DEBUG", raising=False)
    line, after = run_lines("broken", ".echo still here")
    assert line.startswith("Defect in dumpkit, not in the dump: ZeroDivisionError: division by zero at dumpkit.")
    assert "Please report it" in line
    assert line.endswith("(DUMPKIT_DEBUG=1 shows the traceback)")
    assert after == "still here"


def test_the_traceback_of_a_defect_is_shown_to_who_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DUMPKIT_DEBUG", "1")
    (line,) = run_lines("broken")
    assert "DUMPKIT_DEBUG" not in line
    assert "Traceback (most recent call last):" in capsys.readouterr().err


def test_an_error_of_the_system_is_no_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    on = session()

    def fail(line: str) -> None:
        raise OSError(28, "No space left on device", "full.log")

    on.execute = fail
    assert run_lines("anything", on=on) == ["No space left on device: full.log"]


def test_the_log_has_prompt_line_and_result(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    run_lines(f".logopen {log}", ".echo hello", "vertagret", ".logclose", ".echo more")
    text = log.read_text(encoding="utf-8").splitlines()
    assert text[1:3] == ["4: kd> .echo hello", "hello"]
    assert text[4].startswith("No such command")
    assert text[5] == "4: kd> .logclose"
    assert len(text) == 6


def test_json_shows_records_and_no_banner(capsys: pytest.CaptureFixture[str]) -> None:
    on = session()
    on.json = True
    Repl(on, Written(".echo a", "vertagret", "broken")).run()  # type: ignore[arg-type]
    first, second = (json.loads(line) for line in shown(on))
    assert first["data"] == {"text": "a"}
    assert second["error"]["kind"] == "CommandError"
    assert "Defect in dumpkit" in capsys.readouterr().err


def test_errors_are_red_where_there_is_colour() -> None:
    on = session()
    on.output.colour = True
    assert run_lines("vertagret", on=on)[-1].startswith("\x1b[31mNo such command")


def test_the_failures_of_a_command_file_are_told_once(tmp_path: Path) -> None:
    (tmp_path / "two.dk").write_text("vertagret\n.echo a\nbroken\n", encoding="utf-8")
    on = session()
    on.keep_going = True
    first, a, defect = run_lines(f"$$>< {tmp_path / 'two.dk'}", on=on)
    assert "two.dk:1: No such command: vertagret" in first
    assert a == "a"
    assert defect.startswith("Defect in dumpkit")


# --- Keys ----------------------------------------------------------------------


def test_enter_runs_a_line_and_an_empty_one_repeats_it() -> None:
    assert type_keys(".echo a\r\r") == ["a", "a"]


def test_control_c_clears_the_line() -> None:
    assert type_keys(f".echo a{CONTROL_C}.echo b\r") == ["b"]


def test_control_d_ends_an_empty_line_only() -> None:
    assert type_keys(f".echo ab\x1b[D{CONTROL_D}\r") == ["a"]


def test_several_pasted_lines_are_run_and_the_unfinished_one_waits() -> None:
    assert type_keys("\x1b[200~.echo a\r\n\r\n.echo b\n.echo c\n.ec\x1b[201~ho d\r") == ["a", "b", "c", "d"]


def test_one_pasted_line_waits_for_enter() -> None:
    assert type_keys(".echo \x1b[200~a b\x1b[201~ c\r") == ["a b c"]


def test_an_interrupted_command_drops_the_rest_of_a_paste(monkeypatch: pytest.MonkeyPatch) -> None:
    on = session()
    run = on.execute

    def interrupted(line: str) -> None:
        if line == "slow":
            raise KeyboardInterrupt
        run(line)

    on.execute = interrupted
    assert type_keys("\x1b[200~slow\n.echo a\n\x1b[201~\r.echo b\r", on=on) == ["Interrupted", "b"]


def test_the_prompt_follows_the_current_processor() -> None:
    on = session()
    prompts: List[str] = []

    class Watching(Written):
        def read(self, prompt: str) -> str:
            prompts.append(prompt)
            return super().read(prompt)

    Repl(on, Watching("~1s")).run()  # type: ignore[arg-type]
    assert prompts == ["4: kd> ", "1: kd> "]


# --- History -------------------------------------------------------------------


def test_lines_of_the_session_before_are_found_with_the_up_arrow(tmp_path: Path) -> None:
    file = tmp_path / "state" / "history"
    type_keys(".echo one\r.echo two\r", file)
    assert type_keys(f"{UP}{UP}\r", file) == ["one"]


def test_lines_are_searched_with_control_r(tmp_path: Path) -> None:
    file = tmp_path / "history"
    type_keys(".echo one\r.echo two\r.echo three\r", file)
    assert type_keys(f"{CONTROL_R}tw\r\r", file) == ["two"]


def test_pasted_lines_are_kept_and_empty_ones_are_not(tmp_path: Path) -> None:
    file = tmp_path / "history"
    type_keys("\x1b[200~.echo a\n.echo b\n\x1b[201~\r\r", file)
    assert file.read_text(encoding="utf-8") == ".echo a\n.echo b\n"


def test_a_history_that_cannot_be_kept_costs_one_line(tmp_path: Path) -> None:
    (tmp_path / "no folder").touch()
    on = session()
    found = type_keys(".echo a\r.echo b\r", tmp_path / "no folder" / "history", on)
    (line,) = [line for line in shown(on) if line.startswith("History is not kept: ")]
    assert found == [line, "a", "b"]


def test_a_completion_with_a_defect_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DUMPKIT_DEBUG", raising=False)
    with create_pipe_input() as input, create_app_session(input=input, output=DummyOutput()):
        completer = PromptReader(session(), None).completer
    assert list(completer.get_completions(Document("vertar"), CompleteEvent()))

    def broken(self: object, line: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("dumpkit.prompt.completion.Completion.candidates", broken)
    assert list(completer.get_completions(Document("vertar"), CompleteEvent())) == []


# --- Terminals that cannot do more ---------------------------------------------


def test_a_dumb_terminal_gets_plain_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    reader, reason = open_reader(session(), Interrupts())
    assert isinstance(reader, PlainReader)
    assert reason == "TERM=dumb"


def test_without_prompt_toolkit_input_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout", _Terminal())
    monkeypatch.setitem(__import__("sys").modules, "dumpkit.prompt.reader", None)
    reader, reason = open_reader(session(), Interrupts())
    assert isinstance(reader, PlainReader)
    assert reason is not None


def test_plain_input_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("sys.stdin", io.StringIO(".echo a\n\nvertagret\n"))
    on = session()
    assert Repl(on).run() == 0
    found = after_banner(on)
    assert found[:3] == ["Plain input, without completion and history: TERM=dumb", "a", "a"]
    assert found[3].startswith("No such command")


def test_prompt_toolkit_is_imported_for_a_prompt_only() -> None:
    code = "import sys, dumpkit.cli, dumpkit.repl, dumpkit.prompt.banner; sys.exit('prompt_toolkit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True
