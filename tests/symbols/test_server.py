"""Symbol servers on the loopback interface: every answer there is, good and bad, and the time each may cost."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import List, Optional, Tuple

import pytest
from dumpkit.errors import SymbolError
from dumpkit.symbols import download as download_module
from dumpkit.symbols import server as server_module
from dumpkit.symbols.connection import parse_address
from dumpkit.symbols.download import Download
from dumpkit.symbols.finder import SymbolFinder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.forge.cabinet import cabinet, lzx
from tests.forge.small_image import image
from tests.forge.small_pdb import GUID, pdb
from tests.forge.symbol_server import (
    Behaviour,
    Silent,
    SymbolServerFixture,
    content,
    cut_off,
    raw,
    redirect,
    stalled,
    status,
    trickling,
)

KEY = f"{GUID}1"
PLACE = f"/sym/made.pdb/{KEY}/made.pdb"
COMPRESSED = f"/sym/made.pdb/{KEY}/made.pd_"
POINTER = f"/sym/made.pdb/{KEY}/file.ptr"
PDB = pdb(size=300_000)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with SymbolServerFixture() as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def finder(server: SymbolServerFixture, cache: Path, **options) -> SymbolFinder:
    return SymbolFinder(f"srv*{cache}*{server.url}", **options)


def find(found: SymbolFinder) -> str:
    return found.find_pdb("made.pdb", GUID, 1)


def files(folder: Path) -> List[str]:
    """Everything that lies below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def failure(found: SymbolFinder) -> str:
    with pytest.raises(SymbolError) as caught:
        find(found)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What works


def test_a_file_is_fetched_into_the_store_and_the_next_time_found_there(server, cache):
    server.routes[PLACE] = content(PDB)
    path = find(finder(server, cache))
    assert path == str(cache / "made.pdb" / KEY / "made.pdb")
    assert Path(path).read_bytes() == PDB
    assert files(cache) == ["made.pdb", f"made.pdb/{KEY}", f"made.pdb/{KEY}/made.pdb"]
    assert find(finder(server, cache)) == path
    assert server.paths() == [PLACE]


def test_an_image_is_fetched_by_its_time_stamp_and_size(server, cache):
    server.routes["/sym/My%20Driver.sys/5F0000013b000/My%20Driver.sys"] = content(image(size=0x3B000))
    path = finder(server, cache).find_image("\\SystemRoot\\My Driver.sys", 0x5F000001, 0x3B000)
    assert path == str(cache / "My Driver.sys" / "5F0000013b000" / "My Driver.sys")


def test_a_redirect_is_followed_and_credentials_stay_at_home(server, cache):
    with SymbolServerFixture() as other:
        server.routes[PLACE] = redirect(f"{other.url}/else%20where")
        other.routes["/sym/else%20where"] = content(PDB)
        url = server.url.replace("://", "://me:secret@")
        found = SymbolFinder(f"srv*{cache}*{url}")
        assert Path(find(found)).read_bytes() == PDB
        assert server.requests[0][1]["Authorization"] == "Basic bWU6c2VjcmV0"
        assert "Authorization" not in other.requests[0][1]
        assert "secret" not in " ".join(str(attempt) for attempt in found.trail)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_every_kind_of_redirect_is_followed_relative_ones_too(server, cache, code):
    server.routes[PLACE] = redirect("../../../elsewhere", code)
    server.routes["/elsewhere"] = content(PDB)
    assert Path(find(finder(server, cache))).read_bytes() == PDB


@pytest.mark.parametrize("compression", [1, lzx(18)])
def test_a_compressed_file_is_unpacked_into_the_store(server, cache, compression):
    server.routes[COMPRESSED] = content(cabinet([("made.pdb", PDB)], compression))
    path = find(finder(server, cache))
    assert Path(path).read_bytes() == PDB
    assert files(cache)[2:] == [f"made.pdb/{KEY}/made.pdb"]
    assert server.paths() == [PLACE, COMPRESSED]


def test_a_three_tiered_server_is_asked_where_its_files_lie(server, cache):
    server.routes["/sym/index2.txt"] = content(b".")
    server.routes[f"/sym/ma/made.pdb/{KEY}/made.pdb"] = content(PDB)
    found = finder(server, cache)
    assert Path(find(found)).read_bytes() == PDB
    with pytest.raises(SymbolError):
        found.find_pdb("other.pdb", GUID, 1)
    assert server.paths()[-3:] == [f"/sym/ot/other.pdb/{KEY}/{leaf}" for leaf in ("other.pdb", "other.pd_", "file.ptr")]
    assert server.paths().count("/sym/index2.txt") == 1


