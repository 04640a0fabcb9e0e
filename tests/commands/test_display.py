"""The d commands on memory with holes; what they print was seen on the engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import CommandError, DumpkitError, ExpressionError
from dumpkit.session import Session

from tests.forge.dump_files import full_dump
from tests.forge.memory import PhysicalPages
from tests.forge.triage import KERNEL_BASE, Block, TriageFile
from tests.running import run, run_lines, session_on

PLACE = 0xFFFF900000001000
DATA = bytes(range(0x20, 0x40)) + b"Text\0" + bytes(11) + "wide".encode("utf-16-le") + bytes(8)


def open_blocks(folder: Path, *blocks: Block) -> Session:
    path = folder / "forged.dmp"
    path.write_bytes(TriageFile(blocks=list(blocks)).build())
    return session_on(open_dump(str(path)))


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return open_blocks(tmp_path, Block(PLACE, DATA))


def test_bytes_have_a_dash_in_the_middle_and_their_characters_behind(session: Session) -> None:
    assert run_lines(session, f"db {PLACE:x} L12") == [
        "ffff9000`00001000  20 21 22 23 24 25 26 27-28 29 2a 2b 2c 2d 2e 2f   !\"#$%&'()*+,-./",
        "ffff9000`00001010  30 31                                            01",
    ]


def test_what_cannot_be_read_is_question_marks_up_to_the_first_byte(session: Session) -> None:
    assert run_lines(session, f"db {PLACE - 2:x} L6") == [
        'ffff9000`00000ffe  ?? ?? 20 21 22 23                                ?? !"#'
    ]
    assert run_lines(session, f"dd {PLACE - 6:x} L4") == ["ffff9000`00000ffa  ???????? ???????? 25242322 29282726"]
    assert run_lines(session, f"dps {PLACE - 4:x} L2")[0] == "ffff9000`00000ffc  ????????`????????"


def test_words_numbers_and_pointers_have_their_widths(session: Session) -> None:
    assert run_lines(session, f"dw {PLACE:x} L3") == ["ffff9000`00001000  2120 2322 2524"]
    assert run_lines(session, f"dq {PLACE:x} L3") == [
        "ffff9000`00001000  27262524`23222120 2f2e2d2c`2b2a2928",
        "ffff9000`00001010  37363534`33323130",
    ]
    assert run_lines(session, f"dc {PLACE:x} L2") == [
        "ffff9000`00001000  23222120 27262524                     !\"#$%&'"
    ]


def test_a_string_ends_at_its_zero(session: Session) -> None:
    assert run_lines(session, f"da {PLACE + 0x20:x}") == ['ffff9000`00001020  "Text"']
    assert run_lines(session, f"du {PLACE + 0x30:x}") == ['ffff9000`00001030  "wide"']
    assert run_lines(session, f"da {PLACE + 0x20:x} L2") == ['ffff9000`00001020  "Te"']


def test_a_width_is_set_by_slash_c(session: Session) -> None:
    assert run_lines(session, f"dd /c 1 {PLACE:x} L2") == [
        "ffff9000`00001000  23222120",
        "ffff9000`00001004  27262524",
    ]


def test_without_an_address_it_goes_on_where_the_last_one_ended(session: Session) -> None:
    run(session, f"db {PLACE:x} L8")
    assert run(session, "dw").rows[0].address == PLACE + 8
    run(session, f"dd {PLACE:x} L2")
    again = run(session, "d")
    assert (again.command, again.rows[0].address) == ("dd", PLACE + 8)


def test_pointers_are_followed_to_symbols_values_and_strings(tmp_path: Path) -> None:
    pointers = (KERNEL_BASE + 0x1000).to_bytes(8, "little") + (PLACE + 0x20).to_bytes(8, "little")
    session = open_blocks(tmp_path, Block(PLACE, DATA), Block(PLACE + 0x2000, pointers))
    place = str(session.dump.symbols.nearest(KERNEL_BASE + 0x1000))
    assert run_lines(session, f"dps {PLACE + 0x2000:x} L2") == [
        f"ffff9000`00003000  fffff800`10001000 {place}",
        "ffff9000`00003008  ffff9000`00001020",
    ]
    assert run_lines(session, f"dpa {PLACE + 0x2008:x} L1") == ['ffff9000`00003008  ffff9000`00001020 "Text"']
    assert run_lines(session, f"dpp {PLACE + 0x2008:x} L1") == [
        "ffff9000`00003008  ffff9000`00001020 00000000`74786554"
    ]


def test_a_range_may_end_at_an_address_which_is_shown_too(session: Session) -> None:
    assert run_lines(session, f"db {PLACE:x} {PLACE + 3:x}")[0].startswith("ffff9000`00001000  20 21 22 23  ")


@pytest.mark.parametrize("text", ["db nosuchname", "db 0 L", "db 5 2", "db 0 L99999999999", "dq 10 L2 3", "db )"])
def test_bad_ranges_are_refused_in_the_engines_words(session: Session, text: str) -> None:
    with pytest.raises(ExpressionError):
        run(session, text)


def test_the_last_page_of_the_address_space_is_shown_without_an_overflow(session: Session) -> None:
    assert run_lines(session, "db ffffffff`fffffff8 L10") == [
        "ffffffff`fffffff8  ?? ?? ?? ?? ?? ?? ?? ??-?? ?? ?? ?? ?? ?? ?? ??  ????????????????"
    ]


def test_floats_are_printed_as_the_engine_prints_them(session: Session) -> None:
    assert run_lines(session, f"df {PLACE:x} L1") == ["ffff9000`00001000    8.7890521e-018"]


def test_a_listing_that_would_never_end_is_refused(session: Session) -> None:
    with pytest.raises(CommandError, match="more than can be shown at once"):
        run(session, f"db {PLACE:x} L?{1 << 60:x}")


def test_nothing_is_shown_for_an_empty_range(session: Session) -> None:
    assert run_lines(session, f"db {PLACE:x} L0") == []


def test_a_target_without_registers_still_shows_memory(session: Session) -> None:
    try:
        rows = run(session, f"dq {PLACE:x} L1").rows
    except DumpkitError as error:
        pytest.fail(f"memory needs no registers: {error}")
    assert rows[0].values == (0x2726252423222120,)


def test_physical_memory_has_its_own_commands(tmp_path: Path) -> None:
    memory = PhysicalPages()
    page = memory.allocate()
    memory.write(page * 0x1000, DATA)
    path = tmp_path / "full.dmp"
    path.write_bytes(full_dump(memory, 0x1000))
    session = session_on(open_dump(str(path)))
    assert run_lines(session, f"!dd {page * 0x1000:x} L2") == [f"#{page * 0x1000:8x}  23222120 27262524"]
    assert run(session, "!db").rows[0].address == page * 0x1000 + 8
    assert run_lines(session, "!dq 123456000 L1") == ["#123456000  ????????`????????"]


def test_a_minidump_says_that_it_has_no_physical_memory(session: Session) -> None:
    with pytest.raises(CommandError, match="no physical memory in this triage dump"):
        run(session, "!db 1000")
