"""The rules of `!py` that the launchers are written for."""

from __future__ import annotations

import pytest

from tests.windbg.bang_py import Console, words_of


@pytest.mark.parametrize(
    ("line", "words", "rest"),
    [
        ("dumpkit.di", ["dumpkit.di"], ""),
        ("dumpkit.t  ffffb507729e3040 -v", ["dumpkit.t", "ffffb507729e3040", "-v"], ""),
        ('dumpkit "di; t; irql 4"', ["dumpkit", "di; t; irql 4"], ""),
        ("dumpkit.di; .echo done", ["dumpkit.di"], " .echo done"),
        ('dumpkit ""', ["dumpkit", ""], ""),
        ("-m dumpkit.di -v", ["-m", "dumpkit.di", "-v"], ""),
    ],
)
def test_double_quotes_group_and_a_semicolon_ends_the_command(line: str, words: object, rest: str) -> None:
    assert words_of(line) == (words, rest)


def test_what_is_too_long_for_one_write_is_lost() -> None:
    console = Console()
    console.write("x" * 20_000)
    assert (len(console.text), console.cut) == (16_383, 3_617)
