"""The walkthrough's session on examples/fast-mutex-irql: every command block, byte for byte but for trailing spaces."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, List

import pytest
from dumpkit.clock import Zone
from dumpkit.dump import open_dump
from dumpkit.session import Session

from tests.fidelity.test_references import record
from tests.fidelity.walkthrough import DIFFERENCES, MOST_LINES_ADDED, WALKTHROUGH, Block, comparable, walkthrough_blocks
from tests.running import dumpkit, run_lines, session_on

pytestmark = pytest.mark.skipif(not WALKTHROUGH.exists(), reason="../shared/spec/walkthrough.md is not here")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fast-mutex-irql"
BLOCKS = walkthrough_blocks() if WALKTHROUGH.exists() else []
CLOSING_RULE = "---------"


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """A session on the example in the author's time zone."""
    opened = session_on(open_dump(str(EXAMPLE / "MEMORY.DMP")))
    opened.zone = Zone(-8 * 60)
    yield opened


def without_the_verdict(lines: List[str]) -> List[str]:
    """What `analyze -v` shows up to WinDbg's closing rule, if little enough stands behind it."""
    end = len(lines) - lines[::-1].index(CLOSING_RULE)
    assert len(lines) - end <= MOST_LINES_ADDED
    return lines[:end]


@pytest.mark.parametrize("block", BLOCKS, ids=[block.command for block in BLOCKS])
def test_the_text_is_the_walkthroughs(block: Block, session: Session, fidelity: Dict[str, List[int]]) -> None:
    ours = comparable(run_lines(session, block.command))
    if block.command == "!analyze -v":
        ours = without_the_verdict(ours)
    expected = comparable(block.lines)
    while expected and not expected[-1]:
        expected.pop()
    record(fidelity, f"{block.command.split()[0]} (walkthrough)", expected, ours)
    assert ours == expected


def test_the_list_of_differences_is_short() -> None:
    assert len(DIFFERENCES) + MOST_LINES_ADDED <= 15


def test_the_walkthroughs_command_file_replays_all_of_it() -> None:
    done = dumpkit(str(EXAMPLE), "--time-zone", "-8", "-f", str(EXAMPLE / "walkthrough.dk"))
    assert (done.returncode, done.stderr) == (0, "")
    shown = comparable(done.stdout.splitlines())
    for block in BLOCKS:
        assert f"4: kd> {block.command}" in shown
        for line in comparable(block.lines):
            assert line in shown
