"""The row of one dump."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

from dumpkit.kernel.x64_walk import X64Walk
from dumpkit.triage.row import row_of
from dumpkit.triage.sources import Source

PROJECT = Path(__file__).resolve().parents[2]


def test_the_stack_that_the_contracts_are_held_against_is_not_walked_again() -> None:
    example = PROJECT / "examples" / "fast-mutex-irql"
    with patch.object(X64Walk, "places", autospec=True, side_effect=X64Walk.places) as walks:
        row = row_of(Source(str(example / "MEMORY.DMP")), str(example / "symbols"), True)
    assert row["irql"].startswith("IRQL: ") and row["stack"]
    assert walks.call_count == 1
