"""`s`, `c`, `dyb`, `dyd`, `dl`, `ds`, `dS`, in the engine's text."""

from __future__ import annotations

from pathlib import Path
from struct import pack
from typing import List, Optional

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import CommandError, DumpkitError, ExpressionError
from dumpkit.session import Session

from tests.forge.triage import Block, TriageFile
from tests.running import failure_text, run, run_lines, session_on, shown

PLACE = 0xFFFF900000001000
#: The bytes that the engine's transcripts below are of, text, a list of two entries and counted strings.
DATA = (
    bytes.fromhex("e1f4e07b04f8ffff7e00000000000000050000c0ffffffff4c33588b04f8ffff")
    + b"one\0L$ \0three\0\0\0".ljust(32, b"\0")
    + "wide".encode("utf-16-le").ljust(16, b"\0")
)
LIST = PLACE + 0x100
TEXT = PLACE + 0x200


@pytest.fixture
def session(tmp_path: Path) -> Session:
    path = tmp_path / "forged.dmp"
    entries = pack("<8Q", LIST + 0x20, LIST + 0x20, 1, 2, LIST, LIST, 3, 4)
    strings = pack("<HHIQ", 8, 10, 0, PLACE + 0x40) + pack("<HHIQ", 3, 4, 0, PLACE + 0x20)
    blocks = [Block(PLACE, DATA), Block(LIST, entries), Block(TEXT, strings)]
    path.write_bytes(TriageFile(blocks=blocks).build())
    return session_on(open_dump(str(path)))


def pointed(session: Session, line: str) -> List[str]:
    """What a line shows at the prompt, its error included, without the prompt's width."""
    before = len(shown(session))
    try:
        session.execute(line)
    except DumpkitError as error:
        return [*shown(session)[before:], *failure_text(session, error).split("\n")]
    return shown(session)[before:]


def test_each_match_is_a_line_of_memory_in_its_unit(session: Session) -> None:
    place = f"{PLACE:x}"
    assert run_lines(session, f"s {place} L10 7e") == [
        "ffff9000`00001008  7e 00 00 00 00 00 00 00-05 00 00 c0 ff ff ff ff  ~..............."
    ]
    assert run_lines(session, f"s -w {place} L10 7e") == [
        "ffff9000`00001008  007e 0000 0000 0000 0005 c000 ffff ffff  ~..............."
    ]
    assert run_lines(session, f"s -d {place} L8 c0000005") == [
        "ffff9000`00001010  c0000005 ffffffff 8b58334c fffff804  ........L3X....."
    ]
    assert run_lines(session, f"s -q {place} L4 ffffffffc0000005") == [
        "ffff9000`00001010  ffffffff`c0000005 fffff804`8b58334c"
    ]


def test_a_match_stands_at_a_multiple_of_its_unit(session: Session) -> None:
    assert run(session, f"s -b {PLACE:x} L20 f8 ff").addresses == (PLACE + 5, PLACE + 0x1D)
    assert run(session, f"s -w {PLACE:x} L10 fff8").addresses == ()


def test_text_is_looked_for_in_bytes_and_utf_16(session: Session) -> None:
    assert run(session, f's -a {PLACE:x} L50 "three"').addresses == (PLACE + 0x28,)
    assert run(session, f"s -a {PLACE:x} L50 three").addresses == (PLACE + 0x28,)
    assert run_lines(session, f's -u {PLACE:x} L28 "wide"') == [
        "ffff9000`00001040  0077 0069 0064 0065 0000 0000 0000 0000  w.i.d.e........."
    ]


def test_any_text_is_listed_from_three_characters_on(session: Session) -> None:
    assert run_lines(session, f"s -sa {PLACE:x} L38") == [
        'ffff9000`00001018  "L3X"',
        'ffff9000`00001020  "one"',
        'ffff9000`00001024  "L$ "',
        'ffff9000`00001028  "three"',
    ]
    assert run(session, f"s -[l5]sa {PLACE:x} L38").texts == ("three",)
    assert run(session, f"s -su {PLACE:x} L28").texts == ("wide",)


def test_addresses_alone_are_shown_where_foreach_wants_them(session: Session) -> None:
    assert run_lines(session, f"s -[1]d {PLACE:x} L8 c0000005") == ["0xffff9000`00001010"]
    session.execute(f".foreach (x {{ s -[1]b {PLACE:x} L20 f8 ff }}) {{ ? x }}")
    assert len(shown(session)) == 2


def test_what_the_dump_does_not_hold_is_passed_over(session: Session) -> None:
    assert run_lines(session, "s -b 0 L100 0") == []
    assert run(session, f"s -b {PLACE - 0x100000:x} L200000 7e 00 00").addresses == (PLACE + 8,)


