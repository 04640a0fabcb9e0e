"""The page on one dump: verdict and evidence first, then what they rest on."""

from __future__ import annotations

from dumpkit.output import plain
from dumpkit.report.drawing import Node, memory_picture, wait_picture
from dumpkit.report.facts import Driver, ReportFacts
from dumpkit.report.page import Content, Markup, element, joined, page, section, table
from dumpkit.report.verdict import Verdict, verdict_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple

#: What a picture of waits shows.
_MOST_BLOCKERS, _MOST_WAITERS = 12, 6


def dump_page(facts: ReportFacts) -> str:
    """The whole page."""
    verdict = verdict_of(facts)
    parts: List[Optional[Markup]] = [
        _heading(facts, verdict),
        _bugcheck(facts),
        _evidence(facts),
        _stack(facts),
        _contracts(facts),
        _machine(facts),
        _drivers(facts),
        _threads(facts),
        _memory(facts),
        _problems(facts),
    ]
    links = element("nav", [joined([_link(title), " "]) for title in _TITLES])
    footer = element("footer", f"Made by dumpkit {facts.version} from {facts.dump.target.name}.")
    return page(verdict.title, parts[0], links, parts[1:], footer)


_TITLES = ("Bugcheck", "Evidence", "Stack", "IRQL contracts", "Machine", "Drivers", "Processors", "Memory in the dump")


def _link(title: str) -> Markup:
    return element("a", title, href=f"#{title.lower().replace(' ', '-')}")


def _heading(facts: ReportFacts, verdict: Verdict) -> Markup:
    bucket = element("p", "Failure bucket ", element("code", verdict.bucket), " ", element("code", verdict.hash))
    return joined(
        [
            element("h1", verdict.title),
            element("div", [element("p", line, class_="lead") for line in verdict.lines], class_="card cause"),
            bucket if verdict.bucket else None,
        ]
    )


def _bugcheck(facts: ReportFacts) -> Markup:
    description = facts.crash_data.get("description")
    if not description:
        return section("Bugcheck", element("p", "The dump holds no bugcheck.", class_="soft"))
    rows = [
        [f"Arg{number}", element("code", _digits(argument["value"])), argument["meaning"] or ""]
        for number, argument in enumerate(description["arguments"], 1)
    ]
    return section(
        "Bugcheck",
        element("p", f"{description['name'] or 'Unknown'} ({description['code'][2:]})", class_="mark"),
        element("p", " ".join(description["text"])),
        table(("", "Value", "Meaning"), rows),
    )


def _digits(value: str) -> str:
    return f"{int(value, 16):016x}"


def _evidence(facts: ReportFacts) -> Markup:
    found = facts.crash_data
    known = [[_words(name), text] for name, text in (found.get("evidence") or {}).items()]
    unknown = [[_words(name), text] for name, text in (found.get("unknown") or {}).items()]
    return section(
        "Evidence",
        table(("Statement", "Read from"), known) if known else None,
        element("h3", "What is not known") if unknown else None,
        table(("Statement", "Why"), unknown) if unknown else None,
    )


def _words(name: str) -> str:
    return name.replace("_", " ") if name.islower() else name


def _stack(facts: ReportFacts) -> Markup:
    found = facts.crash_data
    frames: Sequence[Dict[str, Any]] = found.get("frames") or ()
    culprit = (found.get("culprit") or {}).get("frame")
    registers = (found.get("failing_context") or {}).get("registers") or {}
    rows = []
    for frame in frames:
        site: Content = (
            element("span", frame["call_site"], class_="bad mark") if frame["number"] == culprit else frame["call_site"]
        )
        rows.append(
            [
                element("code", f"{frame['number']:x}"),
                element("code", _digits(frame["child_sp"])),
                element("code", _digits(frame["return_address"])),
                element("code", site),
                frame["source"] or "",
                "" if frame["found_by"] in ("context", "unwound") else frame["found_by"],
            ]
        )
    where = f"{registers['location']}: {registers['instruction']}" if registers.get("instruction") else None
    return section(
        "Stack",
        element("pre", where) if where else None,
        table(("#", "Child-SP", "Return", "Call site", "Source", "Found by"), rows),
    )


