"""Connections to symbol servers: what each may cost, proxies, HTTPS, and addresses."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Tuple

import pytest
from dumpkit.errors import SymbolError
from dumpkit.symbols.connection import parse_address
from dumpkit.symbols.finder import SymbolFinder

from tests.forge.small_pdb import GUID
from tests.forge.symbol_server import (
    Silent,
    SymbolServerFixture,
    content,
    redirect,
    stalled,
    trickling,
)
from tests.symbols.served import PDB, PLACE, failure, files, find, finder, seconds_for

pytestmark = pytest.mark.usefixtures("no_proxy")


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (stalled(), "no answer in "),
        (stalled(b"HTTP/1.1 200 OK\r\nContent-Le"), "no answer in "),
        (stalled(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + PDB[:100]), "only 100 bytes in "),
        (trickling(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 0.1), "no answer in "),
    ],
    ids=["silent", "silent in the headers", "silent in the body", "trickling headers"],
)
def test_a_server_that_stops_answering_costs_a_second_and_a_half_once(server, cache, behaviour, words):
    server.routes[PLACE] = behaviour
    found = finder(server, cache)
    assert seconds_for(lambda: failure(found)) < 2.5
    assert words in str(found.trail[-1])
    # The host is not asked again in this session, whatever file is wanted.
    asked = len(server.requests)
    before = time.monotonic()
    with pytest.raises(SymbolError, match="not asked again: "):
        found.find_pdb("other.pdb", GUID, 1)
    assert time.monotonic() - before < 0.5
    assert len(server.requests) == asked
    assert files(cache) == []


def test_a_server_that_sends_a_byte_a_second_is_given_up(server, cache):
    server.routes[PLACE] = lambda handler: (
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n"),
        trickling(PDB, 1.0)(handler),
    )
    found = finder(server, cache)
    assert seconds_for(lambda: failure(found)) < 2.5
    assert "bytes in 1." in str(found.trail[-1])
    assert files(cache) == []


def test_no_session_loses_more_than_three_seconds_however_many_servers_fail(tmp_path):
    servers = [SymbolServerFixture() for _ in range(5)]
    for running in servers:
        running.__enter__()
        running.fallback = stalled()
    try:
        found = SymbolFinder(";".join(f"srv*{tmp_path}*{running.url}" for running in servers))
        spent = seconds_for(lambda: failure(found))
        for number in range(20):
            with pytest.raises(SymbolError):
                found.find_pdb(f"more{number}.pdb", GUID, 1)
        assert spent < 3.5
        assert "no answer in" in failure(found)
    finally:
        for running in servers:
            running.__exit__()


def test_a_server_behind_a_dead_one_is_still_asked(server, tmp_path):
    server.routes[PLACE] = content(PDB)
    with SymbolServerFixture() as dead:
        dead.fallback = stalled()
        assert Path(find(SymbolFinder(f"srv*{tmp_path / 'a'}*{dead.url};srv*{tmp_path / 'b'}*{server.url}"))).exists()


def test_a_host_that_lets_connections_hang_costs_little(tmp_path):
    silent = Silent()
    try:
        found = SymbolFinder(f"srv*{tmp_path}*{silent.url}")
        assert seconds_for(lambda: failure(found)) < 2.5
        assert "no connection in " in failure(found)
    finally:
        silent.close()


def test_a_port_where_nobody_listens_is_told_at_once(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    found = SymbolFinder(f"srv*{tmp_path}*http://127.0.0.1:{port}/sym")
    assert seconds_for(lambda: failure(found)) < 1.0
    assert f"http://127.0.0.1:{port}/sym: connection refused" in failure(found)


def test_a_name_that_does_not_resolve_is_told(tmp_path, monkeypatch):
    def unknown(*_arguments, **_options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "http://no.such.host.invalid/sym: its name does not resolve" in failure(
        SymbolFinder(f"srv*{tmp_path}*http://no.such.host.invalid/sym")
    )


def test_a_name_server_that_does_not_answer_costs_little(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: time.sleep(8) or [])
    found = SymbolFinder(f"srv*{tmp_path}*http://slow.invalid/sym")
    assert seconds_for(lambda: failure(found)) < 2.5
    assert "its name does not resolve in " in failure(found)


def test_a_plain_server_behind_https_is_told(server, tmp_path):
    message = failure(SymbolFinder(f"srv*{tmp_path}*{server.url.replace('http:', 'https:')}"))
    assert "no secure connection" in message


def test_a_proxy_is_asked_in_the_servers_place(server, cache, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url.replace("/sym", "").replace("://", "://me:pw@"))
    monkeypatch.setenv("no_proxy", "")
    server.routes[f"http://symbols.invalid{PLACE}"] = content(PDB)
    path = find(SymbolFinder(f"srv*{cache}*http://symbols.invalid/sym"))
    assert Path(path).read_bytes() == PDB
    assert server.requests[0][1]["Proxy-Authorization"] == "Basic bWU6cHc="
    assert server.requests[0][1]["Host"] == "symbols.invalid"


# HTTPS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Tuple[str, str]:
    """(certificate, key) of 127.0.0.1, signed by itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = str(folder / "c.pem"), str(folder / "k.pem")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def secure(certificate):
    with SymbolServerFixture(certificate) as running:
        yield running