def test_one_connection_serves_many_requests(server, cache):
    connections = []
    original = server.process_request
    server.process_request = lambda *arguments: (connections.append(1), original(*arguments))
    server.routes["/sym/third.pdb/" + KEY + "/third.pdb"] = content(PDB)
    found = finder(server, cache)
    for name in ("first.pdb", "second.pdb"):
        with pytest.raises(SymbolError):
            found.find_pdb(name, GUID, 1)
    found.find_pdb("third.pdb", GUID, 1)
    assert len(server.requests) == 8
    assert len(connections) == 1
    found.close()


def test_a_connection_that_the_server_closed_meanwhile_is_opened_anew(server, cache):
    def once(handler):
        status(404)(handler)
        handler.close_connection = True

    server.routes[PLACE] = once
    server.routes[COMPRESSED] = content(cabinet([("made.pdb", PDB)]))
    assert Path(find(finder(server, cache))).read_bytes() == PDB


def test_a_body_in_chunks_is_read(server, cache):
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (PDB[:1000], PDB[1000:]))
    server.routes[PLACE] = raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    assert Path(find(finder(server, cache))).read_bytes() == PDB


def test_a_body_that_ends_with_the_connection_is_read(server, cache):
    server.routes[PLACE] = raw(b"HTTP/1.0 200 OK\r\n\r\n" + PDB)
    assert Path(find(finder(server, cache))).read_bytes() == PDB


def test_a_body_compressed_on_the_way_is_read(server, cache):
    server.routes[PLACE] = content(gzip.compress(PDB), Content_Encoding="gzip")
    assert Path(find(finder(server, cache))).read_bytes() == PDB


def test_progress_is_told_while_a_file_arrives(server, cache):
    told: List[Tuple[str, int, Optional[int]]] = []
    server.routes[PLACE] = content(PDB)
    find(finder(server, cache, progress=lambda *state: told.append(state)))
    assert told[-1] == ("made.pdb", len(PDB), len(PDB))
    assert [state[1] for state in told] == sorted(state[1] for state in told)


def test_what_is_found_is_kept_in_every_store_of_the_chain(server, tmp_path):
    server.routes[PLACE] = content(PDB)
    chain = f"srv*{tmp_path / 'near'}*{tmp_path / 'middle'}*{server.url}"
    assert find(SymbolFinder(chain)) == str(tmp_path / "near" / "made.pdb" / KEY / "made.pdb")
    assert (tmp_path / "middle" / "made.pdb" / KEY / "made.pdb").read_bytes() == PDB


def test_a_cache_before_a_bare_server_holds_its_files(server, tmp_path):
    server.routes[PLACE] = content(PDB)
    assert find(SymbolFinder(f"cache*{tmp_path / 'c'};srv*{server.url}")).startswith(str(tmp_path / "c"))


def test_without_a_store_the_default_store_holds_the_files(server, tmp_path, monkeypatch):
    monkeypatch.setenv("DBGHELP_HOMEDIR", str(tmp_path / "home"))
    server.routes[PLACE] = content(PDB)
    assert find(SymbolFinder(f"srv*{server.url}")).startswith(str(tmp_path / "home" / "sym"))


# Answers that are no file: a clear line each, nothing written


