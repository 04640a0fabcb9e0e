"""The page on a folder of dumps: groups of the same failure, then every dump."""

from __future__ import annotations

from dumpkit import __version__
from dumpkit.report.page import Content, element, page, section, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Sequence

    from typing_extensions import TypeAlias

Row: TypeAlias = "Dict[str, Any]"


def folder_page(rows: Sequence[Row], groups: Sequence[Any]) -> str:
    """The whole page: `rows` and `groups` are those of `dumpkit triage`."""
    bad = [row for row in rows if row["status"] == "bad"]
    title = f"{len(rows)} crash dumps"
    summary = f"{len(groups)} failure buckets, {len(bad)} files that could not be read"
    group_rows: List[Sequence[Content]] = [
        [
            str(group.count),
            element("code", group.bucket),
            group.module,
            " ".join(str(build) for build in group.builds),
            element("code", group.hash),
        ]
        for group in groups
    ]
    return page(
        title,
        element("h1", title),
        element("p", summary, class_="lead"),
        section("Groups", table(("Dumps", "Failure bucket", "Module", "Builds", "Hash"), group_rows)),
        section("Dumps", table(_HEADS, [_cells(row) for row in rows if row["status"] != "bad"])),
        section("Not readable", table(("File", "Why"), [[_name(row), row["error"]] for row in bad])) if bad else None,
        element("footer", f"Made by dumpkit {__version__}."),
    )


_HEADS = ("File", "Bugcheck", "Blamed", "IRQL contracts", "Version", "Time", "Process", "Bucket")


def _name(row: Row) -> str:
    return f"{row['path']}/{row['member']}" if row["member"] else str(row["path"])


def _cells(row: Row) -> List[Content]:
    bugcheck = row["bugcheck"] or {}
    code = f"{bugcheck['code'][2:].upper()} {bugcheck['name'] or ''}" if bugcheck else "none"
    return [
        _name(row),
        code,
        element("code", row["symbol"] or row["module"] or "nobody"),
        element("div", row["irql"].replace("IRQL: ", "", 1), class_="words") if row["irql_cause"] else "",
        row["version"] or str(row["build"] or ""),
        element("span", (row["time"] or "")[:19].replace("T", " "), class_="together"),
        row["process"] or "",
        element("code", row["bucket"] or ""),
    ]
