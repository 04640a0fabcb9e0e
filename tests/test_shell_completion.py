"""The scripts that let shells complete dumpkit's words, tried in the shells that are there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import List

import pytest
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
    assert done.stdout.endswith(f"{FIRST_WORDS[word]}\n")
