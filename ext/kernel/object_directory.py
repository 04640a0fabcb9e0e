"""The object manager's namespace: directories, and objects by path.

Layout: _OBJECT_DIRECTORY (an array of chains, one for each hash) and _OBJECT_DIRECTORY_ENTRY in the kernel's symbols;
the root is what ObpRootDirectoryObject points to.
"""

from __future__ import annotations

from collections.abc import Iterator

from dumpkit.errors import DumpkitError, MemoryReadError
from dumpkit.kernel.object_header import KernelObject
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Set

#: Entries of one directory: more are damage.
_MOST_ENTRIES = 100_000


class DirectoryEntry(NamedTuple):
    """An object in a directory: the number of its hash bucket, and the object."""

    bucket: int
    object: KernelObject


class Directory(Iterator[DirectoryEntry]):
    """The objects of a directory at a virtual address, bucket by bucket.

    `damage` fills, while one walks, with what is wrong: chains that loop or cannot be read, as clauses.
    """

    def __init__(self, target: Target, address: int) -> None:
        self.target = target
        self.address = int(address)
        self.damage: List[str] = []
        self._entries = self._walk()

    def __next__(self) -> DirectoryEntry:
        return next(self._entries)

    def _walk(self) -> Iterator[DirectoryEntry]:
        type = self.target.type("_OBJECT_DIRECTORY_ENTRY")
        heads = self.target.type("_OBJECT_DIRECTORY").at(self.address).HashBuckets
        seen: Set[int] = set()
        for bucket in range(len(heads)):
            try:
                place = int(heads[bucket])
                while place:
                    if place in seen or len(seen) == _MOST_ENTRIES:
                        self.damage.append(f"the chain of hash {bucket:02d} loops at {place:016x}")
                        break
                    seen.add(place)
                    entry = type.at(place)
                    following, object = int(entry.ChainLink), int(entry.Object)
                    yield DirectoryEntry(bucket, KernelObject(self.target, object))
                    place = following
            except MemoryReadError as error:
                self.damage.append(f"the chain of hash {bucket:02d} ends at {error.address:016x}: {error.reason}")


def root_directory(target: Target) -> KernelObject:
    """The root of the namespace. Raises MemoryReadError, SymbolError."""
    place = target.memory.u64(target.symbols.address_of("nt!ObpRootDirectoryObject"))
    if not place:
        raise DumpkitError("ObpRootDirectoryObject is null: the namespace has no root")
    return KernelObject(target, place)


def find_object(target: Target, path: str) -> KernelObject:
    """The object of a path such as `\\Device\\Tcp`, in any case; links on the way are not followed.

    Raises DumpkitError where there is none, saying what of the way could not be read.
    """
    found = root_directory(target)
    names = [name for name in path.split("\\") if name]
    shown = "\\".join(names)
    for depth, name in enumerate(names):
        kind = found.type_name
        if depth and kind is not None and kind != "Directory":
            raise DumpkitError(f"Object {shown} not found: {names[depth - 1]} is a {kind}, no directory")
        directory = Directory(target, found.address)
        match, unread = _named(directory, name)
        if match is None:
            raise DumpkitError(f"Object {shown} not found{_why(directory.damage, unread)}")
        found = match
    return found


class _Search(NamedTuple):
    match: Optional[KernelObject]
    unread: int


def _named(directory: Directory, name: str) -> _Search:
    wanted = name.lower()
    unread = 0
    for entry in directory:
        try:
            found = entry.object.name
        except MemoryReadError:
            unread += 1
            continue
        if found is not None and found.lower() == wanted:
            return _Search(entry.object, unread)
    return _Search(None, unread)


def _why(damage: List[str], unread: int) -> str:
    """What may have hidden an object, as the end of a message."""
    reasons = damage[:1]
    if unread:
        reasons.append(f"the names of {unread} objects could not be read")
    return f": {', '.join(reasons)}" if reasons else ""
