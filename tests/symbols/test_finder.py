"""Finding symbol files and images along a path, and telling where they were looked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import List

import pytest
from dumpkit.errors import SymbolError
from dumpkit.symbols.finder import SymbolFinder
from dumpkit.symbols.identity import pdb_identity, pdb_names

from tests.forge.cabinet import cabinet, lzx
from tests.forge.small_image import image
from tests.forge.small_pdb import GUID, pdb
from tests.shared import SYMBOLS, needs_symbols

KEY = f"{GUID}1"
PDB = pdb()
OTHER = pdb("FF" * 16)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A default store of this test's own."""
    monkeypatch.setenv("DBGHELP_HOMEDIR", str(tmp_path / "home"))
    return tmp_path / "home" / "sym"


def put(folder: Path, *parts: str, content: bytes = PDB) -> str:
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def find(path: object, **options) -> str:
    return SymbolFinder(str(path), **options).find_pdb("made.pdb", GUID, 1)


def failure(path: object, **options) -> str:
    with pytest.raises(SymbolError) as caught:
        find(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# PDBs in folders and stores


@pytest.mark.parametrize(
    "parts",
    [
        ("made.pdb",),
        ("MADE.PDB",),
        ("sys", "made.pdb"),
        ("symbols", "sys", "made.pdb"),
        ("symbols", "exe", "Made.pdb"),
        ("dll", "made.pdb"),
        ("made.pdb", KEY, "made.pdb"),
    ],
)
def test_a_pdb_is_found_in_a_folder_wherever_the_engine_looks(tmp_path, parts):
    path = put(tmp_path / "s", *parts)
    assert find(tmp_path / "s") == path


@pytest.mark.parametrize("prefix", ["srv*", "cache*", "symsrv*symsrv.dll*", ""])
def test_a_pdb_is_found_in_a_store(tmp_path, prefix):
    path = put(tmp_path / "s", "made.pdb", KEY, "made.pdb")
    assert find(f"{prefix}{tmp_path / 's'}") == path


def test_of_a_path_recorded_by_the_linker_only_the_name_counts(tmp_path):
    path = put(tmp_path, "made.pdb")
    assert SymbolFinder(str(tmp_path)).find_pdb("d:\\obj\\..\\made.pdb", GUID, 1) == path


def test_the_elements_are_looked_through_from_left_to_right(tmp_path):
    first = put(tmp_path / "a", "made.pdb")
    put(tmp_path / "b", "made.pdb")
    assert find(f"{tmp_path / 'gone'};{tmp_path / 'a'};{tmp_path / 'b'}") == first


def test_the_folder_beside_the_dump_comes_first(tmp_path):
    first = put(tmp_path / "symbols", "made.pdb")
    put(tmp_path / "b", "made.pdb")
    assert find(tmp_path / "b", beside=str(tmp_path / "symbols")) == first
    assert find("", beside=str(tmp_path / "symbols")) == first


def test_a_pdb_with_another_guid_or_age_is_passed_over_and_told(tmp_path):
    put(tmp_path / "a", "made.pdb", content=OTHER)
    put(tmp_path / "b", "made.pdb", content=pdb(age=2))
    right = put(tmp_path / "c", "made.pdb")
    found = SymbolFinder(f"{tmp_path / 'a'};{tmp_path / 'b'};{tmp_path / 'c'}")
    assert found.find_pdb("made.pdb", GUID, 1) == right
    results = [attempt.result for attempt in found.trail if attempt.place.endswith("made.pdb")]
    assert results == [f"is {'FF' * 16}1, not {KEY}", f"is {GUID}2, not {KEY}", "OK"]


def test_a_store_vouches_for_the_age_but_not_for_the_guid(tmp_path):
    path = put(tmp_path / "s", "made.pdb", KEY, "made.pdb", content=pdb(age=9))
    assert find(f"srv*{tmp_path / 's'}") == path
    put(tmp_path / "t", "made.pdb", KEY, "made.pdb", content=OTHER)
    assert f"is {'FF' * 16}1, not {KEY}" in failure(f"srv*{tmp_path / 't'}")


def test_a_file_that_is_no_pdb_is_told(tmp_path):
    put(tmp_path, "made.pdb", KEY, "made.pdb", content=b"<html>not found</html>")
    assert "not a PDB that can be read: it is a web page or XML" in failure(f"srv*{tmp_path}")


# Kept downstream


def test_what_is_found_further_up_is_kept_nearer(tmp_path):
    put(tmp_path / "far", "made.pdb", KEY, "made.pdb")
    chain = f"srv*{tmp_path / 'near'}*{tmp_path / 'middle'}*{tmp_path / 'far'}"
    near = str(tmp_path / "near" / "made.pdb" / KEY / "made.pdb")
    assert find(chain) == near
    assert (tmp_path / "middle" / "made.pdb" / KEY / "made.pdb").read_bytes() == PDB
    assert find(chain) == near


def test_a_store_that_cannot_be_written_to_is_passed_over(tmp_path):
    (tmp_path / "blocked").write_bytes(b"")
    path = put(tmp_path / "far", "made.pdb", KEY, "made.pdb")
    assert find(f"srv*{tmp_path / 'blocked'}*{tmp_path / 'far'}") == path


@pytest.mark.parametrize("compression", [0, 1, lzx(15)])
def test_a_compressed_file_is_unpacked_where_it_lies(tmp_path, compression):
    put(tmp_path / "s", "made.pdb", KEY, "made.pd_", content=cabinet([("made.pdb", PDB)], compression))
    assert find(f"srv*{tmp_path / 's'}") == str(tmp_path / "s" / "made.pdb" / KEY / "made.pdb")


def test_a_compressed_file_beside_the_dump_is_unpacked_into_the_default_store(tmp_path, home):
    put(tmp_path / "symbols", "made.pdb", KEY, "made.pd_", content=cabinet([("made.pdb", PDB)]))
    assert find("", beside=str(tmp_path / "symbols")) == str(home / "made.pdb" / KEY / "made.pdb")
    assert {path.name for path in (tmp_path / "symbols").rglob("*")} == {KEY, "made.pd_", "made.pdb"}


def test_a_compressed_file_of_another_pdb_is_told_and_leaves_nothing(tmp_path):
    put(tmp_path / "s", "made.pdb", KEY, "made.pd_", content=cabinet([("made.pdb", OTHER)]))
    assert f"is {'FF' * 16}1, not {KEY}" in failure(f"srv*{tmp_path / 's'}")
    assert [path.name for path in (tmp_path / "s" / "made.pdb" / KEY).iterdir()] == ["made.pd_"]


def test_unpacking_tells_its_progress(tmp_path):
    told: List[object] = []
    put(tmp_path, "made.pdb", KEY, "made.pd_", content=cabinet([("made.pdb", PDB)]))
    find(f"srv*{tmp_path}", progress=lambda *state: told.append(state))
    assert told[-1] == ("made.pdb", len(PDB), len(PDB))


# Pointers


def test_a_pointer_of_a_store_is_followed(tmp_path):
    path = put(tmp_path / "build", "made.pdb")
    put(tmp_path / "s", "made.pdb", KEY, "file.ptr", content=f"PATH:{path}".encode())
    assert find(f"srv*{tmp_path / 's'}") == path


def test_a_pointer_to_nothing_or_to_another_pdb_is_told(tmp_path):
    put(tmp_path / "s", "made.pdb", KEY, "file.ptr", content=b"\\\\server\\share\\made.pdb")
    assert "points to \\\\server\\share\\made.pdb: file not found" in failure(f"srv*{tmp_path / 's'}")
    other = put(tmp_path / "build", "made.pdb", content=OTHER)
    put(tmp_path / "s", "made.pdb", KEY, "file.ptr", content=other.encode())
    assert "not 1122" in failure(f"srv*{tmp_path / 's'}")


def test_a_pointer_that_came_with_the_dump_is_not_followed(tmp_path):
    path = put(tmp_path / "build", "made.pdb")
    put(tmp_path / "symbols", "made.pdb", KEY, "file.ptr", content=path.encode())
    message = failure("", beside=str(tmp_path / "symbols"))
    assert f"points to {path}, which is not followed for a file that came with the dump" in message


# Images


def test_an_image_is_found_by_time_stamp_and_size(tmp_path):
    put(tmp_path / "a", "made.sys", content=image(timestamp=1))
    right = put(tmp_path / "b", "made.sys", "5F000001" + "10000", "made.sys", content=image())
    found = SymbolFinder(f"{tmp_path / 'a'};srv*{tmp_path / 'b'}")
    assert found.find_image("MADE.SYS", 0x5F000001, 0x10000) == right
    assert [attempt.result for attempt in found.trail if "a/" in attempt.place] == [
        "is 0000000110000, not 5F00000110000"
    ]


def test_an_image_under_the_right_key_that_is_another_one_is_told(tmp_path):
    put(tmp_path, "made.sys", "5F00000110000", "made.sys", content=image(size=0x20000))
    with pytest.raises(SymbolError, match="is 5F00000120000, not 5F00000110000"):
        SymbolFinder(f"srv*{tmp_path}").find_image("made.sys", 0x5F000001, 0x10000)


def test_the_kernel_is_found_by_the_name_that_it_was_built_under(tmp_path):
    path = put(tmp_path, "ntkrnlmp.exe", "5F00000110000", "ntkrnlmp.exe", content=image())
    assert SymbolFinder(f"srv*{tmp_path}").find_image("ntoskrnl.exe", 0x5F000001, 0x10000) == path


# What is told


def test_a_miss_says_what_was_wanted_and_every_place_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    assert failure(f"{tmp_path / 'empty'};{tmp_path / 'gone'}") == (
        f"made.pdb {KEY} not found: {tmp_path / 'empty'}: not there; {tmp_path / 'gone'}: no such folder"
    )


def test_a_miss_without_a_path_says_so():
    assert failure("") == f"made.pdb {KEY} not found: there is no symbol path"


def test_very_many_places_are_counted_and_not_listed(tmp_path):
    message = failure(";".join(str(tmp_path / str(number)) for number in range(30)))
    assert message.endswith("; and 18 more places")


def test_the_trail_reads_as_the_engines_noisy_mode_and_can_be_listened_to(tmp_path):
    path = put(tmp_path / "b", "made.pdb")
    found = SymbolFinder(f"srv*{tmp_path / 'a'};{tmp_path / 'b'}")
    heard: List[str] = []
    found.listen(lambda attempt: heard.append(str(attempt)))
    found.find_pdb("made.pdb", GUID, 1)
    store = tmp_path / "a" / "made.pdb" / KEY
    assert heard == [
        f"SYMSRV:  UNC: {store / 'made.pdb'} - path not found",
        f"SYMSRV:  UNC: {store / 'made.pd_'} - path not found",
        f"SYMSRV:  UNC: {store / 'file.ptr'} - path not found",
        f"DBGHELP: {path} - OK",
    ]
    assert [str(attempt) for attempt in found.trail] == heard


def test_a_result_is_kept_and_a_miss_until_it_is_forgotten(tmp_path):
    found = SymbolFinder(str(tmp_path / "s"))
    for _ in range(2):
        with pytest.raises(SymbolError):
            found.find_pdb("made.pdb", GUID, 1)
    assert len(found.trail) == 1
    path = put(tmp_path / "s", "made.pdb")
    found.forget()
    assert found.find_pdb("made.pdb", GUID, 1) == path
    length = len(found.trail)
    assert found.find_pdb("MADE.pdb", GUID.lower(), 1) == path
    assert len(found.trail) == length


@pytest.mark.parametrize(
    ("name", "guid"), [("..", GUID), ("made.pdb", "../../x"), ("con.pdb", GUID), ("a\0.pdb", GUID)]
)
def test_names_and_guids_that_lead_out_of_the_store_are_refused(tmp_path, name, guid):
    with pytest.raises(SymbolError):
        SymbolFinder(f"srv*{tmp_path}").find_pdb(name, guid, 1)


def test_finding_a_file_on_disk_imports_nothing_of_the_network(tmp_path):
    put(tmp_path, "made.pdb")
    code = (
        "import sys; from dumpkit.symbols.finder import SymbolFinder; "
        f"SymbolFinder({str(tmp_path)!r}).find_pdb('made.pdb', {GUID!r}, 1); "
        "print([name for name in ('http.client', 'ssl', 'urllib', 'json', 'pathlib') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = result.stdout.strip()
    assert "http.client" not in loaded and "ssl" not in loaded and "json" not in loaded


# ISF tables and candidates


@pytest.mark.parametrize(
    "parts",
    [
        (f"{GUID}-1.json.xz",),
        (f"{GUID.lower()}-1.json",),
        ("isf", f"{GUID}-1.json.xz"),
        ("windows", "made.pdb", f"{GUID}-1.json.xz"),
        ("symbols", "windows", "made.pdb", f"{GUID}-1.json.xz"),
    ],
)
def test_an_isf_table_is_found_by_its_key(tmp_path, parts):
    path = put(tmp_path, *parts)
    assert SymbolFinder(str(tmp_path)).find_isf("made.pdb", GUID, 1) == path


def test_a_missing_isf_table_is_told(tmp_path):
    with pytest.raises(SymbolError, match=rf"ISF table {GUID}-2 of made\.pdb not found: .*: not there"):
        SymbolFinder(str(tmp_path)).find_isf("made.pdb", GUID, 2)


def test_candidates_are_all_that_may_by_their_names_be_a_modules(tmp_path):
    wanted = [
        put(tmp_path / "a", "ntkrnlmp.pdb", "AA1", "ntkrnlmp.pdb"),
        put(tmp_path / "a", "ntkrnlmp-19041-public.pdb"),
        put(tmp_path / "a", "isf", f"{GUID}-1.json.xz"),
        put(tmp_path / "b", "ntoskrnl.pdb", KEY, "ntoskrnl.pdb"),
        put(tmp_path / "b", "windows", "ntkrnlmp.pdb", f"{GUID}-2.json.xz"),
    ]
    put(tmp_path / "a", "ntkrnlmpx.pdb")
    put(tmp_path / "a", "settings.json")
    put(tmp_path / "b", "windows", "other.pdb", f"{GUID}-3.json.xz")
    found = SymbolFinder(f"srv*{tmp_path / 'b'}*http://no.such.host.invalid", beside=str(tmp_path / "a")).candidates(
        "nt"
    )
    assert sorted(candidate.path for candidate in found) == sorted(wanted)
    assert {candidate.kind for candidate in found if candidate.path.endswith("pdb")} == {"pdb"}
    assert {candidate.kind for candidate in found if candidate.path.endswith("xz")} == {"isf"}


def test_other_modules_have_pdbs_of_their_own_name(tmp_path):
    path = put(tmp_path, "Driver.pdb")
    put(tmp_path, "ntkrnlmp.pdb")
    assert [candidate.path for candidate in SymbolFinder(str(tmp_path)).candidates("driver")] == [path]
    assert pdb_names("driver") == ("driver",)
    assert "ntkrnlmp" in pdb_names("nt")


# Real files


@needs_symbols
def test_the_files_of_the_real_store_are_found():
    found = SymbolFinder(f"{SYMBOLS / 'isf'};{SYMBOLS / 'pdb'};srv*{SYMBOLS / 'store'}")
    assert found.find_pdb("amdppm.pdb", "1C19FDDB27BB3399D9B45973EFEAFCF3", 1).endswith("amdppm.pdb")
    assert found.find_image("amdppm.sys", 0xC9C03000, 0x3B000).endswith("amdppm.sys")
    assert found.find_image("wdf01000.sys", 0xA9A9D36E, 0xD1000).endswith("Wdf01000.sys")
    assert found.find_isf("ntkrnlmp.pdb", "5278AFF86C341677D7D7835C85B7B844", 1).endswith(".json.xz")
    kernels = found.candidates("nt")
    assert sorted(candidate.kind for candidate in kernels) == ["isf", "isf", "isf", "pdb"]


@needs_symbols
def test_a_real_pdb_is_identified_by_its_guid_and_dbi_age():
    path = next((SYMBOLS / "store" / "amdppm.pdb").glob("*/amdppm.pdb"))
    guid, age = pdb_identity(str(path))
    assert f"{guid}{age:x}" == path.parent.name
