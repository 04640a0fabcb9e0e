"""What holds of every text: an answer that a model in plain Python agrees with, or one of the four errors."""

from __future__ import annotations

from dumpkit.errors import ExpressionError
from dumpkit.expression import evaluate, evaluate_prefix, read_range
from dumpkit.expression.cpp import evaluate_cpp
from dumpkit.expression.scope import BareScope
from dumpkit.numbers import signed
from dumpkit.wildcards import matches
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scopes import MadeScope

MASK = (1 << 64) - 1

#: Words that expressions are made of, so that random texts get further than their first word.
WORDS = st.sampled_from(
    """( ) [ ] + - * / % & ^ | < > << >> >>> = == != , . : ; ! ~ @ $ ` ' " # L L? L- 0 1 ff 0n10 0x 0y1 80000000 1`0
    12h 'ab' not and or xor mod hi low by wo poi $pby @rsp rsp ebp $t0 @$exp $ip nt foo nt!foo nt! !nt @!"nt" @@ @@(
    @@c++( @@masm( $vvalid( $iment( $scmp( "a" ? ?? a!b<c> 5:6 \\""".split()
)
TEXTS = st.one_of(
    st.text(),
    st.text(alphabet="0123456789abcfhnxy`'+-*/%()[]<>=!&|^~@$.: LrspoiwdE"),
    st.lists(WORDS, max_size=20).map(" ".join),
    st.lists(WORDS, max_size=20).map("".join),
)


def made_scope() -> MadeScope:
    return MadeScope(
        {"rsp": 0x1000, "rbp": 5, "$ip": 0x1000, "$t0": 3},
        {"nt": 0x1000, "nt!foo": 0x1100},
        {0x1000: bytes(range(256)) * 4},
        {0: bytes(64)},
    )


@settings(max_examples=1000)
@given(TEXTS, st.sampled_from((8, 10, 16)))
def test_every_text_is_evaluated_or_refused(text, radix):
    scope = made_scope()
    scope.radix = radix
    try:
        value, rest = evaluate_prefix(text, scope)
    except ExpressionError as error:
        assert error.text == text
        assert 0 <= error.offset <= len(text)
        assert "\n" not in str(error) or "\n" in text
    else:
        assert 0 <= value <= MASK
        assert text.endswith(rest)


@settings(max_examples=500)
@given(TEXTS, st.sampled_from((1, 2, 4, 8)))
def test_every_text_is_a_range_or_refused(text, unit):
    try:
        found = read_range(text, made_scope(), 16, unit)
    except ExpressionError as error:
        assert 0 <= error.offset <= len(text)
    else:
        assert 0 <= found.start <= MASK
        assert 0 <= found.count * unit < 1 << 63
        assert 0 <= found.end <= len(text)


@settings(max_examples=500)
@given(TEXTS)
def test_every_text_is_c_plus_plus_or_refused(text):
    try:
        value, end = evaluate_cpp(text, made_scope())
    except ExpressionError as error:
        assert 0 <= error.offset <= len(text)
    else:
        assert -(1 << 63) <= value.number <= MASK
        assert 0 <= end <= len(text)
        assert str(value).startswith(value.kind.name)


NUMBERS = st.one_of(st.integers(0, 0x7FFFFFFF), st.integers(1 << 32, MASK), st.sampled_from([0, 1, MASK, 1 << 63]))


def _wrap(value: int) -> int:
    return value & MASK


def _divide(a: int, b: int) -> int:
    quotient = abs(signed(a)) // abs(signed(b))
    return _wrap(quotient if (signed(a) < 0) == (signed(b) < 0) else -quotient)


MODEL = {
    "*": lambda a, b: _wrap(a * b),
    "/": _divide,
    "mod": lambda a, b: _wrap(signed(a) - signed(_divide(a, b)) * signed(b)),
    "+": lambda a, b: _wrap(a + b),
    "-": lambda a, b: _wrap(a - b),
    "<<": lambda a, b: _wrap(a << b % 64),
    ">>": lambda a, b: a >> b % 64,
    ">>>": lambda a, b: _wrap(signed(a) >> b % 64),
    "=": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(signed(a) < signed(b)),
    ">=": lambda a, b: int(signed(a) >= signed(b)),
    "and": lambda a, b: a & b,
    "xor": lambda a, b: a ^ b,
    "or": lambda a, b: a | b,
}
RANKS = [("*", "/", "mod"), ("+", "-"), ("<<", ">>", ">>>"), ("=", "!=", "<", ">="), ("and", "xor", "or")]
TERMS = st.lists(st.tuples(NUMBERS, st.sampled_from(sorted(MODEL))), min_size=1, max_size=8)


def model(numbers: list, operators: list) -> int:
    """The value by rank: all products from left to right, then all sums, and so on."""
    numbers, operators = list(numbers), list(operators)
    for rank in RANKS:
        place = 0
        while place < len(operators):
            if operators[place] in rank:
                numbers[place] = MODEL[operators.pop(place)](numbers[place], numbers.pop(place + 1))
            else:
                place += 1
    return numbers[0]


@settings(max_examples=500)
@given(TERMS)
def test_arithmetic_agrees_with_a_model(terms):
    numbers, operators = [number for number, _ in terms], [operator for _, operator in terms][:-1]
    text = f"{numbers[0]:x}" + "".join(f" {op} {number:x}" for op, number in zip(operators, numbers[1:]))
    try:
        expected = model(numbers, operators)
    except ZeroDivisionError:
        try:
            evaluate(text, BareScope())
        except ExpressionError as error:
            assert error.kind == "Operand error at"
        else:
            raise AssertionError(f"{text} divides by zero") from None
    else:
        assert evaluate(text, BareScope()) == expected


@given(st.lists(st.tuples(NUMBERS, st.sampled_from("+-*")), min_size=1, max_size=5), st.randoms())
def test_brackets_group_as_in_python(terms, random):
    text = ours = f"{terms[0][0]}"
    ours = f"0n{ours}"
    for number, operator in terms[1:]:
        if random.random() < 0.5:
            text, ours = f"({text}){operator}{number}", f"({ours}){operator}0n{number}"
        else:
            text, ours = f"{number}{operator}({text})", f"[0n{number}{operator}({ours})]"
    assert evaluate(ours, BareScope()) == eval(text) & MASK


@given(NUMBERS)
def test_every_form_of_a_number_is_the_same_number(number):
    forms = (f"{number:x}", f"0x{number:X}", f"0n{number}", f"0t{number:o}", f"0y{number:b}", f"0{number:x}h")
    ticked = f"{number >> 32:x}`{number & 0xFFFFFFFF:08x}"
    assert {evaluate(form, BareScope()) for form in (*forms, ticked)} == {number}


@given(st.text(alphabet="ab*?[]-#+\\", max_size=12), st.text(alphabet="ab*", max_size=12))
def test_a_pattern_between_stars_is_found_wherever_it_is(pattern, text):
    if matches(text, pattern):
        assert matches(f"xx{text}yy", f"*{pattern}*")


def test_patterns_of_many_stars_take_no_long_time():
    assert not matches("a" * 2000, "*a" * 200 + "b")
