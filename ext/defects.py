"""What is said when dumpkit itself fails: an exception that no user should be able to cause."""

from __future__ import annotations

from os import environ
from types import TracebackType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

#: The environment variable that has tracebacks shown.
DEBUG = "DUMPKIT_DEBUG"


def debugging() -> bool:
    """Whether the user asked for tracebacks."""
    return environ.get(DEBUG, "") not in ("", "0")


def defect_line(error: BaseException) -> str:
    """One line for an exception that is dumpkit's own fault: what, where in the code, and whom to tell."""
    # A message may have many lines, of which the first says what it is.
    message = str(error).strip().partition("\n")[0]
    what = f"{type(error).__name__}: {message}" if message else type(error).__name__
    hint = "" if debugging() else f" ({DEBUG}=1 shows the traceback)"
    return (
        f"Defect in dumpkit, not in the dump: {what}{_place(error.__traceback__)}. Please report it{_tracker()}{hint}"
    )


def _place(trace: Optional[TracebackType]) -> str:
    """The innermost line of dumpkit's own code that a traceback went through."""
    place = ""
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module.partition(".")[0] == "dumpkit":
            place = f" at {module}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _tracker() -> str:
    """Where defects are reported, as the installed package says."""
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        urls = metadata("dumpkit").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    for entry in urls:
        label, _, url = entry.partition(", ")
        if label.lower() in ("issues", "bug tracker", "tracker"):
            return f" at {url}"
    return ""