def page(code: int = 200) -> Behaviour:
    return status(code, b"<html><body>Sorry!</body></html>", Content_Type="text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (status(404), "404 Not Found"),
        (status(403), "403 Forbidden"),
        (status(410), "410 Gone"),
        (status(500), "500 Internal Server Error"),
        (status(503), "503 Service Unavailable"),
        (status(401), "401 Unauthorized"),
        (status(418), "418 I'm a Teapot"),
        (page(), "a web page instead of the file (200 OK)"),
        (status(200, b"<html>", Content_Type="application/octet-stream"), "a web page instead of the file (200 OK)"),
        (status(200, b"", Content_Type="application/octet-stream"), "not a PDB"),
        (content(pdb("FF" * 16)), f"is {'FF' * 16}1, not {KEY}"),
        (content(image()), "it is an image, not a PDB"),
        (redirect("ftp://127.0.0.1/x"), "a redirect that cannot be followed: not a web address that can be asked"),
        (redirect("http://[/x"), "a redirect that cannot be followed"),
        (redirect("http://127.0.0.1:99999/x"), "a redirect that cannot be followed"),
        (status(302), "302 Found without a place to go to"),
        (redirect("made.pdb"), "more than 5 redirects"),
        (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "it does not speak HTTP"),
        (raw(b""), "it hung up"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n"), "it does not speak HTTP"),
        (raw(b"HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n\r\nabc"), "a part of the file without a usable"),
        (raw(b"HTTP/1.1 206 P\r\nContent-Range: bytes 5-7/8\r\nContent-Length: 3\r\n\r\nabc"), "not asked for"),
        (content(b"x", Content_Encoding="br"), "content encoding 'br' is not supported"),
        (content(b"no gzip", Content_Encoding="gzip"), "damaged gzip data"),
        (content(gzip.compress(PDB)[:500], Content_Encoding="gzip"), "gzip data that ends too early"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n"), "would take 9999999999 bytes, more than"),
    ],
)
def test_an_answer_that_is_no_file_is_told_in_one_line_and_leaves_nothing(server, cache, behaviour, words):
    server.routes[PLACE] = behaviour
    before = time.monotonic()
    message = failure(finder(server, cache))
    assert f"{server.url}: " in message
    assert words in message
    assert time.monotonic() - before < 3
    assert files(cache) == []


def test_a_server_that_answers_everything_with_a_page_has_no_file_and_no_tiers(server, cache):
    server.fallback = page()
    assert f"{server.url}: a web page instead of the file (200 OK)" in failure(finder(server, cache))
    assert server.paths() == [PLACE, COMPRESSED, POINTER, "/sym/index2.txt"]
    assert files(cache) == []


def test_a_pointer_of_a_web_server_is_told_and_not_followed(server, cache, tmp_path):
    secret = tmp_path / "made.pdb"
    secret.write_bytes(PDB)
    server.routes[POINTER] = content(f"PATH:{secret}".encode())
    assert f"points to {secret}, which is not followed for a web address" in failure(finder(server, cache))
    server.routes[POINTER] = content(b"MSG: ask Jane")
    assert "the store says: ask Jane" in failure(finder(server, cache))
    assert files(cache) == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (cabinet([("made.pdb", pdb("AA" * 16))]), f"is {'AA' * 16}1, not {KEY}"),
        (cabinet([("made.pdb", PDB)])[:-9], "the cabinet is cut off"),
        (b"MSCF" + bytes(100), "the cabinet|no made.pdb"),
        (PDB, "not a cabinet"),
    ],
)
def test_a_compressed_file_that_is_none_or_the_wrong_one_leaves_nothing(server, cache, data, words):
    server.routes[COMPRESSED] = content(data)
    message = failure(finder(server, cache))
    assert any(word in message for word in words.split("|"))
    assert ".tmp" not in message
    assert files(cache) == []


def test_a_bomb_is_refused_before_it_is_unpacked(server, cache, monkeypatch):
    from dumpkit.symbols import downstream

    monkeypatch.setattr(downstream, "MAX_FILE_SIZE", 1 << 20)
    server.routes[COMPRESSED] = content(cabinet([("made.pdb", bytes(3 << 20))]))
    assert "would take 3145728 bytes, more than the 1048576 allowed" in failure(finder(server, cache))
    assert files(cache) == []


@pytest.mark.parametrize(
    "behaviour",
    [
        raw(b"HTTP/1.0 200 OK\r\n\r\n" + bytes(3 << 20)),
        content(gzip.compress(bytes(3 << 20)), Content_Encoding="gzip"),
    ],
)
def test_a_body_without_end_is_cut_short(server, cache, monkeypatch, behaviour):
    monkeypatch.setattr(server_module, "MAX_FILE_SIZE", 1 << 20)
    server.routes[PLACE] = behaviour
    assert "more than the 1048576 bytes allowed" in failure(finder(server, cache))
    assert files(cache) == []


def test_redirects_go_no_further_than_five_times(server, cache):
    for step in range(9):
        server.routes[f"/{step}"] = redirect(f"/{step + 1}")
    server.routes[PLACE] = redirect("/0")
    assert "more than 5 redirects" in failure(finder(server, cache))
    assert len([path for path in server.paths() if path[1:].isdigit()]) == 5


