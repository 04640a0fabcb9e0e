"""`analyze -v` of a minidump in a process of its own, with its symbols: dumpkit beside ntoseye, in turn.

    python tests/benchmarks/analyze.py [--smoke]

dumpkit has the symbols of ../shared (a volatility table of the kernel and a store for two drivers); its cache of that
table is warm, as it is from the second dump of a kernel on. ntoseye runs without a network route, as in cold_start.py.
"""

# ruff: noqa: T201
from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import List

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks.cold_start import dump_file, find, seconds, without_network
from tests.shared import SYMBOLS


def ours(path: str) -> List[str]:
    script = find("dumpkit")
    command = [script, path] if script else [sys.executable, "-m", "dumpkit", path]
    if SYMBOLS.is_dir():
        command += ["-y", f"{SYMBOLS / 'isf'};{SYMBOLS / 'store'}"]
    return [*command, "--offline", "-c", "!analyze -v"]


def compare(path: str, runs: int) -> None:
    mine = ours(path)
    ntoseye = find("ntoseye")
    seconds(mine)
    if ntoseye is None:
        print("   ntoseye is not installed (pip install ntoseye): no ratio")
        print(f"   analyze -v: {1000 * median(seconds(mine) for _ in range(runs)):.0f} ms")
        return
    theirs = [*without_network(), ntoseye, "--batch", "--dump", path, "-c", "!analyze -v"]
    seconds(theirs)
    pairs = [(seconds(mine), seconds(theirs)) for _ in range(runs)]
    first, second = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
    print(f"   dumpkit analyze -v: {1000 * first:.0f} ms; ntoseye: {1000 * second:.0f} ms")
    print(f"   ratio dumpkit / ntoseye: {median(pair[0] / pair[1] for pair in pairs):.2f}")


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        compare(dump_file(folder), 1 if "--smoke" in sys.argv else 11)
    return 0


if __name__ == "__main__":
    sys.exit(main())
