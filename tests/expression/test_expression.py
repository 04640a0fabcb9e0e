from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Tuple

import pytest
from dumpkit.errors import ExpressionError, MemoryReadError, RegisterError, SymbolError
from dumpkit.expression import evaluate, evaluate_prefix, parse_expression, refuse_surplus
from dumpkit.expression.scope import BareScope
from dumpkit.numbers import quoted

from tests.scopes import MadeScope

#: Sections of the table of the engine's answers: title -> (expression, answer).
ANSWERS: Dict[str, List[Tuple[str, str]]] = {}
for line in (Path(__file__).parent / "masm_answers.txt").read_text(encoding="utf-8").splitlines():
    if line.startswith("# ") and line != "# ":
        rows = ANSWERS.setdefault(line[2:], [])
    elif " => " in line:
        expression, _, answer = line.rpartition(" => ")
        rows.append((expression.rstrip().replace("<TAB>", "\t"), answer))
SECTIONS = [title for title, rows in ANSWERS.items() if rows]


def answer_to(expression: str) -> str:
    """The answer to `? EXPRESSION` in the form of the table."""
    line, prompt = f"? {expression}", "0: kd> "
    value = ""
    try:
        number, end = parse_expression(line, BareScope(), 2)
        value = quoted(number)
        refuse_surplus(line, end)
        return value
    except ExpressionError as error:
        words = error.pointed(prompt)
        if error.caret:
            words = f"{words.index('^')} ^ {error.kind}"
        return f"{value} then {words}" if value else words


def test_the_table_of_answers_is_a_few_hundred_rows():
    assert sum(len(rows) for rows in ANSWERS.values()) > 500


@pytest.mark.parametrize("section", SECTIONS)
def test_the_answers_are_the_engines(section):
    assert {row: answer_to(row) for row, _ in ANSWERS[section]} == dict(ANSWERS[section])


@pytest.mark.parametrize(
    ("text", "radix", "value"),
    [
        ("10", 10, 10),
        ("10", 8, 8),
        ("0x10", 10, 16),
        ("10h", 8, 16),
        ("ffh", 10, 255),
        ("4294967295", 10, 0xFFFF_FFFF_FFFF_FFFF),
        ("2147483647", 10, 0x7FFF_FFFF),
        ("17777777777", 8, 0x7FFF_FFFF),
        ("20000000000", 8, 0xFFFF_FFFF_8000_0000),
        ("0n10", 8, 10),
    ],
)
def test_numbers_without_a_prefix_are_of_the_sessions_radix(text, radix, value):
    assert evaluate(text, BareScope(radix)) == value


@pytest.mark.parametrize(
    ("text", "radix", "message"),
    [
        ("8", 8, "Syntax error at '8'"),
        ("1f", 10, "Syntax error at '1f'"),
        ("ff", 10, "Couldn't resolve error at 'ff'"),
        ("1`0", 10, "Extra character error in '1`0'"),
    ],
)
def test_digits_that_the_radix_lacks_are_refused(text, radix, message):
    with pytest.raises(ExpressionError) as refused:
        evaluate(text, BareScope(radix))
    assert str(refused.value) == message


def test_a_register_needs_no_at_sign():
    assert evaluate("rsp + 8", MadeScope({"rsp": 0x1000})) == 0x1008


def test_names_of_registers_are_found_in_any_case():
    assert evaluate("@RSP + Rsp", MadeScope({"rsp": 0x1000})) == 0x2000


def test_a_bare_name_that_is_a_number_too_is_the_number():
    assert evaluate("af + @af", MadeScope({"af": 1})) == 0xAF + 1


def test_a_single_digit_with_an_h_is_a_register():
    assert evaluate("ah", MadeScope({"ah": 0x17})) == 0x17


def test_an_old_32_bit_register_without_its_at_sign_is_the_whole_one():
    scope = MadeScope({"rbp": 0x1234_5678_9ABC, "ebp": 0x5678_9ABC}, symbols={"ebp": 1})
    assert evaluate("ebp", scope) == 0x1234_5678_9ABC
    assert evaluate("@ebp", scope) == 0x5678_9ABC


def test_a_module_or_symbol_stands_before_a_register_of_its_name():
    assert evaluate("cs", MadeScope({"cs": 0x10}, symbols={"cs": 0xFFFF_F800_0000_0000})) == 0xFFFF_F800_0000_0000


def test_an_exclamation_mark_makes_a_symbol_of_what_would_be_a_number():
    assert evaluate("!cdd + cdd", MadeScope(symbols={"!cdd": 0x1000})) == 0x1000 + 0xCDD


