"""The listings on the machine of threads where its memory is faulty: they end, with lines or a clear error."""

from __future__ import annotations

import pytest

from tests.commands.test_thread_faults import check
from tests.kernel.thread_machines import Lab, lab
from tests.running import run_lines

LINES = (
    "running;ready;Standby;tl -t -mem -cpu -proc -u;lt -a -wf -v;us -a;trep;locks -d -v;WrFastMutex;w;p;p 9ac;crash"
).split(";")


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    made = lab(22000, tmp_path_factory.mktemp("faults"))
    run_lines(made.session, "t")
    return made


@pytest.mark.parametrize("line", LINES)
def test_a_listing_bears_random_faults(at: Lab, line: str) -> None:
    assert check(at, [line], range(12)) > 4
