"""Where dumps come from: files, folders and archives, in an order that does not change from run to run."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG

from dumpkit.dump.archives import (
    DUMP_ENDINGS,
    DUMP_SIGNATURES,
    SIGNATURE_SIZE,
    Member,
    archive_kind,
    dumps_among,
    members,
    unpacked,
)
from dumpkit.errors import DumpkitError
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Sequence

#: Endings of archives, which are not looked into within an archive.
_ARCHIVE_ENDINGS = (".zip", ".cab", ".7z", ".gz", ".bz2", ".xz")


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
    # A file that is named as dumps are gets a row even where it is none.
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            yield from _of_file(os.path.join(folder, name), is_named=name.lower().endswith(DUMP_ENDINGS))


def _of_file(path: str, is_named: bool) -> Iterator[Source]:
    """A file's dumps. Where it was not named as a dump, it counts only if it begins like one or like an archive."""
    try:
        start = _start(path)
    except OSError as error:
        if is_named:
            yield Source(path, error=str(error.strerror))
        return
    if start is None:
        if is_named:
            yield Source(path, error="it is a device or a pipe, not a file")
        return
    kind = archive_kind(start)
    if kind is not None:
        yield from _of_archive(path, kind, is_named)
    elif is_named or start.startswith(DUMP_SIGNATURES):
        yield Source(path)


def _start(path: str) -> Optional[bytes]:
    """The first bytes of a file; None for what is no file: a pipe would be waited for. Raises OSError."""
    if not S_ISREG(os.stat(path).st_mode):
        return None
    with open(path, "rb") as file:
        return file.read(SIGNATURE_SIZE)


def _of_archive(path: str, kind: str, is_named: bool) -> Iterator[Source]:
    """An archive's dumps by their names; the only file of one that was named itself, whatever that file is called."""
    try:
        found = members(Path(path), kind)
    except DumpkitError as error:
        yield Source(path, error=str(error))
        return
    dumps = [member for member in dumps_among(found) if is_named or member.name.lower().endswith(DUMP_ENDINGS)]
    inner = [member for member in found if member not in dumps and member.name.lower().endswith(_ARCHIVE_ENDINGS)]
    for member in dumps:
        yield Source(path, kind, member)
    for member in inner:
        yield Source(path, kind, member, error="an archive within an archive is not looked into: unpack it first")
    if is_named and not dumps and not inner:
        yield Source(path, error=f"none of the {len(found)} files in it is named as dumps are")
