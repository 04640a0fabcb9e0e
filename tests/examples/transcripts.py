"""What Microsoft's engine prints of the walkthrough dump, kept as a reference for when the engine is not here.

Written by `python -m tests.examples.transcripts`, from the project's folder, with DUMPKIT_RIG naming the folder that
`../shared/rig/setup.sh` made; `tests/examples/transcripts/type1.txt`, `type4.txt` and `type6.txt` come out. The dump
is invented (see its README), so that nothing of a real one stands there.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Iterator, List, NamedTuple

from tests.examples.walkthrough import built
from tests.forge.rig import Answer, converse, write_store

FOLDER = Path(__file__).parent / "transcripts"
KINDS = (1, 4, 6)
SYSTEM, THREAD, PRCB = 0xFFFFB5076A4EB040, 0xFFFFB507729E3040, 0xFFFFA30054EA8180
#: What stands before a command.
PROMPT = "kd> "
#: Run first and not kept: WinDbg shows source lines, kd only then; and while it loads symbols the engine puts spaces
#: into the lines that need them.
PREPARATION = (".lines", ".reload /f")
COMMANDS = (
    "vertarget",
    ".bugcheck",
    "r",
    "k",
    "lm",
    ".process",
    ".thread",
    f"dt nt!_EPROCESS {SYSTEM:x}",
    f"dt nt!_ETHREAD {THREAD:x}",
    f"dt nt!_KTHREAD {THREAD:x}",
    f"dt nt!_KPRCB {PRCB:x}",
    "!dh fffff80225da0000",
    "!dh fffff80208440000",
    "u fffff802084d9062 L4",
    "ub fffff802084d9062",
    "u nt!KeBugCheckEx L2",
    "u TestDriver!LogCurrentIrql L10",
    "u TestDriver!FileCreationThread L10",
    "dps fffff80225da3000 L1b",
    "kn",
    "kf",
    "kc",
    "kv",
    ".frame 3",
    ".frame /r 1",
    ".frame 21",
    "dv /t /v",
    "dv /i",
    "kpL",
    ".trap ffffed0ee77dce90",
    "r",
    "k",
    ".cxr",
    "k = ffffed0ee77dd020 fffff802084d9062 4",
    ".exr -1",
    "uf TestDriver!LogCurrentIrql",
    "uf nt!KeBugCheckEx",
    "uf /c TestDriver!FileCreationThread",
    "rM 8",
    *(command for number in range(6) for command in (f"~{number}s", "r", "k")),
    "~4s",
)


def sampled_words(count: int = 200) -> List[int]:
    """Addresses of words in pages that the machine's structures and images lie on; three of four are not zero."""
    machine = built()[0].machine
    choose = random.Random(22621)
    bases = [image.base for image, _ in machine.images] + [SYSTEM, THREAD, PRCB, 0xFFFFED0EE77DC000, 0xFFFFB50760000000]
    places = [base & ~0xFFF | page << 12 for base in bases for page in range(4)]
    words = [place + at for place in places if machine.is_mapped(place) for at in range(0, 0x1000, 8)]
    filled = [word for word in words if machine.u64(word)]
    return sorted(choose.sample(filled, count * 3 // 4) + choose.sample(words, count // 4))


class Transcript(NamedTuple):
    """The engine's answers on one type of dump: its commands in order, and the words it read one by one."""

    answers: List[Answer]

    @classmethod
    def read(cls, kind: int) -> Transcript:
        """The one that is kept for a type of dump."""
        answers: List[Answer] = []
        for line in (FOLDER / f"type{kind}.txt").read_text(encoding="ascii").splitlines():
            if line.startswith(PROMPT):
                answers.append(Answer(line[len(PROMPT) :], []))
            else:
                answers[-1].lines.append(line)
        return cls(answers)

    def text(self) -> str:
        """The file's text."""
        lines: List[str] = []
        for command, printed in self.answers:
            lines += [PROMPT + command, *printed]
        return "\n".join(lines) + "\n"


def write_dump_and_store(folder: Path, kind: int) -> Path:
    """Write forged.dmp and the store that belongs to it into a folder; the store's folder."""
    crash, pdbs = built()
    crash.machine.save(folder / "forged.dmp", kind)
    # A triage dump holds no unwind data: it comes from the images in the store.
    images = [image for image, _ in crash.machine.images] if kind == 4 else []
    return write_store(folder / "symbols", [*pdbs, *images])


def ask(folder: Path, kind: int) -> Transcript:
    """What the engine says now. `folder` takes the files that it needs."""
    store = write_dump_and_store(folder, kind)
    commands = [*PREPARATION, *COMMANDS, *(f"dq {word:x} L1" for word in sampled_words())]
    answers = converse(folder, (folder / "forged.dmp").read_bytes(), commands, store)[: len(commands)]
    assert [answer.command for answer in answers] == commands
    cut = len(PREPARATION) + len(COMMANDS)
    kept = [Answer(command, list(without_paths(lines))) for command, lines in answers[len(PREPARATION) : cut]]
    return Transcript(
        [*kept, Answer("dq of sampled words", [line for answer in answers[cut:] for line in answer.lines])]
    )


def without_paths(lines: List[str]) -> Iterator[str]:
    """Lines without the folder of this machine where the symbol store lay."""
    for line in lines:
        yield re.sub(r"(?i)[a-z]:\\\S*?\\symbols\\", r"symbols\\", line)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for kind in KINDS:
        with TemporaryDirectory() as folder:
            (FOLDER / f"type{kind}.txt").write_text(ask(Path(folder), kind).text(), encoding="ascii")


if __name__ == "__main__":
    main()
