"""python -m tests.windbg.coming: writes docs/coming-from-windbg.md anew, from the registry and the tables here."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, List

from dumpkit.calls import usage
from dumpkit.launchers import WORDS
from dumpkit.registry import CATEGORIES, Command
from dumpkit.windbg_setup import all_names

from tests.running import own_commands
from tests.windbg.differences import DIFFERENCES
from tests.windbg.origins import ABSENT, ENGINE, ORIGINS, OWN, Origin

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coming-from-windbg.md"

_INTRODUCTION = """# Coming from WinDbg

The commands have WinDbg's names, arguments and text. They run in two places with the same code: outside, on dumpkit's
own reader of dumps, and inside WinDbg, on its engine. A test runs them in both and compares the lines.

## Outside WinDbg

`dumpkit MEMORY.DMP` opens a dump; what you type at its prompt is what you would type in WinDbg. `!di`, `di` and
`!mex.di` are one command. Expressions, ranges, the radix, symbol paths and patterns are read as the engine reads
them. Addresses have a back-tick in the engine's commands and none in those of kdexts and mex, as you are used to.

## Inside WinDbg

You need pykd's extension in WinDbg (`.load pykd`) and dumpkit in the Python that it runs:

```
pip install dumpkit[windbg]
dumpkit windbg-setup
```

`windbg-setup` writes a small file for each command, a launcher, into a folder on PATH, where `!py` looks for scripts.
It says where, and what keeps WinDbg from finding them. `dumpkit windbg-setup --remove` takes them away.

| typed in WinDbg | does |
|---|---|
| `!py dumpkit` | lists the commands |
| `!py dumpkit.di` | runs one |
| `!py dumpkit.t ffffb507729e3040` | with arguments |
| `!py dumpkit "di; t; irql 4"` | runs several |
| `!py -m dumpkit.di` | runs one without launchers |
| `!py dumpkit.t -debug …` | shows the traceback of an error |

`dumpkit windbg-setup --aliases` prints lines such as `as !di !py dumpkit.di`. Run in WinDbg, or in a script that it
starts with (`windbg -c "$<C:\\aliases.txt"`), they let you type `!di`. Extensions that WinDbg has itself (`!pool`) keep
their names; `--aliases all` takes these over, too.

What WinDbg shows now is where a command begins: its target, processor (`~3s`), thread and process (`.thread`,
`.process`), registers (`.trap`, `.cxr`, `.frame /c`), radix and pseudo-registers ($t0 to $t19). Each command has an
interpreter of its own: what dumpkit's own `.trap` or `~3s` makes current lasts to the end of the line that it stands
in. Symbols are those that WinDbg found; its `.sympath`, `.reload` and `!sym noisy` are in charge, and dumpkit reads
names and types in the same PDBs. Nothing is ever written to a target, live or not. Ctrl+Break ends a command.
"""


def _names() -> Iterator[str]:
    yield "Some commands have names that no file can have. Their launchers are called otherwise:"
    yield ""
    yield "| command | launcher |"
    yield "|---|---|"
    by_word = all_names()
    odd = {name: word for word, name in by_word.items() if word in WORDS.values() or word.startswith("dot_")}
    for name, word in sorted(odd.items()):
        yield f"| `{name}` | `dumpkit.{word}` |"
    yield ""
    yield "Other dotted commands lose their dot: `.trap` is `!py dumpkit.trap`. Names that differ from others in case"
    yield 'only (`dD`, `dW`) and command files are run by `!py dumpkit "dD …"`.'


def _differences() -> Iterator[str]:
    yield "## Where the two differ"
    yield ""
    for difference in DIFFERENCES:
        yield f"* {difference.reason}."
    yield "* An image whose file the engine has found is memory inside WinDbg; outside, `u` and `k` read the file."


def _row(command: Command, origin: Origin) -> str:
    names = ", ".join(f"`{_shown(name, origin)}`" for name in (command.name, *command.aliases))
    if origin.part == OWN and not origin.more:
        origin = origin._replace(more=command.summary)
    cells = (names, origin.part, origin.same, origin.more, origin.missing)
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _shown(name: str, origin: Origin) -> str:
    return name if origin.part == ENGINE or not name[0].isalpha() or name == "help" else f"!{name}"


def _tables() -> Iterator[str]:
    yield "## Command by command"
    yield ""
    yield "*Engine* commands are WinDbg's own; *kdexts*, *ext* and *mex* are the extensions that have the others."
    commands = own_commands().values()
    for category in CATEGORIES:
        listed = sorted((command for command in commands if command.category == category), key=lambda each: each.name)
        yield ""
        yield f"### {category}"
        yield ""
        yield "| command | of | same | more | missing |"
        yield "|---|---|---|---|---|"
        for command in listed:
            yield _row(command, ORIGINS.get(command.name, Origin(OWN, "")))


def _absent() -> Iterator[str]:
    yield "## What is not there"
    yield ""
    for subject, commands in ABSENT:
        yield f"* **{subject[0].upper()}{subject[1:]}**: {commands}."


def page() -> str:
    """The chapter."""
    lines: List[str] = [_INTRODUCTION, *_names(), "", f"The whole of it: `{usage('windbg-setup')}`.", ""]
    for part in (_differences, _tables, _absent):
        lines += [*part(), ""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
