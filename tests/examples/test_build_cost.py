"""Building the examples stays cheap."""

from __future__ import annotations

import os

import pytest

from tests.benchmarks.build_examples import build_all


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="this system does not tell a process's memory (no wait4)")
def test_all_examples_are_built_in_20_seconds_and_500_megabytes() -> None:
    costs = build_all()
    assert len(costs) == 3
    assert sum(cost.seconds for cost in costs.values()) < 20
    assert max(cost.memory for cost in costs.values()) < 500e6
