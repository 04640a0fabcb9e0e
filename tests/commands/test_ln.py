from __future__ import annotations

import json

import pytest
from dumpkit.errors import CommandError

from tests.commands.made_session import *  # noqa: F403
from tests.forge.sample_driver import BASE, SOURCE
from tests.running import run, run_lines, shown


def test_an_address_lies_between_two_symbols(session):
    assert run_lines(session, "ln nt!KeBugCheckEx+12") == [
        "(fffff800`10001000)   nt!KeBugCheckEx+0x12   |  (fffff800`10001200)   nt!KeBugCheck2"
    ]


def test_every_name_at_an_address_is_an_exact_match(session):
    assert run_lines(session, "ln nt!KyAlias") == [
        "(fffff800`10001600)   nt!KiAlias   |  (fffff800`10c00b20)   nt!KdDebuggerDataBlock",
        "Exact matches:",
        "    nt!KiAlias (<no parameter info>)",
        "    nt!KyAlias (<no parameter info>)",
    ]


def test_source_lines_stand_above_where_the_symbols_have_them(session):
    lines = run_lines(session, "ln TestDriver!FileCreationThread+54")
    assert lines[0] == f"{SOURCE}(64)+0x2"
    assert lines[1].startswith("(fffff802`25da10f0)   TestDriver!FileCreationThread+0x54   |")


def test_the_last_symbol_has_none_behind_it(session):
    (line,) = run_lines(session, "ln nt!PsLoadedModuleList+8")
    assert line.rstrip() == "(fffff800`10c2a390)   nt!PsLoadedModuleList+0x8"


def test_a_place_in_front_of_every_symbol_has_the_engines_displacement(session):
    line = run_lines(session, "ln TestDriver")[-1]
    assert "+0xffffffff`ffffffff   |" in line


def test_without_an_address_it_looks_around_the_current_instruction(session):
    assert run(session, "ln").address == session.context.instruction_pointer


@pytest.mark.parametrize(("address", "message"), [("1000", "in no module"), ("other+10", "other has no symbols: .")])
def test_where_no_symbols_are_it_says_why(session, address, message):
    with pytest.raises(CommandError, match=message):
        run(session, f"ln {address}")


def test_the_data_are_the_symbols_around(session):
    session.json = True
    session.execute("ln nt!KeBugCheckEx+12")
    data = json.loads(shown(session)[0])["data"]
    assert (data["before"]["name"], data["displacement"], data["after"]["name"]) == (
        "nt!KeBugCheckEx",
        0x12,
        "nt!KeBugCheck2",
    )
    assert data["address"] != f"0x{BASE:x}"
