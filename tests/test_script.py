"""Command files: echo, arguments, failures with their line, nesting."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dumpkit.errors import CommandError
from dumpkit.script import ScriptError
from dumpkit.session import Session

from tests.running import session_on, shown


def script(folder: Path, text: str, name: str = "script.dk") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.fixture
def session() -> Session:
    return session_on(None)


def test_a_block_runs_silently(session: Session, tmp_path: Path) -> None:
    session.execute(f"$$>< {script(tmp_path, '.echo one; .echo two' + chr(10) + '.echo three')}")
    assert shown(session) == ["one", "two", "three"]


def test_lines_are_shown_behind_the_prompt_as_if_typed(session: Session, tmp_path: Path) -> None:
    session.execute(f"$< {script(tmp_path, '.echo one' + chr(10) * 2 + '  n')}")
    assert shown(session) == ["dumpkit> .echo one", "one", "dumpkit> n", "base is 16"]


def test_arguments_take_the_places_of_their_numbers(session: Session, tmp_path: Path) -> None:
    session.execute(f'$$>a< {script(tmp_path, ".echo ${$arg2} ${$arg1}")} a "b c"')
    assert shown(session) == ["b c a"]


def test_a_missing_argument_is_left_standing_and_can_be_asked_for(session: Session, tmp_path: Path) -> None:
    session.execute(f"$$>a< {script(tmp_path, '.echo ${$arg2} ${/d:$arg1} ${/d:$arg2}')} a")
    assert shown(session) == ["${$arg2} 1 0"]


def test_a_file_of_utf_16_is_read(session: Session, tmp_path: Path) -> None:
    (tmp_path / "wide.dk").write_text(".echo wide", encoding="utf-16")
    session.execute(f"$$<{tmp_path / 'wide.dk'}")
    assert shown(session) == ["dumpkit> .echo wide", "wide"]


def test_a_log_never_replaces_a_dump(session: Session, tmp_path: Path) -> None:
    dump = tmp_path / "some.dmp"
    dump.write_bytes(b"PAGEDU64" + bytes(100))
    for text in (f".logopen {dump}", f".logappend {dump}"):
        with pytest.raises(CommandError, match="it is a dump, which a log would destroy"):
            session.execute(text)
    assert dump.read_bytes().startswith(b"PAGEDU64")


def test_a_failure_ends_the_file_and_names_its_line(session: Session, tmp_path: Path) -> None:
    path = script(tmp_path, ".echo one\nnosuchcommand\n.echo two")
    with pytest.raises(ScriptError, match=r"script\.dk:2: No such command: nosuchcommand") as caught:
        session.execute(f"$$>< {path}")
    assert caught.value.number == 2
    assert shown(session) == ["one"]


def test_keeping_going_runs_the_rest_and_fails_in_the_end(session: Session, tmp_path: Path) -> None:
    session.keep_going = True
    with pytest.raises(ScriptError) as caught:
        session.execute(f"$$>< {script(tmp_path, 'nosuch1' + chr(10) + '.echo on' + chr(10) + 'nosuch2')}")
    assert caught.value.number == 1 and caught.value.reported
    lines = shown(session)
    assert [":1:" in lines[0], lines[1], ":3:" in lines[2]] == [True, "on", True]


def test_a_file_that_runs_itself_is_stopped(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "self.dk"
    path.write_text(f"$$>< {path}")
    with pytest.raises(CommandError, match="runs itself"):
        session.execute(f"$$>< {path}")
    assert session.script_depth == 0


def test_a_failure_in_an_inner_file_names_that_file(session: Session, tmp_path: Path) -> None:
    inner = script(tmp_path, "\nnosuch", "inner.dk")
    outer = script(tmp_path, f"$$>< {inner}", "outer.dk")
    with pytest.raises(ScriptError, match=r"inner\.dk:2"):
        session.execute(f"$$>< {outer}")


def test_q_ends_the_file(session: Session, tmp_path: Path) -> None:
    session.execute(f"$$>< {script(tmp_path, '.echo one' + chr(10) + 'q' + chr(10) + '.echo two')}")
    assert shown(session) == ["one"] and session.ended


@pytest.mark.parametrize("text", ["$$><", "$<", "$$>a<"])
def test_a_file_must_be_named(session: Session, text: str) -> None:
    with pytest.raises(CommandError, match="needs the path"):
        session.execute(text)


def test_a_file_that_is_not_there_is_said_to_be(session: Session, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no such file here or beside the dump"):
        session.execute(f"$$>< {tmp_path / 'none.dk'}")


def test_a_file_that_is_no_text_is_said_to_be(session: Session, tmp_path: Path) -> None:
    (tmp_path / "bytes.dk").write_bytes(b"\xe9\x00\x80")
    with pytest.raises(CommandError, match="cannot be read"):
        session.execute(f"$$>< {tmp_path / 'bytes.dk'}")


def test_logs_hold_what_was_shown(session: Session, tmp_path: Path) -> None:
    log = tmp_path / "a log.txt"
    session.execute(f'.echo before; .logopen "{log}"; .echo within; .logclose; .echo behind')
    assert log.read_text().splitlines() == [f"Opened log file '{log}'", "within"]
    session.execute(f'.logappend "{log}"; .echo more; .logclose')
    assert log.read_text().splitlines()[-1] == "more"
    with pytest.raises(CommandError, match="No log file open"):
        session.execute(".logclose")
    with pytest.raises(CommandError, match="cannot open log file"):
        session.execute(f".logopen {tmp_path / 'no' / 'folder'}")


def test_a_logs_name_can_have_the_process_and_the_time(tmp_path):
    session = session_on(None)
    session.execute(f".logopen /t /u {tmp_path / 'a.b.txt'}; .echo within; .logclose")
    (log,) = tmp_path.iterdir()
    assert re.fullmatch(r"a\.b_[0-9a-f]{4,}_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{3}\.txt", log.name)
    assert "within" in log.read_text()
