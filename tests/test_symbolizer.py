from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Iterator

import pytest
from dumpkit.dump import open_dump
from dumpkit.dump.target import DumpTarget
from dumpkit.errors import AmbiguousSymbolError, SymbolError
from dumpkit.symbols.kernel_match import agreement

from tests.forge.sample_driver import BASE, driver
from tests.forge.symbol_server import Silent, SymbolServerFixture, stalled
from tests.forge.triage import KERNEL_BASE
from tests.running import dumpkit
from tests.symbol_lab import KERNEL_SYMBOLS, driver_pdb, put, write_dump, write_kernel_table, write_store

THREAD = BASE + 0x10F0


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No symbol path and no caches of whoever runs the tests."""
    for name in ("_NT_SYMBOL_PATH", "_NT_ALT_SYMBOL_PATH", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DUMPKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))


@pytest.fixture
def target(tmp_path: Path) -> Iterator[DumpTarget]:
    """A dump whose kernel has a table without an id to find it by, and whose driver has a private PDB."""
    store = write_store(tmp_path / "store")
    write_kernel_table(store)
    opened = open_dump(write_dump(tmp_path / "dump"), symbol_path=str(store))
    yield opened
    opened.close()


def state_of(target: DumpTarget, name: str) -> str:
    module = target.module_named(name)
    assert module is not None
    target.symbols.load(module)
    return target.symbols.state(module)


def remark_on(target: DumpTarget, name: str) -> str:
    module = target.module_named(name)
    assert module is not None
    target.symbols.load(module)
    return target.symbols.remark(module)


# --- Finding the files ---------------------------------------------------------


def test_nothing_is_looked_for_before_a_name_is_asked_for(target):
    assert [target.symbols.state(module) for module in target.modules] == ["deferred"] * 3
    target.symbols.address_of("TestDriver!CountFiles")
    assert [target.symbols.state(module) for module in target.modules] == [
        "deferred",
        "private pdb symbols",
        "deferred",
    ]


def test_a_kernel_without_an_id_is_matched_by_its_variables_and_said_to_be(target):
    assert target.symbols.address_of("nt!KeBugCheckEx") == KERNEL_BASE + 0x1000
    assert remark_on(target, "nt") == "no PDB id in the dump: matched by PsLoadedModuleList, KdDebuggerDataBlock"


def test_a_table_of_another_kernel_is_refused_with_the_variable_that_lies_elsewhere(tmp_path):
    moved = {**KERNEL_SYMBOLS, "PsLoadedModuleList": 0x1234}
    table = write_kernel_table(tmp_path / "symbols", moved)
    opened = open_dump(write_dump(tmp_path))
    with pytest.raises(SymbolError, match="PsLoadedModuleList is at 0x1234 there and at 0xc2a390 in the kernel") as no:
        opened.symbols.address_of("nt!KeBugCheckEx")
    assert str(table) in str(no.value)
    assert state_of(opened, "nt") == "no symbols"
    opened.close()


def test_one_variable_is_too_few_to_match_a_kernel_by(tmp_path):
    write_kernel_table(tmp_path / "symbols", {"PsLoadedModuleList": KERNEL_SYMBOLS["PsLoadedModuleList"]})
    opened = open_dump(write_dump(tmp_path))
    assert "too few of the kernel's known variables are named in it (PsLoadedModuleList)" in remark_on(opened, "nt")
    opened.close()


def test_agreement_stops_at_the_first_contradiction(target):
    module = target.module_named("nt")
    assert module is not None
    file = target.symbols.file(module)
    assert file is not None
    found = agreement(file, {"KeBugCheckEx": 0x1000, "KiAlias": 0x1601, "KeBugCheck2": 0})
    assert (found.names, found.holds) == (("KeBugCheckEx",), False)
    assert found.reason == "KiAlias is at 0x1600 there and at 0x1601 in the kernel"


def test_a_drivers_pdb_is_found_by_the_id_in_memory(tmp_path):
    store = write_store(tmp_path / "store", with_image=False)
    opened = open_dump(write_dump(tmp_path, in_memory=True), symbol_path=str(store))
    assert state_of(opened, "TestDriver") == "private pdb symbols"
    opened.close()


def test_a_folder_of_symbols_beside_the_dump_comes_first(tmp_path):
    path = write_dump(tmp_path / "dump")
    write_store(tmp_path / "dump" / "symbols")
    opened = open_dump(path, symbol_path=str(tmp_path / "nowhere"))
    module = opened.module_named("TestDriver")
    assert module is not None
    opened.symbols.load(module)
    assert str(opened.symbols.symbol_file(module)).startswith(str(tmp_path / "dump" / "symbols"))
    opened.close()


def test_the_given_path_stands_before_the_environments(tmp_path, monkeypatch):
    monkeypatch.setenv("_NT_SYMBOL_PATH", "b")
    opened = open_dump(write_dump(tmp_path), symbol_path="a")
    assert opened.symbols.search is not None
    assert opened.symbols.search.text == "a;b"
    opened.close()


def test_an_isf_table_serves_where_no_pdb_is(tmp_path):
    store = write_store(tmp_path / "store")
    for path in store.rglob("*.pdb"):
        if path.is_file():
            path.unlink()
    write_kernel_table(store, {"CountFiles": 0x1500}, key=f"{driver_pdb().codeview.guid}-1")
    opened = open_dump(write_dump(tmp_path), symbol_path=str(store))
    assert opened.symbols.address_of("TestDriver!CountFiles") == BASE + 0x1500
    assert state_of(opened, "TestDriver") == "isf symbols"
    opened.close()


def test_exports_serve_where_nothing_else_is(tmp_path):
    from tests.forge.image_tables import Export

    image = driver()
    image.set_exports([Export("DllInitialize", 0x1500)], section=".rdata")
    put(tmp_path / "symbols" / image.name, image.file())
    from tests.forge.triage import Driver, TriageFile

    made = TriageFile(drivers=(Driver(BASE, image.size, "\\SystemRoot\\TestDriver.sys", image.stamp, image.checksum),))
    opened = open_dump(str(put(tmp_path / "made.dmp", made.build())))
    assert str(opened.symbols.nearest(BASE + 0x1502)) == "TestDriver!DllInitialize+0x2"
    assert state_of(opened, "TestDriver") == "export symbols"
    with pytest.raises(SymbolError, match=r"TestDriver has only its exports: .* not found"):
        opened.symbols.type("_SYNC_RESOURCES", "TestDriver")
    opened.close()


def test_without_any_place_nothing_is_searched_and_no_finder_is_imported(tmp_path):
    code = (
        "import sys; from dumpkit.dump import open_dump; t = open_dump(sys.argv[1]);"
        "print(t.symbols.nearest(t.modules[0].base + 16));"
        "print(*sorted(name for name in sys.modules if name.startswith('dumpkit.sym')))"
    )
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", code, write_dump(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["nt+0x10", "dumpkit.symbolizer", "dumpkit.symbols", "dumpkit.symbols.search"]


# --- Files that are not what they should be ------------------------------------


def test_a_pdb_with_another_guid_is_refused_with_both_ids(tmp_path):
    image = driver()
    from tests.forge.image_tables import CodeView

    image.codeview = CodeView("TestDriver.pdb", "F" * 32)
    store = write_store(tmp_path / "store", pdb=driver_pdb(image).file())
    opened = open_dump(write_dump(tmp_path), symbol_path=str(store))
    with pytest.raises(SymbolError, match="TestDriver has no symbols") as refused:
        opened.symbols.address_of("TestDriver!CountFiles")
    assert f"is {'F' * 32}1, not 112233445566778899AABBCCDDEEFF001" in str(refused.value)
    opened.close()


@pytest.mark.parametrize("keep", [0, 40, 4000, 9000])
def test_a_truncated_pdb_is_named_and_what_else_there_is_serves(tmp_path, keep):
    whole = driver_pdb().file()
    store = write_store(tmp_path / "store", pdb=whole[:keep])
    write_kernel_table(store, {"CountFiles": 0x1500}, key=f"{driver_pdb().codeview.guid}-1")
    opened = open_dump(write_dump(tmp_path), symbol_path=str(store))
    assert str(opened.symbols.nearest(BASE + 0x1501)) == "TestDriver!CountFiles+0x1"
    module = opened.module_named("TestDriver")
    assert module is not None
    assert opened.symbols.state(module) == "isf symbols"
    opened.close()


def test_damage_that_shows_only_later_makes_way_for_the_next_file(tmp_path, monkeypatch):
    from dumpkit.symbols.pdb import PdbFile

    def damaged(self, rva):
        raise SymbolError(f"{self.path}: its symbol records are damaged")

    for asked in ("nearest", "locate"):
        monkeypatch.setattr(PdbFile, asked, damaged)
    store = write_store(tmp_path / "store")
    opened = open_dump(write_dump(tmp_path), symbol_path=str(store))
    assert str(opened.symbols.nearest(BASE + 0x1501)) == "TestDriver+0x1501"
    assert "its symbol records are damaged" in remark_on(opened, "TestDriver")
    opened.close()


def test_a_damaged_table_is_named_and_passed_over(tmp_path):
    folder = tmp_path / "symbols"
    put(folder / f"{'A' * 32}-1.json.xz", b"no xz at all")
    write_kernel_table(folder)
    opened = open_dump(write_dump(tmp_path))
    assert opened.symbols.address_of("KeBugCheckEx") == KERNEL_BASE + 0x1000
    opened.close()


@pytest.mark.parametrize("kind", ["stalled", "silent"])
def test_a_server_that_does_not_answer_costs_at_most_three_seconds_in_a_session(tmp_path, kind):
    silent = Silent() if kind == "silent" else None
    with SymbolServerFixture() as server:
        server.fallback = stalled()
        url = silent.url if silent is not None else server.url
        opened = open_dump(write_dump(tmp_path, in_memory=True), symbol_path=f"srv*{tmp_path / 'cache'}*{url}")
        started = time.monotonic()
        for module in opened.modules:
            opened.symbols.nearest(module.base + 0x1000)
        with pytest.raises(SymbolError, match="TestDriver has no symbols"):
            opened.symbols.address_of("TestDriver!CountFiles")
        assert time.monotonic() - started < 4
        opened.close()
    if silent is not None:
        silent.close()


# --- Names ---------------------------------------------------------------------


def test_addresses_are_named_by_the_symbol_before_them(target):
    symbols = target.symbols
    assert str(symbols.nearest(THREAD + 0x52)) == "TestDriver!FileCreationThread+0x52"
    assert str(symbols.nearest(KERNEL_BASE + 0x1600)) == "nt!KiAlias"
    assert str(symbols.nearest(KERNEL_BASE + 0x10)) == "nt+0x10"
    assert symbols.nearest(0x1000) is None


def test_names_are_found_in_any_case_by_every_name_of_their_module(target):
    symbols = target.symbols
    expected = KERNEL_BASE + 0x1000
    for name in ("nt!KeBugCheckEx", "NT!kebugcheckex", "ntoskrnl!KeBugCheckEx", "ntoskrnl.exe!KeBugCheckEx"):
        assert symbols.address_of(name) == expected
    assert symbols.address_of("nt!_C_specific_handler") == symbols.address_of("nt!__C_specific_handler")


def test_a_name_without_a_module_is_the_kernels_or_one_of_a_module_that_is_loaded(target):
    with pytest.raises(SymbolError, match="CountFiles is not in"):
        target.symbols.address_of("CountFiles")
    target.symbols.nearest(BASE)
    assert target.symbols.address_of("CountFiles") == BASE + 0x1500
    assert target.symbols.address_of("TestDriver") == BASE


def test_a_missing_name_counts_the_other_modules_that_have_symbols_and_no_others(target, tmp_path):
    target.symbols.address_of("KeBugCheckEx")
    target.symbols.nearest(BASE)
    with pytest.raises(SymbolError, match=r"Nowhere is not in .*; nor do the symbols of other modules \(1\) have it$"):
        target.symbols.address_of("Nowhere")
    opened = open_dump(write_dump(tmp_path), offline=True)
    for module in opened.modules:
        opened.symbols.nearest(module.base)
    with pytest.raises(SymbolError, match=r"Nowhere is not known: nt has no symbols: there is no symbol path$"):
        opened.symbols.address_of("Nowhere")
    opened.close()


def test_a_module_that_is_not_there_is_said_to_be_missing(target):
    with pytest.raises(SymbolError, match="nosuch!Name: no module is called nosuch"):
        target.symbols.address_of("nosuch!Name")


def test_a_name_of_several_places_is_refused_with_them_all(tmp_path):
    image = driver()
    image.label("CountFiles_", 0x1501)
    image.label("Twice", 0x1500)
    image.label("Twice", 0x1630)
    store = tmp_path / "store"
    put(store / image.name / image.store_key / image.name, image.file())
    made = driver_pdb(image, private=False)
    put(store / made.name / made.store_key / made.name, made.file())
    from tests.forge.triage import Driver, TriageFile

    dump = TriageFile(drivers=(Driver(BASE, image.size, "\\TestDriver.sys", image.stamp, image.checksum),))
    opened = open_dump(str(put(tmp_path / "made.dmp", dump.build())), symbol_path=str(store))
    with pytest.raises(AmbiguousSymbolError) as refused:
        opened.symbols.address_of("TestDriver!Twice")
    assert {found.address for found in refused.value.matches} == {BASE + 0x1500, BASE + 0x1630}
    assert str(refused.value).startswith("Twice is ambiguous: TestDriver!Twice at fffff802")
    opened.close()


def test_patterns_match_names_in_modules_that_match(target):
    names = [str(found) for found in target.symbols.matching("*!*BugCheck*")]
    assert names == ["nt!KeBugCheckEx", "nt!KeBugCheck2"]
    assert [str(found) for found in target.symbols.matching("test*!count[e-g]iles")] == ["TestDriver!CountFiles"]


def test_completions_come_from_loaded_modules_alone(target):
    assert list(target.symbols.completions("nt!kebug")) == []
    target.symbols.nearest(KERNEL_BASE)
    assert list(target.symbols.completions("nt!kebug")) == ["nt!KeBugCheck2", "nt!KeBugCheckEx"]


def test_lines_and_inlined_functions_come_from_private_symbols(target):
    line = target.symbols.source_line(THREAD + 0x54)
    assert (line.file.rpartition("\\")[2], line.line, line.displacement) == ("Driver.c", 64, 2)
    inlined = target.symbols.inlined(THREAD + 0x72)
    assert [(each.name, each.line) for each in inlined] == [
        ("KeInitializeEvent", 301),
        ("ExInitializeFastMutex", 26005),
    ]
    assert target.symbols.source_line(KERNEL_BASE + 0x1000) is None


def test_types_come_from_the_kernel_or_the_module_that_is_named(target):
    assert target.type("_GUEST").type.size == 0x70
    assert target.type("TestDriver!_SYNC_RESOURCES").type.size == 0x60
    with pytest.raises(SymbolError, match="nt!_SYNC_RESOURCES is not in"):
        target.symbols.type("_SYNC_RESOURCES", "nt")


def test_forgotten_symbols_are_looked_for_anew_types_included(target, tmp_path):
    assert target.type("_GUEST")
    (tmp_path / "store").rename(tmp_path / "gone")
    assert target.type("_GUEST")
    target.symbols.forget()
    with pytest.raises(SymbolError, match="nt has no symbols"):
        target.type("_GUEST")


def test_a_closed_target_holds_no_symbol_file_open(tmp_path):
    store = write_store(tmp_path / "store")
    opened = open_dump(write_dump(tmp_path), symbol_path=str(store))
    module = opened.module_named("TestDriver")
    assert module is not None
    file = opened.symbols.file(module)
    closed = []
    assert file is not None
    file.close = lambda: closed.append(True)  # type: ignore[method-assign]
    opened.close()
    assert closed == [True]


def test_the_command_line_takes_a_symbol_path(tmp_path):
    store = write_store(tmp_path / "store")
    done = dumpkit(write_dump(tmp_path), "--symbols", str(store), "--offline", "-c", "? TestDriver!CountFiles")
    assert done.stdout == "Evaluate expression: -8786868038400 = fffff802`25da1500\n"
    assert (done.stderr, done.returncode) == ("", 0)
