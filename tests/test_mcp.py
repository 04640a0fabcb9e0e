"""The commands as tools of the Model Context Protocol, asked by the protocol's own client."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Dict

import pytest
from dumpkit.errors import CommandError
from dumpkit.library import Answer
from dumpkit.mcp import REFUSED, Dumps, TooLongError, command_list, limited

EXAMPLE = str(Path(__file__).resolve().parents[1] / "examples" / "fast-mutex-irql")

Ask = Callable[..., Any]


def data(answer: Answer) -> Any:
    return answer.data


@pytest.fixture
def ask() -> Ask:
    """Calls a tool through a client; its answer, or the text of its error."""
    pytest.importorskip("mcp", reason="the package mcp is not installed")
    from dumpkit.mcp import make_server
    from mcp import Client

    def call(tool: str, **arguments: Any) -> Any:
        async def converse() -> Any:
            async with Client(make_server()) as client:
                return await client.call_tool(tool, arguments)

        answer = asyncio.run(converse())
        if answer.is_error:
            return answer.content[0].text
        return answer.structured_content["result"]

    return call


def test_a_tool_runs_a_command_and_gives_its_data(ask: Ask) -> None:
    answer: Dict[str, Any] = ask("run", dump=EXAMPLE, command=".bugcheck")
    assert answer["command"] == ".bugcheck"
    assert answer["data"]["code"] == "0xd1"


def test_text_comes_in_pages(ask: Ask) -> None:
    page = ask("run_text", dump=EXAMPLE, command="k", first_line=1, lines=2)
    assert len(page["lines"]) == 2
    assert page["lines"][0].endswith("nt!KeBugCheckEx")
    assert page["all_lines"] == 37


def test_an_answer_that_is_too_long_says_so(ask: Ask) -> None:
    assert "characters as JSON: narrow the command" in ask("run", dump=EXAMPLE, command="db @rsp L20000")


def test_failures_are_one_line(ask: Ask) -> None:
    assert "Could not open dump file nowhere.dmp" in ask("run", dump="nowhere.dmp", command="k")
    assert "No such command: nothing" in ask("run", dump=EXAMPLE, command="nothing")


def test_the_commands_are_listed(ask: Ask) -> None:
    listed = ask("commands", name="lm")
    assert listed[0]["summary"]
    assert "help" in listed[0]


@pytest.mark.parametrize("command", sorted(REFUSED))
def test_commands_that_write_or_run_files_are_refused(command: str) -> None:
    with pytest.raises(CommandError, match="is not available here"):
        Dumps(None, True).ask(EXAMPLE, f"{command} file", None, data)


@pytest.mark.parametrize(
    "inner", [".logopen {file}", ".logappend {file}", "$$><{script}", "$$>a<{script} x", "$<{script}"]
)
@pytest.mark.parametrize("outer", ["grep -v x {inner}", "grep x grep x {inner}"])
def test_commands_within_commands_write_and_run_no_file(outer: str, inner: str, tmp_path: Path) -> None:
    script, file = tmp_path / "script.dk", tmp_path / "log.txt"
    script.write_text(f".logopen {file}")
    command = outer.format(inner=inner.format(file=file, script=script))
    with pytest.raises(CommandError, match="nothing is written and no file is run"):
        Dumps(None, True).ask(EXAMPLE, command, None, data)
    assert not file.exists()


@pytest.mark.parametrize("command", ["", " ", ";", "*"])
def test_no_command_is_one_line(command: str) -> None:
    with pytest.raises(CommandError):
        Dumps(None, True).ask(EXAMPLE, command, None, data)


@pytest.mark.parametrize("take", [lambda answer: answer.lines, data])
@pytest.mark.parametrize("command", [".while (1) { }", ".while (1) { .echo again }"])
def test_a_command_without_end_is_ended_and_the_dump_opened_anew(command: str, take: Callable[[Answer], Any]) -> None:
    dumps = Dumps(None, True, limit=0.3)
    first = dumps.get(EXAMPLE, None)
    with pytest.raises(TooLongError, match=r"no answer within 0\.3 s: narrow the command"):
        dumps.ask(EXAMPLE, command, None, take)
    assert dumps.get(EXAMPLE, None) is not first
    assert dumps.ask(EXAMPLE, ".bugcheck", None, data)["code"] == "0xd1"


def test_the_limit_ends_nothing_behind_its_block() -> None:
    for number in range(100):
        with suppress(TooLongError):
            limited(0.001, lambda seconds=number * 0.00002: time.sleep(seconds))  # type: ignore[misc]
    time.sleep(0.01)


def test_help_of_an_unknown_command_is_an_error() -> None:
    with pytest.raises(CommandError, match="No such command: nothing"):
        command_list("nothing")
    assert command_list("!db") and command_list("!DI")


def test_no_refused_command_is_listed() -> None:
    assert not REFUSED & {record["usage"].split()[0] for record in command_list()}


def test_only_some_dumps_are_kept_open() -> None:
    dumps = Dumps(None, True)
    folders = sorted(path for path in Path(EXAMPLE).parent.iterdir() if (path / "MEMORY.DMP").exists())
    first = dumps.get(str(folders[0]), None)
    assert dumps.get(str(folders[0]), None) is first
    for symbols in "abcd":
        dumps.get(str(folders[1]), symbols)
    assert dumps.get(str(folders[0]), None) is not first
