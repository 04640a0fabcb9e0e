"""A symbol server on the loopback interface, with real sockets and every bad manner that a test asks for."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Callable, Dict, List, Optional, Tuple

Handler = BaseHTTPRequestHandler
Behaviour = Callable[[Handler], None]


class _RequestHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SymbolServerFixture

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        behaviour = self.server.routes.get(self.path, self.server.fallback)
        try:
            behaviour(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def do_CONNECT(self) -> None:
        """Be a proxy, but for hosts that are not here."""
        self.server.requests.append((self.path, dict(self.headers)))
        host, _, port = self.path.rpartition(":")
        self.close_connection = True
        if host != "127.0.0.1":
            status(403)(self)
            return
        with socket.create_connection((host, int(port)), 5) as target:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: target, target: self.connection}
            while True:
                for readable in select.select(list(ends), [], [], 5)[0]:
                    data = readable.recv(65536)
                    if not data:
                        return
                    ends[readable].sendall(data)

    def log_message(self, format: str, *args: object) -> None:
        """Tests are quiet."""


class SymbolServerFixture(ThreadingHTTPServer):
    """`routes` says by path how to answer; `requests` holds (path, headers) of every request."""

    daemon_threads = True

    def __init__(self, certificate: Optional[Tuple[str, str]] = None) -> None:
        """`certificate` (and its key) make it speak HTTPS."""
        super().__init__(("127.0.0.1", 0), _RequestHandler)
        self._scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
            self._scheme = "https"
        self.routes: Dict[str, Behaviour] = {}
        self.fallback: Behaviour = status(404)
        self.requests: List[Tuple[str, Dict[str, str]]] = []
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.server_address[1]}/sym"

    def __enter__(self) -> SymbolServerFixture:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.shutdown()
        self._thread.join()
        self.socket.close()

    def paths(self) -> List[str]:
        return [path for path, _ in self.requests]

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what these tests are about."""


def status(code: int, body: bytes = b"no", **headers: str) -> Behaviour:
    def behave(handler: Handler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def content(data: bytes, etag: Optional[str] = None, **headers: str) -> Behaviour:
    """A file, with ranges where it has an ETag."""

    def behave(handler: Handler) -> None:
        start = 0
        wanted = handler.headers.get("Range")
        if etag and wanted and handler.headers.get("If-Range") == etag:
            start = int(wanted.split("=")[1].rstrip("-"))
            if start >= len(data):
                status(416)(handler)
                return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if etag:
            handler.send_header("ETag", etag)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        handler.wfile.write(data[start:])

    return behave


def redirect(location: str, code: int = 302) -> Behaviour:
    return status(code, b"", Location=location)


def cut_off(data: bytes, after: int, etag: Optional[str] = None, times: int = 1 << 30) -> Behaviour:
    """Announces everything (of what is asked for), sends `after` bytes and hangs up, `times` times."""
    left = [times]

    def behave(handler: Handler) -> None:
        if not left[0]:
            content(data, etag)(handler)
            return
        left[0] -= 1
        start = 0
        if etag and handler.headers.get("If-Range") == etag:
            start = int(handler.headers["Range"].split("=")[1].rstrip("-"))
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if etag:
            handler.send_header("ETag", etag)
        handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        handler.wfile.write(data[start : start + after])
        handler.wfile.flush()
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    return behave


def stalled(before: bytes = b"") -> Behaviour:
    """Sends `before` as it is and then nothing, without hanging up."""

    def behave(handler: Handler) -> None:
        handler.wfile.write(before)
        handler.wfile.flush()
        handler.server.stopping.wait(20)  # type: ignore[attr-defined]
        handler.close_connection = True

    return behave


def trickling(data: bytes, seconds: float = 1.0) -> Behaviour:
    """One byte a second, as it is."""

    def behave(handler: Handler) -> None:
        for byte in data:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            if handler.server.stopping.wait(seconds):  # type: ignore[attr-defined]
                break
        handler.close_connection = True

    return behave


def raw(data: bytes) -> Behaviour:
    """These bytes as the whole answer."""

    def behave(handler: Handler) -> None:
        handler.wfile.write(data)
        handler.wfile.flush()
        handler.close_connection = True

    return behave


class Silent:
    """A port that accepts nobody: its queue is full, so that connections to it hang."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(0)
        self._queued: List[socket.socket] = []
        for _ in range(4):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(self._socket.getsockname())
            self._queued.append(waiting)
        time.sleep(0.05)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/sym"

    def close(self) -> None:
        for waiting in self._queued:
            waiting.close()
        self._socket.close()
