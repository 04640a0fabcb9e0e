"""Whole processes on a kernel's PDB and ISF table: dumpkit beside the other readers, in turn.

    python tests/benchmarks/bench_symbols.py [--smoke]

Prints medians, peak memory and ratios; what is not installed, or not in ../shared, is said to be missing.
"""

# ruff: noqa: T201
from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.shared import SYMBOLS

PDB = SYMBOLS / "pdb" / "ntkrnlmp-19041-public.pdb"
ISF = SYMBOLS / "isf" / "5278AFF86C341677D7D7835C85B7B844-1.json.xz"
ROUNDS = 15

_LOOK_UPS = "import random; random.seed(1); places = [random.randrange(0x1000, 0xE11000) for _ in range(1000)]\n"
#: One name, 1,000 nearest look-ups, two large types with the types of their members.
_ONE_SESSION = (
    _LOOK_UPS
    + "from dumpkit.symbols.pdb import PdbFile\n"
    + "pdb = PdbFile({path!r})\n"
    + "assert pdb.find('KeBugCheckEx')\n"
    + "for place in places: pdb.nearest(place)\n"
    + "for name in ('_EPROCESS', '_KTHREAD'):\n"
    + "    for member in pdb.type(name).members: member.type\n"
)
_SYMBOLIC = (
    _LOOK_UPS
    + "from symbolic.debuginfo import Archive\n"
    + "cache = next(Archive.open({path!r}).iter_objects()).make_symcache()\n"
    + "for place in places: cache.lookup(place)\n"
)
_PDBPARSE = "import pdbparse\npdbparse.parse({path!r})\n"
_PUBLICS = "from dumpkit.symbols.pdb import PdbFile\nassert len(list(PdbFile({path!r}).symbols())) > 39000\n"
_LINKED = "from dumpkit.symbols.pdb import PdbFile\nassert len(list(PdbFile({path!r}).publics.in_order())) > 39000\n"
_ISF = "from dumpkit.symbols.isf import IsfFile\nassert IsfFile({path!r}, {cache!r}).find('KeBugCheckEx')\n"


class Run(NamedTuple):
    """A whole process: seconds, and the most memory it had in MB (None where the system does not say)."""

    seconds: float
    memory: Optional[int]


def run(command: Sequence[str]) -> Run:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    if not hasattr(os, "wait4"):
        status, memory = child.wait(), None
    else:
        _, raw, usage = os.wait4(child.pid, 0)
        child.returncode = status = os.WEXITSTATUS(raw) if os.WIFEXITED(raw) else -1
        memory = usage.ru_maxrss >> 10
    if status:
        raise SystemExit(f"   failed: {' '.join(command)[:200]}")
    return Run(perf_counter() - began, memory)


def in_turn(commands: Dict[str, Sequence[str]], rounds: int) -> Dict[str, Run]:
    """The medians of runs in turn, after one of each that is not counted."""
    runs: Dict[str, List[Run]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            found = run(command)
            if number or rounds == 0:
                runs[name].append(found)
    return {
        name: Run(median(each.seconds for each in found), max((each.memory or 0 for each in found), default=None))
        for name, found in runs.items()
    }


def show(title: str, results: Dict[str, Run], base: str, goal: str = "") -> None:
    print(f"   {title}{f'  (aim: {goal})' if goal else ''}")
    for name, found in results.items():
        ratio = f"{results[base].seconds / found.seconds:8.3f} x" if name != base else ""
        memory = f"{found.memory:5} MB" if found.memory else ""
        print(f"     {name:<34}{1000 * found.seconds:10.1f} ms {memory:>9}  {ratio}")


def python(code: str, **values: str) -> List[str]:
    return [sys.executable, "-c", code.format(**values)]


def installed(name: str) -> bool:
    found = importlib.util.find_spec(name) is not None
    if not found:
        print(f"   {name} is not installed: left out")
    return found


def measure_pdb(rounds: int) -> None:
    path = str(PDB)
    ours = "dumpkit"
    commands = {ours: python(_ONE_SESSION, path=path), "Python alone": [sys.executable, "-c", "pass"]}
    if installed("symbolic"):
        commands["symbolic: symcache, look-ups"] = python(_SYMBOLIC, path=path)
    results = in_turn(commands, rounds)
    show("a name, 1,000 nearest look-ups, _EPROCESS and _KTHREAD", results, ours, "1.0 x of symbolic or less")
    if installed("pdbparse"):
        slow = {ours: results[ours], "pdbparse.parse()": run(python(_PDBPARSE, path=path))}
        show("the same beside pdbparse's parse()", slow, ours, "0.020 x or less")
    commands = {ours: python(_PUBLICS, path=path), "dumpkit, names as linked": python(_LINKED, path=path)}
    llvm = shutil.which("llvm-pdbutil")
    if llvm:
        commands["llvm-pdbutil dump -publics"] = [llvm, "dump", "-publics", path]
    else:
        print("   llvm-pdbutil is not installed: left out")
    show("every public symbol, in order, named", in_turn(commands, rounds), ours, "1.5 x of llvm-pdbutil or less")


def measure_isf(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:

        def first() -> Run:
            shutil.rmtree(folder, ignore_errors=True)
            return run(python(_ISF, path=str(ISF), cache=folder))

        results = {"the second time": median_of(lambda: run(python(_ISF, path=str(ISF), cache=folder)), rounds, first)}
        results["the first time"] = median_of(first, min(rounds, 3))
    show("a name out of an ISF table", results, "the second time", "0.25 x or less")


def median_of(measure: Callable[[], Run], rounds: int, before: Optional[Callable[[], Run]] = None) -> Run:
    if before is not None:
        before()
    runs = [measure() for _ in range(max(rounds, 1))]
    return Run(median(each.seconds for each in runs), max(each.memory or 0 for each in runs))


def main() -> int:
    rounds = 0 if "--smoke" in sys.argv else ROUNDS
    for path, measure in ((PDB, measure_pdb), (ISF, measure_isf)):
        if path.exists():
            measure(rounds)
        else:
            print(f"   ../shared with {path.name} is not here: left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
