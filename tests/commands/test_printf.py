"""`.printf` and the aliases, against what the engine prints."""

from __future__ import annotations

import io
from pathlib import Path
from typing import List

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import DumpkitError, ExpressionError
from dumpkit.output import Output, Span
from dumpkit.session import Session

from tests.forge.triage import TriageFile
from tests.running import run, run_lines, session_on, shown


@pytest.fixture
def session(tmp_path: Path) -> Session:
    path = tmp_path / "forged.dmp"
    path.write_bytes(TriageFile().build())
    return session_on(open_dump(str(path)))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (r'.printf "%d %x %u\n", 10, 10, 10', "16 10 16"),
        (r'.printf "%p\n", 5', "0000000000000005"),
        (r'.printf "%N\n", ffff850429890ee8', "FFFF850429890EE8"),
        (r'.printf "%I64x %I64d %I64u\n", -1, -1, -1', "ffffffffffffffff -1 18446744073709551615"),
        (r'.printf "%08x|%-8x|%8x|%#x\n", 5, 5, 5, 5', "00000005|5       |       5|0x5"),
        (r'.printf "%08p|\n", 5', "00000005|"),
        (r'.printf "%c%c\n", 41, 42', "AB"),
        (r'.printf "%o %i %X\n", 10, -1, ffff850429890ee8', "20 -1 29890EE8"),
        (r'.printf "%lx %hx %hd\n", ffff850429890ee8, ffff850429890ee8, 12345', "29890ee8 ee8 9029"),
        (r'.printf "%%d %d%%\n", 5', "%d 5%"),
        (r'.printf "%f %e %g\n", 5, 5, 5', "0.000000 2.470328e-323 2.47033e-323"),
        (r'.printf "a\tb\\n\"c\"\n"', 'a\tb\\n"c"'),
        (r'.printf "%5d|%-5d|%05d|%+d|% d\n", 5, 5, 5, 5, 5', "    5|5    |00005|+5| 5"),
        (r'.printf "%.3d|%5.3d|%*d\n", 5, 5, 5, 6', "005|  005|    6"),
        (r'.printf "%d %d\n", 1+1, 2*3', "2 6"),
        (r'.printf "%ma\n", 0', "<Win32 error 0n30>"),
        (r'.printf /D "<b>a</b> &lt;\n"', "a <"),
    ],
)
def test_numbers_are_printed_in_their_formats(session: Session, line: str, text: str) -> None:
    assert run_lines(session, line) == [text]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('.printf "unterminated', "Trailing quote missing in '.printf \"unterminated'"),
        (".printf foo", "Quotes required in '.printf foo'"),
        ('.printf ""', "Non-empty string required in '.printf \"\"'"),
        (r'.printf "%d\n"', "Comma expected"),
        (r'.printf "%d\n" 5', "Comma expected"),
        (r'.printf "%s\n", 5', "Unsupported format type"),
        (r'.printf "%z\n", 5', r"""Unknown format control character '.printf "%z\n", 5'"""),
        (r'.printf "%d\n", foo', "Couldn't resolve error at 'foo'"),
    ],
)
def test_bad_formats_are_refused_in_the_engines_words(session: Session, line: str, error: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        session.execute(line)
    assert error in str(caught.value)


def test_a_surplus_argument_is_refused_behind_the_text(session: Session) -> None:
    with pytest.raises(ExpressionError, match="Extra character error"):
        session.execute(r'.printf "%d\n", 5, 6')
    assert shown(session) == ["5"]


def test_what_is_printed_next_goes_on_in_an_unfinished_line(session: Session) -> None:
    session.execute(r'.printf "%d", 1; .printf "%d\n", 2; .block { .printf "a"; .echo b }; .printf "c"')
    session.output.flush()
    assert shown(session) == ["12", "ab", "c"]


def test_a_link_is_one(session: Session) -> None:
    from dumpkit.dispatcher import Dispatcher

    (line,) = Dispatcher(session).lines(r'.printf /D "see <link cmd=\"k\">stack</link>\n"')
    assert Span("stack", None, "k") in line


def test_a_symbol_is_named_with_its_address(session: Session) -> None:
    rip = session.context.instruction_pointer
    (text,) = run_lines(session, r'.printf "%y\n", @rip')
    assert text.startswith("nt+0x") and text.endswith(f"({rip >> 32:08x}`{rip & 0xFFFFFFFF:08x})")
    assert run_lines(session, r'.printf "%y\n", 5') == ["00000000`00000005"]


def test_an_unfinished_line_is_ended_in_a_log_too(tmp_path: Path) -> None:
    output = Output(io.StringIO())
    session = Session(output)
    session.open_log(str(tmp_path / "log.txt"))
    from dumpkit.dispatcher import Dispatcher

    Dispatcher(session).run('.printf "a"')
    output.flush()
    session.close_log()
    assert (tmp_path / "log.txt").read_text() == "a\n"


# --- Aliases -----------------------------------------------------------------


def lines_of(*commands: str) -> List[str]:
    session = session_on(None)
    for command in commands:
        session.execute(command)
    return shown(session)


def test_an_alias_is_replaced_where_it_stands_alone_and_in_braces_anywhere() -> None:
    assert lines_of("as foo bar", '.echo foo xfoo -foo- "foo" <${foo}>;.echo foo;.echo (foo)') == [
        'bar xfoo -foo- "bar" <bar>',
        "bar",
        "(foo)",
    ]


def test_an_alias_counts_from_the_next_line_or_block_on() -> None:
    assert lines_of("aS foo bar; .echo ${foo}", ".echo ${foo}") == ["${foo}", "bar"]
    assert lines_of(".block { aS b2 xyz } ; .block { .echo ${b2} }") == ["xyz"]
    assert lines_of("as foo bar; .echo ${foo}", "al")[-1] == " foo              bar; .echo ${foo} "


def test_switches_say_whether_an_alias_is_there() -> None:
    asked = ".echo ${/d:foo} ${/d:no} ${/n:foo} ${/f:no}| ${/v:foo} ${/n:no} ${no}"
    assert lines_of("as foo bar", asked) == ["1 0 foo | ${/v:foo} ${/n:no} ${no}"]


def test_aliases_of_numbers_and_of_what_commands_print() -> None:
    assert lines_of("as /x n1 5+5", "? ${n1}+1", "as /c n2 .echo a b", ".echo <${n2}>") == [
        "Evaluate expression: 11 = 00000000`0000000b",
        "<a b>",
    ]


def test_aliases_are_listed_and_deleted() -> None:
    assert lines_of("al", "as foo bar", "al", "ad foo", "al", "ad /q nosuch") == [
        "No aliases",
        "  Alias            Value  ",
        " -------          ------- ",
        " foo              bar ",
        "No aliases",
    ]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("as", "Syntax error in 'as'"),
        ("as foo", "Syntax error in 'as foo'"),
        ("as /x n", "Syntax error in 'as /x n'"),
        ("ad", "Syntax error in 'ad'"),
        ("ad nosuch", "No information found error in 'ad nosuch'"),
        ("as /x n foo", "Couldn't resolve error at 'foo'"),
    ],
)
def test_bad_definitions_are_refused_in_the_engines_words(line: str, error: str) -> None:
    with pytest.raises(DumpkitError) as caught:
        session_on(None).execute(line)
    assert str(caught.value) == error


