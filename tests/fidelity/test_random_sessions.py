"""Random command lines on real dumps: dumpkit's text against the engine's, line by line.

The table at the end of a run says how many lines there were for each dump. DUMPKIT_SEED and DUMPKIT_LINES make
other runs, and longer ones.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
from pathlib import Path
from typing import Dict, List, NamedTuple, Pattern, Sequence

import pytest
from dumpkit.dispatcher import Dispatcher
from dumpkit.dump import open_dump
from dumpkit.errors import DumpkitError

from tests.disassembly.engine import RIG, needs_engine
from tests.fidelity.random_lines import LineMaker
from tests.fidelity.reference import is_noise
from tests.fidelity.symbol_engine import windows_path
from tests.running import failure_text, session_on
from tests.shared import dump, needs_shared

pytestmark = [needs_engine, needs_shared, pytest.mark.rig, pytest.mark.slow]

SEED = int(os.environ.get("DUMPKIT_SEED", "1"))
LINES = int(os.environ.get("DUMPKIT_LINES", "240"))
DUMPS = ("triage_x64", "rts_7e_1", "100623-6156-01", "rts_d1", "111417-58375-01")
_PROMPT = re.compile(r"^ ?(?:\d+: )?kd>  ?(.*)$")
#: What the engine says of an image in the middle of a line, whose rest then stands in the next.
_INTRUDER = re.compile(r"(\*\*\* (WARNING|ERROR): |Unable to load image ).*$")
_ASIDE = re.compile(r"^ ?(?:\*\*\* (?:WARNING|ERROR): |Unable to (?:load image|change protection) )")


class Reason(NamedTuple):
    """Why what is shown for the lines that `line` matches may differ."""

    text: str
    line: Pattern[str]


#: Allowed differences; any other fails.
REASONS = (
    Reason(
        "an error of .printf stands in a line of its own, not behind what was printed before it",
        re.compile(r"\.printf "),
    ),
    Reason("the format of .printf, and a text that is looked for, are quoted whole in errors", re.compile(r'.*"')),
    Reason("control characters of a dump never reach the terminal", re.compile(r"\.formats |\.echo |al$")),
    Reason("Memory access errors of code say what the dump lacks", re.compile(r"u[bf]? ")),
    Reason(
        "the engine shows other memory's characters for a format wider than a segment register",
        re.compile(r"r \w?s:[ui][dq]"),
    ),
    Reason("the engine's last digits of 80-bit floats are not those of the number", re.compile(r"rM ")),
    Reason("a 64-bit integer is converted to floating point", re.compile(r"\?\? \((?:float|double)\)")),
    Reason("the surplus behind a range of two addresses", re.compile(r"u @rip @rip\+8 ")),
    Reason("r shows nothing before an error in the registers' names", re.compile(r"r .*[,)'L ]$|r .* (?:foo|5 6)$")),
)


def engine_lines(folder: Path, path: str, lines: Sequence[str]) -> List[List[str]]:
    """What the engine prints for each line; the images' symbols are looked for before, which it would tell between."""
    script = folder / "lines.txt"
    script.write_text("\n".join(["ld *", *lines, ".echo end"]) + "\n", encoding="utf-8")
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    arguments = ["-y", windows_path(empty), "-f", windows_path(script), "-z", windows_path(Path(path))]
    done = subprocess.run([str(Path(RIG) / "kd"), *arguments], capture_output=True, check=True, timeout=120)
    answers: List[List[str]] = []
    is_torn = False
    for text in done.stdout.decode("utf-8", "replace").split("\n"):
        prompt = _PROMPT.match(text)
        expected = [*lines, ".echo end"][len(answers)] if len(answers) <= len(lines) else None
        if prompt is not None and expected is not None and prompt.group(1).rstrip() == expected.rstrip():
            answers.append([])
            is_torn = False
        elif answers and not is_noise(text) and not _ASIDE.match(text):
            whole = _INTRUDER.sub("", text)
            if is_torn:
                answers[-1][-1] += whole.rstrip()
            else:
                answers[-1].append(whole.rstrip() if whole == text else whole)
            is_torn = whole != text
    assert len(answers) == len(lines) + 1, f"the engine ended behind {lines[len(answers) - 1]}"
    return answers[:-1]


def dumpkit_lines(path: str, lines: Sequence[str]) -> List[List[str]]:
    """What dumpkit shows for each line, in one session."""
    session = session_on(open_dump(path))
    answers: List[List[str]] = []
    for line in lines:
        stream = session.output.stream = io.StringIO()
        said: List[str] = []
        try:
            Dispatcher(session).run(line)
        except DumpkitError as error:
            said = failure_text(session, error).split("\n")
        session.output.flush()
        answers.append([text.rstrip() for text in [*stream.getvalue().splitlines(), *said]])
    assert session.target is not None
    session.target.close()
    return answers


def trimmed(lines: Sequence[str]) -> List[str]:
    """Lines without empty ones at either end."""
    return "\n".join(lines).strip("\n").split("\n")


@pytest.mark.parametrize("name", DUMPS)
def test_random_lines_are_answered_as_the_engine_does(
    name: str, tmp_path: Path, fidelity: Dict[str, List[int]]
) -> None:
    lines = LineMaker(SEED).lines(LINES)
    path = str(Path(dump(name)).resolve())
    theirs, ours = engine_lines(tmp_path, path, lines), dumpkit_lines(path, lines)
    equal, listed, failed = 0, 0, []
    for line, wanted, found in zip(lines, theirs, ours):
        if trimmed(wanted) == trimmed(found):
            equal += 1
        elif any(reason.line.match(line) for reason in REASONS):
            listed += 1
        else:
            failed.append((line, trimmed(wanted)[:4], trimmed(found)[:4]))
    fidelity[f"random lines, {name}"] = [equal + listed, len(lines)]
    assert failed == []
    # The reasons may not become an excuse for everything.
    assert listed <= len(lines) // 20