@pytest.mark.parametrize(
    "text", ["nt!Foo", "nt!`string'", "nt!ns::Bar", "nt!$x.1", "8!z", "af!b", "nt!Class::~Class", "nt!Foo`2", "_a_b"]
)
def test_symbols_may_have_odd_characters(text):
    assert evaluate(f"{text}+4", MadeScope(symbols={text: 0x1000})) == 0x1004


def test_spaces_may_stand_around_the_exclamation_mark_of_a_symbol():
    assert evaluate("nt ! Foo + 1", MadeScope(symbols={"nt!Foo": 0x1000})) == 0x1001


def test_a_name_before_an_unequal_sign_is_no_module():
    assert evaluate("nt != 3", MadeScope(symbols={"nt": 0x1000})) == 1
    assert evaluate("nt!=1000", MadeScope(symbols={"nt": 0x1000})) == 0


def test_a_template_is_found_by_its_arguments_where_the_bare_name_is_not():
    scope = MadeScope(symbols={"a!ns::f<int, 5>": 0x1000, "a!g": 0x2000})
    assert evaluate("a!ns::f<int, 5>+1", scope) == 0x1001
    assert evaluate("a!g<3000>>1", scope) == 0
    assert evaluate("a!g<(5000)", scope) == 1


def test_a_register_may_be_compared_with_a_shifted_number():
    assert evaluate("rsp<10>>1", MadeScope({"rsp": 5})) == 1


def test_a_symbol_with_any_characters_stands_in_quotes():
    assert evaluate('@!"a!operator new (int)"+1', MadeScope(symbols={"a!operator new (int)": 0x1000})) == 0x1001


def test_a_dot_is_the_instruction_pointer():
    assert evaluate(". + 10", MadeScope({"$ip": 0x1000})) == 0x1010


def test_pseudo_registers_need_no_at_sign():
    assert evaluate("$proc + @$THREAD", MadeScope({"$proc": 1, "$thread": 2})) == 3


def test_the_last_value_is_exp():
    scope = MadeScope()
    evaluate("5 + 6", scope)
    assert evaluate("$exp * 2", scope) == 22


def test_an_expression_that_fails_leaves_the_last_value_as_it_was():
    scope = MadeScope()
    evaluate("5", scope)
    with pytest.raises(ExpressionError):
        evaluate("foo", scope)
    assert scope.last_value == 5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("by 1000", 0xF8),
        ("wo(1000)", 0xF7F8),
        ("dwo 1000", 0xF5F6_F7F8),
        ("qwo[1000]", 0xF1F2_F3F4_F5F6_F7F8),
        ("poi(1000)", 0xF1F2_F3F4_F5F6_F7F8),
        ("poi 1000 + 1", 0xF1F2_F3F4_F5F6_F7F9),
        ("POI 1008", 0x1000),
        ("by poi 1008", 0xF8),
        ("-by(1000)", 0xFFFF_FFFF_FFFF_FF08),
    ],
)
def test_memory_is_read_little_endian_and_without_a_sign(text, value):
    scope = MadeScope(memory={0x1000: bytes.fromhex("f8f7f6f5f4f3f2f1 0010000000000000")})
    assert evaluate(text, scope) == value


def test_operators_with_a_dollar_sign_read_physical_memory():
    scope = MadeScope(memory={0x1000: bytes(8)}, physical={0x1000: b"\x01\x02\x03\x04\x05\x06\x07\x08"})
    assert evaluate("$pby 1000 + $pwo(1002)", scope) == 1 + 0x0403
    assert evaluate("$pdwo(1004) = low $ppoi(1004) or $pqwo(1000) & ff", MadeScope(physical={0x1000: bytes(16)})) == 1


def test_memory_that_is_not_there_is_an_error_whose_cause_says_why():
    with pytest.raises(ExpressionError) as refused:
        evaluate("1 + poi(2000)*2", MadeScope())
    assert str(refused.value) == "Memory access error at ')*2'"
    assert isinstance(refused.value.__cause__, MemoryReadError)
    assert refused.value.__cause__.address == 0x2000


def test_a_target_without_physical_memory_gives_none():
    with pytest.raises(ExpressionError, match="Memory access error at '1000'"):
        evaluate("$pdwo 1000", MadeScope())


