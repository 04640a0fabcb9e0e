"""The report as Markdown, for an issue or a mail."""

from __future__ import annotations

from dumpkit.report.facts import ReportFacts
from dumpkit.report.verdict import verdict_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Sequence


def markdown(facts: ReportFacts) -> str:
    """The whole report."""
    return "\n".join(_lines(facts)) + "\n"


def _lines(facts: ReportFacts) -> Iterator[str]:
    verdict = verdict_of(facts)
    yield f"# {_text(verdict.title)}"
    yield ""
    for line in verdict.lines:
        yield f"* {_text(line)}"
    if verdict.bucket:
        yield ""
        yield f"Failure bucket `{verdict.bucket}` `{verdict.hash}`"
    found = facts.crash_data
    if facts.crash is not None:
        yield from _block("Analysis", _without_keys(facts.crash.lines))
    yield from _pairs("Evidence", found.get("evidence") or {})
    yield from _pairs("Not known", found.get("unknown") or {})
    if facts.irql is not None:
        yield from _block("IRQL contracts", facts.irql.lines)
    if facts.info is not None:
        yield from _block("Machine", facts.info.lines)
    yield from _drivers(facts)
    if facts.hang is not None:
        yield from _block("Who holds what others wait for", facts.hang.lines)
    if facts.problems:
        yield ""
        yield "## What is missing"
        yield ""
        for problem in facts.problems:
            yield f"* {_text(problem)}"
    yield ""
    yield f"Made by dumpkit {facts.version} from `{facts.dump.target.name}`."


def _text(text: str) -> str:
    """Text that Markdown shows as it is. An underscore within a word is nothing else there, and reads better so."""
    pieces = []
    for at, each in enumerate(text):
        is_within = each == "_" and text[at - 1 : at].isalnum() and text[at + 1 : at + 2].isalnum()
        pieces.append(f"\\{each}" if each in "\\`*_[]<>|#" and not is_within else each)
    return "".join(pieces)


def _block(title: str, lines: Sequence[str]) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    yield "```"
    yield from (line.rstrip().replace("```", "'''") for line in lines)
    yield "```"


def _without_keys(lines: Sequence[str]) -> List[str]:
    """An analysis without its keys and values, which say nothing that stands not elsewhere."""
    kept: List[str] = []
    for line in lines:
        if line.startswith(("KEY_VALUES_STRING", "    Key  :", "    Value:")) or (not line and kept and not kept[-1]):
            continue
        kept.append(line)
    return kept


def _pairs(title: str, pairs: dict[str, str]) -> Iterator[str]:
    if not pairs:
        return
    yield ""
    yield f"## {title}"
    yield ""
    for name, text in pairs.items():
        yield f"* {_text(name.replace('_', ' ') if name.islower() else name)}: {_text(text)}"


def _drivers(facts: ReportFacts) -> Iterator[str]:
    shown = [each for each in facts.drivers if each.is_blamed or each.is_on_stack or each.whose == "third party"]
    yield ""
    yield "## Drivers"
    yield ""
    yield f"Blamed, on the stack, or a third party's; {len(facts.drivers) - len(shown)} others are loaded."
    yield ""
    yield "| base | module | version | linked | company | whose | |"
    yield "|---|---|---|---|---|---|---|"
    for each in shown:
        mark = "blamed" if each.is_blamed else "on the stack" if each.is_on_stack else ""
        cells = (
            f"`{each.base:016x}`",
            _text(each.name),
            each.version,
            each.linked,
            _text(each.company),
            each.whose,
            mark,
        )
        yield f"| {' | '.join(cells)} |"