GOOD_ANSWERS = [
    b'HTTP/1.1 200 OK\r\nContent-Length: 2000\r\nETag: "a"\r\n\r\n' + PDB[:2000],
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + PDB[:0x400] + b"\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(PDB[:2000]),
    b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answer=st.sampled_from(GOOD_ANSWERS),
    cut=st.integers(0, 2100),
    flips=st.dictionaries(st.integers(0, 120), st.integers(0, 255), max_size=6),
)
def test_whatever_bytes_a_server_sends_the_user_sees_one_line(server, cache, answer, cut, flips):
    damaged = bytearray(answer)
    for at, value in flips.items():
        damaged[at % len(damaged)] = value
    server.routes[PLACE] = raw(bytes(damaged[:cut]))
    failure(finder(server, cache))
    assert not [path for path in cache.rglob("*") if path.name.endswith((".pdb", ".tmp")) and path.is_file()]


# Servers that cost time


def seconds_for(work) -> float:
    before = time.monotonic()
    work()
    return time.monotonic() - before


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
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: time.sleep(8))
    found = SymbolFinder(f"srv*{tmp_path}*http://slow.invalid/sym")
    assert seconds_for(lambda: failure(found)) < 2.5
    assert "its name does not resolve in " in failure(found)


def test_a_plain_server_behind_https_is_told(server, tmp_path):
    message = failure(SymbolFinder(f"srv*{tmp_path}*{server.url.replace('http:', 'https:')}"))
    assert "no secure connection" in message


def test_one_error_of_a_server_is_forgiven_and_a_second_one_is_not(server, cache):
    server.routes[PLACE] = status(500)
    server.fallback = status(500)
    found = finder(server, cache)
    failure(found)
    with pytest.raises(SymbolError, match="500 Internal Server Error"):
        found.find_pdb("second.pdb", GUID, 1)
    asked = len(server.requests)
    with pytest.raises(SymbolError, match="not asked again: 500 Internal Server Error"):
        found.find_pdb("third.pdb", GUID, 1)
    assert len(server.requests) == asked


def test_a_miss_is_not_asked_for_twice_until_it_is_forgotten(server, cache):
    found = finder(server, cache)
    failure(found)
    asked = len(server.requests)
    failure(found)
    assert len(server.requests) == asked
    server.routes[PLACE] = content(PDB)
    found.forget()
    assert Path(find(found)).read_bytes() == PDB


def test_offline_no_server_is_asked(server, cache):
    server.routes[PLACE] = content(PDB)
    assert f"{server.url}: not asked (offline)" in failure(finder(server, cache, offline=True))
    assert server.requests == []


def test_a_proxy_is_asked_in_the_servers_place(server, cache, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url.replace("/sym", "").replace("://", "://me:pw@"))
    monkeypatch.setenv("no_proxy", "")
    server.routes[f"http://symbols.invalid{PLACE}"] = content(PDB)
    path = find(SymbolFinder(f"srv*{cache}*http://symbols.invalid/sym"))
    assert Path(path).read_bytes() == PDB
    assert server.requests[0][1]["Proxy-Authorization"] == "Basic bWU6cHc="
    assert server.requests[0][1]["Host"] == "symbols.invalid"


# Transfers that break off


def test_a_transfer_that_breaks_off_goes_on_where_it_was(server, cache):
    server.routes[PLACE] = cut_off(PDB, 100_000, etag='"v1"', times=2)
    assert Path(find(finder(server, cache))).read_bytes() == PDB
    assert [headers.get("Range") for _, headers in server.requests] == [None, "bytes=100000-", "bytes=200000-"]
    assert server.requests[1][1]["If-Range"] == '"v1"'
    assert files(cache)[2:] == [f"made.pdb/{KEY}/made.pdb"]


