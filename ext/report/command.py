"""The call `dumpkit report FILE -o out.html`."""

from __future__ import annotations

import os

from dumpkit.errors import CommandError, UnwritableError
from dumpkit.library import open_dump
from dumpkit.output import Output
from dumpkit.report.facts import gather

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Sequence

USAGE = "dumpkit report FILE -o OUT.html|OUT.md [-y PATH] [--offline]"

_DUMP_SIGNATURES = (b"PAGE", b"MDMP")


def main(words: Sequence[str], output: Output) -> int:
    """Write the report on one dump; the exit status. Raises CommandError with the usage."""
    values: Dict[str, str] = {}
    files: List[str] = []
    waiting = list(words)
    offline = "--offline" in waiting
    waiting = [word for word in waiting if word != "--offline"]
    while waiting:
        word = waiting.pop(0)
        if word in ("-o", "--output", "-y", "--symbols"):
            if not waiting:
                raise CommandError(f"{word} needs a path behind it", USAGE)
            values[word.lstrip("-")[0].replace("s", "y")] = waiting.pop(0)
        elif word.startswith("-") and word != "-":
            raise CommandError(f"unknown option {word}", USAGE)
        else:
            files.append(word)
    if len(files) != 1 or "o" not in values:
        missing = "the path of the report (-o) is missing" if len(files) == 1 else "one dump's path is needed"
        raise CommandError(missing, USAGE)
    write_report(files[0], values["o"], values.get("y"), offline)
    output.line(values["o"])
    return 0


def write_report(dump_path: str, path: str, symbols: Optional[str] = None, offline: bool = False) -> None:
    """Write the report on a dump: HTML, or Markdown where the path ends in .md. Raises DumpkitError."""
    check_target(path)
    with open_dump(dump_path, symbols=symbols, offline=offline) as dump:
        facts = gather(dump)
        if path.lower().endswith((".md", ".markdown")):
            from dumpkit.report.markdown import markdown

            text = markdown(facts)
        else:
            from dumpkit.report.dump_page import dump_page

            text = dump_page(facts)
    write_page(path, text)


def check_target(path: str) -> None:
    """Refuse a path that cannot be written, before hours of work, and one that would destroy a dump."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise UnwritableError(f"{path} cannot be written: there is no folder {folder}")
    try:
        with open(path, "rb") as file:
            if file.read(4) in _DUMP_SIGNATURES:
                raise UnwritableError(f"{path} is a dump, which a report would destroy")
    except FileNotFoundError:
        return
    except OSError as error:
        raise UnwritableError(f"{path} cannot be written: {error.strerror}") from error


def write_page(path: str, text: str) -> None:
    """Write a report, whole or not at all. Raises UnwritableError."""
    partial = f"{path}.part"
    try:
        with open(partial, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        os.replace(partial, path)
    except OSError as error:
        raise UnwritableError(f"{path} cannot be written: {error.strerror}") from error
