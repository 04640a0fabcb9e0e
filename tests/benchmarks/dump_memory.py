"""Measure opening a large bitmap dump and reading virtual memory out of it, beside kdmp-parser where it is installed.

    python tests/benchmarks/dump_memory.py [FILE]

FILE is where the dump is written (a sparse file of 2 GiB); without it, a temporary folder. Every
measurement runs in a process of its own.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from time import perf_counter
from typing import List, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.forge.dump_files import sparse_bitmap_dump
from tests.forge.memory import PAGE_SIZE, PhysicalPages, Run
from tests.forge.page_tables import PageTables

RUNS = 10_000
PAGES = 2 * 1024**3 // PAGE_SIZE
MAPPED = 1 << 16
BASE = 0xFFFF_9000_0000_0000
READS = 200_000


def write_dump(path: Path) -> int:
    """A dump of 2 GiB in 10,000 runs, 256 MiB of it mapped at BASE in random order; returns the root."""
    random = Random(2)
    ends = [*sorted(random.sample(range(1, PAGES), RUNS - 1)), PAGES]
    runs: List[Run] = []
    pfn, before = 0x10_0000, 0
    for end in ends:
        runs.append(Run(pfn, end - before))
        pfn += end - before + random.randrange(1, 40)
        before = end
    memory = PhysicalPages(first_free=runs[-1].pfn + runs[-1].count)
    tables = PageTables(memory)
    for i in range(MAPPED):
        run = random.choice(runs)
        tables.map(BASE + i * PAGE_SIZE, run.pfn + random.randrange(run.count))
    all_runs = [*runs[:-1], Run(runs[-1].pfn, runs[-1].count + len(memory.pages))]
    pages = [(pfn, bytes(data)) for pfn, data in memory.pages.items()]
    sparse_bitmap_dump(path, all_runs, tables.root, pages)
    return tables.root


def addresses() -> List[int]:
    """The addresses that are read: the same for everyone."""
    random = Random(3)
    return [BASE + random.randrange(MAPPED) * PAGE_SIZE for _ in range(READS)]


def measure_dumpkit(path: str) -> None:
    """Print: seconds to open, MB resident after opening, reads a second."""
    from mmap import ACCESS_READ, mmap

    from dumpkit.dump.header import parse_header
    from dumpkit.dump.physical import open_physical
    from dumpkit.kernel.paging import VirtualMemory, paging_scheme

    start = perf_counter()
    with Path(path).open("rb") as file:
        view = mmap(file.fileno(), 0, access=ACCESS_READ)
    header = parse_header(view)
    physical = open_physical(header, view)
    root = header.directory_table_base or 0
    virtual = VirtualMemory(physical, root, paging_scheme(physical, header.machine, root, [BASE]))
    opened = perf_counter() - start
    resident = _resident()
    read = virtual.read
    wanted = addresses()
    for address in wanted:
        read(address, PAGE_SIZE)
    start = perf_counter()
    for address in wanted:
        read(address, PAGE_SIZE)
    print(opened, resident, READS / (perf_counter() - start))


def measure_kdmp_parser(path: str) -> None:
    """As `measure_dumpkit`."""
    import kdmp_parser

    start = perf_counter()
    dump = kdmp_parser.KernelDumpParser(path)
    opened = perf_counter() - start
    resident = _resident()
    read = dump.read_virtual_page
    wanted = addresses()[: READS // 4]
    for address in wanted:
        read(address)
    start = perf_counter()
    for address in wanted:
        read(address)
    print(opened, resident, len(wanted) / (perf_counter() - start))


def _resident() -> float:
    """MB of this process that are in memory now (Linux), else its peak."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmRSS:")[1].split()[0]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def _run(what: str, path: Path) -> Tuple[float, float, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--measure", what, str(path)], check=True, stdout=subprocess.PIPE, text=True
    )
    opened, resident, reads = (float(word) for word in done.stdout.split())
    return opened, resident, reads


def compare(path: Path, smoke: bool = False) -> None:
    """Write the dump and print the table."""
    write_dump(path)
    rows = {"dumpkit": min(_run("dumpkit", path) for _ in range(1 if smoke else 3))}
    try:
        import kdmp_parser  # noqa: F401
    except ImportError:
        print("kdmp-parser is not installed: no comparison")
    else:
        rows["kdmp-parser"] = _run("kdmp-parser", path)
    print(f"{'':12}  {'open ms':>9}  {'resident MB':>11}  {'4 KiB reads/s':>13}")
    for name, (opened, resident, reads) in rows.items():
        print(f"{name:12}  {opened * 1000:9.1f}  {resident:11.1f}  {reads:13,.0f}")
    if len(rows) == 2:
        ours, theirs = rows["dumpkit"], rows["kdmp-parser"]
        print(f"{'ratio':12}  {ours[0] / theirs[0]:9.4f}  {ours[1] / theirs[1]:11.3f}  {ours[2] / theirs[2]:13.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--smoke", action="store_true", help="see only that it runs: once, without a comparison")
    parser.add_argument("--measure", choices=("dumpkit", "kdmp-parser"), help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.measure:
        (measure_dumpkit if words.measure == "dumpkit" else measure_kdmp_parser)(str(words.file))
    elif words.file:
        compare(words.file, words.smoke)
    else:
        with tempfile.TemporaryDirectory() as folder:
            compare(Path(folder) / "bitmap.dmp", words.smoke)