def _contracts(facts: ReportFacts) -> Markup:
    if facts.irql is None:
        return section("IRQL contracts", element("p", "They could not be checked, see below.", class_="soft"))
    lines = [plain(line) for line in facts.irql.lines]
    return section("IRQL contracts", element("pre", "\n".join(lines)))


def _machine(facts: ReportFacts) -> Markup:
    lines = facts.info.lines if facts.info is not None else []
    return section("Machine", element("pre", "\n".join(lines)))


def _driver_row(driver: Driver) -> List[Content]:
    mark = "blamed" if driver.is_blamed else "on the stack" if driver.is_on_stack else ""
    whose = element("span", driver.whose, class_="bad") if driver.whose == "third party" else driver.whose
    return [
        element("code", f"{driver.base:016x}"),
        element("span", driver.name, class_="bad mark") if driver.is_blamed else driver.name,
        driver.image,
        driver.version,
        driver.linked,
        driver.company or driver.description,
        element("span", whose, title=driver.evidence),
        mark,
    ]


_DRIVER_HEADS = ("Base", "Module", "Image", "Version", "Linked", "Company", "Whose", "")


def _drivers(facts: ReportFacts) -> Markup:
    first = [each for each in facts.drivers if each.is_blamed or each.is_on_stack or each.whose == "third party"]
    rest = [each for each in facts.drivers if each not in first]
    unloaded = ", ".join(facts.unloaded)
    return section(
        "Drivers",
        element("p", "Blamed, on the stack, or a third party's by its version resource or its PDB's path:"),
        table(_DRIVER_HEADS, [_driver_row(each) for each in first]),
        element(
            "details",
            element("summary", f"The other {len(rest)} images"),
            table(_DRIVER_HEADS, [_driver_row(each) for each in rest]),
        )
        if rest
        else None,
        element("p", f"Unloaded before: {unloaded}", class_="soft") if unloaded else None,
    )


def _threads(facts: ReportFacts) -> Markup:
    rows = []
    for each in facts.threads:
        number = f"{each.processor} (crashed)" if each.is_crashed else str(each.processor)
        if each.address is None:
            rows.append([number, "", "", element("span", each.problem, class_="soft")])
            continue
        name = f"{each.tid:x}" if each.tid is not None else ""
        rows.append([number, element("code", f"{each.address:016x}"), name, each.process])
    return section(
        "Processors",
        table(("Processor", "Thread", "Id", "Process"), rows),
        element("h3", "Who holds what others wait for"),
        _waits(facts),
        element("pre", "\n".join(facts.hang.lines)) if facts.hang is not None else None,
    )


def _waits(facts: ReportFacts) -> Optional[Markup]:
    """A picture of the threads that hold what others wait for."""
    if facts.hang is None:
        return None
    found = facts.hang.data
    in_deadlock = {thread for cycle in found["deadlocks"] for thread in cycle}
    nodes: Dict[str, Node] = {}
    edges: List[Tuple[str, str, str]] = []
    for blocker in found["blockers"][:_MOST_BLOCKERS]:
        owner = blocker["owner"]
        lines = (f"{_digits(owner)} {blocker['owner_process'] or ''}", blocker["owner_state"][:44])
        nodes[owner] = (owner, lines, owner in in_deadlock)
        for waiter in blocker["waiters"][:_MOST_WAITERS]:
            nodes.setdefault(waiter, (waiter, (_digits(waiter), "waits"), waiter in in_deadlock))
            edges.append(
                (waiter, owner, f"{blocker['kind']} {_digits(blocker['object']) if blocker['object'] else ''}")
            )
    return wait_picture(list(nodes.values()), edges) if edges else None


def _memory(facts: ReportFacts) -> Markup:
    memory = facts.memory
    if memory is None:
        return section("Memory in the dump", element("p", "Nothing is known of it.", class_="soft"))
    size = f"{memory.held:,} bytes of {memory.kind} memory from {memory.start:#x} to {memory.end:#x}"
    rows = [
        [element("code", f"{each.start:016x}"), f"{each.end - each.start:,}", each.holds] for each in memory.extents
    ]
    return section(
        "Memory in the dump",
        element("p", size),
        memory_picture(memory) if memory.shares else None,
        table(("Address", "Bytes", "Holds"), rows) if rows else None,
    )


def _problems(facts: ReportFacts) -> Optional[Markup]:
    if not facts.problems:
        return None
    return section("What is missing", element("ul", [element("li", each) for each in facts.problems]))
