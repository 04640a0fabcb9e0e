"""functools' cache, cached_property and partial, without functools."""

from __future__ import annotations

from typing import List

import pytest
from dumpkit.functions import cache, cached_property, partial


class Counted:
    """Counts how often its value was computed."""

    def __init__(self) -> None:
        self.computed = 0

    @cached_property
    def value(self) -> int:
        """How often."""
        self.computed += 1
        return self.computed


def test_a_cached_property_is_computed_once_for_each_object() -> None:
    first, second = Counted(), Counted()
    assert (first.value, first.value, second.value) == (1, 1, 1)
    del first.value
    assert first.value == 2
    assert Counted.value.__doc__ == "How often."


def test_a_cached_function_is_asked_once_for_each_arguments_and_again_after_an_error() -> None:
    asked: List[int] = []

    @cache
    def half(number: int) -> int:
        asked.append(number)
        if number % 2:
            raise ValueError(number)
        return number // 2

    assert (half(4), half(4), half(6)) == (2, 2, 3)
    for _ in range(2):
        with pytest.raises(ValueError, match="3"):
            half(3)
    assert asked == [4, 6, 3, 3]


def test_a_partial_call_has_its_first_arguments() -> None:
    assert partial(divmod, 7)(2) == (3, 1)
