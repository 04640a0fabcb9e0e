"""Whole processes on a minidump: dumpkit beside ntoseye, in turn, and what importing dumpkit costs.

    python tests/benchmarks/cold_start.py [--smoke]

ntoseye is taken from the folder of this Python or from PATH, and run without a network route where
`unshare` can take it away, because it would wait for a symbol server otherwise.
"""

# ruff: noqa: T201
from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import List, Optional, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.forge.triage import TriageFile
from tests.shared import DUMPS

COMMANDS = "di; .bugcheck; r; lm; k"
#: The same questions in ntoseye's words.
NTOSEYE_COMMANDS = "vertarget; .bugcheck; r; lm; k"


def seconds(command: Sequence[str]) -> float:
    begin = perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return perf_counter() - begin


def find(name: str) -> Optional[str]:
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def without_network() -> List[str]:
    """What a command is put behind to run without a network route; nothing where that cannot be had."""
    unshare = shutil.which("unshare")
    if unshare and subprocess.run([unshare, "-n", "true"], check=False, capture_output=True).returncode == 0:
        return [unshare, "-n"]
    print("   unshare -n does not work here: ntoseye runs with the network as it is")
    return []


def dump_file(folder: str) -> str:
    """A real minidump where there is one, otherwise a forged one."""
    real = DUMPS / "triage_x64.dmp"
    if real.exists():
        return str(real)
    forged = Path(folder) / "forged.dmp"
    forged.write_bytes(TriageFile().build())
    print("   ../shared is not here: measured on a forged minidump")
    return str(forged)


def compare(path: str, runs: int) -> None:
    ours = [sys.executable, "-m", "dumpkit", path, "-c", COMMANDS]
    script = find("dumpkit")
    if script:
        ours = [script, path, "-c", COMMANDS]
    ntoseye = find("ntoseye")
    if ntoseye is None:
        print("   ntoseye is not installed (pip install ntoseye): no ratio")
        times = [seconds(ours) for _ in range(runs + 1)][1:]
        print(f'   dumpkit -c "{COMMANDS}": {1000 * median(times):.0f} ms')
        return
    theirs = [*without_network(), ntoseye, "--batch", "--dump", path, "-c", NTOSEYE_COMMANDS]
    seconds(ours), seconds(theirs)
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(runs)]
    mine, other = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
    print(f'   dumpkit -c "{COMMANDS}": {1000 * mine:.0f} ms; ntoseye: {1000 * other:.0f} ms')
    print(f"   ratio dumpkit / ntoseye: {median(pair[0] / pair[1] for pair in pairs):.2f}")


def import_time(runs: int) -> None:
    bare, full = [sys.executable, "-c", "pass"], [sys.executable, "-c", "import dumpkit"]
    pairs = [(seconds(full), seconds(bare)) for _ in range(runs)]
    print(f"   import dumpkit: {1000 * median(pair[0] for pair in pairs):.0f} ms with the start of Python,", end=" ")
    print(f"{1000 * median(pair[0] - pair[1] for pair in pairs):.1f} ms without")


def main() -> int:
    runs = 1 if "--smoke" in sys.argv else 11
    with tempfile.TemporaryDirectory() as folder:
        compare(dump_file(folder), runs)
    import_time(runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
