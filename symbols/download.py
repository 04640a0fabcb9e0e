"""A file on its way from a server: whole or not at all, and to be continued where it broke off.

While it arrives it has a name of its own, so that processes that fetch the same file do not meet. What
has arrived when the transfer breaks is kept as `name.partial` with a trailer behind the bytes (JSON
with address, validator and length, its size, a signature), so that one rename puts both in place and
one rename gives both to whoever goes on.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from struct import Struct

from dumpkit.errors import SymbolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Optional

_SIGNATURE = b"dumpkit1"
_TRAILER = Struct("<I8s")
_MAX_TRAILER = 8192
#: Below this a new start costs as little as going on.
_WORTH_KEEPING = 64 << 10
_ORPHAN_AGE = 24 * 3600


class Download:
    """The file at `path` while it is incomplete."""

    def __init__(self, folder: str, name: str, url: str) -> None:
        """Begin anew. `url` names the content. Raises SymbolError where the folder cannot be written to."""
        self.url = url
        self._partial = os.path.join(folder, f"{name}.partial")
        self.path = os.path.join(folder, f"{name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
        #: Bytes that are here.
        self.length = 0
        #: ETag or Last-Modified of the content, None where the server gives none that can be relied on.
        self.validator: Optional[str] = None
        self._file = self._open(folder, name)

    @classmethod
    def resume(cls, folder: str, name: str, url: str) -> Optional[Download]:
        """Go on with what an earlier try left in `folder`, or None where it left nothing of this content."""
        if not os.path.exists(os.path.join(folder, f"{name}.partial")):
            return None
        download = cls(folder, name, url)
        if download._take_partial():
            return download
        download.discard()
        return None

    def _open(self, folder: str, name: str) -> BinaryIO:
        for last in (False, False, True):
            try:
                os.makedirs(folder, exist_ok=True)
                _remove_orphans(folder, name)
                return open(self.path, "xb")
            except FileNotFoundError:
                # Another process found the folder empty, and removed it.
                if last:
                    raise SymbolError(f"{folder}: cannot be written to") from None
            except OSError as error:
                raise SymbolError(f"{folder}: cannot be written to ({error.strerror or error})") from error
        raise AssertionError("unreachable")

    def _take_partial(self) -> bool:
        """Make the partial file ours by renaming it; whether it can be gone on with."""
        self._file.close()
        try:
            os.replace(self._partial, self.path)
            self._file = open(self.path, "r+b")  # noqa: SIM115
            if not self._read_trailer(self._file):
                return False
            self._file.seek(self.length)
            self._file.truncate()
        except OSError:
            # Another process was faster, or the file is not ours to read.
            return False
        return True

    def _read_trailer(self, file: BinaryIO) -> bool:
        import json

        end = file.seek(0, os.SEEK_END)
        if end < _TRAILER.size:
            return False
        file.seek(end - _TRAILER.size)
        size, signature = _TRAILER.unpack(file.read(_TRAILER.size))
        if signature != _SIGNATURE or size > min(_MAX_TRAILER, end - _TRAILER.size):
            return False
        file.seek(end - _TRAILER.size - size)
        try:
            trailer = json.loads(file.read(size))
        except ValueError:
            return False
        if not isinstance(trailer, dict) or trailer.get("url") != self.url:
            return False
        self.length, self.validator = end - _TRAILER.size - size, trailer.get("validator")
        return trailer.get("length") == self.length and isinstance(self.validator, str)

    def restart(self, validator: Optional[str]) -> None:
        """Forget what is here; `validator` is the new content's."""
        self.length, self.validator = 0, validator
        self._file.seek(0)
        self._file.truncate()

    def write(self, data: bytes) -> None:
        """Add bytes. Raises SymbolError (disk full)."""
        try:
            self._file.write(data)
        except OSError as error:
            raise SymbolError(f"{self.path}: {error.strerror or error}") from error
        self.length += len(data)

    def finish(self) -> str:
        """Everything has arrived: the path of the file, which is the caller's from now on."""
        try:
            self._file.close()
        except OSError as error:
            raise SymbolError(f"{self.path}: {error.strerror or error}") from error
        return self.path

    def interrupt(self) -> None:
        """Keep what is here for another try where that is worth it, else remove it."""
        import json

        if not self.validator or self.length < _WORTH_KEEPING:
            self.discard()
            return
        text = json.dumps({"url": self.url, "validator": self.validator, "length": self.length}).encode()
        try:
            self._file.write(text + _TRAILER.pack(len(text), _SIGNATURE))
            self._file.close()
            os.replace(self.path, self._partial)
        except OSError:
            self.discard()

    def discard(self) -> None:
        """Remove the file, and its folder where nothing else is in it."""
        with suppress(OSError):
            self._file.close()
        remove(self.path)


def _remove_orphans(folder: str, name: str) -> None:
    """What processes left that ended without a chance to clean up."""
    limit = time.time() - _ORPHAN_AGE
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(f"{name}.") and entry.name.endswith(".tmp") and entry.stat().st_mtime < limit:
                remove(entry.path)


def remove(path: str) -> None:
    """Remove a file that may be gone, and the folders of its store above it that are empty then."""
    with suppress(OSError):
        os.unlink(path)
    for _ in range(2):
        path = os.path.dirname(path)
        try:
            os.rmdir(path)
        except OSError:
            return
