"""Microsoft's debugger engine on forged dumps: DUMPKIT_RIG names the folder that `../shared/rig/setup.sh` made."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Iterable, List, Mapping, NamedTuple, Union

import pytest

from tests.forge.image import Image
from tests.forge.pdb import Pdb

RIG = os.environ.get("DUMPKIT_RIG", "")
needs_rig = pytest.mark.skipif(
    not (RIG and (Path(RIG) / "ready").exists()), reason="DUMPKIT_RIG does not name a folder that setup.sh made"
)
_PROMPT = re.compile(r"^ *(?:\d+: )?kd> ?(.*)$")


class Answer(NamedTuple):
    """A command and the lines that the engine printed for it."""

    command: str
    lines: List[str]


def write_store(folder: Path, files: Iterable[Union[Image, Pdb]]) -> Path:
    """A symbol store that holds these images and PDBs; its folder."""
    for each in files:
        place = folder / each.name / each.store_key
        place.mkdir(parents=True, exist_ok=True)
        (place / each.name).write_bytes(each.file())
    return folder


def ask_engine(folder: Path, dump: bytes, commands: Iterable[str], store: Path) -> Mapping[str, List[str]]:
    """What the engine prints for each command on a dump, symbols from a store. `folder` takes the files it needs."""
    return {answer.command: answer.lines for answer in converse(folder, dump, commands, store)}


def converse(folder: Path, dump: bytes, commands: Iterable[str], store: Path) -> List[Answer]:
    """As `ask_engine`, in the commands' order; a command that stands there twice has two answers."""
    path, script = folder / "forged.dmp", folder / "commands.txt"
    path.write_bytes(dump)
    script.write_text("".join(f"{command}\n" for command in commands), encoding="ascii")
    arguments = ["-y", _windows(store), "-f", _windows(script), "-z", _windows(path)]
    done = subprocess.run([str(Path(RIG) / "kd"), *arguments], capture_output=True, check=True, timeout=300)
    answers: List[Answer] = []
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        prompt = _PROMPT.match(line)
        if prompt:
            answers.append(Answer(prompt.group(1), []))
        elif answers and line.strip():
            answers[-1].lines.append(line.rstrip())
    return answers


def _windows(path: Path) -> str:
    return "Z:" + str(path.resolve()).replace("/", "\\")
