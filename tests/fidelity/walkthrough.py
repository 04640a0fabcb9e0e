"""The command blocks of ../shared/spec/walkthrough.md: what a person typed into WinDbg, and what it printed."""

from __future__ import annotations

import re
from typing import List, NamedTuple, Sequence

from tests.shared import SHARED

WALKTHROUGH = SHARED / "spec" / "walkthrough.md"

_PROMPT = re.compile(r"^\d+: kd> (.*)$")


class Block(NamedTuple):
    """A command and the lines below it."""

    command: str
    lines: List[str]


def walkthrough_blocks() -> List[Block]:
    """The blocks in the walkthrough's order."""
    found: List[Block] = []
    is_inside = False
    for line in WALKTHROUGH.read_text(encoding="utf-8").splitlines():
        prompt = _PROMPT.match(line)
        if prompt:
            found.append(Block(prompt.group(1), []))
            is_inside = True
        elif line.startswith("```"):
            is_inside = False
        elif is_inside:
            found[-1].lines.append(line)
    return found


#: All that may differ, one entry a line of the walkthrough: what stands before the line or at its start, and why.
DIFFERENCES = {
    "Key  : Analysis.CPU.mSec": "how long the debugger computed",
    "Key  : Analysis.Elapsed.mSec": "how long the debugger took",
    "Key  : Analysis.IO.Other.Mb": "what the debugger did beside reading and writing",
    "Key  : Analysis.IO.Read.Mb": "what the debugger read",
    "Key  : Analysis.IO.Write.Mb": "what the debugger wrote",
    "Key  : Analysis.Init.CPU.mSec": "how long the debugger computed before the command",
    "Key  : Analysis.Init.Elapsed.mSec": "how long the debugger had been open",
    "Key  : Analysis.Memory.CommitPeak.Mb": "how much memory the debugger had",
}

#: The lines that `analyze -v` shows behind WinDbg's closing rule: the IRQL contracts, which WinDbg does not know.
MOST_LINES_ADDED = 7


def comparable(lines: Sequence[str]) -> List[str]:
    """Lines without trailing spaces; the value below a key that may differ is reduced to its form."""
    kept: List[str] = []
    for line in lines:
        is_excused = bool(kept) and kept[-1].strip() in DIFFERENCES
        kept.append(re.sub(r"\d+$", "<number>", line.rstrip()) if is_excused else line.rstrip())
    return kept
