"""Every difference that is allowed between the two backends, with its reason. Any other one fails the suite."""

from __future__ import annotations

import re
from typing import Iterable, List, NamedTuple, Pattern


class Difference(NamedTuple):
    """Text that may differ, in what the commands that `command` matches print on the dumps that `dump` matches.

    `text` matches it, in a line of either backend; the rest of the line must be equal. A line that it matches as a
    whole may be there on one side only.
    """

    reason: str
    text: Pattern[str]
    command: str = ".*"
    dump: str = ".*"

    def covers(self, command: str, dump: str) -> bool:
        """Whether it is about a command on a dump."""
        return bool(re.fullmatch(self.command, command) and re.fullmatch(self.dump, dump))


_EXAMPLES = "fast-mutex-irql|pool-0x13a|power-0x9f"

DIFFERENCES: List[Difference] = [
    Difference(
        "Who looks for symbols says where they were looked for: WinDbg inside it, dumpkit outside",
        re.compile(
            r"(: |; |, and )(there is no symbol path|WinDbg found none \(.*?\)|[\w.]+ [0-9A-Fa-f]+ not found: .*)"
        ),
    ),
    Difference(
        "The engine calls the kernel of a dump with physical memory after its PDB (ntkrnlmp), dumpkit after the file"
        " that the loader recorded (ntoskrnl)",
        re.compile(r"ntkrnlmp\.exe|\\SystemRoot\\system32\\ntoskrnl\.exe|ntoskrnl\.exe|ntkrnlmp!|ntoskrnl!"),
        dump=_EXAMPLES,
    ),
    Difference(
        "Engines before Windows 11's do not say that a PDB has private symbols",
        re.compile(r"\((private )?pdb symbols\) +"),
        r"lm.*|x .*",
        _EXAMPLES,
    ),
    Difference(
        "This dump's kernel has no id: dumpkit matches its PDB by its variables, the engine takes it by its name (M);"
        " T is an image whose memory it has looked at and whose file it has not found",
        re.compile(r" [MT ] (?=\((pdb symbols|deferred|no symbols)\))|^    Symbols: no PDB id in the dump: .*$"),
        r"lm.*",
        "triage_x64",
    ),
    Difference(
        "How long the analysis took",
        re.compile(r"^    Value: \d+$"),
        r"analyze.*",
    ),
]


def kept(lines: Iterable[str], differences: Iterable[Difference]) -> List[str]:
    """The lines that must be equal, without what may differ in them."""
    found = list(lines)
    for difference in differences:
        found = [difference.text.sub("", line) for line in found if not difference.text.fullmatch(line)]
    return found
