"""t, thread and process on the machine of threads where its memory is faulty: they end, with lines or a clear error."""

from __future__ import annotations

from typing import Sequence

import pytest
from dumpkit.errors import DumpkitError

from tests.faulty_target import Faults, Random
from tests.kernel.thread_machines import Lab, lab
from tests.running import run_lines, session_on

#: (one word in so many is garbage, one page in so many is missing)
RATES = ((40, 60), (10, 1000), (200, 15), (4, 1000))


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    made = lab(19041, tmp_path_factory.mktemp("faults"))
    # Symbols are matched by the images' headers: those are to be sound.
    run_lines(made.session, "t")
    return made


def check(at: Lab, lines: Sequence[str], seeds: Sequence[int]) -> int:
    """Run lines with random faults; how many still showed something."""
    shown = 0
    for seed in seeds:
        for line in lines:
            with Faults(at.target, Random(seed, *RATES[seed % len(RATES)])):
                try:
                    shown += bool(run_lines(session_on(at.target), line))
                except DumpkitError as error:
                    assert str(error) and "\n" not in str(error)
    return shown


def lines_for(at: Lab) -> Sequence[str]:
    lines = ["process 0 7"]
    for thread in at.made.threads.values():
        lines += [f"t {thread.address:x}", f"t -av {thread.address:x}", f"thread {thread.address:x}"]
    return lines


def test_every_thread_is_shown_or_refused_whatever_is_damaged(at: Lab) -> None:
    lines = lines_for(at)
    assert check(at, lines, range(4)) > len(lines)


@pytest.mark.slow
def test_every_thread_bears_many_damages(at: Lab) -> None:
    lines = lines_for(at)
    assert check(at, lines, range(4, 24)) > 5 * len(lines)
