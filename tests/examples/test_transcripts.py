"""dumpkit's text on the walkthrough dump, line by line against what Microsoft's engine printed of it."""

from __future__ import annotations

import re
from contextlib import closing
from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path
from typing import Iterator, List, NamedTuple, Set, Tuple

import pytest
from dumpkit.dump import open_dump

from tests.agreement import Agreement
from tests.examples.transcripts import FOLDER, KINDS, Transcript, without_paths, write_dump_and_store
from tests.running import run_lines, session_on

#: The facts of the table that dumpkit's commands answer, by the command's first word.
FACTS = {
    "vertarget": "system",
    ".bugcheck": ".bugcheck",
    "r": "r",
    "k": "k",
    "lm": "lm",
    "dt": "dt",
    "u": "u",
    "ub": "u",
    "dq": "dq",
    "dps": "dq",
    ".process": "r",
    ".thread": "r",
    ".trap": "r",
    ".cxr": "r",
    ".exr": "r",
    "rM": "r",
    **dict.fromkeys(("kn", "kf", "kc", "kv", "kpL", ".frame", "dv"), "k"),
    "uf": "u",
}
#: Commands of the transcripts that dumpkit does not have.
ONLY_THE_ENGINES = {"!dh"}


class Difference(NamedTuple):
    """A line of a command that need not be equal: regexes of what the engine and dumpkit print, and why."""

    kinds: Tuple[int, ...]
    command: str
    theirs: str
    ours: str
    reason: str


_FROM_THE_STORE = "the engine reads what a minidump lacks from the image in the store, dumpkit code only"
DIFFERENCES = (
    Difference(
        KINDS,
        "lm",
        r".* TestDriver   \(pdb symbols\)          symbols",
        r".* TestDriver   \(private pdb symbols\)  symbols",
        "the engine calls a PDB private that has variables, dumpkit one that was not stripped",
    ),
    Difference(
        (4,),
        "uf",
        r"Flow analysis was incomplete|$",
        r"$|  TestDriver!FileCreationThread\+0x16a |    call to nt!ZwWriteFile ",
        "the engine loses an instruction of which a minidump holds a part, dumpkit reads the rest from the image",
    ),
    Difference((4,), "dq", r"fffff802`", r"fffff802`\S{8}  \?{8}`\?{8}$", _FROM_THE_STORE),
)


def as_compared(command: str, lines: List[str]) -> List[str]:
    """A command's lines as they are compared, empty ones left out.

    Since its version 10.0.22 the engine pads the return addresses of `k` as dumpkit does; the one that wrote the
    transcripts is older.
    """
    kept = [line.rstrip() for line in without_paths(lines) if line.strip()]
    if FACTS.get(command.split()[0]) == "k":
        kept = [re.sub(r"((?:^|Child-SP {10})RetAddr|\S{17} \S{17}) +(?=\S)", r"\1 ", line) for line in kept]
    return kept


def unexplained(kind: int, command: str, theirs: List[str], ours: List[str], used: Set[Difference]) -> Iterator[str]:
    """The lines that differ and that no difference allows, as pairs; the differences that do are added to `used`."""
    allowed = [each for each in DIFFERENCES if kind in each.kinds and each.command == command.split()[0]]
    for tag, start, end, our_start, our_end in SequenceMatcher(None, theirs, ours, False).get_opcodes():
        if tag == "equal":
            continue
        for their_line, our_line in zip_longest(theirs[start:end], ours[our_start:our_end], fillvalue=""):
            matching = [each for each in allowed if re.match(each.theirs, their_line) and re.match(each.ours, our_line)]
            used.update(matching)
            if not matching:
                yield f"{command}: engine {their_line!r}, dumpkit {our_line!r}"


class Comparison(NamedTuple):
    """dumpkit's answers to the commands of a transcript: (command, fact, the engine's lines, dumpkit's)."""

    kind: int
    rows: List[Tuple[str, str, List[str], List[str]]]


@pytest.fixture(scope="module", params=KINDS)
def comparison(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("transcript")
    store = write_dump_and_store(folder, request.param)
    rows = []
    with closing(open_dump(str(folder / "forged.dmp"))) as target:
        session = session_on(target)
        run_lines(session, f".sympath {store}")
        run_lines(session, ".reload /f")
        switched = False
        for command, lines in Transcript.read(request.param).answers:
            word = command.split()[0]
            if word in ONLY_THE_ENGINES:
                continue
            if command == "dq of sampled words":
                asked = [line.split()[0].replace("`", "") for line in lines]
                ours = [line for word in asked for line in run_lines(session, f"dq {word} L1")]
            else:
                ours = [as_posix(line, store) for line in run_lines(session, command)]
            switched = switched or word.startswith("~")
            fact = "~Ns" if switched and word != "dq" else FACTS[word]
            rows.append((command, fact, as_compared(command, lines), as_compared(command, ours)))
    return Comparison(request.param, rows)


def as_posix(line: str, store: Path) -> str:
    """A line with the paths of the store as the transcripts have them."""
    head, found, tail = line.partition(f"{store}/")
    return head + "symbols\\" + tail.replace("/", "\\") if found else line


def test_dumpkit_prints_what_the_engine_printed(comparison: Comparison, agreement: Agreement) -> None:
    used: Set[Difference] = set()
    wrong = []
    for command, fact, theirs, ours in comparison.rows:
        left = list(unexplained(comparison.kind, command, theirs, ours, used))
        agreement.count("dumpkit", fact, len(theirs) - len(left), len(theirs))
        wrong += left
    for difference in sorted(used):
        fact = FACTS[difference.command]
        agreement.explain("dumpkit", fact, f"{difference.reason} (types {', '.join(map(str, difference.kinds))})")
    assert not wrong, "\n".join(wrong)
    stale = [each for each in DIFFERENCES if comparison.kind in each.kinds and each not in used]
    assert stale == []


def test_every_processor_and_every_sampled_word_stands_in_the_transcript(comparison: Comparison) -> None:
    commands = [command for command, *_ in comparison.rows]
    assert [f"~{number}s" in commands for number in range(6)] == [True] * 6
    words = next(theirs for command, _, theirs, _ in comparison.rows if command.startswith("dq"))
    assert len(words) == 200


@pytest.mark.parametrize("kind", KINDS)
def test_a_transcript_names_no_folder_of_a_machine(kind: int) -> None:
    text = (FOLDER / f"type{kind}.txt").read_text(encoding="ascii")
    assert re.findall(r"(?i)\bz:\S*|/tmp\S*|\\tmp\\\S*", text) == []
