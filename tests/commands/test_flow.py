"""`.if .for .while .do .foreach .block .catch j z`, against what the engine prints."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional

import pytest
from dumpkit.command_line import split_commands
from dumpkit.errors import CommandError, DumpkitError, ExpressionError

from tests.running import failure_text, session_on, shown


def printed(line: str) -> List[str]:
    """What a line shows at the prompt, its error included."""
    session = session_on(None)
    try:
        session.execute(line)
    except DumpkitError as error:
        return [*shown(session), *failure_text(session, error).replace("dumpkit> ", "").split("\n")]
    return shown(session)


def values(*numbers: int) -> List[str]:
    return [f"Evaluate expression: {number} = 00000000`{number:08x}" for number in numbers]


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        (".if (0) { .echo a } .elsif (1) { .echo c } .else { .echo b }", ["c"]),
        (".if (0) { .echo a } .elsif (0) { .echo c } .else { .echo b }", ["b"]),
        (".if(1){.echo a;.echo b}.else{.echo c}", ["a", "b"]),
        (".IF 1 { .if (0) { .echo x } .else { .echo y } }; .echo z", ["y", "z"]),
        (".if (1) {} .else { .echo b }", []),
        ('.if (1) { .echo "a;b" }', ["a;b"]),
        (".for (r $t0 = 0; @$t0 < 3; r $t0 = @$t0 + 1) { ? @$t0 }", values(0, 1, 2)),
        (".for (r $t0=0; @$t0<3; r $t0=@$t0+1) { .if (@$t0==1) { .continue } ; ? @$t0 }", values(0, 2)),
        (".for (r $t0=0; @$t0<3; r $t0=@$t0+1) { ? @$t0; .if (@$t0==1) { .break } }", values(0, 1)),
        ("r $t0=0; .while (@$t0 < 3) { ? @$t0; r $t0 = @$t0 + 1 }", values(0, 1, 2)),
        ("r $t0=0; .do { ? @$t0; r $t0 = @$t0 + 1 } (@$t0 < 3)", values(0, 1, 2)),
        ("r $t0=0; r $t0=@$t0+1; z (@$t0 < 1)", []),
        (".catch { .echo a; .leave; .echo b }; .echo c", ["a", "c"]),
        (".catch { ? foo; .echo not }; .echo after", ["Couldn't resolve error at 'foo; .echo not '", "after"]),
        ("j 1 '.echo a;.echo c' ; '.echo b'", ["a", "c"]),
        ("j 0 '.echo a;.echo c' ; '.echo b;.echo d'", ["b", "d"]),
        ("j (1) .echo a ; .echo b ; .echo c", ["a"]),
        ("j 0 '.echo a'", []),
    ],
)
def test_conditions_and_loops_run_their_blocks(line: str, lines: List[str]) -> None:
    assert printed(line) == lines


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        (".foreach (x { .echo a b c }) { .echo ${x}; .echo x-x }", ["a", "x-x", "b", "x-x", "c", "x-x"]),
        ('.foreach (x { .echo a b }) { .echo xx "x" -x- <${x}> }', ['xx "a" -x- <a>', 'xx "b" -x- <b>']),
        (".foreach /pS 1 /ps 1 (x { .echo a b c d }) { .echo ${x} }", ["b", "d"]),
        (".foreach /pS 2 (x { .echo a b c d e }) { .echo x }", ["c", "d", "e"]),
        (".foreach /ps 2 (x { .echo a b c d e f }) { .echo x }", ["a", "d"]),
        ('.foreach /s (x "a b c") { .echo ${x} }', ["a", "b", "c"]),
        ('.foreach (x { .printf "a b" }) { .echo x }', ["a", "b"]),
        (".foreach (x { .echo a }) { .foreach (y { .echo 1 2 }) { .echo ${x}${y} } }", ["a1", "a2"]),
    ],
)
def test_foreach_takes_word_for_word(line: str, lines: List[str]) -> None:
    assert printed(line) == lines


def test_foreach_reads_a_file(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("one two\nthree\n", encoding="utf-8")
    assert printed(f'.foreach /f (w "{words}") {{ .echo w }}') == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("line", "column", "error"),
    [
        (".if (1) .echo a", 8, "Syntax error in '.if (1) .echo a'"),
        (".if (1)", 7, "Syntax error in '.if (1)'"),
        (".if (1) { .echo a", 9, "Syntax error in '.if (1) { .echo a'"),
        (".if", None, "Numeric expression missing from '<EOL>'"),
        (".if (foo) { .echo a }", None, "Couldn't resolve error at 'foo) { .echo a }'"),
        (".if (1) { } foo", 13, "Extra character error in '.if (1) { } foo'"),
        (".block", 6, "Syntax error in '.block'"),
        (".else { .echo x }", 5, "Syntax error in '.else { .echo x }'"),
        (".break", 6, ".break outside of scope error in '.break'"),
        (".continue", 9, ".continue outside of scope error in '.continue'"),
        (".leave", 6, ".leave outside of .catch error in '.leave'"),
        (".foreach x { .echo a } { .echo x }", 9, "Syntax error in '.foreach x { .echo a } { .echo x }'"),
    ],
)
def test_errors_are_the_engines(line: str, column: Optional[int], error: str) -> None:
    session = session_on(None)
    with pytest.raises(ExpressionError) as caught:
        session.execute(line)
    pointer = f"{' ' * (len(session.prompt) + column)}^ " if column is not None else ""
    assert failure_text(session, caught.value) == pointer + error


def test_what_is_left_over_is_refused_behind_the_block() -> None:
    assert printed(".if (1) { .echo a } foo")[0] == "a"
    assert printed(".do { .echo a } (0) foo")[0] == "a"


def test_z_runs_the_line_again_and_says_so() -> None:
    session = session_on(None)
    session.execute("r $t0=0")
    session.execute("r $t0=@$t0+1; z (@$t0 < 3)")
    assert shown(session) == [f"redo [{number}] r $t0=@$t0+1; z (@$t0 < 3)" for number in (1, 2)]


def test_a_loop_and_blocks_within_each_other_have_an_end() -> None:
    deep = ".block { " * 40 + ".echo x" + " }" * 40
    with pytest.raises(CommandError, match="blocks within each other"):
        session_on(None).execute(deep)


def test_a_block_in_json_is_its_lines() -> None:
    import json

    session = session_on(None)
    session.json = True
    session.execute(".if (1) { .echo a; .echo b }")
    assert json.loads(shown(session)[0])["data"] == {"lines": ["a", "b"]}


def test_a_confined_session_reads_no_file(tmp_path: Path) -> None:
    session = session_on(None)
    session.is_confined = True
    for line in (f'.foreach /f (w "{tmp_path}") {{ .echo w }}', "as /f x nofile", "as /e x PATH"):
        with pytest.raises(CommandError, match="no command may read"):
            session.execute(line)


@pytest.mark.parametrize(
    ("line", "commands"),
    [
        (".if (1) { a; b } .else { c; d }; e", [".if (1) { a; b } .else { c; d }", "e"]),
        (".for (a; b; c) { d; e }; f", [".for (a; b; c) { d; e }", "f"]),
        ("as x a; b", ["as x a; b"]),
        ("aS x a; b", ["aS x a", "b"]),
        ("j 1 'a;b'; 'c' ; d", ["j 1 'a;b'; 'c' ; d"]),
        ('.printf "a;b"; c', ['.printf "a;b"', "c"]),
        (".echo }; .echo {; a", [".echo }", ".echo {", "a"]),
        (".if (1) { a; b", [".if (1) { a; b"]),
    ],
)
def test_a_block_is_not_parted(line: str, commands: List[str]) -> None:
    assert split_commands(line) == commands
