"""The call `dumpkit report FILE -o out.html`."""

from __future__ import annotations

import os
from stat import S_ISREG

from dumpkit.calls import read_call, usage
from dumpkit.errors import CommandError, UnwritableError
from dumpkit.library import open_dump
from dumpkit.output import Output
from dumpkit.report.facts import gather

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Sequence

_DUMP_SIGNATURES = (b"PAGE", b"MDMP")
#: Endings of a report's name.
_HTML = (".html", ".htm")
_MARKDOWN = (".md", ".markdown")


def main(words: Sequence[str], output: Output) -> int:
    """Write the report on one dump; the exit status. Raises CommandError with the usage."""
    values, files = read_call("report", words)
    if len(files) != 1 or "output" not in values:
        missing = "the path of the report (-o) is missing" if len(files) == 1 else "one dump's path is needed"
        raise CommandError(missing, usage("report"))
    path, symbols, offline = values["output"], values.get("symbols"), values.get("offline", False)
    if path == "-":
        output.lines(report_text(files[0], True, symbols, offline).splitlines())
    else:
        write_report(files[0], path, symbols, offline)
        output.line(path)
    return 0


def write_report(dump_path: str, path: str, symbols: Optional[str] = None, offline: bool = False) -> None:
    """Write the report on a dump, as HTML or Markdown by the ending of `path`. Raises DumpkitError."""
    check_target(path)
    is_markdown = path.lower().endswith(_MARKDOWN)
    if not is_markdown and not path.lower().endswith(_HTML):
        endings = ", ".join((*_HTML, *_MARKDOWN))
        raise CommandError(f"{path} ends in none of {endings}: how is the report to be written?", usage("report"))
    write_page(path, report_text(dump_path, is_markdown, symbols, offline))


def report_text(dump_path: str, is_markdown: bool, symbols: Optional[str] = None, offline: bool = False) -> str:
    """The report on a dump as Markdown or HTML. Raises DumpkitError."""
    with open_dump(dump_path, symbols=symbols, offline=offline) as dump:
        facts = gather(dump)
        if is_markdown:
            from dumpkit.report.markdown import markdown

            return markdown(facts)
        from dumpkit.report.dump_page import dump_page

        return dump_page(facts)


def check_target(path: str) -> None:
    """Refuse a path that cannot be written, before hours of work, and one that would destroy a dump or a device."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise UnwritableError(f"{path} cannot be written: there is no folder {folder}")
    try:
        if not S_ISREG(os.stat(path).st_mode):
            raise UnwritableError(f"{path} cannot be written: it is a folder, a device or a pipe")
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
