"""The scripts that let shells complete dumpkit's words, tried in the shells that are there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest
from dumpkit.calls import CALLS
from dumpkit.cli import SUBCOMMANDS
from dumpkit.completion import bash, fish, zsh
from dumpkit.options import FIRST_WORDS

from tests.running import dumpkit


def complete_in_bash(*words: str) -> List[str]:
    line = " ".join(f"'{word}'" for word in ("dumpkit", *words))
    code = f"{bash()}\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; _dumpkit; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_every_first_word_of_the_command_line_is_completed() -> None:
    assert set(SUBCOMMANDS) | {"help"} == set(FIRST_WORDS)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_words_options_commands_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "MEMORY.DMP").touch()
    monkeypatch.chdir(tmp_path)
    assert complete_in_bash("tri") == ["triage"]
    assert complete_in_bash("MEM") == ["MEMORY.DMP"]
    assert complete_in_bash("MEMORY.DMP", "--time") == ["--time-zone"]
    assert complete_in_bash("MEMORY.DMP", "-c", "verta") == ["vertarget"]
    assert complete_in_bash("help", "irqlc") == ["irqlcheck"]
    assert complete_in_bash("completion", "f") == ["fish"]
    assert complete_in_bash("triage", "--j") == ["--json", "--jobs"]
    assert complete_in_bash("triage", "--time") == []


@pytest.mark.parametrize(("shell", "script"), [("bash", bash), ("zsh", zsh), ("fish", fish)])
def test_each_script_is_its_shells_language(shell: str, script: object, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / "script"
    path.write_text(script())  # type: ignore[operator]
    assert subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False).stderr == ""


def test_the_command_line_prints_a_script_or_says_what_it_knows() -> None:
    assert dumpkit("completion", "zsh").stdout == zsh()
    done = dumpkit("completion", "tcsh")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "tcsh is no shell that dumpkit knows")


@pytest.mark.parametrize("word", sorted(SUBCOMMANDS))
def test_every_first_word_answers_help_with_its_usage(word: str) -> None:
    done = dumpkit(word, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: dumpkit {word}")
    assert FIRST_WORDS[word] in done.stdout.splitlines()
    assert all(flag in done.stdout for option in CALLS[word].options for flag in option.flags)


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes_words_options_and_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dumpkit.fish").write_text(fish())

    def complete(line: str) -> List[str]:
        code = f"source dumpkit.fish; complete -C '{line}'"
        done = subprocess.run(["fish", "-c", code], capture_output=True, text=True, check=True)
        return sorted(each.split("\t")[0] for each in done.stdout.splitlines())

    assert complete("dumpkit tri") == ["triage"]
    assert complete("dumpkit triage --j") == ["--jobs", "--json"]
    assert complete("dumpkit M.DMP --ti") == ["--time-zone"]
    assert complete("dumpkit M.DMP -c verta") == ["vertarget"]
    assert complete("dumpkit help irqlc") == ["irqlcheck"]


@pytest.mark.skipif(shutil.which("zsh") is None or sys.platform == "win32", reason="zsh is not installed")
def test_zsh_completes_words_options_and_commands(tmp_path: Path) -> None:
    from tests.terminals import Terminal

    (tmp_path / "_dumpkit").write_text(zsh())
    with Terminal(["zsh", "-f"], {"HOME": str(tmp_path)}) as shell:
        shell.type(f"cd {tmp_path}; fpath=({tmp_path} $fpath); autoload -Uz compinit; compinit -u; echo rea''dy\r")
        shell.expect("ready")
        for typed, completed in (
            ("dumpkit tri", "dumpkit triage"),
            ("dumpkit triage --ht", "dumpkit triage --html"),
            ("dumpkit help irqlc", "dumpkit help irqlcheck"),
            ("dumpkit completion f", "dumpkit completion fish"),
            ("dumpkit M.DMP --time", "dumpkit M.DMP --time-zone"),
            ("dumpkit M.DMP -c verta", "dumpkit M.DMP -c vertarget"),
        ):
            shell.type(f"{typed}\t")
            shell.expect(completed[len(typed) :])
            # Ctrl+U: the line is empty again.
            shell.type("\x15")
