"""Microsoft's engine with the symbols of ../shared, as an oracle for commands that show names and types."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Dict, Iterable, List

from tests.disassembly.engine import RIG
from tests.fidelity.reference import is_noise

_PROMPT = re.compile(r"^ ?\d+: kd> (.*)$")
#: What the engine says of images while it prints, in lines of its own.
_ASIDE = re.compile(r"^ ?(?:\*\*\* (?:WARNING|ERROR): |Unable to (?:load image|change protection) )")


def windows_path(path: Path) -> str:
    """A path as programs under Wine know it."""
    return "Z:" + str(path.resolve()).replace("/", "\\")


def ask(folder: Path, dump: Path, symbols: Iterable[Path], commands: Iterable[str]) -> Dict[str, List[str]]:
    """Command -> the lines that the engine prints for it, the kernel's symbols loaded whatever their id."""
    wanted = list(commands)
    script = folder / "commands.txt"
    script.write_text("\n".join([".symopt+0x40", ".reload /f nt", *wanted]) + "\n", encoding="utf-8")
    path = ";".join(windows_path(place) for place in symbols)
    arguments = ["-y", path, "-f", windows_path(script), "-z", windows_path(dump)]
    done = subprocess.run([str(Path(RIG) / "kd"), *arguments], capture_output=True, check=True)
    said: Dict[str, List[str]] = {}
    current: List[str] = []
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        prompt = _PROMPT.match(line)
        if prompt is not None:
            current = said.setdefault(prompt.group(1), [])
        elif not is_noise(line) and not _ASIDE.match(line):
            current.append(line)
    return {command: said[command] for command in wanted if command in said}
