"""Lines and results on their way to people and programs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import NamedTuple, Tuple

from dumpkit.output import Hex, Output, Span, ansi, data, dml, linked_table, plain, table


class Point(NamedTuple):
    address: Hex
    count: int


@dataclass(frozen=True)
class Result:
    points: Tuple[Point, ...]
    raw: bytes
    missing: None
    _hidden: int = 1


def test_results_become_json_with_addresses_as_hex_strings() -> None:
    result = Result((Point(Hex(0xFFFFF80204000000), 3),), b"\x01\xff", None)
    assert data(result) == {"points": [{"address": "0xfffff80204000000", "count": 3}], "raw": "01ff", "missing": None}


def test_a_line_is_plain_coloured_or_linked() -> None:
    line = ("at ", Span("nt!Foo<int>", "symbol", 'u "nt"'), " & on")
    assert plain(line) == "at nt!Foo<int> & on"
    assert ansi(line) == "at \x1b[33mnt!Foo<int>\x1b[0m & on"
    assert dml(line) == 'at <link cmd="u &quot;nt&quot;">nt!Foo&lt;int&gt;</link> &amp; on'


def test_control_characters_of_a_dump_never_reach_the_terminal() -> None:
    hostile = "name\x1b]0;title\x07\x9b31m"
    assert "\x1b" not in plain(hostile) and "\x9b" not in ansi((Span(hostile, "symbol"),)).replace("\x1b[33m", "")
    assert plain(hostile) == "name.]0;title..31m"


def test_a_log_gets_the_same_lines_without_colour() -> None:
    output = Output(io.StringIO(), colour=True)
    output.log = io.StringIO()
    output.line((Span("red", "error"),))
    assert output.log.getvalue() == "red\n"
    assert output.stream.getvalue() == "\x1b[31mred\x1b[0m\n"  # type: ignore[attr-defined]


def test_a_table_pads_every_column_but_the_last() -> None:
    assert list(table([("Name", "Count", "State"), ("System", "3", "Ready")], right=(1,))) == [
        "Name   Count State",
        "System     3 Ready",
    ]


def test_cells_of_a_table_may_hold_links() -> None:
    rows = [("Name", "Count", "Info"), ((Span("a", None, "t 1"), "!"), "12", ""), ("bcd", "3", "x")]
    lines = list(linked_table(rows, (1,), "  "))
    assert [plain(line) for line in lines] == ["  Name Count Info", "  a!      12 ", "  bcd      3 x"]
    assert '<link cmd="t 1">a</link>' in dml(lines[1])
    assert list(linked_table([])) == []


def test_tabs_are_shown_and_other_controls_are_dots_whether_written_alone_or_with_others() -> None:
    stream = io.StringIO()
    Output(stream).lines(["a\tb", "c\x1b[2Jd"])
    Output(stream).lines(["a\tb"])
    assert stream.getvalue() == "a\tb\nc.[2Jd\na\tb\n"
