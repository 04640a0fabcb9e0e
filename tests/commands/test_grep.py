"""grep: the lines of another command that have a text."""

from __future__ import annotations

import pytest
from dumpkit.dispatcher import Dispatcher
from dumpkit.errors import CommandError, DumpkitError
from dumpkit.output import data, dml

from tests.kernel.thread_machines import Lab, lab
from tests.running import run, run_lines, session_on


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return lab(19041, tmp_path_factory.mktemp("grep"))


def test_lines_with_a_text_are_kept_in_any_case(at: Lab) -> None:
    lines = run_lines(at.session, "!mex.grep wrqueue lt")
    assert [line.split()[-1] for line in lines] == ["WrQueue"] * 3
    assert run_lines(at.session, "grep nowhere lt") == []


def test_v_keeps_the_others_and_r_reads_a_regular_expression(at: Lab) -> None:
    every = run_lines(at.session, "lt")
    assert run_lines(at.session, "grep -v System lt") == [line for line in every if "System" not in line]
    shown = run_lines(at.session, 'grep -r "wr(queue|resource)$" lt')
    assert {line.split()[-1] for line in shown} == {"WrQueue", "WrResource"}
    assert run_lines(at.session, "grep -v -r . lt") == [""]


def test_a_keeps_lines_behind_each_match(at: Lab) -> None:
    shown = run_lines(at.session, 'grep -A 1 "NumberOf" locks')
    assert len(shown) == 8
    assert [line.strip().split(" ")[0] for line in shown] == ["NumberOfExclusiveWaiters", "Threads:"] * 4


def test_a_quoted_pattern_may_have_a_space(at: Lab) -> None:
    assert run_lines(at.session, 'grep "Count: 3" lt -wr WrQueue') == ["Thread Count: 3"]


def test_grep_looks_through_grep_but_not_without_end(at: Lab) -> None:
    assert run_lines(at.session, "grep system grep wrqueue lt") == run_lines(at.session, "grep wrqueue lt")
    with pytest.raises(CommandError, match="no more than"):
        run_lines(at.session, "grep a " * 50 + "lt")


def test_links_stay_and_json_counts(at: Lab) -> None:
    text = "\n".join(map(dml, Dispatcher(at.session).lines("grep Standby lt")))
    assert f'<link cmd="t {at.address("standby"):x}">' in text
    found = data(run(at.session, "grep Standby lt"))
    assert (found["pattern"], found["command"], found["matches"], len(found["lines"])) == ("Standby", "lt", 1, 1)
    assert found["total"] > 30


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("grep", "PATTERN is missing"),
        ("grep x", "the command whose lines are looked through is missing"),
        ("grep -r [ lt", "is no regular expression"),
        ("grep -A many x lt", "-A needs a number"),
        ("grep x nosuchcommand", "nosuchcommand"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(at: Lab, line: str, said: str) -> None:
    with pytest.raises(DumpkitError, match=said):
        run_lines(at.session, line)


def test_it_works_without_a_dump() -> None:
    assert run_lines(session_on(None), "grep Hex .formats 10")[0].startswith("  Hex:")
