"""Transfers of files: broken off and gone on with, side by side, and onto disks that are full."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dumpkit.errors import SymbolError
from dumpkit.symbols import download as download_module
from dumpkit.symbols.download import Download
from dumpkit.symbols.finder import SymbolFinder

from tests.forge.small_pdb import GUID, pdb
from tests.forge.symbol_server import (
    content,
    cut_off,
    status,
)
from tests.symbols.served import KEY, PDB, PLACE, failure, files, find, finder

pytestmark = pytest.mark.usefixtures("no_proxy")


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
