"""How far a download is, on one line of a terminal."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, TextIO

_EVERY = 0.1
# What arrives within this time is not worth a line.
_QUIET = 0.3
_WIDTH = 24


class TerminalProgress:
    """Draws a bar for the file under way, and wipes it when the file is complete.

    Give it as the `progress` of a SymbolFinder. Where `stream` is no terminal it writes nothing.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = stream.isatty()
        self._name = ""
        self._started = self._drawn = 0.0
        self._length = 0

    def __call__(self, name: str, done: int, total: Optional[int]) -> None:
        """`done` of `total` bytes of a file are here; `total` is None where nobody knows."""
        if not self._shown:
            return
        now = time.monotonic()
        if name != self._name:
            self.clear()
            self._name, self._started, self._drawn = name, now, 0.0
        if total is not None and done >= total:
            self.clear()
            self._name = ""
        elif now - self._started >= _QUIET and now - self._drawn >= _EVERY:
            self._drawn = now
            self._draw(progress_line(name, done, total))

    def clear(self) -> None:
        """Wipe the line (when something else is to be written)."""
        if self._length:
            self._stream.write("\r" + " " * self._length + "\r")
            self._stream.flush()
            self._length = 0

    def _draw(self, line: str) -> None:
        self._stream.write("\r" + line.ljust(self._length))
        self._stream.flush()
        self._length = max(len(line), self._length)


def progress_line(name: str, done: int, total: Optional[int]) -> str:
    """`ntkrnlmp.pdb  [#####     ]  4.5 of 12.3 MB`."""
    name = name if len(name) <= 30 else name[:27] + "..."
    if total is None:
        return f"{name}  {done / 1e6:.1f} MB"
    filled = done * _WIDTH // max(total, 1)
    return f"{name}  [{'#' * filled}{' ' * (_WIDTH - filled)}]  {done / 1e6:.1f} of {total / 1e6:.1f} MB"
