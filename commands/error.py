"""`error`: what a status or error code means.

Format: the examples of the !error page in Microsoft's debugger documentation, and public transcripts.
"""

from __future__ import annotations

from dumpkit.kernel.status import UNKNOWN, Status, hresult, ntstatus, win32_error
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.registry import Expression, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional


class ErrorText(Record):
    """A code; `name` and `message` are None where they are not known."""

    #: NTSTATUS, Win32 or HRESULT.
    kind: str
    code: Hex
    name: Optional[str]
    message: Optional[str]


def error_lines(result: ErrorText) -> Iterator[str]:
    text = result.message or result.name or UNKNOWN
    yield f"Error code: ({result.kind}) 0x{result.code:x} ({int(result.code)}) - {text}"


@command(
    "error",
    category="Kernel",
    summary="What an NTSTATUS, Win32 error or HRESULT means",
    arguments=(
        Expression("value", "the code", True),
        Expression("flags", "1: the code is an NTSTATUS, however small"),
    ),
    render=error_lines,
    needs_target=False,
)
def error(session: Session, value: int, flags: int = 0) -> ErrorText:
    """Says what a code means: error c0000005, error 5, error 5 1.

    Small numbers are Win32 errors, others NTSTATUS values or HRESULTs; with 1 behind it the code is an NTSTATUS.
    """
    code = value & 0xFFFF_FFFF
    if flags & 1:
        return _text("NTSTATUS", code, ntstatus(code))
    found = hresult(code)
    if found is not None:
        return _text("HRESULT", code, found)
    if code >> 28:
        # The severity's bits: a Win32 error has none.
        return _text("NTSTATUS", code, ntstatus(code))
    found = win32_error(code)
    if found is None and ntstatus(code) is not None:
        return _text("NTSTATUS", code, ntstatus(code))
    return _text("Win32", code, found)


def _text(kind: str, code: int, found: Optional[Status]) -> ErrorText:
    if found is None:
        return ErrorText(kind, Hex(code), None, None)
    return ErrorText(kind, Hex(code), found.name, found.message or None)
