"""The few sentences that a report begins with."""

from __future__ import annotations

from dumpkit.named_tuple import NamedTuple
from dumpkit.report.facts import ReportFacts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Tuple


class Verdict(NamedTuple):
    """Why the machine stopped, in words."""

    title: str
    lines: Tuple[str, ...]
    bucket: str
    hash: str


def verdict_of(facts: ReportFacts) -> Verdict:
    """What the analysis says: only what it says, and plainly where it does not know."""
    found = facts.crash_data
    description = found.get("description")
    if not description:
        return Verdict(f"Dump of {facts.dump.target.name}", ("No bugcheck is recorded in this dump.",), "", "")
    name = description["name"] or f"bugcheck {description['code'][2:]}"
    lines: List[str] = [*_irql_lines(found.get("irql") or {}), *_culprit_lines(found), *_access_lines(found)]
    process = found.get("process")
    if process:
        lines.append(f"It happened in the process {process}.")
    return Verdict(f"{name} ({description['code'][2:]})", tuple(lines), found["bucket"], found["bucket_hash"])


def _irql_lines(irql: Dict[str, Any]) -> List[str]:
    cause = irql.get("cause")
    if not cause:
        return []
    lines = [f"{cause['module']} called {cause['routine']} at {cause['level']}, which needs {cause['needs']}."]
    raised = cause.get("raised")
    if raised:
        lines.append(f"The level was raised in {raised['place']}, by {raised['routine']}.")
    if irql.get("bystanders"):
        lines.append(f"Bystanders, which ran at the level they were called at: {', '.join(irql['bystanders'])}.")
    return lines


def _culprit_lines(found: Dict[str, Any]) -> List[str]:
    culprit = found.get("culprit") or {}
    if not culprit.get("module"):
        return ["No driver can be blamed from what this dump holds."]
    place = culprit["symbol"] + (f"+0x{int(culprit['offset'], 16):x}" if culprit.get("offset") else "")
    return [f"WinDbg's rule, the first frame that is no plumbing of the system, blames {culprit['image']} at {place}."]


def _access_lines(found: Dict[str, Any]) -> List[str]:
    access = found.get("access")
    if not access:
        return []
    operation = {"Read": "read", "Write": "write to", "Execute": "execute"}.get(access["operation"] or "", "touch")
    return [f"The instruction tried to {operation} {int(access['address'], 16):016x}."]
