"""Symbol servers: HTTP and HTTPS, with a bound on the time that is lost on servers that do not answer.

Nothing that a server says is trusted: sizes and redirects are bounded, an answer is a stream of bytes
that somebody else checks, and no name that it sends becomes a path.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from urllib.parse import quote, urljoin

from dumpkit.errors import SymbolError
from dumpkit.symbols.answer import Answer
from dumpkit.symbols.connection import Address, Connection, Failure, parse_address
from dumpkit.symbols.download import Download
from dumpkit.symbols.network import Network
from dumpkit.symbols.store import THREE_TIER_MARK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Iterator, Optional, Sequence, Tuple

    from typing_extensions import TypeAlias

#: No file may be larger than this.
MAX_FILE_SIZE = 1 << 30

_MAX_REDIRECTS = 5
_TRIES = 3
# Of a request's time, what the connection may take.
_CONNECT_SHARE = 0.75
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
# Web stores that hide their lists answer 403 for what they do not have.
_NOT_FOUND = frozenset((403, 404, 410))
# Answers that mean that asking for another file is in vain, too.
_HOPELESS = frozenset((401, 407, 429, 502, 503, 504))

#: Called with a file's name, the bytes that are here and the bytes in all (None where the server does not say).
Progress: TypeAlias = "Callable[[str, int, Optional[int]], None]"


class NotFound(SymbolError):
    """The server answers, and has no such file."""


class SymbolServer:
    """A symbol server at a URL.

    Methods raise NotFound where it has no such file and SymbolError for all else; the text is a clause
    that does not repeat the address.
    """

    def __init__(self, url: str, network: Network) -> None:
        self._network = network
        self._base = parse_address(url.rstrip("/") + "/")
        self._three_tier: Optional[bool] = None

    @property
    def url(self) -> str:
        """The server's address without credentials."""
        return self._base.url.rstrip("/")

    def address_of(self, parts: Sequence[str]) -> Address:
        """The address of a file, given by the parts of its path in the store."""
        return self._base._replace(target=self._base.target + "/".join(quote(part, safe="") for part in parts))

    @property
    def is_three_tier(self) -> bool:
        """Whether the store is known to have three tiers; asks nothing."""
        return bool(self._three_tier)

    def has_three_tiers(self) -> bool:
        """Whether the store has an index2.txt; asked once. Raises Failure."""
        if self._three_tier is None:
            try:
                self.read_small((THREE_TIER_MARK,))
                self._three_tier = True
            except Failure:
                raise
            except SymbolError:
                self._three_tier = False
        return self._three_tier

    def read_small(self, parts: Sequence[str]) -> bytes:
        """The bytes of a file of at most 64 KiB."""
        answer = self._ask(self.address_of(parts), {})
        with _closing_on_error(answer):
            return answer.small_body()

    def fetch(self, parts: Sequence[str], folder: str, progress: Optional[Progress] = None) -> str:
        """Fetch a file into `folder`: the path of a temporary file there, complete but not checked.

        What arrived before a failure is kept, and gone on with: at once as long as every try brings
        something, else the next time that the file is asked for.
        """
        address = self.address_of(parts)
        transfer = _Transfer(address, folder, parts[-1], progress)
        try:
            self._run(transfer, address)
            return transfer.finish()
        except (Failure, KeyboardInterrupt):
            transfer.interrupt()
            raise
        finally:
            transfer.discard()

    def _run(self, transfer: _Transfer, address: Address) -> None:
        failure: Optional[Failure] = None
        failures = 0
        while failures < _TRIES:
            before = transfer.length
            try:
                answer = self._ask(address, transfer.range_headers)
                with _closing_on_error(answer):
                    if transfer.run(answer):
                        return
                failures += transfer.length <= before
            except Failure as error:
                failure = failure or error
                failures += 1
                if transfer.length <= before or not transfer.range_headers:
                    break
        raise failure or Failure("the file changes on the server all the time")

    def _ask(self, address: Address, headers: Dict[str, str]) -> Answer:
        """The answer to a request, redirects followed, errors raised."""
        for _ in range(_MAX_REDIRECTS + 1):
            started = time.monotonic()
            answer = self._ask_once(address, headers)
            if answer.response.status not in _REDIRECTS:
                self._check_status(answer, time.monotonic() - started)
                return answer
            address = _redirected(answer, address)
        raise SymbolError(f"more than {_MAX_REDIRECTS} redirects")

    def _ask_once(self, address: Address, headers: Dict[str, str]) -> Answer:
        network = self._network
        network.check(address.origin)
        started = time.monotonic()
        patience = network.patience
        try:
            connection, used = network.connect(address, started + patience * _CONNECT_SHARE)
            try:
                response = connection.get(address, headers, started + patience)
            except Failure:
                connection.close()
                if not used:
                    raise
                # The server may have closed a connection that lay idle: that says nothing yet.
                connection = Connection(address, started + patience)
                response = connection.get(address, headers, started + patience)
        except Failure as error:
            network.give_up(address.origin, str(error), time.monotonic() - started)
            raise
        return Answer(network, address, connection, response)

    def _check_status(self, answer: Answer, seconds: float) -> None:
        status, origin = answer.response.status, answer.address.origin
        if status in (200, 206, 416):
            self._network.count_answer(origin)
            return
        answer.skip()
        if status in _NOT_FOUND:
            self._network.count_answer(origin)
            raise NotFound(answer.status)
        if status in _HOPELESS:
            self._network.give_up(origin, answer.status, seconds)
            raise Failure(answer.status)
        if status >= 500:
            self._network.lose(seconds)
            self._network.count_error(origin, answer.status)
            raise Failure(answer.status)
        raise SymbolError(answer.status)


