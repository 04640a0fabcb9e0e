"""Measure looking for strings in a module of 64 MB beside GNU strings over the same bytes, for both encodings.

    python tests/benchmarks/strings_speed.py

GNU strings reads a file of the module's bytes, once for each encoding; dumpkit's command writes its lines to
nowhere, from a process that has the bytes in memory as a dump has. Both are CPU times, of alternate runs.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from time import process_time
from typing import Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from dumpkit.commands.strings import Strings, strings_lines
from dumpkit.kernel.strings import StringSearch, memory_pieces
from dumpkit.output import Hex, Output

from tests.flat_memory import FlatMemory

BASE = 0xFFFF_F802_1000_0000


def module_bytes(size: int) -> Dict[str, bytes]:
    """What modules are made of: real code and data (this interpreter's), random bytes, and nothing."""
    random = Random(5)
    code = Path(sys.executable).resolve().read_bytes()
    return {
        "code and data": (code * (size // len(code) + 1))[:size],
        "random": random.randbytes(1 << 20) * (size >> 20),
        "zeros": bytes(size),
    }


def measure_dumpkit(data: bytes) -> float:
    """Seconds of CPU for what `strings BASE L SIZE` does and shows."""
    memory = FlatMemory({BASE: data})
    search = StringSearch(lambda: memory_pieces(memory, BASE, len(data)))
    result = Strings(None, Hex(BASE), Hex(len(data)), 5, search)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        start = process_time()
        Output(nowhere).lines(strings_lines(result))
        return process_time() - start


def measure_gnu(path: Path) -> float:
    """Seconds of CPU of two runs of GNU strings."""
    before = os.times()
    for encoding in ("s", "l"):
        command: List[str] = ["strings", "-a", "-n", "5", "-t", "x", "-e", encoding, str(path)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def main(megabytes: int, runs: int) -> None:
    """Print the table."""
    has_gnu = shutil.which("strings") is not None
    print(f"{'':14}  {'dumpkit MB/s':>12}  {'GNU strings MB/s':>16}  {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for name, data in module_bytes(megabytes << 20).items():
            path = Path(folder) / "module"
            path.write_bytes(data)
            ours, theirs = [], []
            for _ in range(runs):
                ours.append(measure_dumpkit(data))
                theirs.append(measure_gnu(path) if has_gnu else 0.0)
            speed = len(data) / min(ours) / 1e6
            if has_gnu:
                other = len(data) / max(min(theirs), 1e-6) / 1e6
                print(f"{name:14}  {speed:12.0f}  {other:16.0f}  {speed / other:6.2f}")
            else:
                print(f"{name:14}  {speed:12.0f}  {'not installed':>16}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="see only that it runs: once, over 1 MB")
    words = parser.parse_args()
    main(*((1, 1) if words.smoke else (64, 3)))
