"""The commands' text against what Microsoft's engine printed for the same dumps."""

from __future__ import annotations

import re
from typing import Callable, Dict, List, Tuple

import pytest
from dumpkit.errors import DumpkitError

from tests.fidelity.reference import blocks, is_noise
from tests.running import failure_text, run_lines, session_of
from tests.shared import REFERENCE, needs_shared

pytestmark = needs_shared

NAMES = sorted(path.name[: -len(".kd.txt")] for path in REFERENCE.glob("*.kd.txt") if path.stat().st_size > 1000)

#: Commands that must be equal in every line.
WHOLE = (
    "vertarget",
    ".bugcheck",
    "r",
    "r rip",
    "u @$ip L8",
    "dps @$csp L20",
    "dq @$csp L10",
    "dd @$csp L10",
    "db @$csp L80",
    "dw @$csp L10",
    "dp @$csp L8",
    "dqs @$csp L8",
    "dc @$csp L20",
    ".formats @rsp",
    "? @rsp+8*4",
    "? 0n10+0x10",
    "?? 1+2",
    ".time",
)

_MODULE = re.compile(r"^([0-9a-f`]{17} [0-9a-f`]{17})\s+(\S+)")


def as_printed(line: str) -> str:
    return line.rstrip()


def as_module(line: str) -> str:
    """An lm row's addresses and name; any other line as it is."""
    match = _MODULE.match(line)
    return f"{match.group(1)} {match.group(2)}" if match else line.rstrip()


def compare(name: str, command: str, keep: Callable[[str], str]) -> Tuple[List[str], List[str]]:
    """(the engine's lines, ours), each reduced to what counts."""
    expected = [keep(line) for line in blocks(name)[command]]
    session = session_of(name)
    try:
        ours = run_lines(session, command)
    except DumpkitError as error:
        ours = [failure_text(session, error)]
    return expected, [keep(line) for line in ours if not is_noise(line)]


@pytest.mark.parametrize("command", WHOLE)
@pytest.mark.parametrize("name", NAMES)
def test_the_text_is_the_engines(name: str, command: str, fidelity: Dict[str, List[int]]) -> None:
    expected, ours = compare(name, command, as_printed)
    record(fidelity, command, expected, ours)
    assert ours == expected


@pytest.mark.parametrize("name", NAMES)
def test_lm_lists_the_engines_modules(name: str, fidelity: Dict[str, List[int]]) -> None:
    expected, ours = compare(name, "lm", as_module)
    record(fidelity, "lm", expected, ours)
    assert len(ours) > 50
    assert ours == expected


def test_every_reference_is_held_against() -> None:
    assert len(NAMES) == 12


def record(fidelity: Dict[str, List[int]], command: str, expected: List[str], ours: List[str]) -> None:
    """Count the equal lines of a command, for the summary."""
    counts = fidelity.setdefault(command, [0, 0])
    counts[0] += sum(mine == theirs for mine, theirs in zip(ours, expected))
    counts[1] += max(len(expected), len(ours))
