"""Measure looking for strings in 64 MB of a dump beside GNU strings over the same bytes, for both encodings.

    python tests/benchmarks/strings_speed.py

GNU strings reads a file of the bytes, once for each encoding; dumpkit opens a dump that has them. Both are the
wall times of whole processes, in turn, their output thrown away; the ratio is the median of the pairs.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Dict, List, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.forge.scene import Scene

BASE = 0xFFFF_C001_0000_0000
PAGE = 0x1000


def module_bytes(size: int) -> Dict[str, bytes]:
    """What modules are made of: real code and data (this interpreter's), random bytes, and nothing."""
    random = Random(5)
    code = Path(sys.executable).resolve().read_bytes()
    return {
        "code and data": (code * (size // len(code) + 1))[:size],
        "random": random.randbytes(1 << 20) * (size >> 20),
        "zeros": bytes(size),
    }


def write_dump(data: bytes, path: Path) -> None:
    """A dump of a machine that has the bytes at BASE."""
    machine = Scene(19041, {"nt": ("ntoskrnl.exe", 0xFFFF_F803_7000_0000)}).open()
    for offset in range(0, len(data), PAGE):
        machine.put(BASE + offset, data[offset : offset + PAGE])
    machine.save(path, 6)


def seconds(*commands: Sequence[str]) -> float:
    """Wall time of commands, one after the other."""
    begin = perf_counter()
    for command in commands:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return perf_counter() - begin


def main(megabytes: int, runs: int) -> None:
    """Print the table."""
    has_gnu = shutil.which("strings") is not None
    print(f"{'':14}  {'dumpkit MB/s':>12}  {'GNU strings MB/s':>16}  {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for name, data in module_bytes(megabytes << 20).items():
            path, dump = str(Path(folder) / "module"), Path(folder) / "module.dmp"
            Path(path).write_bytes(data)
            write_dump(data, dump)
            dumpkit = [sys.executable, "-m", "dumpkit", str(dump), "-c", f"strings {BASE:x} L?{len(data):x}"]
            gnu = [["strings", "-a", "-n", "5", "-t", "x", "-e", encoding, path] for encoding in "sl"]
            ours: List[float] = []
            theirs: List[float] = []
            for _ in range(runs):
                ours.append(seconds(dumpkit))
                theirs.append(seconds(*gnu) if has_gnu else 0.0)
            speed = len(data) / median(ours) / 1e6
            if has_gnu:
                ratio = median(other / own for other, own in zip(theirs, ours))
                print(f"{name:14}  {speed:12.0f}  {len(data) / median(theirs) / 1e6:16.0f}  {ratio:6.2f}")
            else:
                print(f"{name:14}  {speed:12.0f}  {'not installed':>16}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="see only that it runs: once, over 1 MB")
    words = parser.parse_args()
    main(*((1, 1) if words.smoke else (64, 5)))
