from __future__ import annotations

import pytest
from dumpkit.errors import ExpressionError
from dumpkit.expression import parse_range, read_range
from dumpkit.expression.scope import BareScope

from tests.scopes import MadeScope

SCOPE = MadeScope({"rsp": 0xFFFF_8000_0000_1000}, symbols={"nt": 0xFFFF_F800_0000_0000})
RSP = 0xFFFF_8000_0000_1000


@pytest.mark.parametrize(
    ("text", "unit", "start", "count"),
    [
        ("rsp", 1, RSP, 0x80),
        ("rsp + 8", 1, RSP + 8, 0x80),
        ("rsp +8", 1, RSP + 8, 0x80),
        ("rsp L4", 1, RSP, 4),
        ("rsp l4", 8, RSP, 4),
        ("rsp L 4", 8, RSP, 4),
        ("rsp   L  1 + 1", 1, RSP, 2),
        ("rsp L(1+1)", 1, RSP, 2),
        ("rsp\tL80h", 1, RSP, 0x80),
        ("rsp L0n10", 1, RSP, 10),
        ("rsp L0", 1, RSP, 0),
        ("rsp, L1", 1, RSP, 1),
        ("rsp L?2", 1, RSP, 2),
        ("rsp L? 10000001", 1, RSP, 0x1000_0001),
        ("rsp L-2", 1, RSP - 2, 2),
        ("rsp L-2", 8, RSP - 16, 2),
        ("rsp L-2+1", 1, RSP - 3, 3),
        ("rsp L-?2", 1, RSP - 2, 2),
        ("5 L-10", 1, 0xFFFF_FFFF_FFFF_FFF5, 0x10),
        ("rsp L10000000", 1, RSP, 0x1000_0000),
        ("rsp L2000000", 8, RSP, 0x200_0000),
        ("rsp rsp", 1, RSP, 1),
        ("rsp rsp+f", 1, RSP, 16),
        ("rsp rsp+7", 8, RSP, 1),
        ("rsp rsp+8", 8, RSP, 2),
        ("rsp rsp+5", 4, RSP, 2),
        ("(rsp)(rsp+3)", 1, RSP, 4),
        ("@rsp@rsp", 1, RSP, 1),
        ("%rsp L1", 1, RSP, 1),
        ("cs:rsp L1", 1, RSP, 1),
        ("nt nt + 4", 1, 0xFFFF_F800_0000_0000, 5),
    ],
)
def test_a_range_is_a_start_and_a_number_of_units(text, unit, start, count):
    scope = MadeScope({"rsp": RSP, "cs": 0x10}, symbols={"nt": 0xFFFF_F800_0000_0000})
    assert parse_range(text, scope, 0x80, unit) == (start, count)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo L4", "Couldn't resolve error at 'foo '"),
        ("@foo L4", "Bad register error at '@foo '"),
        ("rsp foo", "Couldn't resolve error at 'foo'"),
        ("rsp Lfoo", "Couldn't resolve error at 'foo'"),
        ("rsp LdrFoo", "Couldn't resolve error at 'drFoo'"),
        ("L4", "Couldn't resolve error at 'L4'"),
        ("rsp +L1", "Couldn't resolve error at 'L1'"),
        ("rspL1", "Couldn't resolve error at 'rspL1'"),
        ("1000L1", "Syntax error at '1000L1'"),
        ("rsp L", "Length of range missing from '<EOL>'"),
        ("rsp L?", "Length of range missing from '<EOL>'"),
        ("rsp L)", "Length of range missing from ')'"),
        ("rsp L4+", "Length of range missing from '<EOL>'"),
        ("rsp L ?2", "Syntax error at '?2'"),
        ("rsp L1/0", "Operand error at '0'"),
        ("", "Address expression missing from '<EOL>'"),
        (")", "Address expression missing from ')'"),
        ("rsp,rsp+4", "Address expression missing from ',rsp+4'"),
        ("rsp+ L1", "Address expression missing from '<EOL>'"),
        ("rsp -", "Address expression missing from '<EOL>'"),
        ("(rsp L4", "Syntax error at '<EOL>'"),
        ("poi(1) L1", "Memory access error at ') '"),
    ],
)
def test_a_bad_range_is_refused_in_the_engines_words(text, message):
    with pytest.raises(ExpressionError) as refused:
        read_range(text, SCOPE, 0x80)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("line", "unit", "words"),
    [
        ("db nt nt-1", 1, "                 ^ Range error in 'db nt nt-1'"),
        ("db nt 4", 1, "              ^ Range error in 'db nt 4'"),
        ("db nt L10000001", 1, "                      ^ Range error in 'db nt L10000001'"),
        ("dd nt L4000001", 4, "                     ^ Range error in 'dd nt L4000001'"),
        ("db nt nt+10000001", 1, "                        ^ Range error in 'db nt nt+10000001'"),
        ("db nt L -2", 1, "                 ^ Range error in 'db nt L -2'"),
        (
            "dq nt L20000000`00000000",
            8,
            "                               ^ Overflow error in 'dq nt L20000000`00000000'",
        ),
        ("db nt L?-2", 1, "                 ^ Overflow error in 'db nt L?-2'"),
        ("db nt L2 3", 1, "                 ^ Extra character error in 'db nt L2 3'"),
        ("db nt L4)", 1, "                ^ Extra character error in 'db nt L4)'"),
        ("db nt nt+4)", 1, "                  ^ Extra character error in 'db nt nt+4)'"),
    ],
)
def test_a_range_that_goes_wrong_has_its_caret_below_the_place(line, unit, words):
    with pytest.raises(ExpressionError) as refused:
        parse_range(line[3:], SCOPE, 0x80, unit)
    assert refused.value.within(line, 3).pointed("0: kd> ") == words


def test_an_error_before_the_length_quotes_the_line_up_to_it():
    with pytest.raises(ExpressionError) as refused:
        parse_range("foo+1 L4", SCOPE, 0x80)
    assert str(refused.value.within(".echo x; db foo+1 L4; r", 12)) == "Couldn't resolve error at 'foo+1 '"


def test_without_a_start_the_default_stands_for_it():
    found = read_range("  ", SCOPE, 0x80, default_start=0x1000)
    assert (found.start, found.count, found.given, found.last) == (0x1000, 0x80, False, None)


def test_a_range_tells_whether_it_has_an_end_or_a_length():
    pair, length, start = (read_range(text, BareScope(), 8) for text in ("10 1f", "10 L3", "10"))
    assert (pair.given, pair.last, pair.count) == (True, 0x1F, 16)
    assert (length.given, length.last, length.count) == (True, None, 3)
    assert (start.given, start.last, start.count) == (False, None, 8)


def test_a_range_may_stand_inside_a_line():
    found = read_range("s -d 1000 L20 41", BareScope(), 1, 4, position=5)
    assert (found.start, found.count, found.end) == (0x1000, 0x20, 13)


@pytest.mark.parametrize("text", ["10 20 L5", "10 foo L5", "10, L5", "10 , 5 L5", "10) L5"])
def test_text_between_the_start_and_the_length_is_passed_over(text):
    found = read_range(text, BareScope(), 1)
    assert (found.start, found.count, found.end) == (0x10, 5, len(text))