def test_the_fixed_aliases_are_set_by_r() -> None:
    assert lines_of("r $.u0 = abc def", ".echo a$u0 b$u1|", "r $.u0", "r $.u1", "r $.u0=.echo", "$u0 hi")[:4] == [
        "aabc def b|",
        "$u0=abc def",
        "$u1=<Empty>",
        "hi",
    ]


def test_an_alias_has_an_effect_on_the_library_too(session: Session) -> None:
    session.execute("as x1 ? 5")
    session.execute("x1")
    assert shown(session) == ["Evaluate expression: 5 = 00000000`00000005"]
    assert run(session, "al").aliases == {"x1": "? 5"}


# --- What the engine says of errors ------------------------------------------


def said(session: Session, line: str) -> List[str]:
    before = len(shown(session))
    with pytest.raises(ExpressionError) as caught:
        session.execute(line)
    return [*shown(session)[before:], str(caught.value)]


def test_an_error_quotes_the_rest_of_its_line(session: Session) -> None:
    assert said(session, "? foo; ? 1") == ["Couldn't resolve error at 'foo; ? 1'"]
    assert said(session, "? 1+; ? 2") == ["Numeric expression missing from '; ? 2'"]
    assert said(session, "? 1 2; ? 3")[-1] == "Extra character error in '? 1 2'"
    assert said(session, "? foo  ") == ["Couldn't resolve error at 'foo  '"]
    assert said(session, "? 1+  ") == ["Numeric expression missing from '<EOL>'"]


def test_what_printf_printed_before_an_error_is_kept(session: Session) -> None:
    assert said(session, r'.printf "a %d %d\n", 5, foo') == ["a 5 ", "Couldn't resolve error at 'foo'"]


def test_echo_takes_one_text_in_quotes(session: Session) -> None:
    assert said(session, '.echo "a" b') == ["a", "Extra character error in '.echo \"a\" b'"]
    assert said(session, '.echo "a') == ["Trailing quote missing in '.echo \"a'"]


def test_n_sets_the_base_before_it_refuses_what_is_left(session: Session) -> None:
    assert said(session, "n 10 5") == ["base is 10", "Extra character error in 'n 10 5'"]
    assert session.radix == 10
    assert said(session, "n 5") == ["Syntax error in 'n 5'"]
