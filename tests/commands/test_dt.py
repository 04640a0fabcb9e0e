from __future__ import annotations

import json

import pytest
from dumpkit.errors import CommandError

from tests.commands.made_session import *  # noqa: F403
from tests.forge.sample_driver import BASE
from tests.running import dumpkit, run, run_lines, shown
from tests.symbol_lab import write_dump, write_store


def test_a_type_alone_is_shown_by_its_members(session):
    lines = run_lines(session, "dt TestDriver!_KEVENT")
    assert lines == [
        "   +0x000 Signal           : Int4B",
        "   +0x008 Waiters          : Ptr64 Void",
        "   +0x010 Name             : [8] Char",
    ]


def test_a_type_without_a_module_is_told_with_the_one_that_has_it(session):
    assert run_lines(session, "dt _GUEST State") == ["nt!_GUEST", "   +0x008 State : _GUEST_STATE"]


def test_an_object_is_shown_at_an_address_or_at_a_symbol(in_memory):
    at_address = run_lines(in_memory, f"dt TestDriver!_SYNC_RESOURCES {BASE + 0x4000:x} FileMutex.Count Mode")
    at_symbol = run_lines(in_memory, "dt TestDriver!_SYNC_RESOURCES TestDriver!Resources FileMutex.Count Mode")
    assert at_address == at_symbol
    assert at_address[0] == "   +0x000 FileMutex       : "
    assert at_address[1] == "      +0x000 Count           : 0n1"


def test_a_variable_is_shown_by_its_own_type(in_memory):
    assert run_lines(in_memory, "dt TestDriver!FileCount") == ["0n7"]
    assert run(in_memory, "dt TestDriver!Resources").address == BASE + 0x4000


def test_an_object_that_is_not_in_the_dump_says_so(session):
    lines = run_lines(session, "dt TestDriver!FileCount")
    assert lines == ["??", f"Memory read error {BASE + 0x4060:016x}"]


def test_a_pattern_lists_types_and_variables(session):
    assert run_lines(session, "dt TestDriver!*Count*") == [
        "fffff80225da1500  TestDriver!CountFiles",
        "fffff80225da4060  TestDriver!FileCount",
    ]
    assert run_lines(session, "dt t*!_KEV*") == ["          TestDriver!_KEVENT"]
    assert [row.name for row in run(session, "dt -t TestDriver!*").names][:2] == ["<unnamed-tag>", "_DRIVER_OBJECT"]


def test_a_function_is_shown_as_it_is_declared(session):
    assert run_lines(session, "dt TestDriver!LogCurrentIrql") == ["LogCurrentIrql  long (", "\twchar_t*)"]
    assert run_lines(session, "dt TestDriver!CountFiles")[-1] == "\tvoid)"


@pytest.mark.parametrize("command", ["dt nt!_NOSUCH", "dt TestDriver!_DRIVER_OBJECT", "dt other!_X", "dt nosuch!_X"])
def test_what_is_not_found_is_told_with_where_it_was_looked_for(session, command):
    name = command.split()[1]
    with pytest.raises(CommandError, match=f"^Symbol {name} not found: .") as refused:
        run(session, command)
    assert "\n" not in str(refused.value)


def test_without_a_name_there_is_the_usage(session):
    with pytest.raises(CommandError) as refused:
        run(session, "dt")
    assert str(refused.value.usage).startswith("dt ")


def test_physical_memory_is_refused_where_there_is_none(session):
    with pytest.raises(CommandError, match="no physical memory"):
        run(session, "dt -p TestDriver!_KEVENT 1000")


def test_the_data_of_an_object_are_its_members(in_memory):
    in_memory.json = True
    in_memory.execute("dt TestDriver!_FAST_MUTEX TestDriver!Resources")
    data = json.loads(shown(in_memory)[0])["data"]
    assert (data["type"], data["address"], data["value"]["Count"]) == ("_FAST_MUTEX", "0xfffff80225da4000", 1)


def test_ddt_shows_numbers_in_both_radixes(in_memory):
    lines = run_lines(in_memory, "ddt TestDriver!Resources Mode")
    assert lines[1].startswith("dt TestDriver!Resources Mode ()")
    assert any(line.startswith("   +0x044 Mode") for line in lines)
    assert run_lines(in_memory, "ddt TestDriver!_KEV*") == ["          TestDriver!_KEVENT"]


def test_the_whole_works_from_the_command_line(tmp_path):
    store = write_store(tmp_path / "symbols")
    done = dumpkit(write_dump(tmp_path), "--symbols", str(store), "-c", "dt TestDriver!_KEVENT Signal")
    assert (done.stdout, done.stderr) == ("   +0x000 Signal : Int4B\n", "")
