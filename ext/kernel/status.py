"""Status and error codes: their names and what they mean.

`ntstatus.tsv` and `win32_errors.tsv` have a code a line: the code (hexadecimal, ascending), its name, and the message
that Microsoft's Open Specifications document ([MS-ERREF] 2.2 and 2.3); where they have none, the names of ntstatus.h
and winerror.h stand alone. A message's title and text, which are lines of their own in ntstatus.h, stand behind each
other with two spaces between, as the debugger prints them. An HRESULT of facility 7 (0x8007xxxx) carries a Win32
error (winerror.h).
"""

from __future__ import annotations

import os

from dumpkit.functions import cache
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

_FOLDER = os.path.dirname(__file__)
_NTSTATUS, _WIN32 = "ntstatus.tsv", "win32_errors.tsv"
#: HRESULT_FACILITY and severity of HRESULT_FROM_WIN32 (winerror.h).
_WIN32_FACILITY = 0x8007
#: What the debugger says of a code that the system has no message for.
UNKNOWN = "<Unable to get error code text>"


class Status(NamedTuple):
    """A code with its name and message; the message is empty where none is documented."""

    code: int
    name: str
    message: str


@cache
def _table(file: str) -> bytes:
    with open(os.path.join(_FOLDER, file), "rb") as table:
        return b"\n" + table.read()


def _find(file: str, code: int) -> Optional[Status]:
    table = _table(file)
    at = table.find(b"\n%08x\t" % code)
    if at < 0:
        return None
    line = table[at + 1 : table.index(b"\n", at + 1)].decode()
    _, name, message = line.split("\t")
    return Status(code, name, message)


def ntstatus(code: int) -> Optional[Status]:
    """An NTSTATUS by its low 32 bits, or None where it is not known."""
    return _find(_NTSTATUS, code & 0xFFFF_FFFF)


def ntstatus_text(code: int) -> str:
    """The message of an NTSTATUS in the debugger's words; its name where it has none, UNKNOWN where it is not known."""
    found = ntstatus(code)
    return UNKNOWN if found is None else found.message or found.name


def win32_error(code: int) -> Optional[Status]:
    """A Win32 error, or None where it is not known."""
    return _find(_WIN32, code & 0xFFFF_FFFF)


def hresult(code: int) -> Optional[Status]:
    """An HRESULT that carries a Win32 error, or None."""
    if code >> 16 & 0xFFFF != _WIN32_FACILITY:
        return None
    found = win32_error(code & 0xFFFF)
    return None if found is None else Status(code & 0xFFFF_FFFF, found.name, found.message)
