"""Many dumps: `dumpkit triage` beside a shell loop over ntoseye, dumps a second; and memory against their number.

    python tests/benchmarks/triage.py [--smoke]

Both look at the same folder: the real dumps of ../shared where they are, otherwise copies of the examples.
"""

# ruff: noqa: T201
from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import List, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks.cold_start import find, without_network
from tests.shared import DUMPS
from tests.triage.folders import EXAMPLES, NAMES


def fill(folder: Path, times: int) -> int:
    """Put copies of dumps into a folder; how many."""
    real = sorted(DUMPS.glob("*.dmp")) or [EXAMPLES / name / "MEMORY.DMP" for name in NAMES]
    folder.mkdir()
    for number in range(times):
        for path in real:
            shutil.copyfile(path, folder / f"{path.stem}-{number}.dmp")
    return times * len(real)


def seconds(command: List[str]) -> float:
    begin = perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return perf_counter() - begin


def triage(folder: Path) -> List[str]:
    script = find("dumpkit")
    start = [script] if script else [sys.executable, "-m", "dumpkit"]
    return [*start, "triage", "--again", "--offline", str(folder)]


def peak(command: List[str]) -> Tuple[int, int]:
    """The largest resident set, in KiB, of a process and of any of its children."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=False)
    return int(done.stdout.split()[-1]), done.returncode


def compare(folder: Path, runs: int) -> None:
    count = fill(folder, 1)
    ntoseye = find("ntoseye")
    ours = triage(folder)
    if ntoseye is None:
        print("   ntoseye is not installed (pip install ntoseye): no ratio")
        print(f"   dumpkit triage: {count / median(seconds(ours) for _ in range(runs)):.1f} dumps/s")
        return
    loop = (
        f"for f in {shlex.quote(str(folder))}/*.dmp; do {shlex.quote(ntoseye)} --batch --dump $f -c '!analyze -v'; done"
    )
    theirs = [*without_network(), "sh", "-c", loop]
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(runs)]
    mine, other = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
    print(
        f"   {count} dumps: dumpkit triage {count / mine:.1f} dumps/s, a loop over ntoseye {count / other:.1f} dumps/s"
    )
    print(f"   ratio: {median(pair[1] / pair[0] for pair in pairs):.2f}")


def main() -> int:
    runs, many = (1, 2) if "--smoke" in sys.argv else (5, 10)
    with tempfile.TemporaryDirectory() as name:
        os.environ["DUMPKIT_CACHE"] = str(Path(name) / "cache")
        compare(Path(name) / "once", runs)
        few_count, many_count = fill(Path(name) / "few", 1), fill(Path(name) / "many", many)
        few, _ = peak(triage(Path(name) / "few"))
        large, _ = peak(triage(Path(name) / "many"))
        print(f"   peak memory: {few // 1024} MiB at {few_count} dumps, {large // 1024} MiB at {many_count}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