@contextmanager
def _closing_on_error(answer: Answer) -> Iterator[None]:
    """A connection on which something went wrong is of no more use."""
    try:
        yield
    except BaseException:
        answer.close()
        raise


def _redirected(answer: Answer, address: Address) -> Address:
    """Where a redirect leads. Raises SymbolError where that must not be followed."""
    location = quote(answer.header("Location"), safe="%/:?#[]@!$&'()*+,;=~")
    answer.skip()
    if not location:
        raise SymbolError(f"{answer.status} without a place to go to")
    try:
        target = parse_address(urljoin(address.url, location))
    except (SymbolError, ValueError) as error:
        raise SymbolError(f"a redirect that cannot be followed: {error}") from error
    if address.scheme == "https" and target.scheme != "https":
        raise SymbolError(f"a redirect away from https, to {target.origin}, is not followed")
    # Credentials are for the host that they were given for.
    return target._replace(credentials=address.credentials if target.origin == address.origin else "")


class _Transfer:
    """One file's way into a Download, over as many answers as it takes."""

    def __init__(self, address: Address, folder: str, name: str, progress: Optional[Progress]) -> None:
        self._address = address
        self._folder = folder
        self._name = name
        self._progress = progress
        self._download = Download.resume(folder, name, address.url)

    @property
    def length(self) -> int:
        """Bytes that are here."""
        return self._download.length if self._download is not None else 0

    @property
    def range_headers(self) -> Dict[str, str]:
        """The headers that ask for what is missing; none where everything is."""
        download = self._download
        if download is None or not download.length or download.validator is None:
            return {}
        return {"Range": f"bytes={download.length}-", "If-Range": download.validator}

    def run(self, answer: Answer) -> bool:
        """Take what an answer brings; whether everything is here. Raises Failure where it breaks off."""
        if answer.response.status == 416:
            # What is here does not fit what the server has now.
            answer.skip()
            if self._download is not None:
                self._download.restart(None)
            return False
        total = self._prepare(answer)
        if total is not None and total > MAX_FILE_SIZE:
            raise SymbolError(f"the file would take {total} bytes, more than the {MAX_FILE_SIZE} allowed")
        download = self._download
        assert download is not None
        for piece in answer.body(MAX_FILE_SIZE):
            if download.length + len(piece) > MAX_FILE_SIZE:
                raise SymbolError(f"the file has more than the {MAX_FILE_SIZE} bytes allowed")
            download.write(piece)
            if self._progress is not None:
                self._progress(self._name, download.length, total)
        # A server may send less than it was asked for.
        return total is None or download.length >= total

    def _prepare(self, answer: Answer) -> Optional[int]:
        """Place the Download where the answer's first byte belongs; the size of the whole file, None where unknown."""
        length = answer.response.length
        if answer.response.status == 206:
            start, total = _content_range(answer.header("Content-Range"))
            if self._download is None or start != self._download.length:
                raise SymbolError("a part of the file that was not asked for")
            return total
        if self._download is None:
            self._download = Download(self._folder, self._name, self._address.url)
        self._download.restart(answer.validator)
        return length if not answer.header("Content-Encoding") else None

    def finish(self) -> str:
        """Everything is here: the path of the file."""
        assert self._download is not None
        download, self._download = self._download, None
        return download.finish()

    def interrupt(self) -> None:
        """Keep what is here for another try."""
        if self._download is not None:
            self._download.interrupt()
            self._download = None

    def discard(self) -> None:
        """Remove what is here; nothing after `finish` or `interrupt`."""
        if self._download is not None:
            self._download.discard()
            self._download = None


def _content_range(text: str) -> Tuple[int, Optional[int]]:
    """(first byte, size of the whole) of `bytes 100-199/200`. Raises SymbolError."""
    unit, _, rest = text.partition(" ")
    span, _, total = rest.partition("/")
    start = span.partition("-")[0]
    if unit.lower() != "bytes" or not start.isdecimal() or len(start) > 18 or len(total) > 18:
        raise SymbolError("a part of the file without a usable Content-Range")
    return int(start), int(total) if total.isdecimal() else None
