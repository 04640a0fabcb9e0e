"""What the process has cost so far."""

from __future__ import annotations

import sys

import pytest
from dumpkit.costs import costs


def test_costs_only_ever_grow() -> None:
    before = costs()
    assert sum(range(200_000))
    after = costs()
    assert after.processor > before.processor
    assert after.elapsed >= before.elapsed
    assert after.read >= before.read
    assert after.peak_memory >= before.peak_memory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems count otherwise")
def test_what_was_read_is_counted() -> None:
    before = costs()
    with open(__file__, "rb") as file:
        size = len(file.read())
    assert costs().read - before.read >= size
    assert before.elapsed > 0
    assert before.peak_memory > 1 << 20
