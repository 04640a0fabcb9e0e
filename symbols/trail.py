"""The places that were looked at, and what was found there: what `!sym noisy` and error messages tell."""

from __future__ import annotations

import os

from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.path import is_url, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, List, Optional

_KEPT = 5000
_MAX_REASONS = 12
# Results that say no more than that nothing is there.
_NOTHING = ("file not found", "path not found")


class Attempt(NamedTuple):
    """One place and the result there: "OK", "file not found" or a clause that says what is wrong."""

    place: str
    result: str
    #: Whether a symbol store or server was asked, and not a plain folder.
    is_store: bool = True

    def __str__(self) -> str:
        """As the engine's noisy mode has it."""
        if not self.is_store:
            return f"DBGHELP: {self.place} - {self.result}"
        return f"SYMSRV:  {'HTTPGET' if is_url(self.place) else 'UNC'}: {self.place} - {self.result}"


class Trail:
    """The attempts of a session, the last 5,000 of them, and the reasons of the search under way."""

    def __init__(self) -> None:
        self.attempts: List[Attempt] = []
        #: Called with each attempt as it is made.
        self.listener: Optional[Callable[[Attempt], None]] = None
        self._reasons: Dict[str, str] = {}

    def begin(self) -> None:
        """A new search."""
        self._reasons = {}

    def note(self, root: str, place: str, result: str, is_store: bool = True, nothing: bool = False) -> None:
        """Tell a result; `root` is the folder or server that the place belongs to.

        `nothing` says that it only means that nothing is there: any other reason is the better one to give.
        """
        result = _one_line(result.replace(f"{place}: ", "", 1))
        attempt = Attempt(shown(place), result, is_store)
        self.attempts.append(attempt)
        del self.attempts[:-_KEPT]
        if self.listener is not None:
            self.listener(attempt)
        if not nothing or root not in self._reasons:
            self._reasons[root] = result

    def note_missing(self, root: str, path: str, is_store: bool = True) -> None:
        """Nothing lies at a local path."""
        parent = os.path.dirname(path)
        result = _NOTHING[0] if os.path.isdir(parent) else _NOTHING[1]
        self.note(root, path, result, is_store, nothing=True)

    def reasons(self) -> str:
        """Where this search looked and what it found, as one line."""
        parts: List[str] = []
        for root, reason in self._reasons.items():
            if reason in _NOTHING:
                reason = "not there" if os.path.isdir(root) else "no such folder"
            parts.append(f"{shown(root)}: {reason}")
        if len(parts) > _MAX_REASONS:
            parts[_MAX_REASONS:] = [f"and {len(parts) - _MAX_REASONS} more places"]
        return "; ".join(parts)


def _one_line(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " for letter in text)
