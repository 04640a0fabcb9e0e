from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.errors import CommandError

from tests.commands.made_session import *  # noqa: F403
from tests.made_target import MadeTarget
from tests.running import run, run_lines, session_on, shown
from tests.symbol_lab import write_store


def test_the_path_is_shown_with_the_state_of_its_places(session):
    store = session.dump.symbols.search.text
    run(session, ".sympath+ srv*C:\\cache*https://user:secret@example.test/sym;/no/such/folder")
    lines = run_lines(session, ".sympath")
    assert lines[0] == f"Symbol search path is: {store};srv*C:\\cache*https://example.test/sym;/no/such/folder"
    assert "Response                         Time (ms)     Location" in lines
    assert f"OK                                             {store}" in lines
    assert "Deferred                                       srv*C:\\cache*https://example.test/sym" in lines
    assert "Error                                          /no/such/folder" in lines
    assert "Error: /no/such/folder is no folder" in lines
    assert not any("secret" in line for line in lines)


def test_an_empty_path_is_said_to_be_empty(session):
    assert run_lines(session, '.sympath ""') == [
        "Symbol search path is: <empty>",
        "Expanded Symbol search path is: <empty>",
    ]


def test_another_path_has_symbols_looked_for_anew(session, tmp_path):
    assert run_lines(session, "x TestDriver!CountFiles")
    run(session, ".sympath /no/such/folder")
    assert run(session, "lm m TestDriver").modules[0].symbols == "deferred"
    assert run_lines(session, "x TestDriver!CountFiles") == []
    assert run(session, "lm m TestDriver").modules[0].symbols == "no symbols"
    run(session, f".sympath {tmp_path / 'store'}")
    assert run_lines(session, "x TestDriver!CountFiles")


def test_a_folder_beside_the_dump_is_shown(session, tmp_path):
    (tmp_path / "dump" / "symbols").mkdir()
    assert run_lines(session, ".sympath")[0] == f"Looked in first: {tmp_path / 'dump' / 'symbols'}"


def test_symfix_sets_microsofts_server_without_asking_it(session):
    assert run_lines(session, ".symfix") == []
    lines = run_lines(session, ".sympath")
    assert lines[0] == "Symbol search path is: srv*"
    assert lines[1] == "Expanded Symbol search path is: SRV*https://msdl.microsoft.com/download/symbols"
    assert lines[-1].split() == ["Deferred", "srv*"]
    run(session, ".symfix /tmp/cache")
    assert run(session, ".sympath").path == "SRV*/tmp/cache*https://msdl.microsoft.com/download/symbols"
    run(session, ".sympath /a")
    run(session, ".symfix+ ")
    assert run(session, ".sympath").path == "/a;srv*"


def test_reload_forgets_every_module_and_looks_for_the_kernel_at_once(session):
    run(session, "x TestDriver!CountFiles")
    lines = run_lines(session, ".reload")
    assert lines[:4] == ["Loading Kernel Symbols", "...", "Loading User Symbols", "Loading unloaded module list"]
    assert lines[4].startswith("nt: isf symbols, ")
    assert "matched by PsLoadedModuleList, KdDebuggerDataBlock" in lines[4]
    assert [row.symbols for row in run(session, "lm").modules] == ["isf symbols", "deferred", "deferred"]


def test_reload_f_looks_for_what_is_named_or_for_all(session):
    (line,) = run_lines(session, ".reload /f TestDriver.sys")
    assert line.startswith("TestDriver: private pdb symbols, ")
    lines = run_lines(session, ".reload /f")
    assert lines[-1].startswith(
        "*** ERROR: symbols could not be loaded for other.sys: other.sys 5E0000008000 not found"
    )
    assert [row.flag for row in run(session, "lm").modules] == ["", "", "T"]
    assert run_lines(session, ".reload /u TestDriver") == ["Unloaded TestDriver"]
    assert run(session, "lm m TestDriver").modules[0].symbols == "deferred"


def test_reload_i_takes_a_mismatched_pdb_and_lm_marks_it(session, tmp_path):
    for image in (tmp_path / "store" / "TestDriver.sys").rglob("*.sys"):
        image.unlink()
    assert "could not be loaded" in run_lines(session, ".reload /f TestDriver")[0]
    (line,) = run_lines(session, ".reload /f /i TestDriver")
    assert "mismatched" in line
    assert run_lines(session, "lm m TestDriver")[1].split()[3] == "M"


def test_what_was_missing_is_found_after_a_reload(session, tmp_path):
    (tmp_path / "store").rename(tmp_path / "gone")
    assert run_lines(session, "x TestDriver!CountFiles") == []
    write_store(tmp_path / "store")
    run(session, ".reload")
    assert run_lines(session, "x TestDriver!CountFiles")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (".reload nosuch.sys", '"nosuch.sys" was not found in the image list'),
        (".reload /x", "unknown option /x"),
        ("!sym loud", "no mode loud"),
        (".symfix a b", "one folder"),
    ],
)
def test_what_makes_no_sense_is_refused(session, command, message):
    with pytest.raises(CommandError, match=message):
        run(session, command)


def test_noisy_mode_tells_every_place_that_is_looked_at(session, tmp_path):
    assert run_lines(session, "!sym") == ["!sym <noisy/quiet - prompts/prompts off> - quiet mode - symbol prompts off"]
    assert run_lines(session, "!sym noisy") == ["noisy mode - symbol prompts off"]
    run(session, ".reload /f TestDriver")
    run(session, ".reload /f other")
    told = shown(session)
    pdb = Path("TestDriver.pdb") / "112233445566778899AABBCCDDEEFF001" / "TestDriver.pdb"
    assert f"SYMSRV:  UNC: {tmp_path / 'store' / pdb} - OK" in told
    assert any(line.startswith("DBGHELP: ") and line.endswith("other.sys - file not found") for line in told)
    before = len(told)
    run(session, "!sym quiet")
    run(session, ".reload /f other")
    assert len(shown(session)) == before


def test_lmv_tells_where_symbols_and_image_are_from(session):
    run(session, ".reload /f TestDriver")
    lines = run_lines(session, "lmvm TestDriver")
    assert "   TestDriver   (private pdb symbols)  /" in lines[1]
    assert any(line.startswith("    Mapped memory image file: /") for line in lines)


def test_a_target_whose_symbols_are_anothers_business_refuses_a_path():
    with pytest.raises(CommandError, match="not looked for by dumpkit"):
        run(session_on(MadeTarget()), ".sympath")
