"""What the terminal that dumpkit writes to can do."""

from __future__ import annotations

import sys
from os import environ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

#: Values of TERM that stand for a terminal without escape sequences.
_DUMB = ("dumb", "unknown")


def is_dumb() -> bool:
    """Whether the terminal says that it knows no escape sequences."""
    return environ.get("TERM", "").lower() in _DUMB


def shows_colour(stream: TextIO) -> bool:
    """Whether a stream's lines may be coloured: it is a terminal that can, and NO_COLOR (no-color.org) is not set."""
    if not stream.isatty() or is_dumb() or environ.get("NO_COLOR"):
        return False
    return sys.platform != "win32" or _understand_escapes(stream)


if sys.platform == "win32":

    def _understand_escapes(stream: TextIO) -> bool:
        """Have a Windows console understand escape sequences; false where it cannot (before Windows 10)."""
        from ctypes import byref, c_ulong, windll
        from msvcrt import get_osfhandle

        # SetConsoleMode in Microsoft's console documentation.
        enable_virtual_terminal_processing = 4
        handle, mode = get_osfhandle(stream.fileno()), c_ulong()
        if not windll.kernel32.GetConsoleMode(handle, byref(mode)):
            # A terminal that is no console, such as MSYS's: it does understand them.
            return True
        return bool(windll.kernel32.SetConsoleMode(handle, mode.value | enable_virtual_terminal_processing))
