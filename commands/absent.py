"""WinDbg's commands that dumpkit does not have, and why: for who types one of them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

_RUNS = "a dump does not run, and nothing is written to it"
_LOADS = "WinDbg's extensions are not loaded; dumpkit's own commands need no loading (help lists them)"
_MODEL = "there is no data model; members of a type at an address: dt TYPE ADDRESS"

#: Names, in lower case and without a leading `!` -> the reason.
_ABSENT: Tuple[Tuple[str, str], ...] = (
    ("g gc gh gn gu pa pc pct ph pt ta tb tc tct th tt wt", _RUNS),
    ("bp bu bm ba bl bc bd be br bs", _RUNS),
    ("a e ea eb ed eq ew eu eza ezu ep ef f fp m", _RUNS),
    (".kill .reboot .crash .breakin .restart .attach .detach .create .dump .call", _RUNS),
    (".load .loadby .unload .unloadall .chain .setdll .extpath .extmatch", _LOADS),
    ("dx dxr .nvload .nvlist .nvunload .scriptload .scriptrun .scriptlist .scriptunload", _MODEL),
    (".ocommand .server .remote .clients .shell .cls .prefer_dml .childdbg .opendump .abandon", "WinDbg's own matter"),
    ("version .lastevent .effmach", "vertarget and .bugcheck tell of the target, --version of dumpkit"),
    (".tlist .dvalloc .dvfree", "a dump of a kernel has no processes to attach to: tl lists those that it holds"),
)


def why_absent(name: str) -> Optional[str]:
    """Why there is no such command, where it is one of WinDbg's; None for any other name."""
    wanted = name.lower()
    return next((reason for names, reason in _ABSENT if wanted in names.split()), None)
