"""A symbol store on disk, in SymStore's layout, shared with WinDbg.

`name/key/name`, where the key is a PDB's GUID and age or an image's time stamp and size; in a
three-tier store, which has an `index2.txt` at its root, `na/name/key/name`. Instead of the file there
may be its compressed form (`name.pd_`, a cabinet) or `file.ptr`, a text file that says where it lies.
Source: Microsoft's "Symbol Storage Format" and "SymStore", checked against what symsrv.dll asks for.
"""

from __future__ import annotations

import os

from dumpkit.errors import SymbolError
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional, Tuple

#: The file that says that a store has three tiers.
THREE_TIER_MARK = "index2.txt"
POINTER_NAME = "file.ptr"

_MAX_POINTER = 4096
_MAX_NAME = 200
_FORBIDDEN = frozenset('<>:"/\\|?*')
# Names that Windows takes for devices, whatever their extension.
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul"] + [f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789"]
)


def pdb_key(guid: str, age: int) -> str:
    """The key of a PDB: its GUID as 32 hex digits (with or without braces and dashes) and the DBI age."""
    digits = guid.strip("{}").replace("-", "").upper()
    if not digits or len(digits) > 32 or any(digit not in "0123456789ABCDEF" for digit in digits):
        raise SymbolError(f"'{guid}' is not the GUID of a PDB")
    return f"{digits}{age & 0xFFFFFFFF:x}"


def image_key(timestamp: int, size: int) -> str:
    """The key of an image: TimeDateStamp and SizeOfImage of its header."""
    return f"{timestamp & 0xFFFFFFFF:08X}{size & 0xFFFFFFFF:x}"


def file_name(path: str) -> str:
    """The last part of a path as a name that is safe in a store and in a URL on every system.

    `path` comes from a dump or an image. Raises SymbolError where no such name is left.
    """
    name = path.replace("\\", "/").rsplit("/", 1)[-1].strip(" ")
    stem = name.split(".", 1)[0].rstrip(" ").lower()
    if not name.strip(".") or name.endswith(".") or stem in _DEVICES or len(name) > _MAX_NAME:
        raise SymbolError(f"{name[:80]!r} is not a file name")
    if not name.isprintable() or any(character in _FORBIDDEN for character in name):
        raise SymbolError(f"{name[:80]!r} is not a file name")
    return name


def compressed_name(name: str) -> str:
    """The name of a file's compressed form: its last character an underscore (`amdppm.pd_`)."""
    return name[:-1] + "_"


def relative_path(name: str, key: str, leaf: str, three_tier: bool) -> Tuple[str, ...]:
    """The parts of the path from a store's root to `leaf` (the file, its compressed form or file.ptr)."""
    return (name[:2], name, key, leaf) if three_tier else (name, key, leaf)


class FolderTree:
    """A folder in which names are found whatever their case, as Windows does.

    Listings are kept as long as a folder's time of change stays the same.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._listings: Dict[str, Tuple[int, Dict[str, str]]] = {}

    def path(self, *parts: str) -> str:
        """The path of `parts` below the root, in the case given."""
        return os.path.join(self.root, *parts)

    def locate(self, *parts: str) -> Optional[str]:
        """The path of what lies at `parts` below the root, or None."""
        # A listing that is already known spares the look at each of many places that are not there.
        if self.root in self._listings and parts[0].lower() not in self._listing(self.root):
            return None
        exact = self.path(*parts)
        if os.path.exists(exact):
            return exact
        found = self.root
        for part in parts:
            name = self._listing(found).get(part.lower())
            if name is None:
                return None
            found = os.path.join(found, name)
        return found

    def names(self, *parts: str) -> List[str]:
        """The names in the folder at `parts` below the root, sorted; none where there is no such folder."""
        folder = self.locate(*parts) if parts else self.root
        return sorted(self._listing(folder).values()) if folder is not None else []

    def _listing(self, folder: str) -> Dict[str, str]:
        try:
            changed = os.stat(folder).st_mtime_ns
            known = self._listings.get(folder)
            if known is not None and known[0] == changed:
                return known[1]
            listing = {name.lower(): name for name in os.listdir(folder)}
        except (OSError, ValueError):
            # Not there, not a folder, or not ours to read: nothing can be found in it.
            return {}
        self._listings[folder] = (changed, listing)
        return listing


class Lookup(NamedTuple):
    """One place in a store: `path` and what lies there ("file", "cabinet", "pointer"), None for nothing."""

    path: str
    form: Optional[str]


class Store:
    """A symbol store at `root`, which need not exist. `trusted` says whether its file.ptr are followed."""

    def __init__(self, root: str, trusted: bool = True) -> None:
        self.root = root
        self.trusted = trusted
        self.tree = FolderTree(root)

    @property
    def three_tier(self) -> bool:
        """Whether the store has an index2.txt."""
        return self.tree.locate(THREE_TIER_MARK) is not None

    def path_of(self, name: str, key: str) -> str:
        """Where a file lies, or would be put."""
        return self.tree.path(*relative_path(name, key, name, self.three_tier))

    def find(self, name: str, key: str) -> Iterator[Lookup]:
        """Look for a file, its compressed form and its pointer, in this order; every place looked at is told."""
        three_tier = self.three_tier
        for leaf, form in ((name, "file"), (compressed_name(name), "cabinet"), (POINTER_NAME, "pointer")):
            parts = relative_path(name, key, leaf, three_tier)
            found = self.tree.locate(*parts)
            if found is not None and os.path.isfile(found):
                yield Lookup(found, form)
            else:
                yield Lookup(self.tree.path(*parts), None)

    def versions(self, name: str) -> Iterator[str]:
        """The path of every file of that name, whatever its key, in the order of the keys."""
        for head in ((name,), (name[:2], name)):
            for key in self.tree.names(*head):
                found = self.tree.locate(*head, key, name)
                if found is not None and os.path.isfile(found):
                    yield found

    def insert(self, temporary: str, name: str, key: str) -> str:
        """Move a complete file, which must lie on the same volume, to its place; the path it then has.

        Where another process has put the same file there meanwhile and holds it open, that one serves.
        """
        final = self.path_of(name, key)
        try:
            os.makedirs(os.path.dirname(final), exist_ok=True)
            os.replace(temporary, final)
        except PermissionError:
            if not os.path.isfile(final):
                raise
            os.unlink(temporary)
        return final


def read_pointer(path: str) -> str:
    """Where a file.ptr points: a path. Raises SymbolError where it cannot be read or holds a message instead."""
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_POINTER + 1)
    except OSError as error:
        raise SymbolError(f"{path}: {error.strerror or error}") from error
    return parse_pointer(data, path)


def parse_pointer(data: bytes, path: str) -> str:
    """As `read_pointer`, from the bytes of a file.ptr that came from `path`."""
    text = data.decode("utf-8", "replace").strip("\0\r\n\t ")
    if len(data) > _MAX_POINTER or not text or any(ord(character) < 0x20 for character in text):
        raise SymbolError(f"{path}: not a symbol store pointer")
    kind, colon, rest = text.partition(":")
    if colon and kind.upper() == "MSG":
        raise SymbolError(f"{path}: the store says: {rest.strip()}")
    return rest.strip() if colon and kind.upper() == "PATH" else text
