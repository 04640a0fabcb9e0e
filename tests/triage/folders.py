"""Folders of dumps for tests: copies of the examples, some of them damaged."""

from __future__ import annotations

from pathlib import Path
from typing import List

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = ("fast-mutex-irql", "pool-0x13a", "power-0x9f")

#: The symbol path of all of them.
SYMBOLS = ";".join(str(EXAMPLES / name / "symbols") for name in NAMES)


def example(name: str) -> Path:
    """An example's dump."""
    return EXAMPLES / name / "MEMORY.DMP"


def copies(folder: Path, count: int, damaged: int = 0) -> List[Path]:
    """`count` copies of the examples in turn; of `damaged` ones, spread among them, the header is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = [example(name).read_bytes() for name in NAMES]
    made = []
    for number in range(count):
        path = folder / f"{number:03}.dmp"
        path.write_bytes(sources[number % len(sources)])
        made.append(path)
    for number in range(damaged):
        path = made[number * count // damaged]
        path.write_bytes(b"\0" * 0x2000 + path.read_bytes()[0x2000:0x4000])
    return made
