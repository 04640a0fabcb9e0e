"""Words become typed arguments."""

from __future__ import annotations

from typing import Any, Dict, Tuple

import pytest
from dumpkit.arguments import asks_for_help, read_arguments, take_word
from dumpkit.errors import CommandError
from dumpkit.registry import Command, Expression, Option, Switch, Text, Word


def evaluate(text: str) -> Tuple[int, str]:
    """Takes a hexadecimal word, as the expression evaluator would."""
    word, _, rest = text.partition(" ")
    return int(word, 16), rest


def command(*arguments: Any, raw: bool = False) -> Command:
    return Command("test", print, iter, (), "Session", "", "", arguments, False, raw, False, False)


def read(text: str, *arguments: Any) -> Dict[str, Any]:
    return read_arguments(command(*arguments), text, evaluate)


VERBOSE = Switch("verbose", ("-v", "-verbose"), "")
THREAD = Expression("thread", "")


def test_what_is_not_given_is_left_to_the_functions_defaults() -> None:
    assert read("", VERBOSE, THREAD) == {}


def test_options_may_stand_before_and_behind_the_others() -> None:
    assert read("-v ff", VERBOSE, THREAD) == {"verbose": True, "thread": 0xFF}
    assert read("ff -verbose", VERBOSE, THREAD) == {"verbose": True, "thread": 0xFF}


def test_an_option_takes_its_word_or_expression() -> None:
    pattern = Option("pattern", ("-m",), "")
    count = Option("count", ("-n",), "", "expression")
    assert read('-m "a b" -n 10', pattern, count) == {"pattern": "a b", "count": 0x10}


def test_an_option_without_its_value_is_refused() -> None:
    with pytest.raises(CommandError, match="-m needs a word behind it"):
        read("-m", Option("pattern", ("-m",), ""))


def test_text_takes_the_rest_as_it_stands() -> None:
    assert read('a  "b"; c', Text("text", "")) == {"text": 'a  "b"; c'}


def test_a_repeated_word_takes_all_that_follow() -> None:
    assert read("a b c", Word("words", "", repeated=True)) == {"words": ["a", "b", "c"]}


def test_a_required_argument_is_asked_for() -> None:
    with pytest.raises(CommandError, match="MODULE is missing") as caught:
        read("", Word("module", "", required=True))
    assert caught.value.usage == "test MODULE"


def test_words_are_grouped_by_double_quotes_even_unclosed_ones() -> None:
    assert take_word('"a b" c') == ("a b", " c")
    assert take_word('"a b') == ("a b", "")
    assert take_word("   ") == (None, "")


@pytest.mark.parametrize("text", ["-h", "-?", "-help", "/?"])
def test_help_is_asked_for_in_each_usual_way(text: str) -> None:
    assert asks_for_help(command(), text)
    assert not asks_for_help(command(raw=True), text)
    assert not asks_for_help(command(), f"{text} x")
