"""A server's answer: its status and headers, and its body in pieces that each arrive in time."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from http.client import HTTPException, HTTPResponse

from dumpkit.errors import SymbolError
from dumpkit.symbols.connection import Address, Connection, Failure, describe
from dumpkit.symbols.network import Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator, Optional

#: A transfer that brings fewer bytes a second than this is given up.
SLOWEST = 8 << 10

_MAX_SMALL = 64 << 10
_PIECE = 64 << 10


class Answer:
    """A response whose body is read in pieces, each within the session's patience."""

    def __init__(self, network: Network, address: Address, connection: Connection, response: HTTPResponse) -> None:
        self.address = address
        self.response = response
        self._network = network
        self._connection = connection

    @property
    def status(self) -> str:
        """Status code and words."""
        reason = "".join(letter for letter in self.response.reason if letter.isprintable())[:60]
        return f"{self.response.status} {reason}".rstrip()

    def header(self, name: str) -> str:
        """A header's value, "" where it is missing."""
        return str(self.response.getheader(name) or "").strip()

    @property
    def validator(self) -> Optional[str]:
        """What `If-Range` takes for this content: a strong ETag, else Last-Modified; None for neither."""
        if self.header("Accept-Ranges").lower() == "none" or self.header("Content-Encoding"):
            return None
        tag = self.header("ETag")
        return tag if tag and not tag.startswith("W/") else self.header("Last-Modified") or None

    def pieces(self) -> Iterator[bytes]:
        """The body. Raises Failure where it stops, crawls or breaks off."""
        expected = self.response.length
        started, received, total = time.monotonic(), 0, 0
        patience = self._network.patience
        while True:
            self._connection.deadline = started + patience
            try:
                piece = self.response.read1(_PIECE)
            except (OSError, HTTPException, ValueError) as error:
                raise self._broken(error, time.monotonic() - started, received, total) from error
            if not piece:
                break
            received += len(piece)
            total += len(piece)
            yield piece
            if received >= SLOWEST * patience:
                started, received, patience = time.monotonic(), 0, self._network.patience
        if expected is not None and total < expected:
            self.close()
            raise Failure(f"cut off after {total} of {expected} bytes")

    def _broken(self, error: Exception, seconds: float, received: int, total: int) -> Failure:
        """The Failure for an error in the body; `received` bytes came in the last `seconds`."""
        self.close()
        if isinstance(error, socket.timeout):
            brought = f"only {received} bytes" if received else "nothing more"
            reason = f"{brought} in {seconds:.1f} s"
            self._network.give_up(self.address.origin, reason, seconds)
        else:
            self._network.lose(seconds)
            reason = f"cut off after {total} bytes ({describe(error)})"
        return Failure(reason)

    def body(self, limit: int) -> Iterator[bytes]:
        """The body with its Content-Encoding undone, not much more than `limit` bytes of it.

        Raises Failure as `pieces` does, and SymbolError where the answer is not what was asked for.
        """
        encoding = self.header("Content-Encoding").lower()
        if encoding in ("", "identity"):
            plain = self.pieces()
        elif encoding in ("gzip", "x-gzip"):
            plain = _unzipped(self.pieces(), limit)
        else:
            raise SymbolError(f"content encoding {encoding[:20]!r} is not supported")
        first = True
        for piece in plain:
            # Many servers send a page that says "not found" as if it were the file. No file here begins so.
            if first and piece.lstrip()[:1] == b"<" and self.response.status == 200:
                raise SymbolError(f"a web page instead of the file ({self.status})")
            first = False
            yield piece
        self.done()

    def small_body(self) -> bytes:
        """The whole of a body of at most 64 KiB. Raises as `body` does."""
        data = b""
        for piece in self.body(_MAX_SMALL):
            data += piece
            if len(data) > _MAX_SMALL:
                raise SymbolError(f"more than the {_MAX_SMALL} bytes that such a file may have")
        return data

    def skip(self) -> None:
        """Leave a body that is of no interest, the connection for reuse where that costs little."""
        if self.response.length is None or self.response.length > _MAX_SMALL:
            self.close()
            return
        with suppress(Failure):
            for _ in self.pieces():
                pass
            self.done()

    def done(self) -> None:
        """The body has been read: leave the connection for another request, where that can be."""
        self.response.close()
        if self.response.will_close:
            self.close()
        else:
            self._network.keep(self.address, self._connection)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def _unzipped(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """gzip undone, until `limit` bytes are passed."""
    import zlib

    stream = zlib.decompressobj(31)
    total = 0
    for piece in pieces:
        while piece and not stream.eof and total <= limit:
            try:
                plain = stream.decompress(piece, _PIECE)
            except zlib.error as error:
                raise SymbolError(f"damaged gzip data ({error})") from error
            piece = stream.unconsumed_tail
            total += len(plain)
            if plain:
                yield plain
    if not stream.eof:
        raise SymbolError("gzip data that ends too early")
