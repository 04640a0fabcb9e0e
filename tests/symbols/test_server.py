"""Symbol servers on the loopback interface: every answer there is, good and bad."""

from __future__ import annotations

import gzip
import time
from pathlib import Path
from typing import List, Optional, Tuple

import pytest
from dumpkit.errors import SymbolError
from dumpkit.symbols import server as server_module
from dumpkit.symbols.finder import SymbolFinder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.forge.cabinet import cabinet, lzx
from tests.forge.small_image import image
from tests.forge.small_pdb import GUID, pdb
from tests.forge.symbol_server import (
    Behaviour,
    SymbolServerFixture,
    content,
    raw,
    redirect,
    status,
)
from tests.symbols.served import COMPRESSED, KEY, PDB, PLACE, POINTER, failure, files, find, finder

pytestmark = pytest.mark.usefixtures("no_proxy")


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