def test_a_name_that_is_not_there_is_an_error_whose_cause_says_where_it_was_looked_for():
    with pytest.raises(ExpressionError) as refused:
        evaluate("1+foo!bar", MadeScope())
    assert str(refused.value) == "Couldn't resolve error at 'foo!bar'"
    assert isinstance(refused.value.__cause__, SymbolError)


def test_a_register_that_is_not_there_is_an_error_with_its_cause():
    with pytest.raises(ExpressionError) as refused:
        evaluate("@rsp+8*4", MadeScope())
    assert str(refused.value) == "Bad register error at '@rsp+8*4'"
    assert isinstance(refused.value.__cause__, RegisterError)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("`nt!file.c:12`", "No information found error at '`nt!file.c:12`'"),
        ("1 + `:12` + 2", "No information found error at '`:12` + 2'"),
        ("`file", "Syntax error at '`file'"),
    ],
)
def test_source_lines_are_refused_in_the_engines_words(text, message):
    with pytest.raises(ExpressionError) as refused:
        evaluate(text, MadeScope())
    assert str(refused.value) == message


def test_vvalid_tells_whether_a_whole_range_can_be_read():
    scope = MadeScope(memory={0x1000: bytes(0x100)})
    assert evaluate("$vvalid(1000, 100)", scope) == 1
    assert evaluate("$vvalid(1000,101)", scope) == 0
    assert evaluate("$vvalid(0fff,1) + $vvalid((1000),1+1)", scope) == 1


@pytest.mark.parametrize("length", ["0", "-1", "1`00000000"])
def test_vvalid_refuses_lengths_that_are_none(length):
    with pytest.raises(ExpressionError, match=r"Invalid length in '\)'"):
        evaluate(f"$vvalid(1000,{length})", MadeScope())


def test_iment_is_the_entry_point_of_an_image():
    header = bytearray(0x200)
    header[0:2] = b"MZ"
    header[0x3C] = 0x80
    header[0x80:0x84] = b"PE\0\0"
    header[0xA8:0xAC] = (0x1234).to_bytes(4, "little")
    scope = MadeScope(memory={0x10000: bytes(header), 0x20000: bytes(0x200)})
    assert evaluate("$iment(10000) + 1", scope) == 0x11235
    with pytest.raises(ExpressionError, match="Unknown image error in"):
        evaluate("$iment(20000)", scope)
    with pytest.raises(ExpressionError, match="Memory access error in"):
        evaluate("$iment(30000)", scope)


def test_an_expression_ends_where_it_cannot_go_on():
    assert evaluate_prefix("1 + 2 3", BareScope()) == (3, " 3")
    assert evaluate_prefix("5; .echo x", BareScope()) == (5, "; .echo x")
    assert evaluate_prefix("  7  ", BareScope()) == (7, "  ")


def test_an_expression_may_start_anywhere_in_a_line():
    assert parse_expression("db 10+2 L4", BareScope(), 3) == (0x12, 7)


def test_an_error_quotes_the_line_from_the_place_on():
    error = ExpressionError("Couldn't resolve error at", 4, "1 + foo")
    assert str(error) == "Couldn't resolve error at 'foo'"
    assert str(error.within(".echo x; ? 1 + foo; r", 11)) == "Couldn't resolve error at 'foo; r'"
    assert error.within("? 1 + foo", 2).pointed("0: kd> ") == "Couldn't resolve error at 'foo'"


def test_an_error_at_the_end_says_so():
    assert str(ExpressionError("Syntax error at", 2, "(1")) == "Syntax error at '<EOL>'"


def test_an_error_with_a_caret_points_below_the_prompt_and_the_line():
    error = ExpressionError("Bad register error", 5, "r foo", caret=True)
    assert error.pointed("0: kd> ") == "            ^ Bad register error in 'r foo'"
    assert error.within(".echo x; r foo", 9).pointed("0: kd> ") == (
        "                     ^ Bad register error in '.echo x; r foo'"
    )


def test_an_error_moved_into_a_line_keeps_its_cause():
    cause = SymbolError("looked nowhere")
    with pytest.raises(ExpressionError) as refused:
        raise ExpressionError("Syntax error at", 0, "x") from cause
    assert refused.value.within("? x", 2).__cause__ is cause


def test_a_hundred_thousand_brackets_are_not_too_deep():
    depth = 100_000
    assert evaluate("(" * depth + "5" + ")" * depth, BareScope()) == 5
    assert evaluate("-" * depth + "5", BareScope()) == 5
    with pytest.raises(ExpressionError, match="Syntax error at '<EOL>'"):
        evaluate("(" * depth + "5", BareScope())
