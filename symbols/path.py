"""The symbol path: where symbols and images are looked for, in WinDbg's syntax.

Grammar (Microsoft's "Symbol path for Windows debuggers" and "Advanced SymSrv Use"): elements divided
by `;`, each one of

    folder                      a plain folder, which may be laid out as a symbol store
    cache*folder                what is found to the right of it is kept in that folder
    srv*store*store*…*store     a chain: looked through from left to right, and what is found further
                                right is kept in every store to its left
    symsrv*symsrv.dll*store*…   the same

A store is a folder, a share or a web address; an empty one is the default store. Only the last store
of a chain can be a web address. `srv*` alone is Microsoft's public symbol server.
"""

from __future__ import annotations

import os
import sys

from dumpkit.errors import SymbolError
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Mapping, Optional, Tuple, Union

    from typing_extensions import TypeAlias

#: What a bare `srv*` means, as in WinDbg; nothing else makes dumpkit ask it.
MICROSOFT_SERVER = "https://msdl.microsoft.com/download/symbols"

_MAX_TEXT = 64 << 10
_MAX_ELEMENTS = 1024


class Folder(NamedTuple):
    """A plain folder."""

    path: str


class Cache(NamedTuple):
    """`cache*folder`."""

    path: str


class Chain(NamedTuple):
    """`srv*…`: `stores` are folders, downstream first; `url` the web address at its end, or None."""

    stores: Tuple[str, ...]
    url: Optional[str]


Element: TypeAlias = "Union[Folder, Cache, Chain]"


class SymbolPath(NamedTuple):
    """A parsed symbol path. `problems` says, a line each, which elements cannot be used and why."""

    text: str
    elements: Tuple[Element, ...]
    problems: Tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text

    @property
    def expanded(self) -> str:
        """The path with a bare `srv*` written out, as `.sympath` shows it."""
        parts = [part.strip() for part in self.text.split(";")]
        return ";".join(f"SRV*{MICROSOFT_SERVER}" if part.lower() == "srv*" else part for part in parts)


def parse_symbol_path(text: str, platform: str = sys.platform) -> SymbolPath:
    """Parse a symbol path. Never fails: what cannot be used is left out and told in `problems`."""
    problems: List[str] = []
    elements: List[Element] = []
    if len(text) > _MAX_TEXT:
        problems.append(f"the symbol path is cut off after {_MAX_TEXT} characters (it has {len(text)})")
        text = text[:_MAX_TEXT]
    parts = text.split(";")
    if len(parts) > _MAX_ELEMENTS:
        problems.append(f"the symbol path is cut off after {_MAX_ELEMENTS} elements (it has {len(parts)})")
    for part in parts[:_MAX_ELEMENTS]:
        part = part.strip().strip('"').strip()
        if not part:
            continue
        try:
            element = _element(part)
        except SymbolError as error:
            problems.append(f"{shown(part)}: {error}")
            continue
        foreign = [path for path in _folders(element) if platform != "win32" and is_windows_path(path)]
        problems.extend(f"{shown(path)}: a path of Windows, not looked in" for path in foreign)
        if isinstance(element, Chain):
            # What is left of the chain still serves; a web address falls back to the default store.
            element = element._replace(stores=tuple(path for path in element.stores if path not in foreign))
            if element.stores or element.url:
                elements.append(element)
        elif not foreign:
            elements.append(element)
    return SymbolPath(text, tuple(elements), tuple(problems))


def default_store(environ: Optional[Mapping[str, str]] = None, platform: str = sys.platform) -> str:
    """The folder that `**`, `cache*` and `srv*url` keep files in.

    `%DBGHELP_HOMEDIR%\\sym`, else WinDbg's own `C:\\ProgramData\\dbg\\sym` on Windows, so that both
    share one store, and the user's cache folder elsewhere.
    """
    environ = os.environ if environ is None else environ
    home = environ.get("DBGHELP_HOMEDIR")
    if home:
        return os.path.join(home, "sym")
    if platform == "win32":
        return environ.get("ProgramData", "C:\\ProgramData") + "\\dbg\\sym"
    if platform == "darwin":
        return os.path.expanduser("~/Library/Caches/dumpkit/sym")
    base = environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    return f"{base}/dumpkit/sym" if base.startswith("/") else os.path.expanduser("~/.cache/dumpkit/sym")


def is_url(text: str) -> bool:
    """Whether a store is a web address that dumpkit speaks to."""
    return text.lower().startswith(("http://", "https://"))


def is_share(path: str) -> bool:
    """Whether a folder is a network share by its name (`\\\\server\\share`)."""
    return path.startswith(("\\\\", "//"))


def is_windows_path(path: str) -> bool:
    """Whether a path begins with a drive letter or is a share with back-slashes."""
    return path.startswith("\\\\") or (path[1:2] == ":" and path[:1].isalpha())


def _folders(element: Element) -> Tuple[str, ...]:
    return element.stores if isinstance(element, Chain) else (element.path,)


def shown(text: str) -> str:
    """A path or address fit to be shown: on one line, the credentials of web addresses left out."""
    if "@" in text:
        import re

        text = re.sub(r"(?<=://)[^/@*;\s]*@", "", text)
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "?" for character in text)


def _element(part: str) -> Element:
    """The element that one part of the path stands for. Raises SymbolError where it cannot be used."""
    if "\0" in part:
        raise SymbolError("contains a NUL character")
    keyword, star, rest = part.partition("*")
    keyword = keyword.strip().lower()
    if not star:
        return _chain([part]) if is_url(part) else Folder(_folder(part))
    if keyword == "cache":
        if "*" in rest or is_url(rest.strip()):
            raise SymbolError("a cache is one folder")
        return Cache(_folder(rest.strip()))
    if keyword == "srv":
        # A bare "srv*" is Microsoft's server, but "srv**" the default store and nothing behind it.
        return _chain(rest.split("*") if rest.strip() else [MICROSOFT_SERVER])
    if keyword == "symsrv":
        library, star, rest = rest.partition("*")
        library = library.strip().lower()
        if library not in ("symsrv", "symsrv.dll"):
            raise SymbolError(f"symbol server {library or '(none)'} is not supported, only symsrv.dll")
        if not star:
            raise SymbolError("no store behind symsrv.dll")
        return _chain(rest.split("*"))
    # Without a keyword, too, the engine takes stars between folders for a chain.
    return _chain(part.split("*"))


def _chain(stores: List[str]) -> Chain:
    """`srv*a*b*url`, given as [a, b, url]."""
    stores = [store.strip() for store in stores]
    if any(is_url(store) for store in stores[:-1]):
        raise SymbolError("a web address must be the last store of its chain")
    url = stores.pop().rstrip("/") if is_url(stores[-1]) else None
    return Chain(tuple(dict.fromkeys(_folder(store) for store in stores)), url)


def _folder(path: str) -> str:
    """A folder's path: the default store where it is empty, `~` and `~user` at the front replaced."""
    if "://" in path:
        raise SymbolError("only http and https are supported")
    if not path:
        return default_store()
    return os.path.expanduser(path) if path.startswith("~") else path
