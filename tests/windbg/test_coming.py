"""docs/coming-from-windbg.md says what the registry says."""

from __future__ import annotations

from tests.running import own_commands
from tests.windbg.coming import PAGE
from tests.windbg.origins import ORIGINS


def test_every_command_stands_in_the_chapter() -> None:
    text = PAGE.read_text(encoding="utf-8")
    missing = [name for name in own_commands() if f"`{name}`" not in text and f"`!{name}`" not in text]
    assert missing == [], "run python -m tests.windbg.coming"


def test_the_chapter_speaks_of_no_command_that_is_not_there() -> None:
    assert set(ORIGINS) - set(own_commands()) == set()