def test_a_file_is_fetched_over_https_where_the_certificate_is_trusted(secure, cache, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", certificate[0])
    secure.routes[PLACE] = content(PDB)
    assert Path(find(finder(secure, cache))).read_bytes() == PDB


def test_a_certificate_that_is_not_trusted_is_told(secure, cache):
    secure.routes[PLACE] = content(PDB)
    assert f"{secure.url}: its certificate is not trusted (self" in failure(finder(secure, cache))
    assert files(cache) == []


def test_a_redirect_away_from_https_is_not_followed(secure, server, cache, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", certificate[0])
    secure.routes[PLACE] = redirect(f"{server.url}/x")
    server.fallback = content(PDB)
    assert "a redirect away from https" in failure(finder(secure, cache))
    assert server.requests == []


def test_a_handshake_that_hangs_costs_little(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        found = SymbolFinder(f"srv*{tmp_path}*https://127.0.0.1:{silent.getsockname()[1]}/sym")
        assert seconds_for(lambda: failure(found)) < 2.5
        assert "no secure connection in time" in failure(found)


def test_https_goes_through_a_tunnel_of_the_proxy(secure, server, cache, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", certificate[0])
    monkeypatch.setenv("https_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    secure.routes[PLACE] = content(PDB)
    assert Path(find(finder(secure, cache))).read_bytes() == PDB
    assert server.paths() == [f"127.0.0.1:{secure.server_address[1]}"]


def test_a_proxy_that_refuses_is_told(server, cache, monkeypatch):
    monkeypatch.setenv("https_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    message = failure(SymbolFinder(f"srv*{cache}*https://refused.invalid:1/sym"))
    assert "answered 403" in message
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
    message = failure(SymbolFinder(f"srv*{cache}*https://refused.invalid/sym"))
    assert "the proxy for it cannot be used" in message


# Addresses


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("http://host", "http://host", "/"),
        ("HTTPS://Host:443/a/b?c=d#e", "https://host", "/a/b?c=d"),
        ("http://me:pw@host:8080/x", "http://host:8080", "/x"),
        ("http://[::1]:80/x", "http://[::1]", "/x"),
        ("http://bücher.example/x", "http://xn--bcher-kva.example", "/x"),
    ],
)
def test_an_address_is_taken_apart(url, origin, target):
    address = parse_address(url)
    assert (address.origin, address.target) == (origin, target)
    assert "pw" not in address.url


@pytest.mark.parametrize(
    "url",
    ["", "ftp://h/", "http://", "http://h:x/", "http://h/a b", "http://h/\r\nX: y", "http://h st/", "http://h/\xe4"],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(SymbolError, match="web address"):
        parse_address(url)
