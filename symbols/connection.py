"""One HTTP/1.1 connection on which every wait ends at a deadline.

The standard library's time-outs hold for one system call each, so that a name server that does not
answer, or a peer that sends a byte a second, gets past them. Here the name is resolved in a thread of
its own, and every read of a response is given what is left until the deadline.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from http.client import HTTPException, HTTPResponse
from urllib.parse import unquote, urlsplit

from dumpkit.errors import SymbolError
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Tuple

    from typing_extensions import TypeAlias

_AGENT = "Microsoft-Symbol-Server/10.0.0.0 (compatible; dumpkit)"


class Address(NamedTuple):
    """The parts of a web address that matter here. `target` is the path and query, percent-encoded."""

    scheme: str
    host: str
    port: int
    target: str
    #: "user:password", or "".
    credentials: str

    @property
    def origin(self) -> str:
        """Scheme, host and port, fit to be shown."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == (443 if self.scheme == "https" else 80)
        return f"{self.scheme}://{host}" if usual else f"{self.scheme}://{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address without credentials."""
        return self.origin + self.target


def parse_address(url: str) -> Address:
    """Raises SymbolError where `url` is no web address that can be asked."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
    except ValueError as error:
        raise SymbolError(f"not a web address ({error})") from error
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https") or not host or any(not 0x21 <= ord(letter) < 0x7F for letter in host):
        raise SymbolError("not a web address that can be asked")
    if not target.isascii() or any(not 0x21 <= ord(letter) < 0x7F for letter in target):
        raise SymbolError("a web address with characters that it may not have")
    credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}" if parts.username else ""
    return Address(scheme, host, port or (443 if scheme == "https" else 80), target, credentials)


class Failure(SymbolError):
    """The server could not be talked to: the text is a clause such as "no answer in 1.5 s"."""


class Connection:
    """A connection to an address' host, through the proxy that the system names for it."""

    def __init__(self, address: Address, deadline: float) -> None:
        """Connect. `deadline` is a time of `time.monotonic()`. Raises Failure."""
        self._address = address
        self._proxy = _proxy_for(address)
        peer = self._proxy or address
        self._socket = _connect(peer.host, peer.port, deadline)
        #: When the wait for the response's next bytes ends.
        self.deadline = deadline
        try:
            if address.scheme == "https":
                if self._proxy is not None:
                    self._open_tunnel()
                self._socket = _with_tls(self._socket, address.host, deadline)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def get(self, address: Address, headers: Dict[str, str], deadline: float) -> HTTPResponse:
        """Ask for `address`, which must be of this connection's host; the response with its headers read.

        Raises Failure.
        """
        self.deadline = deadline
        target = address.target
        headers = {"User-Agent": _AGENT, "Accept": "*/*", "Accept-Encoding": "identity", **headers}
        if address.credentials:
            headers["Authorization"] = _basic(address.credentials)
        if self._proxy is not None and address.scheme == "http":
            target = address.url
            if self._proxy.credentials:
                headers["Proxy-Authorization"] = _basic(self._proxy.credentials)
        host = address.origin.split("://", 1)[1]
        return self._exchange("GET", target, {"Host": host, **headers})

    def _open_tunnel(self) -> None:
        assert self._proxy is not None
        target = f"{self._address.host}:{self._address.port}"
        headers = {"Host": target}
        if self._proxy.credentials:
            headers["Proxy-Authorization"] = _basic(self._proxy.credentials)
        response = self._exchange("CONNECT", target, headers)
        if response.status != 200:
            raise Failure(f"the proxy {self._proxy.origin} answered {response.status} {response.reason}".rstrip())

    def _exchange(self, method: str, target: str, headers: Dict[str, str]) -> HTTPResponse:
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        started = time.monotonic()
        try:
            self._socket.settimeout(max(self.deadline - started, 0.001))
            self._socket.sendall("\r\n".join(lines).encode("latin-1"))
            # All that a response asks of a socket is makefile().
            response = HTTPResponse(_Readable(self), method=method)  # type: ignore[arg-type]
            response.begin()
        except socket.timeout as error:
            raise Failure(f"no answer in {time.monotonic() - started:.1f} s") from error
        except (OSError, HTTPException, ValueError) as error:
            raise Failure(describe(error)) from error
        return response

    def receive_into(self, buffer: memoryview) -> int:
        """Read from the socket until the deadline."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self._socket.settimeout(left)
        return self._socket.recv_into(buffer)


class _Readable:
    """What HTTPResponse takes for a socket."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._connection))


class _DeadlineReader(io.RawIOBase):
    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._connection.receive_into(buffer)


def describe(error: BaseException) -> str:
    """A failure as a clause that means something to its reader."""
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"no secure connection ({error.reason or error})"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return "it hung up"
    if isinstance(error, socket.timeout):
        return "no answer in time"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return "it does not speak HTTP"


def _basic(credentials: str) -> str:
    import base64

    return "Basic " + base64.b64encode(credentials.encode()).decode()


def _proxy_for(address: Address) -> Optional[Address]:
    """The proxy that the environment (or Windows' and macOS' settings) names for an address."""
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(address.host):
        return None
    try:
        found = parse_address(proxy if "://" in proxy else f"http://{proxy}")
    except SymbolError as error:
        raise Failure(f"the proxy for it cannot be used: {error}") from error
    if found.scheme != "http":
        raise Failure(f"the proxy {found.origin} cannot be used: only http:// proxies can")
    return found


def _connect(host: str, port: int, deadline: float) -> socket.socket:
    """A socket connected to one of the host's addresses, each of which gets its share of the time."""
    started = time.monotonic()
    candidates = _resolve(host, port, deadline)
    reason = "no address"
    for index, (family, kind, protocol, _, address) in enumerate(candidates):
        left = (deadline - time.monotonic()) / (len(candidates) - index)
        if left <= 0:
            break
        try:
            connected = socket.socket(family, kind, protocol)
        except OSError as error:
            reason = describe(error)
            continue
        try:
            connected.settimeout(left)
            connected.connect(address)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except socket.timeout:
            reason = f"no connection in {time.monotonic() - started:.1f} s"
        except OSError as error:
            reason = describe(error)
        else:
            return connected
        connected.close()
    raise Failure(reason)


_AddressInfo: TypeAlias = "Tuple[int, int, int, str, Tuple[object, ...]]"


def _resolve(host: str, port: int, deadline: float) -> List[_AddressInfo]:
    """The host's addresses, at most eight. The system's resolver knows no time-out, so it runs on its own."""
    results: List[List[_AddressInfo]] = []
    errors: List[OSError] = []

    def resolve() -> None:
        try:
            results.append([*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)])
        except (OSError, UnicodeError) as error:
            errors.append(error if isinstance(error, OSError) else OSError(str(error)))

    started = time.monotonic()
    thread = threading.Thread(target=resolve, name=f"resolve {host}", daemon=True)
    thread.start()
    thread.join(max(deadline - started, 0))
    if errors:
        raise Failure("its name does not resolve") from errors[0]
    if not results:
        raise Failure(f"its name does not resolve in {time.monotonic() - started:.1f} s")
    return results[0][:8]


def _with_tls(connected: socket.socket, host: str, deadline: float) -> socket.socket:
    import ssl

    connected.settimeout(max(deadline - time.monotonic(), 0.001))
    try:
        return ssl.create_default_context().wrap_socket(connected, server_hostname=host)
    except socket.timeout as error:
        raise Failure("no secure connection in time") from error
    except (OSError, ValueError) as error:
        raise Failure(describe(error)) from error
