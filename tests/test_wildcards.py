from __future__ import annotations

import pytest
from dumpkit.wildcards import matches


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("", ""),
        ("", "*"),
        ("abc", "abc"),
        ("ABC", "abc"),
        ("abc", "A*C"),
        ("abc", "?b?"),
        ("abc", "[a-b]bc"),
        ("abc", "[xa]bc"),
        ("ab", "abc#"),
        ("abccc", "abc#"),
        ("abccc", "abc+"),
        ("aXbYc", "a?b?c"),
        ("a*", "a\\*"),
        ("a[", "a["),
        ("a-b", "a[+-]b"),
        ("xyzzy", "x[yz]+"),
        ("x", "x[yz]#"),
        ("a+b", "a\\+b"),
        ("#a", "#a"),
        ("ntoskrnl", "nt*"),
        ("abcabc", "*abc"),
    ],
)
def test_a_pattern_fits_its_text(text, pattern):
    assert matches(text, pattern)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("", "?"),
        ("abc", "ab"),
        ("ab", "abc"),
        ("abc", "b*"),
        ("ab", "abc+"),
        ("ab", "a\\*"),
        ("abc", "[c-d]bc"),
        ("a", ""),
    ],
)
def test_text_does_not_fit(text, pattern):
    assert not matches(text, pattern)
