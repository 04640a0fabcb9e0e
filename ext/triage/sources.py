"""Where dumps come from: files, folders and archives, in an order that does not change from run to run."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

from dumpkit.errors import DumpkitError
from dumpkit.named_tuple import NamedTuple
from dumpkit.triage.archives import SIGNATURE_SIZE, Member, archive_kind, members, unpacked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Sequence

#: Endings that a dump's name has; in a folder, a file so named gets a row even where it is none.
ENDINGS = (".dmp", ".mdmp", ".hdmp", ".kdmp")
#: First bytes of kernel and user-mode dumps.
_SIGNATURES = (b"PAGE", b"MDMP")


class Source(NamedTuple):
    """A dump to be looked at; `error` says why it cannot be."""

    #: The file, or the archive that holds it.
    path: str
    #: The archive's kind and the member; None for a file of its own.
    archive: Optional[str] = None
    member: Optional[Member] = None
    error: Optional[str] = None

    @property
    def name(self) -> str:
        """What a row calls it."""
        return f"{self.path}/{self.member.name}" if self.member is not None else self.path

    @contextmanager
    def opened(self) -> Iterator[str]:
        """The path of a file that holds the dump, as long as the block lasts. Raises DumpkitError."""
        if self.error is not None:
            raise DumpkitError(self.error)
        if self.archive is None or self.member is None:
            yield self.path
            return
        with unpacked(Path(self.path), self.archive, self.member) as path:
            yield str(path)


def find_sources(paths: Sequence[str]) -> Iterator[Source]:
    """The dumps that paths name, each file once: a path's own, a folder's by name, an archive's in its order."""
    seen = set()
    for path in paths:
        for source in _of_path(os.path.expanduser(path)):
            key = (os.path.realpath(source.path), source.member)
            if key not in seen:
                seen.add(key)
                yield source


def _of_path(path: str) -> Iterator[Source]:
    if not os.path.isdir(path):
        yield from _of_file(path, is_named=True)
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            yield from _of_file(os.path.join(folder, name), is_named=name.lower().endswith(ENDINGS))


def _of_file(path: str, is_named: bool) -> Iterator[Source]:
    """A file's dumps. Where it was not named as a dump, it counts only if it begins like one or like an archive."""
    try:
        with open(path, "rb") as file:
            start = file.read(SIGNATURE_SIZE)
    except OSError as error:
        if is_named:
            yield Source(path, error=f"cannot be read: {error.strerror}")
        return
    kind = archive_kind(start)
    if kind is not None:
        yield from _of_archive(path, kind)
    elif is_named or start.startswith(_SIGNATURES):
        yield Source(path)


def _of_archive(path: str, kind: str) -> Iterator[Source]:
    try:
        found = [member for member in members(Path(path), kind) if member.name.lower().endswith(ENDINGS)]
    except DumpkitError as error:
        yield Source(path, error=str(error))
        return
    for member in found:
        yield Source(path, kind, member)
