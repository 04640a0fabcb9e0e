"""Each example's command file prints what stands beside it."""

from __future__ import annotations

import pytest

from tests.examples.expected import SCRIPTS, expected_path, replay


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_an_examples_command_file_prints_what_is_kept(name: str) -> None:
    assert replay(name) == expected_path(name).read_text(encoding="utf-8")
