"""The MSF container: pdbparse's directory and the one read here give the same streams."""

from __future__ import annotations

import importlib.util
import struct
import sys

import pytest
from dumpkit.errors import SymbolError
from dumpkit.symbols.container import MAGIC, MsfContainer, open_container
from dumpkit.symbols.pdb import PdbFile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.forge.msf import build_msf
from tests.shared import SYMBOLS

REAL = sorted(SYMBOLS.glob("**/*.pdb/*/*.pdb")) + sorted((SYMBOLS / "pdb").glob("*.pdb"))
PAGE = 512


def streams_of(path: str, own: bool):
    container = open_container(path, own)
    try:
        return [container.read(number) for number in range(len(container))]
    finally:
        container.close()


def has_pdbparse() -> bool:
    return importlib.util.find_spec("pdbparse") is not None


@pytest.fixture
def written(tmp_path):
    def write(content: bytes) -> str:
        path = tmp_path / "made.pdb"
        path.write_bytes(content)
        return str(path)

    return write


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_both_readers_give_the_same_streams_of_real_pdbs(path):
    pytest.importorskip("pdbparse")
    assert streams_of(str(path), own=True) == streams_of(str(path), own=False)


@pytest.mark.parametrize("name", ["driver", "shapes", "wide"])
def test_both_readers_give_the_same_streams_of_compiled_pdbs(compiled, name):
    pytest.importorskip("pdbparse")
    path = str(compiled(name))
    assert streams_of(path, own=True) == streams_of(path, own=False)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=3000), min_size=4, max_size=8), st.sampled_from([512, 1024, 2048, 4096, 8192]))
def test_both_readers_give_back_what_was_written(tmp_path_factory, streams, page_size):
    path = tmp_path_factory.mktemp("msf") / "made.pdb"
    path.write_bytes(build_msf(streams, page_size))
    assert streams_of(str(path), own=True) == streams
    if has_pdbparse():
        assert streams_of(str(path), own=False) == streams


def test_without_pdbparse_the_reader_here_is_taken(compiled, monkeypatch):
    path = str(compiled("driver"))
    with_it = [symbol.name for symbol in PdbFile(path).symbols()]
    monkeypatch.setitem(sys.modules, "pdbparse", None)
    container = open_container(path)
    assert isinstance(container, MsfContainer)
    container.close()
    assert [symbol.name for symbol in PdbFile(path).symbols()] == with_it


def test_a_part_of_a_stream_is_read_across_pages(written):
    data = bytes(range(256)) * 10
    container = open_container(written(build_msf([data, b"x"], PAGE)), own=True)
    assert container.read(0, 500, 30) == data[500:530]
    assert container.read(0, 1024, 512) == data[1024:1536]
    assert container.read(0, 2500) == data[2500:]
    assert container.read(0, 2550, 100) == data[2550:]
    assert container.read(0, 5000, 4) == b""
    assert container.read(7) == b"" and container.size(7) == 0


def test_pages_that_lie_apart_are_put_together(written):
    # The maps of free pages come between the pages of a long stream.
    data = bytes(number & 0xFF for number in range(PAGE * 700))
    container = open_container(written(build_msf([data], PAGE)), own=True)
    pages = container.pages(0)
    assert pages[-1] - pages[0] > len(pages) - 1
    assert container.read(0) == data
    assert container.read(0, PAGE * 300 + 7, PAGE * 250) == data[PAGE * 300 + 7 : PAGE * 550 + 7]


def test_an_absent_stream_is_empty(written):
    content = bytearray(build_msf([b"first", b"", b"third"], PAGE))
    size = content.index(struct.pack("<4I", 3, 5, 0, 5))
    struct.pack_into("<I", content, size + 8, 0xFFFFFFFF)
    container = open_container(written(bytes(content)), own=True)
    assert [container.read(number) for number in range(3)] == [b"first", b"", b"third"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"Microsoft C/C++ program database 2.00\r\n\x1aJG\0\0" + bytes(100), "Visual C.. 6"),
        (b"Microsoft MSFZ Container\r\n" + bytes(100), "compressed PDB"),
        (b"BSJB" + bytes(100), "portable"),
        (b"MSCF" + bytes(100), "CAB"),
        (b"<!DOCTYPE html>", "web page"),
        (MAGIC[:20], "no MSF 7.00 signature"),
        (MAGIC + struct.pack("<5I", 4095, 1, 4, 100, 0), "page size 4095"),
        (MAGIC + struct.pack("<5I", 4096, 1, 4, 0, 0), "directory of 0 bytes"),
        (MAGIC + struct.pack("<5I", 512, 1, 4, 20, 0) + struct.pack("<I", 99), "is not in the file"),
        (MAGIC + struct.pack("<5I", 512, 1, 1 << 31, 0x7FFFFFFF, 0), "directory of 2147483647 bytes"),
    ],
)
def test_what_is_no_pdb_or_a_damaged_one_is_named(written, content, words):
    with pytest.raises(SymbolError, match=words):
        open_container(written(content))


@pytest.mark.parametrize("own", [True, False])
def test_a_stream_longer_than_the_file_is_refused(written, own):
    if not own:
        pytest.importorskip("pdbparse")
    content = bytearray(build_msf([b"first", b"second"], PAGE))
    at = content.index(struct.pack("<3I", 2, 5, 6))
    struct.pack_into("<I", content, at + 4, 0x7FFFFFF0)
    with pytest.raises(SymbolError, match=r"made\.pdb"):
        streams_of(written(bytes(content)), own)


def test_a_page_behind_the_end_of_a_cut_off_file_is_named(written):
    content = bytearray(build_msf([bytes(3000), b"second"], PAGE))
    at = content.index(struct.pack("<3I", 2, 3000, 6)) + 12
    struct.pack_into("<I", content, at, 0x5000)
    with pytest.raises(SymbolError, match="page 20480 of stream 0 is behind the end"):
        streams_of(written(bytes(content)), own=True)


def test_what_pdbparse_trips_over_is_read_or_explained_by_the_reader_here(written):
    # pdbparse wants four streams, whatever they are.
    path = written(build_msf([b"one", b"two"], PAGE))
    container = open_container(path)
    assert isinstance(container, MsfContainer)
    assert container.read(1) == b"two"


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(SymbolError):
        open_container(str(tmp_path))