@pytest.mark.parametrize(
    ("line", "column", "error"),
    [
        ("s", 1, "Search pattern missing from 's'"),
        ("s 5 L40", 7, "Search pattern missing from 's 5 l40'"),
        ("s -z 5 L40 5", 3, "Syntax error in 's -z 5 L40 5'"),
        ("s -b 5 L20 1ff", 14, "Overflow error in 's -b 5 l20 1ff'"),
        ("s -b 5 L40 -1", 13, "Search pattern missing from 's -b 5 l40 -1'"),
        ('s -a 5 L100 ""', 13, "Non-empty string required in 's -a 5 l100 \"\"'"),
        ('s -a 5 L100 "H', 14, "Trailing quote missing in 's -a 5 l100 \"H'"),
        ("s -d 5 L20 foo", None, "Couldn't resolve error at 'foo'"),
        ("c 5 L8", None, "Address expression missing from '<EOL>'"),
        ("c 5 L8 6", 8, "Memory access error in 'c 5 l8 6'"),
    ],
)
def test_bad_requests_are_refused_as_the_engine_does(
    session: Session, line: str, column: Optional[int], error: str
) -> None:
    pointer = f"{' ' * (len(session.prompt) + column)}^ " if column is not None else ""
    assert pointed(session, line) == [pointer + error]


def test_what_differs_is_compared_byte_by_byte(session: Session) -> None:
    assert run_lines(session, f"c {PLACE:x} L2 {PLACE + 8:x}") == [
        "ffff9000`00001000  e1 - ffff9000`00001008  7e",
        "ffff9000`00001001  f4 - ffff9000`00001009  00",
    ]
    assert run_lines(session, f"c {PLACE:x} L8 {PLACE:x}") == []


def test_memory_is_shown_in_binary(session: Session) -> None:
    heading = ["                   " + " ".join(["76543210"] * 4), "                   " + " ".join(["--------"] * 4)]
    assert run_lines(session, f"dyb {PLACE:x} L5") == [
        *heading,
        "ffff9000`00001000  11100001 11110100 11100000 01111011  e1 f4 e0 7b",
        "ffff9000`00001004  00000100                             04",
    ]
    assert run_lines(session, f"dyd {PLACE:x} L1") == [
        "                    3          2          1          0",
        "                   10987654 32109876 54321098 76543210",
        "                   -------- -------- -------- --------",
        "ffff9000`00001000  01111011 11100000 11110100 11100001  7be0f4e1",
    ]
    assert run_lines(session, "d")[-1].startswith("ffff9000`00001020  ")
    assert run_lines(session, "dyb 0 L4")[-1].endswith("???????? ???????? ???????? ????????  ?? ?? ?? ??")
    assert run_lines(session, f"dyb /c 2 {PLACE:x} L4")[2:] == [
        "ffff9000`00001000  11100001 11110100  e1 f4",
        "ffff9000`00001002  11100000 01111011  e0 7b",
    ]


def test_a_list_is_followed_until_it_comes_back(session: Session) -> None:
    assert run_lines(session, f"dl {LIST:x}") == [
        "ffff9000`00001100  ffff9000`00001120 ffff9000`00001120",
        "ffff9000`00001110  00000000`00000001 00000000`00000002",
        "ffff9000`00001120  ffff9000`00001100 ffff9000`00001100",
        "ffff9000`00001130  00000000`00000003 00000000`00000004",
    ]
    assert [entry.address for entry in run(session, f"dlb {LIST:x} 1 2").entries] == [LIST]
    assert run_lines(session, "dl 0") == []


def test_a_counted_string_is_shown_as_long_as_it_says(session: Session) -> None:
    assert run_lines(session, f"dS {TEXT:x}") == ['ffff9000`00001040  "wide"']
    assert run_lines(session, f"ds {TEXT + 16:x}") == ['ffff9000`00001020  "one"']
    with pytest.raises(CommandError, match="no counted string at 0000000000000000"):
        run(session, "dS 0")


def test_a_length_is_quoted_with_a_small_letter(session: Session) -> None:
    with pytest.raises(ExpressionError, match="Extra character error in 'db 5 l8 foo'"):
        session.execute("db 5 L8 foo")


def test_a_text_without_its_zero_is_gone_on_behind(session: Session) -> None:
    run(session, f"da {PLACE + 0x28:x} L2")
    assert run(session, "db").rows[0].address == PLACE + 0x2A
    run(session, f"da {PLACE + 0x20:x}")
    assert run(session, "db").rows[0].address == PLACE + 0x24


def test_physical_memory_that_is_not_there_is_question_marks(session: Session) -> None:
    assert run_lines(session, "dd /p 1000 L1") == ["00000000`00001000  ????????"]
