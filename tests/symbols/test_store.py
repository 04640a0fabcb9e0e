"""Symbol stores on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dumpkit.errors import SymbolError
from dumpkit.symbols.store import (
    FolderTree,
    Store,
    compressed_name,
    file_name,
    image_key,
    pdb_key,
    read_pointer,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.shared import SYMBOLS, needs_symbols

KEY = "112233445566778899AABBCCDDEEFF001"


def put(root: Path, *parts: str, content: bytes = b"x") -> str:
    path = root.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def forms(store: Store, name: str = "made.pdb"):
    return [(Path(lookup.path).name, lookup.form) for lookup in store.find(name, KEY)]


def test_keys_are_written_as_symsrv_asks_for_them():
    assert pdb_key("1c19fddb-27bb-3399-d9b4-5973efeafcf3", 0xABC) == "1C19FDDB27BB3399D9B45973EFEAFCF3abc"
    assert pdb_key("{1C19FDDB27BB3399D9B45973EFEAFCF3}", 1) == "1C19FDDB27BB3399D9B45973EFEAFCF31"
    assert image_key(0xC9C03000, 0x3B000) == "C9C030003b000"
    assert image_key(0x0D8333E6, 0x1046000) == "0D8333E61046000"


@pytest.mark.parametrize("guid", ["", "../../etc", "12345G", "0" * 33])
def test_what_is_no_guid_is_refused(guid):
    with pytest.raises(SymbolError, match="is not the GUID of a PDB"):
        pdb_key(guid, 1)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("d:\\obj\\amd64\\driver.pdb", "driver.pdb"),
        ("/home/me/driver.pdb", "driver.pdb"),
        ("..\\..\\driver.pdb", "driver.pdb"),
        ("my driver (1).pdb", "my driver (1).pdb"),
        ("treiber-ü.pdb", "treiber-ü.pdb"),
    ],
)
def test_of_a_path_only_the_last_part_counts(path, name):
    assert file_name(path) == name


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "..",
        "a/..",
        "a\\..",
        "dir/",
        "con.pdb",
        "NUL",
        "com1.sys",
        "a\0b",
        "a\nb",
        "a:b",
        "a*b",
        "x" * 300,
        "a.",
        "\ud800",
    ],
)
def test_names_that_are_none_everywhere_are_refused(path):
    with pytest.raises(SymbolError, match="is not a file name"):
        file_name(path)


@given(path=st.text(max_size=60))
def test_whatever_the_name_it_stays_inside_the_store(path: str):
    try:
        name = file_name(path)
    except SymbolError:
        return
    assert os.path.normpath(f"/store/{name}") == "/store/" + name
    assert name not in (".", "..") and "\\" not in name


def test_a_compressed_name_ends_in_an_underscore():
    assert [compressed_name(name) for name in ("a.pdb", "a.sys", "a")] == ["a.pd_", "a.sy_", "_"]


def test_a_file_is_found_in_two_tiers_and_every_place_is_told(tmp_path):
    store = Store(str(tmp_path))
    assert forms(store) == [("made.pdb", None), ("made.pd_", None), ("file.ptr", None)]
    path = put(tmp_path, "made.pdb", KEY, "made.pdb")
    assert next(store.find("made.pdb", KEY)) == (path, "file")


def test_the_compressed_form_and_the_pointer_are_found_behind_it(tmp_path):
    put(tmp_path, "made.pdb", KEY, "made.pd_")
    put(tmp_path, "made.pdb", KEY, "file.ptr")
    assert forms(Store(str(tmp_path))) == [("made.pdb", None), ("made.pd_", "cabinet"), ("file.ptr", "pointer")]


def test_an_index2_makes_the_store_three_tiered(tmp_path):
    put(tmp_path, "index2.txt")
    path = put(tmp_path, "ma", "made.pdb", KEY, "made.pdb")
    store = Store(str(tmp_path))
    assert store.three_tier
    assert next(store.find("made.pdb", KEY)) == (path, "file")
    assert store.path_of("made.pdb", KEY) == path


def test_names_and_keys_are_found_in_any_case(tmp_path):
    path = put(tmp_path, "MADE.PDB", KEY.lower(), "Made.Pdb")
    found = next(Store(str(tmp_path)).find("made.pdb", KEY))
    assert found.form == "file"
    assert Path(found.path).samefile(path)


def test_what_is_put_in_later_is_found(tmp_path):
    store = Store(str(tmp_path))
    assert forms(store)[0] == ("made.pdb", None)
    put(tmp_path, "Made.pdb", KEY, "Made.pdb")
    os.utime(tmp_path, ns=(1, 1))
    assert forms(store)[0][1] == "file"


def test_a_folder_where_the_file_should_be_is_no_file(tmp_path):
    (tmp_path / "made.pdb" / KEY / "made.pdb").mkdir(parents=True)
    assert forms(Store(str(tmp_path)))[0] == ("made.pdb", None)


def test_a_file_is_inserted_whole(tmp_path):
    temporary = put(tmp_path, "download", content=b"content")
    store = Store(str(tmp_path / "store"))
    final = store.insert(temporary, "made.pdb", KEY)
    assert Path(final).read_bytes() == b"content"
    assert not Path(temporary).exists()
    assert next(store.find("made.pdb", KEY)) == (final, "file")


def test_where_another_process_holds_the_same_file_that_one_serves(tmp_path, monkeypatch):
    store = Store(str(tmp_path / "store"))
    put(tmp_path / "store", "made.pdb", KEY, "made.pdb", content=b"first")
    temporary = put(tmp_path, "download", content=b"second")

    def in_use(*_):
        raise PermissionError(13, "in use")

    monkeypatch.setattr(os, "replace", in_use)
    assert Path(store.insert(temporary, "made.pdb", KEY)).read_bytes() == b"first"
    assert not Path(temporary).exists()


def test_all_versions_of_a_name_are_listed(tmp_path):
    first = put(tmp_path, "Made.pdb", "A1", "made.pdb")
    second = put(tmp_path, "Made.pdb", "B1", "MADE.PDB")
    third = put(tmp_path, "ma", "made.pdb", "C1", "made.pdb")
    put(tmp_path, "Made.pdb", "D1", "other")
    assert list(Store(str(tmp_path)).versions("made.pdb")) == [first, second, third]


@pytest.mark.parametrize(
    ("content", "target"),
    [
        (b"\\\\builds\\sym\\acpi.dbg", "\\\\builds\\sym\\acpi.dbg"),
        (b"PATH:/srv/sym/a.pdb\r\n\0", "/srv/sym/a.pdb"),
        (b"path:c:\\a.pdb", "c:\\a.pdb"),
        (b"c:\\a.pdb", "c:\\a.pdb"),
    ],
)
def test_a_pointer_says_where_the_file_lies(tmp_path, content, target):
    assert read_pointer(put(tmp_path, "file.ptr", content=content)) == target


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"MSG: not for you", "the store says: not for you"),
        (b"", "not a symbol store pointer"),
        (b"a\nb", "not a symbol store pointer"),
        (b"x" * 5000, "not a symbol store pointer"),
    ],
)
def test_a_pointer_that_is_none_is_refused(tmp_path, content, message):
    with pytest.raises(SymbolError, match=message):
        read_pointer(put(tmp_path, "file.ptr", content=content))


def test_listings_of_folders_that_cannot_be_read_are_empty(tmp_path):
    tree = FolderTree(str(tmp_path / "gone"))
    assert (tree.names(), tree.locate("a"), tree.names("a", "b")) == ([], None, [])


@needs_symbols
def test_the_real_store_gives_its_files():
    store = Store(str(SYMBOLS / "store"))
    found = next(store.find("AMDPPM.PDB", pdb_key("1C19FDDB27BB3399D9B45973EFEAFCF3", 1)))
    assert found.form == "file"
    assert [Path(path).name for path in store.versions("wdf01000.sys")] == ["Wdf01000.sys"]
