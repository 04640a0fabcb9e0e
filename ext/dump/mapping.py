"""A dump file as one buffer."""

from __future__ import annotations

import os
from io import FileIO
from mmap import ACCESS_READ, mmap
from stat import S_ISREG

from dumpkit.errors import DumpkitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union


def map_file(path: str) -> Union[bytes, mmap]:
    """The bytes of a file: a read-only mapping, or a copy where the file cannot be mapped.

    Raises DumpkitError where it cannot be read.
    """
    try:
        # A pipe that nobody writes to would be waited for.
        with FileIO(path, opener=_open_at_once) as file:
            return _mapping(file)
    except OSError as error:
        raise DumpkitError(f"Could not open dump file {path}: {error.strerror or error}") from error


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _mapping(file: FileIO) -> Union[bytes, mmap]:
    status = os.fstat(file.fileno())
    if not S_ISREG(status.st_mode):
        raise DumpkitError(f"Could not open dump file {file.name!s}: it is a device or a pipe, not a file")
    if not status.st_size:
        # An empty file cannot be mapped.
        return b""
    try:
        return mmap(file.fileno(), 0, access=ACCESS_READ)
    except (OSError, ValueError):
        return file.read()
