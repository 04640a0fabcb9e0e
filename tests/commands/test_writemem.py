"""`.writemem` and `!for_each_module`."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import CommandError, ExpressionError
from dumpkit.session import Session

from tests.forge.triage import Block, TriageFile
from tests.running import run, run_lines, session_on, shown

PLACE = 0xFFFF900000001000
DATA = bytes(range(256)) * 12


@pytest.fixture
def session(tmp_path: Path) -> Session:
    path = tmp_path / "forged.dmp"
    path.write_bytes(TriageFile(blocks=[Block(PLACE, DATA)]).build())
    return session_on(open_dump(str(path)))


def test_memory_is_written_to_a_file(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    assert run_lines(session, f".writemem {path} {PLACE:x} L10") == ["Writing 10 bytes."]
    assert path.read_bytes() == DATA[:16]
    spaced = tmp_path / "two words.bin"
    assert run_lines(session, f'.writemem "{spaced}" {PLACE:x} {PLACE + 15:x}') == ["Writing 10 bytes."]
    assert spaced.read_bytes() == DATA[:16]


def test_the_file_ends_where_the_dump_does(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    writing, missing = run_lines(session, f".writemem {path} {PLACE:x}")
    assert writing == "Writing 10000 bytes.."
    assert missing.startswith("Unable to read memory at ffff9000`00001c00, file is incomplete: ")
    assert path.read_bytes() == DATA


def test_no_file_is_written_over(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    path.write_text("mine")
    with pytest.raises(CommandError, match="is there already"):
        run(session, f".writemem {path} {PLACE:x} L10")
    assert path.read_text() == "mine"
    with pytest.raises(CommandError, match="Unable to create file"):
        run(session, f".writemem {tmp_path / 'none' / 'out.bin'} {PLACE:x} L10")
    with pytest.raises(ExpressionError, match=r"Non-empty string required in .\.writemem."):
        session.execute(".writemem")


def test_a_confined_session_writes_nothing(session: Session, tmp_path: Path) -> None:
    session.is_confined = True
    for line in (".writemem {}", ".block {{ .writemem {} }}"):
        with pytest.raises(CommandError, match="no command may write a file"):
            session.execute(line.format(f"{tmp_path / 'out.bin'} {PLACE:x} L10"))
    assert not (tmp_path / "out.bin").exists()


def test_commands_are_run_for_each_module(session: Session) -> None:
    modules = session.dump.modules
    session.execute("!for_each_module .echo @#ModuleName ${@#Base}- @#End")
    assert shown(session) == [f"{each.name} 0x{each.base:x}- 0x{each.end:x}" for each in modules]
    count = len(run_lines(session, '!for_each_module ".if (${@#Base} == nt) { .echo @#ModuleIndex; .echo kernel }"'))
    assert count == 2
    with pytest.raises(CommandError, match="the commands are missing"):
        run(session, "!for_each_module")
