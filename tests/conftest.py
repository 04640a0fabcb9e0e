"""What all tests share: the summary of the text's fidelity."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List

import pytest

_COUNTS: Dict[str, List[int]] = {}


@pytest.fixture(scope="session")
def fidelity(request: pytest.FixtureRequest) -> Iterator[Dict[str, List[int]]]:
    """command -> [equal lines, lines], printed when all tests are done."""
    yield _COUNTS
    output = getattr(request.config, "workeroutput", None)
    if output is not None:
        output["fidelity"] = _COUNTS


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    """Add up what the processes of a parallel run counted."""
    for command, (equal, total) in getattr(node, "workeroutput", {}).get("fidelity", {}).items():
        counts = _COUNTS.setdefault(command, [0, 0])
        counts[0] += equal
        counts[1] += total


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not _COUNTS:
        return
    terminalreporter.section("lines equal to the engine's")
    for command, (equal, total) in sorted(_COUNTS.items()):
        terminalreporter.write_line(f"{command:<20} {equal:6} of {total:6}  {100 * equal / max(total, 1):6.2f} %")
