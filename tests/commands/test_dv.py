"""`dv`, and the parameters of `kp`: what private symbols tell of a frame."""

from __future__ import annotations

from pathlib import Path
from struct import pack
from typing import Iterator, List

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import CommandError
from dumpkit.session import Session
from dumpkit.symbols.variables import Variable, read_variables
from hypothesis import given
from hypothesis import strategies as st

from tests.examples.walkthrough import FOLDER
from tests.forge.rig import ask_engine, needs_rig
from tests.running import run, run_lines, session_on

PROCEDURE, END, SECTION, CODE = 0x1110, 0x6, 1, 0x1000


@pytest.fixture(scope="module")
def opened() -> Iterator[Session]:
    target = open_dump(str(FOLDER / "MEMORY.DMP"), symbol_path=str(FOLDER / "symbols"))
    yield session_on(target)
    target.close()


@pytest.fixture
def session(opened: Session) -> Session:
    opened.select_processor(4)
    run(opened, ".frame 21")
    return opened


def test_the_variables_of_the_chosen_frame_are_shown(session: Session) -> None:
    assert run_lines(session, "dv") == [
        "        Context = 0xffffb507`729e3040",
        "        SyncRes = 0x00000000`00000000",
        ' filePathBuffer = wchar_t [150] ""',
        "        oldIrql = 0x00 ''",
    ]


def test_types_places_and_kinds_are_shown_where_asked_for(session: Session) -> None:
    assert run_lines(session, "dv /t /v /i")[:2] == [
        "prv param  ffffed0e`e77df570 void * Context = 0xffffb507`729e3040",
        "prv local  ffffed0e`e77df390 struct _SYNC_RESOURCES * SyncRes = 0x00000000`00000000",
    ]
    assert run_lines(session, "dv /V Sync*") == [
        "ffffed0e`e77df390 @rsp+0x0040               SyncRes = 0x00000000`00000000"
    ]
    assert run_lines(session, "dv zzz") == []


def test_a_frame_without_private_symbols_has_none(session: Session) -> None:
    run(session, ".frame 0")
    with pytest.raises(CommandError, match="private symbols are required"):
        run(session, "dv")


def test_parameters_stand_in_the_line_of_their_frame(session: Session) -> None:
    lines = run_lines(session, "kpL")
    assert lines[0x22].endswith("TestDriver!FileCreationThread(void * Context = 0xffffb507`729e3040)+0x52")
    assert lines[1].endswith("nt!KeBugCheckEx")
    lines = run_lines(session, "kPL")
    assert lines[-4:-2] == [
        "ffffed0e`e77df350 fffff802`04307287     TestDriver!FileCreationThread(",
        "\t\t\tvoid * Context = 0xffffb507`729e3040)+0x52",
    ]


@pytest.mark.rig
@needs_rig
def test_the_engine_shows_the_same_variables(session: Session, tmp_path: Path) -> None:
    commands = [
        f".frame {frame}; dv {options}"
        for frame in ("20", "21")
        for options in ("", "/t", "/v", "/i", "/t /v /i", "/V", "/a", "f*")
    ]
    (tmp_path / "store").symlink_to(FOLDER / "symbols")
    data = (FOLDER / "MEMORY.DMP").read_bytes()
    engine = ask_engine(tmp_path, data, [".lines -e", "kL", *commands], tmp_path / "store")
    for text in commands:
        ours = [line for part in text.split("; ")[1:] for line in _after(session, text.split("; ")[0], part)]
        assert [line.rstrip() for line in ours] == engine[text][1:], text


def _after(session: Session, frame: str, text: str) -> List[str]:
    run(session, frame)
    return run_lines(session, text)


# --- Records, as optimized code has them ---


def record(kind: int, body: bytes) -> bytes:
    body += bytes(-(len(body) + 2) % 4)
    return pack("<HH", len(body) + 2, kind) + body


def local(name: str, flags: int = 0) -> bytes:
    return record(0x113E, pack("<IH", 0x74, flags) + name.encode() + b"\0")


def extent(start: int, length: int, *gaps: int) -> bytes:
    return pack("<IHH", CODE + start, SECTION, length) + pack(f"<{len(gaps)}H", *gaps)


def variables(*records: bytes, at: int = 0x10) -> List[Variable]:
    stream = record(PROCEDURE, bytes(36)) + b"".join(records) + record(END, b"")
    return list(read_variables(stream, 0, len(stream), SECTION, CODE + at))


def test_a_variable_is_in_its_register_within_its_range_and_outside_its_gaps() -> None:
    records = [local("Count", 1), record(0x1141, pack("<HH", 330, 0) + extent(0, 0x20, 0x14, 4))]
    assert variables(*records) == [Variable(b"Count", 0x74, "rcx", None, True)]
    assert variables(*records, at=0x15) == [Variable(b"Count", 0x74, None, None, True)]
    assert variables(*records, at=0x20) == [Variable(b"Count", 0x74, None, None, True)]


def test_a_variable_moves_from_a_register_to_the_stack() -> None:
    records = [
        local("Count"),
        record(0x1141, pack("<HH", 330, 0) + extent(0, 0x10)),
        record(0x1145, pack("<HHi", 335, 0, 0x40) + extent(0x10, 0x20)),
    ]
    assert variables(*records)[0][2:4] == ("rsp", 0x40)
    assert variables(*records, at=0x8)[0][2:4] == ("rcx", None)


def test_a_frames_base_comes_from_what_the_function_says_of_itself() -> None:
    frame = record(0x1012, pack("<IIIIIHI", 0x28, 0, 0, 0, 0, 0, 1 << 14 | 2 << 16))
    records = [
        frame,
        local("Inner"),
        record(0x1144, pack("<i", 0x30)),
        local("Outer", 1),
        record(0x1144, pack("<i", 8)),
    ]
    assert [each[2:4] for each in variables(*records)] == [("rsp", 0x30), ("rbp", 8)]


def test_variables_of_inner_scopes_and_records_that_are_cut_off_are_passed_over() -> None:
    block = record(0x1103, bytes(18)) + local("Hidden") + record(END, b"")
    assert [each.name for each in variables(block, record(0x1111, b"\1"), local("Shown"))] == [b"Shown"]


@given(st.binary(max_size=200), st.integers(0, 0xFFFFFFFF))
def test_any_bytes_are_read_to_an_end(data: bytes, code: int) -> None:
    stream = record(PROCEDURE, bytes(36)) + data
    for each in read_variables(stream, 0, len(stream), SECTION, code):
        assert isinstance(each.name, bytes)
