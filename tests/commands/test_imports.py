"""`imports` on the walkthrough's dump, on forged drivers and on real dumps."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import CommandError, ExpressionError
from dumpkit.session import Session

from tests.forge.image_sections import INIT
from tests.forge.image_tables import Export, Import, ImportedModule
from tests.forge.kernel_variables import add_debugger_data
from tests.forge.machine import Machine
from tests.forge.scene import Scene
from tests.forged_session import drop_page, session_for
from tests.running import run, run_lines, session_of, session_on
from tests.shared import SYMBOLS, needs_shared, needs_symbols

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fast-mutex-irql" / "MEMORY.DMP"
NT, DRIVER = 0xFFFFF80370000000, 0xFFFFF80381A00000
IAT, DELAY_IAT, IMPORT_TABLE = 0x20400, 0x20800, 0x25000
HOOK = 0xFFFFB50760000123


def driver_scene(discarded: bool) -> Tuple[Scene, Machine]:
    """A driver that imports two functions of the kernel, one of which is hooked, and delay-loads a third."""
    scene = Scene(19041, {"nt": ("ntoskrnl.exe", NT), "drv": ("drv.sys", DRIVER)})
    for name in ("nt!IoCreateDevice", "nt!ExQueue", "drv!Start"):
        scene.define(name)
    image = scene.images["drv"]
    image.section("INIT", INIT, IMPORT_TABLE, 0x1000)
    create = scene.places["nt!IoCreateDevice"].address
    imports = [
        ImportedModule("ntoskrnl.exe", [Import("IoCreateDevice", create), Import("ExHooked", HOOK)]),
        ImportedModule("gone.sys", [Import("GoneRoutine", 0), Import("x", None, ordinal=9)]),
    ]
    delayed = [ImportedModule("late.sys", [Import("LateRoutine", scene.places["nt!ExQueue"].address)])]
    image.add_imports(imports, rva=IMPORT_TABLE, iat_rva=IAT)
    image.add_imports(delayed, rva=IMPORT_TABLE + 0x400, iat_rva=DELAY_IAT, delayed=True)
    scene.images["nt"].set_exports([Export("IoCreateDevice", "IoCreateDevice")])
    machine = scene.open()
    add_debugger_data(machine)
    if not discarded:
        table = dict(image.pages(whole=True))[IMPORT_TABLE]
        machine.put(DRIVER + IMPORT_TABLE, table)
    return scene, machine


@pytest.fixture
def walkthrough() -> Session:
    return session_on(open_dump(str(EXAMPLE)))


def test_the_slots_are_shown_up_to_the_pointer_behind_the_table(walkthrough: Session) -> None:
    lines = run_lines(walkthrough, "!mex.imports -a TestDriver")
    assert lines[:3] == [
        "Dumping Import table at fffff80225da0000 + 6030 ",
        "ModuleImageName: TestDriver",
        "fffff802`25da3000  fffff802`07940420 WDFLDR!WdfVersionUnbind",
    ]
    assert lines[-1] == "fffff802`25da30d0  fffff802`25da1630 TestDriver!_guard_check_icall_nop"
    assert not [line for line in lines if line.startswith("fffff802`25da3028")]


@pytest.mark.parametrize("place", ["fffff802`25da0000", "fffff80225da1234", "testdriver.sys", "TestDriver+7fff"])
def test_an_address_in_the_module_chooses_it_as_its_name_does(walkthrough: Session, place: str) -> None:
    assert run(walkthrough, f"imports -a {place}") == run(walkthrough, "imports -a TestDriver")


def test_names_that_were_discarded_give_way_to_the_addresses_and_the_reason(walkthrough: Session) -> None:
    lines = run_lines(walkthrough, "imports TestDriver")
    assert lines[2] == "fffff802`25da3000  fffff802`07940420 WDFLDR!WdfVersionUnbind"
    assert lines[-1].startswith("The names are not all known: the import table cannot be read at RVA 0x6030: the dump")


def test_what_is_no_module_is_said(walkthrough: Session) -> None:
    with pytest.raises(CommandError, match="imports: 0000000000001000 is in no loaded module, and no image begins"):
        run(walkthrough, "imports 1000")
    with pytest.raises(CommandError, match="imports: MODULE is missing"):
        run(walkthrough, "imports -a")
    with pytest.raises(ExpressionError):
        run(walkthrough, "imports nosuch")
    assert run_lines(walkthrough, "imports Ntfs")[-1] == "Ntfs imports nothing"


def test_names_are_listed_by_dll_and_delay_loaded_ones_behind_them(tmp_path: Path) -> None:
    scene, machine = driver_scene(discarded=False)
    assert run_lines(session_for(machine, scene.symbols(), tmp_path), "imports drv") == [
        f"Dumping Import table at {DRIVER:016x} + 25000 ",
        "ModuleImageName: drv",
        "drv imports ntoskrnl.exe!IoCreateDevice",
        "drv imports ntoskrnl.exe!ExHooked",
        "drv imports gone.sys!GoneRoutine",
        "drv imports gone.sys!#9",
        "Delay-loaded imports:",
        "drv imports late.sys!LateRoutine",
    ]


def test_slots_that_lead_to_no_module_are_shown_by_what_is_imported(tmp_path: Path) -> None:
    scene, machine = driver_scene(discarded=False)
    lines = run_lines(session_for(machine, scene.symbols(), tmp_path), "imports -a drv")
    create = scene.places["nt!IoCreateDevice"].address
    assert f"fffff803`81a20400  fffff803`{create & 0xFFFFFFFF:08x} nt!IoCreateDevice" in lines
    assert "drv imports ntoskrnl.exe!ExHooked" in lines
    hooked = run(session_for(machine, scene.symbols(), tmp_path), "imports -a drv").addresses[1]
    assert (hooked.value, hooked.imported) == (HOOK, "ntoskrnl.exe!ExHooked")


def test_a_hooked_slot_of_an_unknown_name_shows_where_it_leads(tmp_path: Path) -> None:
    scene, machine = driver_scene(discarded=True)
    lines = run_lines(session_for(machine, scene.symbols(), tmp_path), "imports -a drv")
    assert "fffff803`81a20408  ffffb507`60000123" in lines


def test_slots_that_the_dump_lacks_are_shown_by_their_names_or_counted_once(tmp_path: Path) -> None:
    scene, machine = driver_scene(discarded=False)
    drop_page(machine, DRIVER + IAT)
    lines = run_lines(session_for(machine, scene.symbols(), tmp_path), "imports -a drv")
    assert lines[2:6] == [
        "drv imports ntoskrnl.exe!IoCreateDevice",
        "drv imports ntoskrnl.exe!ExHooked",
        "drv imports gone.sys!GoneRoutine",
        "drv imports gone.sys!#9",
    ]
    scene, machine = driver_scene(discarded=True)
    drop_page(machine, DRIVER + IAT)
    (line,) = [line for line in run_lines(session_for(machine, [], tmp_path), "imports -a drv") if "????" in line]
    assert line.startswith("fffff803`81a20400  ????????`???????? page ") and line.endswith("not in the dump")


def test_the_image_of_the_symbol_path_tells_what_was_discarded(tmp_path: Path) -> None:
    scene, machine = driver_scene(discarded=True)
    image = scene.images["drv"]
    place = tmp_path / "store" / image.name / image.store_key / image.name
    place.parent.mkdir(parents=True)
    place.write_bytes(image.file())
    lines = run_lines(session_for(machine, [], tmp_path), "imports drv")
    assert "drv imports ntoskrnl.exe!IoCreateDevice" in lines and "drv imports late.sys!LateRoutine" in lines


def test_without_symbols_the_name_in_the_import_table_stands_beside_the_place(tmp_path: Path) -> None:
    scene, machine = driver_scene(discarded=False)
    session = session_for(machine, [], tmp_path)
    create = scene.places["nt!IoCreateDevice"].address
    slot = run(session, "imports -a drv").addresses[0]
    assert (slot.value, slot.imported) == (create, "ntoskrnl.exe!IoCreateDevice")
    drop_page(machine, NT)
    lines = run_lines(session_for(machine, [], tmp_path), "imports -a drv")
    assert lines[2].endswith(f" nt+0x{create - NT:x} (ntoskrnl.exe!IoCreateDevice)")


@needs_shared
@needs_symbols
def test_a_real_driver_whose_image_is_in_the_store_has_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_NT_SYMBOL_PATH", str(SYMBOLS / "store"))
    session = session_of("triage_x64")
    lines = run_lines(session, "imports -a amdppm")
    assert "amdppm imports ntoskrnl.exe!KeWaitForSingleObject" in lines
    assert not [line for line in lines if "????" in line]


@needs_shared
def test_a_real_dump_without_the_image_says_so() -> None:
    with pytest.raises(CommandError, match=r"imports: the dump does not hold the image of ks\.sys"):
        run(session_of("rts_d1"), "imports ks")
