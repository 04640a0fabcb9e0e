"""What building each example costs: seconds and the most memory that its process had.

    python tests/benchmarks/build_examples.py [--smoke]

All three together are to take less than 20 s and none more than 500 MB.
"""

# ruff: noqa: T201
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


class Cost(NamedTuple):
    """Of one process: seconds, and bytes of its largest resident set."""

    seconds: float
    memory: int


def build(name: str, folder: Path) -> Cost:
    """Build an example into a folder. CalledProcessError where its build.py fails."""
    begin = perf_counter()
    process = subprocess.Popen([sys.executable, str(EXAMPLES / name / "build.py"), str(folder)])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = perf_counter() - begin
    # wait4 took the status that Popen would wait for.
    process.returncode = status
    if status:
        raise subprocess.CalledProcessError(status, name)
    # Linux counts in kilobytes, macOS in bytes.
    return Cost(seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def build_all() -> dict[str, Cost]:
    """The cost of every example, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        costs = {}
        for path in sorted(EXAMPLES.glob("*/build.py")):
            place = Path(folder) / path.parent.name
            place.mkdir()
            costs[path.parent.name] = build(path.parent.name, place)
        return costs


def main() -> None:
    if not hasattr(os, "wait4"):
        print("skipped: this system does not tell a process's memory (no wait4)")
        return
    costs = build_all()
    for name, cost in costs.items():
        print(f"{name:<18} {cost.seconds:6.2f} s {cost.memory / 1e6:6.0f} MB")
    total, most = sum(cost.seconds for cost in costs.values()), max(cost.memory for cost in costs.values())
    print(f"{'all':<18} {total:6.2f} s {most / 1e6:6.0f} MB at most (to stay below 20 s and 500 MB)")


if __name__ == "__main__":
    main()
