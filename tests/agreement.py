"""Which readers agree about what the forge meant: counted by the tests, printed as a table at the end of the run.

A reader is a program that knows nothing of the forge. Each test that asks one says so with `Agreement.holds`, which
fails the test where they differ; so a number below its total in the table has a failed test behind it. What differs
for a reason that is not the forge's is left out of the comparison and said with `Agreement.explain`.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Tuple

#: Fact -> the readers that are asked for it. A fact that no test of this run asked for is "not run".
FACTS: Dict[str, Tuple[str, ...]] = {
    "lm": ("dbgeng", "dumpkit"),
    "r": ("dbgeng", "dumpkit"),
    "k": ("dbgeng", "dumpkit"),
    ".bugcheck": ("dbgeng", "dumpkit"),
    "dt": ("dbgeng", "dumpkit"),
    "u": ("dbgeng", "dumpkit"),
    "dq": ("dbgeng", "dumpkit"),
    "~Ns": ("dbgeng", "dumpkit"),
    ".process": ("dbgeng", "dumpkit"),
    "!dh": ("dbgeng",),
    "physical pages": ("kdmp-parser", "dumpkit"),
    "system": ("volatility3", "dumpkit"),
    "processes": ("volatility3",),
    "threads": ("volatility3", "dumpkit"),
    "modules": ("volatility3", "dumpkit"),
    "PDB types": ("llvm-pdbutil", "dumpkit"),
    "PDB publics": ("llvm-pdbutil", "dumpkit"),
    "PDB lines": ("llvm-pdbutil", "dumpkit"),
    "image files": ("pefile", "dumpkit"),
    "images in memory": ("pefile", "dumpkit"),
}
READERS = ("dbgeng", "volatility3", "kdmp-parser", "llvm-pdbutil", "pefile", "dumpkit")

#: What a process of a parallel run hands to the one that prints: counts and reasons, by "reader: fact".
Record = Dict[str, Dict[str, Any]]


class Agreement:
    """How often each reader was asked for each fact and said what the forge meant."""

    def __init__(self) -> None:
        self._counts: Dict[str, List[int]] = {}
        self._reasons: Dict[str, List[str]] = {}

    def holds(self, reader: str, fact: str, found: Any, meant: Any) -> None:
        """Hold what a reader found against what was meant; two lists of one length count for each element."""
        if isinstance(found, list) and isinstance(meant, list):
            equal = sum(mine == theirs for mine, theirs in zip(found, meant))
            self.count(reader, fact, equal, max(len(found), len(meant)))
        else:
            self.count(reader, fact, int(found == meant), 1)
        assert found == meant, f"{reader} does not agree about {fact}"

    def count(self, reader: str, fact: str, agreed: int, asked: int) -> None:
        """Count what a test holds against each other by itself."""
        counts = self._counts.setdefault(_key(reader, fact), [0, 0])
        counts[0] += agreed
        counts[1] += asked

    def explain(self, reader: str, fact: str, reason: str) -> None:
        """Say what a reader says otherwise, and why that is not the forge's defect."""
        reasons = self._reasons.setdefault(_key(reader, fact), [])
        if reason not in reasons:
            reasons.append(reason)

    def record(self) -> Record:
        """All of it, as a process of a parallel run hands it over."""
        return {"counts": self._counts, "reasons": self._reasons}

    def add(self, record: Record) -> None:
        """Add what another process counted."""
        for key, (agreed, asked) in record.get("counts", {}).items():
            self.count(*key.split(": "), agreed, asked)
        for key, reasons in record.get("reasons", {}).items():
            reader, fact = key.split(": ")
            for reason in reasons:
                self.explain(reader, fact, reason)

    def lines(self) -> Iterator[str]:
        """The table, and the reasons below it; nothing where no reader was asked."""
        if not self._counts:
            return
        yield "".join([f"{'':<18}", *(f"{reader:>14}" for reader in READERS)])
        for fact in FACTS:
            yield "".join([f"{fact:<18}", *(f"{self._cell(reader, fact):>14}" for reader in READERS)]).rstrip()
        for key in sorted(self._reasons):
            for reason in self._reasons[key]:
                yield f"{key}: {reason}"

    def _cell(self, reader: str, fact: str) -> str:
        if reader not in FACTS[fact]:
            return ""
        agreed, asked = self._counts.get(_key(reader, fact), (0, 0))
        if not asked:
            return "not run"
        explained = "*" if _key(reader, fact) in self._reasons else ""
        return f"{agreed} of {asked}{explained}"


def _key(reader: str, fact: str) -> str:
    if reader not in FACTS[fact]:
        raise KeyError(f"the table has no place for what {reader} says about {fact}")
    return f"{reader}: {fact}"
