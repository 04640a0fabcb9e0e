"""A dump file as one buffer."""

from __future__ import annotations

from io import FileIO
from mmap import ACCESS_READ, mmap
from os import fstat
from typing import Union

from dumpkit.errors import DumpkitError


def map_file(path: str) -> Union[bytes, mmap]:
    """The bytes of a file: a read-only mapping, or a copy where the file cannot be mapped.

    Raises DumpkitError where it cannot be read.
    """
    try:
        with FileIO(path) as file:
            return _mapping(file)
    except OSError as error:
        raise DumpkitError(f"Could not open dump file {path}: {error.strerror or error}") from error


def _mapping(file: FileIO) -> Union[bytes, mmap]:
    if not fstat(file.fileno()).st_size:
        # An empty file cannot be mapped, nor can what has no size, such as a pipe.
        return file.read()
    try:
        return mmap(file.fileno(), 0, access=ACCESS_READ)
    except (OSError, ValueError):
        return file.read()
