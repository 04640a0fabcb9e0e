"""What a session opens with."""

from __future__ import annotations

import re
from typing import List

from dumpkit.output import plain
from dumpkit.prompt.banner import banner_lines
from dumpkit.session import Session

from tests.made_target import MadeTarget
from tests.running import session_on


def lines_of(session: Session) -> List[str]:
    return [plain(line) for line in banner_lines(session)]


def test_it_names_the_dump_the_system_the_bugcheck_and_the_place() -> None:
    lines = lines_of(session_on(MadeTarget()))
    assert re.fullmatch(r"dumpkit [\d.]+: help lists the commands, q ends", lines[0])
    assert lines[1] == "Dump file MADE.DMP: made-up dump"
    assert lines[3] == "Windows 10 Kernel Version 19041 MP (6 procs) Free x64"
    assert any(line.startswith("Debug session time:") for line in lines)
    assert lines[-3] == "BugCheck D1, {ffff80091002ac08, 2, 1, fffff802084d9062}"
    assert lines[-2] == "nt!KeBugCheckEx+0x90:"
    assert lines[-1].startswith("fffff800`00000090 ")


def test_it_tells_of_damage() -> None:
    target = MadeTarget()
    target.damage = ("The list of modules is cut short.",)
    assert lines_of(session_on(target))[2] == "Note: The list of modules is cut short."


def test_registers_that_are_missing_cost_the_place_only() -> None:
    session = session_on(MadeTarget())
    session.processor = 2
    lines = lines_of(session)
    assert lines[-2].startswith("BugCheck D1")
    assert lines[-1] == "The registers of processor 2 are not in the dump"


def test_a_session_without_a_dump_opens_with_one_line() -> None:
    (line,) = lines_of(session_on(None))
    assert line.startswith("dumpkit ")


def test_it_says_where_a_kernel_without_symbols_could_get_them() -> None:
    target = MadeTarget()
    assert not any("symbols" in line for line in lines_of(session_on(target)))
    target.symbols.state = lambda module: "no symbols"  # type: ignore[method-assign]
    assert lines_of(session_on(target))[-1].startswith("nt has no symbols (lmv m nt says where was looked): -y PATH")
