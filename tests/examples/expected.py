"""The expected output of each example's command file, kept beside it: python -m tests.examples.expected writes it anew.

A diff in one of these files is a change of what users read, and is reviewed as such.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Dict

from tests.fidelity.walkthrough import comparable
from tests.running import dumpkit

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

#: Example -> (its command file, the time zone that its output is shown in).
SCRIPTS: Dict[str, tuple[str, str]] = {
    "fast-mutex-irql": ("walkthrough.dk", "-8"),
    "pool-0x13a": ("session.dk", "utc"),
    "power-0x9f": ("session.dk", "utc"),
}


def expected_path(name: str) -> Path:
    return EXAMPLES / name / "expected.txt"


def replay(name: str) -> str:
    """What a user reads who runs an example's command file; how long it took is left out."""
    script, zone = SCRIPTS[name]
    done = dumpkit(str(EXAMPLES / name), "--time-zone", zone, "-f", str(EXAMPLES / name / script))
    if done.returncode or done.stderr:
        raise AssertionError(done.stderr)
    return "".join(f"{line}\n" for line in comparable(done.stdout.splitlines()))


def write() -> None:
    for name in SCRIPTS:
        expected_path(name).write_text(replay(name), encoding="utf-8")
        sys.stdout.write(f"{expected_path(name)}\n")


if __name__ == "__main__":
    write()
