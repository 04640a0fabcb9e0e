"""Rows and groups as lines for people."""

from __future__ import annotations

from dumpkit.output import Line, Span
from dumpkit.triage.groups import Group
from dumpkit.triage.row import Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Sequence

#: A name is shown to this width; of a longer one, its end.
WIDEST_NAME = 44
_CODE_WIDTH, _PLACE_WIDTH = 48, 48


def name_of(row: Row) -> str:
    """What a row calls its dump."""
    return f"{row['path']}/{row['member']}" if row["member"] else str(row["path"])


def _fitting(text: str, width: int) -> str:
    return text if len(text) <= width else f"...{text[3 - width :]}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _uptime(seconds: float) -> str:
    days, rest = divmod(int(seconds), 86400)
    return f"{days}d {rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"


def row_line(row: Row, width: int) -> Line:
    """A dump's line: its name, bugcheck, blamed place, build and uptime, bucket; or why it could not be read."""
    name = _fitting(name_of(row), width).ljust(width)
    if row["status"] == "bad":
        return (f"{name}  ", Span(f"cannot be read: {row['error']}", "error"))
    bugcheck = row["bugcheck"]
    code = f"{bugcheck['code'][2:].upper()} {bugcheck['name'] or ''}".rstrip() if bugcheck else "no bugcheck"
    place = row["symbol"] or row["module"] or "nobody to blame"
    cells = [
        f"{_cut(code, _CODE_WIDTH):<{_CODE_WIDTH}}",
        f"{_cut(place, _PLACE_WIDTH):<{_PLACE_WIDTH}}",
        f"{row['version'] or row['build'] or '':<16}",
        f"{_uptime(row['uptime']) if row['uptime'] is not None else '':>12}",
        row["bucket"] or "",
    ]
    line = f"{name}  {'  '.join(cells)}".rstrip()
    # The debugger's rule for blame may name a bystander.
    return (f"{line}  ", Span(row["irql"], "error")) if row.get("irql_cause") else line


def group_lines(groups: Sequence[Group], bad: int, dumps: int) -> Iterator[Line]:
    """The groups, each with its count, and how many dumps could not be read."""
    yield ""
    plural = "" if dumps == 1 else "s"
    yield (Span(f"{dumps} dump{plural}, {len(groups)} failure bucket{'' if len(groups) == 1 else 's'}", "heading"),)
    widest = max((len(group.bucket) for group in groups), default=0)
    for group in groups:
        builds = " ".join(str(build) for build in group.builds)
        yield f"{group.count:6}  {group.bucket:<{widest}}  {group.hash}  {builds}".rstrip()
    if bad:
        yield (Span(f"{bad:6}  could not be read", "error"),)


def width_of(names: List[str]) -> int:
    """How wide the column of names is."""
    return min(max((len(name) for name in names), default=0), WIDEST_NAME)
