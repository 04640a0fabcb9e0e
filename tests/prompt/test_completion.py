"""What Tab offers for the text before the cursor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterator, List, Optional

import dumpkit
import pytest
from dumpkit.dispatcher import load_all
from dumpkit.prompt.completion import LIMIT, Completion
from dumpkit.registry import HOLDS, REGISTERED, Expression, Option, Switch, Word, command
from dumpkit.target import Target

from tests.made_target import MadeTarget
from tests.running import session_on

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def offered(line: str, target: Optional[Target] = None) -> List[str]:
    """The whole lines that Tab could make of a line, on a made-up target unless another is given."""
    found = Completion(session_on(target or MadeTarget())).candidates(line)
    return [line[: candidate.start] + candidate.text for candidate in found]


def meaning(line: str, whole: str) -> str:
    found = Completion(session_on(MadeTarget())).candidates(line)
    return next(one.meaning for one in found if line[: one.start] + one.text == whole)


@pytest.fixture
def options_command() -> Iterator[None]:
    """A command with every sort of argument."""

    @command(
        "optioned",
        aliases=("opt",),
        category="Session",
        summary="Takes options",
        arguments=(
            Switch("verbose", ("-v", "-verbose"), "says more"),
            Option("file", ("-o",), "where to", holds="file"),
            Option("module", ("-m",), "which one", holds="module"),
            Expression("address", "where"),
            Word("topic", "a command", holds="command"),
        ),
        needs_target=False,
    )
    def optioned(session: object, **arguments: object) -> None:
        """Does nothing."""

    yield
    for name in ("optioned", "opt"):
        del REGISTERED[name]


def test_every_argument_says_what_it_holds_in_a_known_word() -> None:
    load_all()
    for entry in REGISTERED.values():
        for argument in entry.arguments:
            assert getattr(argument, "holds", "") in HOLDS, f"{entry.name}: {argument}"


def test_commands_are_offered_by_the_beginning_of_their_name() -> None:
    assert offered("vert") == ["vertarget"]
    assert offered(".bu") == [".bugcheck"]
    assert {"db", "dD", "dps"} <= set(offered("d"))


def test_names_in_the_case_that_was_typed_come_first() -> None:
    found = offered("dD")
    assert found[0] == "dD"
    assert "dd" in found


def test_an_empty_line_offers_every_command_under_its_first_name_only() -> None:
    found = offered("")
    assert "q" in found
    assert "quit" not in found
    assert len(found) == len(set(found))


def test_the_summary_stands_beside_a_command_and_an_alias_names_its_command() -> None:
    assert meaning("q", "q") == "Ends the session"
    assert meaning("qui", "quit") == "Ends the session (q)"


def test_extension_names_are_accepted_before_a_command(options_command: None) -> None:
    assert offered("!opti") == ["!optioned"]
    assert offered("!mex.opti") == ["!mex.optioned"]


def test_engine_commands_are_not_offered_behind_an_exclamation_mark() -> None:
    assert not {"!db", "!lm", "!.bugcheck", "!~"} & set(offered("!"))


def test_the_command_behind_a_semicolon_is_completed() -> None:
    assert offered(".time; vert") == [".time; vertarget"]
    assert offered('.echo "a; vert') == []


def test_a_comment_is_not_completed() -> None:
    assert offered("* vert") == []
    assert offered("$$ vert") == []


def test_modules_are_offered_where_an_address_is_wanted() -> None:
    assert offered("u am") == ["u amdppm"]
    assert offered("dq poi(am") == ["dq poi(amdppm"]
    assert meaning("u am", "u amdppm") == "amdppm.sys"


def test_modules_are_offered_behind_the_options_of_lm() -> None:
    assert offered("lm m n") == ["lm m nt"]
    assert offered("lmvm ") == ["lmvm amdppm", "lmvm nt"]


def test_symbols_are_offered_behind_an_exclamation_mark_in_any_case() -> None:
    assert offered("u nt!Ke") == ["u nt!KeBugCheck", "u nt!KeBugCheckEx", "u nt!KeStallExecutionProcessor"]
    assert offered("db @rsp+nt!mm") == ["db @rsp+nt!MmCopyMemory"]
    assert offered("? nt!MmC") == ["? nt!MmCopyMemory"]


def test_arguments_that_stand_right_behind_their_command_are_completed() -> None:
    assert offered("?nt!MmC") == ["?nt!MmCopyMemory"]
    assert offered("dqnt!MmC") == ["dqnt!MmCopyMemory"]


def test_registers_are_offered_behind_an_at_sign_with_their_values() -> None:
    assert "db @rax" in offered("db @")
    assert offered("db @ri") == ["db @rip"]
    assert {"u @al", "u @ax"} <= set(offered("u @a"))
    assert meaning("db @ra", "db @rax") == "1234"


def test_pseudo_registers_are_offered_behind_a_dollar_sign() -> None:
    assert "u @$ip" in offered("u @$i")
    assert "? $ip" in offered("? $i")


def test_options_of_the_command_are_offered_with_their_help(options_command: None) -> None:
    assert offered("optioned -") == ["optioned -v", "optioned -verbose", "optioned -o", "optioned -m"]
    assert offered("!mex.opt -v -ve") == ["!mex.opt -v -verbose"]
    assert meaning("opt -o", "opt -o") == "where to"


def test_each_argument_is_completed_by_what_it_holds(options_command: None) -> None:
    assert offered("opt -m am") == ["opt -m amdppm"]
    assert offered("opt -v nt!MmC") == ["opt -v nt!MmCopyMemory"]
    assert offered("opt -m nt @rsp vert") == ["opt -m nt @rsp vertarget"]
    assert offered("opt @rsp vertarget vert") == []


def test_help_is_offered_commands() -> None:
    assert offered("help vert") == ["help vertarget"]


def test_an_unknown_command_has_no_arguments_to_offer() -> None:
    assert offered("nosuchcommand nt!Ke") == []


def test_nothing_of_a_target_is_offered_without_one() -> None:
    completion = Completion(session_on(None))
    for line in ("u am", "u nt!Ke", "u @ra", "lm m "):
        assert completion.candidates(line) == []


def test_files_are_offered_behind_command_files_and_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "first.dk").touch()
    (tmp_path / "two words.txt").touch()
    (tmp_path / ".hidden").touch()
    monkeypatch.chdir(tmp_path)
    assert offered("$$><scr") == [f"$$><scripts{os.sep}"]
    assert offered("$$>< scripts/f") == ["$$>< scripts/first.dk"]
    assert offered("$$>a< scripts/first.dk scr") == [f"$$>a< scripts/first.dk scripts{os.sep}"]
    assert offered(".logopen t") == ['.logopen "two words.txt"']
    assert offered('.logopen "two w') == ['.logopen "two words.txt"']
    assert offered(".logopen ") == [f".logopen scripts{os.sep}", '.logopen "two words.txt"']
    assert offered(".logopen .h") == [".logopen .hidden"]
    assert offered(".logopen nosuchfolder/") == []


def test_files_of_the_home_folder_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home.log").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert offered(".logappend ~/ho") == [".logappend ~/home.log"]


def test_names_with_control_characters_are_not_offered() -> None:
    target = MadeTarget()
    target.symbols.completions = lambda prefix: iter(("nt!a\n.shell", "nt!b\x1b[2J", "nt!c"))  # type: ignore[method-assign]
    assert offered("u nt!", target) == ["u nt!c"]


def test_an_endless_number_of_symbols_is_cut() -> None:
    def endless(prefix: str) -> Iterator[str]:
        number = 0
        while True:
            number += 1
            yield f"{prefix}{number}"

    target = MadeTarget()
    target.symbols.completions = endless  # type: ignore[method-assign]
    assert len(offered("u nt!x", target)) == LIMIT


def test_types_and_their_members_are_offered_once_symbols_are_loaded() -> None:
    with dumpkit.open(EXAMPLES / "fast-mutex-irql") as dump:
        assert offered("dt nt!_KTHR", dump.target) == []
        dump.run("k")
        assert offered("dt nt!_KTHR", dump.target)[0] == "dt nt!_KTHREAD"
        assert offered("dt -r kthr", dump.target)[0] == "dt -r _KTHREAD"
        assert "ddt nt!_EPROCESS" in offered("ddt nt!_EPR", dump.target)
        assert offered("dt n", dump.target)[:2] == ["dt nt", "dt Ntfs"]
        assert offered("dt nt!KeBugC", dump.target) == ["dt nt!KeBugCheckEx"]
        assert offered("dt nt!_KTHREAD ApcSt", dump.target)[0] == "dt nt!_KTHREAD ApcState"
        assert offered("dt nt!_KTHREAD ApcState.Pr", dump.target) == ["dt nt!_KTHREAD ApcState.Process"]
        assert offered("dt nt!_NOTHING Ap", dump.target) == []
        assert "dt nt!_KTHREAD @rsp" in offered("dt nt!_KTHREAD @rs", dump.target)