def test_a_server_that_sends_less_than_it_is_asked_for_is_asked_for_the_rest(server, cache):
    """What ranges there are, ten thousand bytes at a time."""

    def in_parts(handler):
        wanted = handler.headers.get("Range")
        if wanted is None:
            cut_off(PDB, 150_000, etag='"v1"')(handler)
            return
        start = int(wanted.split("=")[1].rstrip("-"))
        piece = PDB[start : start + 10_000]
        span = f"bytes {start}-{start + len(piece) - 1}/{len(PDB)}"
        status(206, piece, ETag='"v1"', Content_Range=span)(handler)

    server.routes[PLACE] = in_parts
    assert Path(find(finder(server, cache))).read_bytes() == PDB
    assert len(server.requests) == 1 + -(-(len(PDB) - 150_000) // 10_000)


def test_what_arrived_is_gone_on_with_in_the_next_session(server, cache):
    server.routes[PLACE] = cut_off(PDB, 80_000, etag='"v1"')
    assert "cut off after 80000 of" in failure(finder(server, cache))
    assert files(cache)[2:] == [f"made.pdb/{KEY}/made.pdb.partial"]
    server.routes[PLACE] = content(PDB, '"v1"')
    server.requests.clear()
    assert Path(find(finder(server, cache))).read_bytes() == PDB
    assert server.requests[0][1]["Range"] == "bytes=240000-"
    assert files(cache)[2:] == [f"made.pdb/{KEY}/made.pdb"]


def test_a_file_that_changed_meanwhile_is_fetched_anew(server, cache):
    server.routes[PLACE] = cut_off(pdb("BB" * 16, size=300_000), 80_000, etag='"v1"')
    failure(finder(server, cache))
    server.routes[PLACE] = content(PDB, '"v2"')
    assert Path(find(finder(server, cache))).read_bytes() == PDB


def test_a_range_that_the_server_does_not_have_starts_the_file_anew(server, cache):
    server.routes[PLACE] = cut_off(PDB, 80_000, etag='"v1"')
    failure(finder(server, cache))

    def no_range(handler):
        (status(416) if handler.headers.get("Range") else content(PDB))(handler)

    server.routes[PLACE] = no_range
    assert Path(find(finder(server, cache))).read_bytes() == PDB


def test_without_a_validator_nothing_is_kept_of_a_broken_transfer(server, cache):
    server.routes[PLACE] = cut_off(PDB, 100_000)
    assert f"cut off after 100000 of {len(PDB)} bytes" in failure(finder(server, cache))
    assert files(cache) == []


def test_a_damaged_partial_file_is_not_gone_on_with(server, cache):
    partial = cache / "made.pdb" / KEY / "made.pdb.partial"
    partial.parent.mkdir(parents=True)
    for damage in (b"", b"junk", bytes(100_000), b"{}\x02\0\0\0dumpkit1", b"x" * 9 + b"\xff\xff\xff\xffdumpkit1"):
        partial.write_bytes(damage)
        server.routes[PLACE] = content(PDB, '"v1"')
        assert Path(find(finder(server, cache))).read_bytes() == PDB
        assert "Range" not in server.requests[-1][1]
        (partial.parent / "made.pdb").unlink()
    assert files(cache)[2:] == []


def test_a_transfer_that_the_user_breaks_off_can_be_gone_on_with(server, cache):
    def interrupt(_name, done, _total):
        if done > 100_000:
            raise KeyboardInterrupt

    server.routes[PLACE] = content(PDB, '"v1"')
    with pytest.raises(KeyboardInterrupt):
        find(finder(server, cache, progress=interrupt))
    assert files(cache)[2:] == [f"made.pdb/{KEY}/made.pdb.partial"]
    assert Path(find(finder(server, cache))).read_bytes() == PDB
    assert server.requests[-1][1]["Range"].startswith("bytes=1")


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path):
    old, new = tmp_path / "a.pdb.1-aa.tmp", tmp_path / "a.pdb.2-bb.tmp"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (1, 1))
    Download(str(tmp_path), "a.pdb", "http://h/a").discard()
    assert (old.exists(), new.exists()) == (False, True)


def test_a_store_that_cannot_be_written_to_is_told(server, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    server.routes[PLACE] = content(PDB)
    assert f"nowhere to keep it: {blocked} cannot be written to" in failure(SymbolFinder(f"srv*{blocked}*{server.url}"))


def test_a_full_disk_is_told_and_leaves_nothing(server, cache, monkeypatch):
    def full(self, data):
        raise SymbolError(f"{self.path}: No space left on device")

    monkeypatch.setattr(download_module.Download, "write", full)
    server.routes[PLACE] = content(PDB)
    assert "No space left on device" in failure(finder(server, cache))
    assert files(cache) == []


FETCH = """
import sys
from dumpkit.symbols.finder import SymbolFinder
path = SymbolFinder(f"srv*{sys.argv[1]}*{sys.argv[2]}").find_pdb("made.pdb", sys.argv[3], 1)
print(len(open(path, "rb").read()))
"""


def test_processes_that_fetch_one_file_at_once_do_not_break_each_other(server, cache):
    # Slow enough for them to meet, and one of them finds a partial file to go on with.
    server.routes[PLACE] = cut_off(PDB, 100_000, etag='"v1"')
    failure(finder(server, cache))

    def slowly(handler):
        time.sleep(0.3)
        content(PDB, '"v1"')(handler)

    server.routes[PLACE] = slowly
    command = [sys.executable, "-c", FETCH, str(cache), server.url, GUID]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=30)[0].strip() for process in processes] == [str(len(PDB))] * 4
    assert files(cache)[2:] == [f"made.pdb/{KEY}/made.pdb"]


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
