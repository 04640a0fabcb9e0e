"""What a cold `pool` costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Dict

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "pool-0x13a" / "MEMORY.DMP"
ROUNDS = 5
MOST_SECONDS = 0.120


def processor_time(command: str, cache: Path) -> float:
    """Seconds of processor time of one process that runs a command on the example."""
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Compiled modules are kept, as after an installation, whatever the tests' own environment says.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-m", "dumpkit", str(EXAMPLE), "-c", command],
        capture_output=True,
        check=True,
        env={**environment, "PYTHONPYCACHEPREFIX": str(cache)},
    )
    assert done.stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used: float = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used


@pytest.mark.slow
def test_a_cold_pool_takes_120_milliseconds_or_little_more_than_any_command(tmp_path: Path) -> None:
    """On a slow or busy machine the bound is one and a half times what opening the dump alone takes there."""
    times: Dict[str, float] = {}
    for _ in range(ROUNDS):
        for command in ("vertarget", "pool ffffa08f24002240"):
            times[command] = min(times.get(command, 9.0), processor_time(command, tmp_path))
    assert times["pool ffffa08f24002240"] < max(MOST_SECONDS, 1.5 * times["vertarget"]), times
