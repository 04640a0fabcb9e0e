"""Where a target's symbols are looked for: the folder beside its dump, the path that was given, the environment's."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, List, Optional

    from dumpkit.symbols.finder import SymbolFinder
    from dumpkit.symbols.path import SymbolPath
    from dumpkit.symbols.server import Progress
    from dumpkit.symbols.trail import Attempt

#: The folder that is looked in first, beside the dump.
BESIDE = "symbols"
_VARIABLES = ("_NT_ALT_SYMBOL_PATH", "_NT_SYMBOL_PATH")


class SymbolSearch:
    """The places of one target, and the finder that looks there; nothing is looked at before it is asked for.

    `path` stands before the environment's path. `dump` is the dump's path: a folder `symbols` beside it is
    looked in first. `offline` keeps it from asking any web address.
    """

    def __init__(self, path: Optional[str] = None, dump: Optional[str] = None, offline: bool = False) -> None:
        parts = [path, *(os.environ.get(name) for name in _VARIABLES)]
        self._text = ";".join(part for part in parts if part)
        self._dump = dump
        self.offline = offline
        #: Called while a file is fetched or unpacked; set it before the first search.
        self.progress: Optional[Progress] = None
        self._listener: Optional[Callable[[Attempt], None]] = None
        self._finder: Optional[SymbolFinder] = None

    @property
    def text(self) -> str:
        """The symbol path, in WinDbg's syntax."""
        return self._text

    @text.setter
    def text(self, text: str) -> None:
        self.close()
        self._text = text

    @property
    def path(self) -> SymbolPath:
        """The symbol path, understood."""
        from dumpkit.symbols.path import parse_symbol_path

        return parse_symbol_path(self._text)

    @property
    def beside(self) -> Optional[str]:
        """The folder beside the dump, or None where there is none."""
        if self._dump is None:
            return None
        folder = os.path.join(os.path.dirname(os.path.abspath(self._dump)), BESIDE)
        return folder if os.path.isdir(folder) else None

    @property
    def has_places(self) -> bool:
        """Whether there is any place to look at."""
        return bool(self._text.strip(" ;")) or self.beside is not None

    @property
    def finder(self) -> SymbolFinder:
        """What looks for files in these places; it keeps what it found and who did not answer."""
        if self._finder is None:
            from dumpkit.symbols.finder import SymbolFinder

            self._finder = SymbolFinder(self.path, self.beside, self.offline, progress=self.progress)
            self._finder.listen(self._listener)
        return self._finder

    @property
    def is_noisy(self) -> bool:
        """Whether someone listens to what is looked at."""
        return self._listener is not None

    def listen(self, listener: Optional[Callable[[Attempt], None]]) -> None:
        """Have every place told as it is looked at (`!sym noisy`), or no more (None)."""
        self._listener = listener
        if self._finder is not None:
            self._finder.listen(listener)

    def problems(self) -> List[str]:
        """What is wrong with the path itself, one line each."""
        return list(self.path.problems)

    def close(self) -> None:
        """Hang up on every server and forget what was found: the next search looks anew and asks every host again."""
        if self._finder is not None:
            self._finder.close()
            self._finder = None
