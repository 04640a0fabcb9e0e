"""The engine's answers in ../shared/reference: one block of lines for each command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, List

from tests.shared import REFERENCE

_PROMPT = re.compile(r"^\d*:? ?kd> (.*)$")

#: What the engine says beside a command's output: about images and symbols it cannot find, and its own results.
NOISE = (
    re.compile(r"^Unable to load image "),
    re.compile(r"^ ?\*\*\* (WARNING|ERROR): "),
    re.compile(r"^\[hr 0x[0-9a-f]{8}\]$"),
)
#: Noise that begins in the middle of a line of output, whose rest then follows in a line of its own.
_INTRUDER = re.compile(r"(\*\*\* (WARNING|ERROR): |Unable to load image ).*$")


def is_noise(line: str) -> bool:
    return any(pattern.match(line) for pattern in NOISE)


def blocks(name: str) -> Dict[str, List[str]]:
    """command -> the lines that the engine printed, noise left out, trailing spaces kept."""
    found: Dict[str, List[str]] = {}
    current: List[str] = []
    is_torn = False
    text = (Path(REFERENCE) / f"{name}.kd.txt").read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        prompt = _PROMPT.match(line)
        if prompt:
            current = found[prompt.group(1)] = []
            is_torn = False
        elif is_noise(line):
            continue
        elif is_torn:
            current[-1] += line
            is_torn = False
        else:
            current.append(_INTRUDER.sub("", line))
            is_torn = current[-1] != line
    return found
