"""Lines become commands: splitting, names, aliases, glued arguments, errors."""

from __future__ import annotations

import json
import re
from importlib import import_module

import pytest
from dumpkit.command_line import split_commands
from dumpkit.commands import INDEX
from dumpkit.commands.absent import why_absent
from dumpkit.dispatcher import find_command, load_all, parse_call
from dumpkit.errors import CommandError, ExpressionError
from dumpkit.registry import CATEGORIES, REGISTERED

from tests.made_target import MadeTarget
from tests.running import run_lines, session_on, shown


@pytest.mark.parametrize(
    ("line", "commands"),
    [
        ("di; lm", ["di", "lm"]),
        ('.echo "a;b"; .echo c', ['.echo "a;b"', ".echo c"]),
        (";; r ;", ["r"]),
        ("* a comment; r", []),
        ("r; * the rest; lm", ["r"]),
        ("$$ a comment; r", ["r"]),
        ("$$>< file.txt; r", ["$$>< file.txt", "r"]),
        ('.echo "unclosed; r', ['.echo "unclosed; r']),
        ("", []),
    ],
)
def test_a_line_is_split_at_semicolons_outside_quotes(line: str, commands: list) -> None:
    assert split_commands(line) == commands


@pytest.mark.parametrize("text", ["di", "!di", "!mex.di", "DI", "!MEX.Di", "dumpinfo", "!dumpinfo"])
def test_di_has_many_spellings_but_is_one_command(text: str) -> None:
    assert parse_call(text).command.name == "di"


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("dq@rsp L2", "dq", "@rsp L2"),
        ("dqrsp L2", "dq", "rsp L2"),
        ("lmvm nt", "lm", "vm nt"),
        ("knL 5", "k", "nL 5"),
        ("kn5", "k", "n5"),
        ("?@rsp", "?", "@rsp"),
        ("?? 1+2", "??", "1+2"),
        ("~3s", "~", "3s"),
        ("$$>a< f.dk x y", "$$>a<", "f.dk x y"),
        ("$<f.dk", "$<", "f.dk"),
        (".formats 10", ".formats", "10"),
    ],
)
def test_a_call_is_a_command_and_the_text_behind_it(text: str, name: str, arguments: str) -> None:
    call = parse_call(text)
    assert (call.command.name, call.arguments) == (name, arguments)


def test_dd_and_the_doubles_of_dD_differ_by_case_only() -> None:
    assert parse_call("dd 0").command.name == "dd"
    assert parse_call("dD 0").command.name == "dD"
    assert parse_call("DB 0").command.name == "db"


def test_an_unknown_command_is_named_with_what_is_near_it() -> None:
    with pytest.raises(CommandError, match="No such command: vertarge; near it: vertarget"):
        parse_call("vertarge")
    with pytest.raises(CommandError, match="No such command: qqqqzz"):
        parse_call("!qqqqzz")


def test_the_index_names_every_command_of_every_module_and_no_other() -> None:
    load_all()
    for module in set(INDEX.values()):
        import_module(f"dumpkit.commands.{module}")
    own = {name: command.run.__module__ for name, command in REGISTERED.items()}
    package = "dumpkit.commands."
    assert {name: module[len(package) :] for name, module in own.items() if module.startswith(package)} == INDEX


def test_every_command_has_a_summary_a_help_text_and_a_known_category() -> None:
    for command in load_all().values():
        assert command.summary and command.help.strip(), command.name
        assert command.category in CATEGORIES, command.name


@pytest.mark.parametrize("name", sorted(INDEX))
def test_every_command_answers_minus_h_with_its_synopsis(name: str) -> None:
    command = find_command(name)
    assert command is not None
    lines = run_lines(session_on(None), f"help {name}")
    assert lines[0] == command.synopsis
    if not command.raw:
        assert run_lines(session_on(None), f"{name} -h") == lines


def test_help_lists_every_command_with_its_summary() -> None:
    text = "\n".join(run_lines(session_on(None), "help"))
    for command in load_all().values():
        assert f" {command.name} " in text and command.summary in text


def test_a_command_without_a_dump_says_what_is_missing() -> None:
    session = session_on(None)
    with pytest.raises(CommandError, match="needs a dump"):
        session.execute("di")


def test_the_first_failure_ends_a_line() -> None:
    session = session_on(None)
    with pytest.raises(CommandError):
        session.execute(".echo one; nosuch; .echo two")
    assert shown(session) == ["one"]


def test_q_ends_the_line_too() -> None:
    session = session_on(None)
    session.execute(".echo one; q; .echo two")
    assert shown(session) == ["one"] and session.ended


def test_json_gives_each_result_or_error_as_an_object_in_one_line() -> None:
    session = session_on(None)
    session.json = True
    with pytest.raises(CommandError):
        session.execute('.echo "a b"; n 10; nosuch')
    records = [json.loads(line) for line in shown(session)]
    assert records[0] == {"command": '.echo "a b"', "name": ".echo", "data": {"text": "a b"}}
    assert records[1]["data"] == {"text": "base is 10"}
    assert records[2]["error"]["kind"] == "CommandError" and "nosuch" in records[2]["error"]["message"]


def test_surplus_and_unknown_options_are_refused_with_the_synopsis() -> None:
    session = session_on(None)
    with pytest.raises(CommandError, match="q: unexpected 'now'") as caught:
        session.execute("q now")
    assert caught.value.usage == "q"
    with pytest.raises(CommandError, match="q: unknown option -x"):
        session.execute("q -x")


def test_a_constant_that_is_evaluated_may_hold_what_parts_commands():
    assert split_commands("? 'a;b'; ? 2") == ["? 'a;b'", "? 2"]
    assert split_commands(".echo it's; ? 1") == [".echo it's", "? 1"]
    assert split_commands("? 'a;b") == ["? 'a", "b"]


def test_what_a_command_found_is_shown_before_what_was_left_over_is_refused():
    session = session_on(None)
    with pytest.raises(ExpressionError, match="Extra character error in '\\? 1 2'"):
        session.execute("? 1 2; ? 3")
    assert shown(session) == ["Evaluate expression: 1 = 00000000`00000001"]


def test_what_a_command_found_is_in_the_data_of_one_that_was_refused():
    session = session_on(None)
    session.json = True
    with pytest.raises(ExpressionError):
        session.execute(".formats 1 2")
    (record,) = (json.loads(line) for line in shown(session))
    assert record["data"]["value"] == "0x1"
    assert record["error"]["message"].startswith("Extra character error")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("g", "g is not in dumpkit: a dump does not run"),
        ("bp nt!KeBugCheckEx", "bp is not in dumpkit: a dump does not run"),
        ("eb 1000 90", "eb is not in dumpkit: a dump does not run"),
        (".LOAD pykd", ".LOAD is not in dumpkit: WinDbg's extensions are not loaded"),
        ("dx @$cursession", "dx is not in dumpkit: there is no data model"),
    ],
)
def test_a_command_of_windbg_that_is_not_there_says_why(line: str, reason: str) -> None:
    with pytest.raises(CommandError, match=re.escape(reason)):
        session_on(MadeTarget()).execute(line)


def test_no_command_that_is_there_is_called_absent() -> None:
    for name in load_all():
        assert why_absent(name) is None, name
