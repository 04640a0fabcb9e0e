"""What is said of dumpkit's own failures."""

from __future__ import annotations

import pytest
from dumpkit.arguments import take_word
from dumpkit.defects import debugging, defect_line


def failure() -> Exception:
    """An exception that passed through dumpkit's code."""
    try:
        take_word(None)  # type: ignore[arg-type]
    except AttributeError as error:
        return error
    raise AssertionError("nothing was raised")


def test_the_line_says_what_failed_and_where_in_dumpkit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DUMPKIT_DEBUG", raising=False)
    line = defect_line(failure())
    assert "AttributeError: 'NoneType' object has no attribute 'lstrip' at dumpkit.arguments:" in line
    assert "Please report it" in line
    assert "DUMPKIT_DEBUG=1" in line


def test_only_the_first_line_of_a_message_is_shown() -> None:
    assert "\n" not in defect_line(ValueError("first\nsecond"))
    assert "ValueError." in defect_line(ValueError())


@pytest.mark.parametrize(("value", "expected"), [("", False), ("0", False), ("1", True)])
def test_tracebacks_are_asked_for_by_a_variable(value: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUMPKIT_DEBUG", value)
    assert debugging() is expected
    assert ("DUMPKIT_DEBUG=1" in defect_line(ValueError())) is not expected
