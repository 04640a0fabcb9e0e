from __future__ import annotations

import json

import pytest
from dumpkit.errors import DumpkitError

from tests.commands.made_session import *  # noqa: F403
from tests.forge.sample_driver import BASE
from tests.running import run, run_lines, shown


def test_functions_have_their_parameters_and_variables_their_values(in_memory):
    assert run_lines(in_memory, "x TestDriver!*File*") == [
        "fffff802`25da10f0 TestDriver!FileCreationThread (void *)",
        "fffff802`25da1500 TestDriver!CountFiles (void)",
        "fffff802`25da3028 TestDriver!_imp_ZwCreateFile = <no type information>",
        "fffff802`25da4060 TestDriver!FileCount = 0n7",
    ]


def test_records_are_named_and_what_cannot_be_read_says_so(session):
    assert run_lines(session, "x /d TestDriver!?????????") == [
        "fffff802`25da4000 TestDriver!Resources = struct _SYNC_RESOURCES",
        "fffff802`25da4060 TestDriver!FileCount = <Memory access error>",
    ]


def test_public_symbols_have_no_parameters(session):
    assert run_lines(session, "x nt!KeBugCheckEx") == ["fffff800`10001000 nt!KeBugCheckEx (<no parameter info>)"]


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ("/0", "fffff802`25da10f0 "),
        ("/1", "TestDriver!FileCreationThread"),
        ("/2", "fffff802`25da10f0 TestDriver!FileCreationThread"),
        ("/q", 'fffff802`25da10f0 @!"TestDriver!FileCreationThread" (void *)'),
        ("/t", "fffff802`25da10f0 <function> TestDriver!FileCreationThread (void *)"),
        ("/v", "prv func   fffff802`25da10f0  191 TestDriver!FileCreationThread (void *)"),
        ("/v /t", "prv func   fffff802`25da10f0  191 <function> TestDriver!FileCreationThread (void *)"),
    ],
)
def test_options_choose_what_is_shown(session, options, first):
    assert run_lines(session, f"x {options} TestDriver!File*")[0] == first


@pytest.mark.parametrize(
    ("option", "names"),
    [
        ("/n", ["CountFiles", "FileCount", "FileCreationThread"]),
        ("/N", ["FileCreationThread", "FileCount", "CountFiles"]),
        ("/a", ["FileCreationThread", "CountFiles", "FileCount"]),
        ("/A", ["FileCount", "CountFiles", "FileCreationThread"]),
        ("/z", ["CountFiles", "FileCount", "FileCreationThread"]),
        ("/f", ["FileCreationThread", "CountFiles"]),
        ("/d", ["FileCount"]),
    ],
)
def test_options_order_and_choose_symbols(session, option, names):
    rows = run(session, f"x {option} TestDriver!*File*").symbols
    assert [row.name for row in rows if not row.name.startswith("_imp")] == names


def test_modules_are_listed_where_no_symbol_is_named(session):
    assert [row.name for row in run(session, "x *!").modules] == ["nt", "TestDriver", "other"]
    assert run_lines(session, "x t*!")[1].startswith("fffff802`25da0000 fffff802`25da9000   TestDriver")


def test_a_name_without_a_module_is_looked_for_in_loaded_ones(session):
    assert run_lines(session, "x KeBugCheckE*") == ["fffff800`10001000 nt!KeBugCheckEx (<no parameter info>)"]
    assert run_lines(session, "x CountFiles") == []


@pytest.mark.parametrize(
    ("command", "message"),
    [("x", "missing"), ("x /j nt!*", "unknown option /j"), ("x no!y", "no module is called no"), ("x z*!y", "resolve")],
)
def test_what_makes_no_sense_is_refused(session, command, message):
    with pytest.raises(DumpkitError, match=message):
        run(session, command)


def test_the_data_of_a_symbol_are_its_columns(session):
    session.json = True
    session.execute("x TestDriver!CountFiles")
    (row,) = json.loads(shown(session)[0])["data"]["symbols"]
    assert row["address"] == f"0x{BASE + 0x1500:x}"
    assert (row["module"], row["name"], row["is_function"], row["size"]) == ("TestDriver", "CountFiles", True, 3)
