from __future__ import annotations

import re
from struct import pack, unpack

import pytest
from dumpkit.clock import Zone
from dumpkit.formats import characters, engine_float, evaluation, number_formats, time_text
from hypothesis import given
from hypothesis import strategies as st

from tests.shared import REFERENCE, needs_shared

UTC = Zone()


def test_the_block_is_the_engines():
    assert list(number_formats(0x1C407E62, UTC).lines()) == [
        "Evaluate expression:",
        "  Hex:     00000000`1c407e62",
        "  Decimal: 473988706",
        "  Octal:   0000000000003420077142",
        "  Binary:  00000000 00000000 00000000 00000000 00011100 01000000 01111110 01100010",
        "  Chars:   .....@~b",
        "  Time:    Mon Jan  7 23:31:46 1985",
        "  Float:   low 6.36908e-022 high 0",
        "  Double:  2.34182e-315",
    ]


def test_a_negative_number_is_shown_as_such():
    formats = number_formats(-8, UTC)
    assert formats.hexadecimal == "ffffffff`fffffff8"
    assert formats.decimal == "-8"
    assert formats.octal == "1777777777777777777770"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "unavailable"),
        (1, "Thu Jan  1 00:00:01 1970"),
        (0x7FFFFFFF, "Tue Jan 19 03:14:07 2038"),
        (0x80000000, "***** Invalid"),
        (0xFFFFFFFF, "***** Invalid"),
        (0xFFFFFFFE, "unavailable"),
        (0xFFFFFFFF_FFFFFFFE, "unavailable"),
        (0xFFFFFFFF_80000000, "***** Invalid"),
        (0xFFFFFFFF_7FFFFFFF, "***** Invalid FILETIME"),
        (0x80000000_00000000, "***** Invalid FILETIME"),
        (0x1_00000000, "Mon Jan  1 00:07:09.496 1601 (UTC + 0:00)"),
        (0x01D00000_00000000, "Fri Nov 14 11:41:59.374 2014 (UTC + 0:00)"),
        (0x24C85A5E_D1C04000, "Sat Jan  1 00:00:00.000 10000 (UTC + 0:00)"),
        (0x7FFE1723_77A5BFFF, "Thu Dec 31 23:59:59.999 30826 (UTC + 0:00)"),
        (0x7FFE1723_77A5C000, "***** Invalid FILETIME"),
        (0x01BFC2B2_00000000, "Sat May 20 23:20:34.963 2000 (UTC + 0:00)"),
    ],
)
def test_a_number_is_a_time_t_or_a_filetime_by_its_size(value, text):
    assert time_text(value, UTC) == text


def test_times_are_shown_in_the_zone():
    assert time_text(0x01DA1500_00000000, Zone(-480)) == "Sat Nov 11 16:34:30.503 2023 (UTC - 8:00)"
    assert time_text(0x01DA1500_00000000, Zone(330)) == "Sun Nov 12 06:04:30.503 2023 (UTC + 5:30)"
    assert time_text(1, Zone(-480)) == "Wed Dec 31 16:00:01 1969"
    assert time_text(1 << 32, Zone(-480)) == "***** Invalid FILETIME"


@given(st.integers(0, 0x7FFFFFFF), st.integers(-720, 840))
def test_every_time_t_is_a_day_of_the_calendar(seconds, offset):
    from datetime import datetime, timedelta

    moment = datetime(1970, 1, 1) + timedelta(seconds=seconds, minutes=offset)
    text = time_text(seconds, Zone(offset))
    if text == "unavailable":
        assert seconds == 0
    else:
        assert datetime.strptime(text, "%a %b %d %H:%M:%S %Y") == moment


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        ("3f800000", "1"),
        ("bf800000", "-1"),
        ("80000000", "-0"),
        ("00000001", "1.4013e-045"),
        ("7f7fffff", "3.40282e+038"),
        ("49742400", "1e+006"),
        ("47c35000", "100000"),
        ("7f800000", "1.#INF"),
        ("ff800000", "-1.#INF"),
        ("7fc00000", "1.#QNAN"),
        ("7f800001", "1.#QNAN"),
        ("ffc00000", "-1.#IND"),
        ("ff800001", "-1.#IND"),
        ("c88e17d0", "-291007"),
        ("c92e3e88", "-713705"),
        ("3dcccccd", "0.1"),
        ("38d1b717", "0.0001"),
        ("3727c5ac", "1e-005"),
    ],
)
def test_single_floats_are_written_as_the_engine_does(bits, text):
    assert engine_float(unpack(">f", bytes.fromhex(bits))[0]) == text


def test_floats_may_have_other_numbers_of_digits():
    assert engine_float(2.3360825e36, 8) == "2.3360825e+036"
    assert engine_float(6.2252271376e-322, 12) == "6.2252271376e-322"
    assert engine_float(0.5, 1) == "0.5"
    assert engine_float(2.5, 1) == "3"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_near_what_is_written(number):
    text = engine_float(number, 17)
    assert float(text) == pytest.approx(number, rel=1e-15)
    assert re.fullmatch(r"-?\d+(\.\d+)?(e[+-]\d{3})?", text)


def test_characters_are_ascii_or_dots():
    assert characters(0x41424344_45464748) == "ABCDEFGH"
    assert characters(0x00A0FF81_1F207E7F) == "..... ~\x7f"


@given(st.integers(0, (1 << 64) - 1))
def test_every_number_has_all_formats(value):
    formats = number_formats(value, UTC)
    assert int(formats.hexadecimal.replace("`", ""), 16) == value
    assert int(formats.decimal) % (1 << 64) == value
    assert int(formats.octal, 8) == value
    assert int(formats.binary.replace(" ", ""), 2) == value
    assert len(formats.characters) == 8
    assert len(list(formats.lines())) == 9


def test_an_evaluation_is_shown_signed_and_in_hexadecimal():
    assert evaluation(0xFFFF850429890F08) == "Evaluate expression: -135222053499128 = ffff8504`29890f08"
    assert evaluation(26) == "Evaluate expression: 26 = 00000000`0000001a"


@needs_shared
def test_the_blocks_in_the_references_are_reproduced():
    seen = 0
    for path in sorted(REFERENCE.glob("*.kd.txt")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        for start, line in enumerate(lines):
            if "kd> .formats" in line and lines[start + 1] == "Evaluate expression:":
                block = lines[start + 1 : start + 10]
                value = int(block[1].split()[-1].replace("`", ""), 16)
                assert list(number_formats(value, UTC).lines()) == block
                seen += 1
    assert seen >= 10


def test_a_double_keeps_all_its_bits():
    (bits,) = unpack("<Q", pack("<d", 3.14159265358979))
    assert number_formats(bits, UTC).double == "3.14159"
