"""What all tests share: the summaries of the text's fidelity and of the readers' agreement."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List

import pytest

pytest.register_assert_rewrite("tests.agreement")

from tests.agreement import Agreement  # noqa: E402  rewritten only where it is imported behind that call

_COUNTS: Dict[str, List[int]] = {}
_AGREEMENT = Agreement()
_BACKENDS: Dict[str, List[int]] = {}


@pytest.fixture(scope="session")
def fidelity(request: pytest.FixtureRequest) -> Iterator[Dict[str, List[int]]]:
    """command -> [equal lines, lines], printed when all tests are done."""
    yield _COUNTS
    output = getattr(request.config, "workeroutput", None)
    if output is not None:
        output["fidelity"] = _COUNTS


@pytest.fixture(scope="session")
def agreement(request: pytest.FixtureRequest) -> Iterator[Agreement]:
    """Which readers agree about what the forge meant, printed when all tests are done."""
    yield _AGREEMENT
    output = getattr(request.config, "workeroutput", None)
    if output is not None:
        output["agreement"] = _AGREEMENT.record()


@pytest.fixture(scope="session")
def backends(request: pytest.FixtureRequest) -> Iterator[Dict[str, List[int]]]:
    """dump -> how many commands print the same on both backends, differ as listed, or fail; printed at the end."""
    yield _BACKENDS
    output = getattr(request.config, "workeroutput", None)
    if output is not None:
        output["backends"] = _BACKENDS


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    """Add up what the processes of a parallel run counted."""
    output = getattr(node, "workeroutput", {})
    for command, (equal, total) in output.get("fidelity", {}).items():
        counts = _COUNTS.setdefault(command, [0, 0])
        counts[0] += equal
        counts[1] += total
    _BACKENDS.update(output.get("backends", {}))
    _AGREEMENT.add(output.get("agreement", {}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _COUNTS:
        terminalreporter.section("lines equal to the engine's")
        for command, (equal, total) in sorted(_COUNTS.items()):
            terminalreporter.write_line(f"{command:<20} {equal:6} of {total:6}  {100 * equal / max(total, 1):6.2f} %")
    if _BACKENDS:
        terminalreporter.section("commands on both backends: equal, listed, failed")
        for dump, counts in [*sorted(_BACKENDS.items()), ("all", [sum(each) for each in zip(*_BACKENDS.values())])]:
            equal, listed, failed = counts
            terminalreporter.write_line(f"{dump:<20} {equal:6} {listed:6} {failed:6}")
    table = list(_AGREEMENT.lines())
    if table:
        terminalreporter.section("readers that agree with the forge (* but for what is said below)")
        for line in table:
            terminalreporter.write_line(line)
