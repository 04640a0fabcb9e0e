"""The calls that are about no single dump's session, `dumpkit triage …` and its kin: their words and their help."""

from __future__ import annotations

from dumpkit.errors import CommandError
from dumpkit.options import FIRST_WORDS, CallOption, option_lines, read_words
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Sequence, Tuple


class CallWords(Record):
    """What a call takes: its usage, its options, and what its help says below them."""

    usage: str
    options: Tuple[CallOption, ...]
    notes: Tuple[str, ...] = ()


_SYMBOLS = CallOption(("-y", "--symbols"), "symbols", "PATH", "symbol path in WinDbg's syntax, before _NT_SYMBOL_PATH")
_OFFLINE = CallOption(("--offline",), "offline", "", "ask no symbol server, whatever the symbol path says")

#: First word -> what may follow it.
CALLS: Dict[str, CallWords] = {
    "check": CallWords(
        "dumpkit check FILE... [--json]",
        (CallOption(("--json",), "json", "", "a JSON object in a line for each file"),),
        ("exit status: 0 all are whole, 1 something is damaged or missing, 2 a file is no dump",),
    ),
    "completion": CallWords(
        "dumpkit completion bash|zsh|fish",
        (),
        (
            'bash: eval "$(dumpkit completion bash)" in ~/.bashrc',
            "zsh:  dumpkit completion zsh > ~/.zfunc/_dumpkit, in a folder of fpath",
            "fish: dumpkit completion fish > ~/.config/fish/completions/dumpkit.fish",
        ),
    ),
    "mcp": CallWords(
        "dumpkit mcp [-y PATH] [--offline] [--limit SECONDS]",
        (_SYMBOLS, _OFFLINE, CallOption(("--limit",), "limit", "SECONDS", "how long one command may take (60)")),
    ),
    "report": CallWords(
        "dumpkit report FILE -o OUT.html|OUT.md [-y PATH] [--offline]",
        (
            CallOption(
                ("-o", "--output"), "output", "FILE", "where to: .html or .htm, .md or .markdown; - shows Markdown"
            ),
            _SYMBOLS,
            _OFFLINE,
        ),
    ),
    "triage": CallWords(
        "dumpkit triage PATH... [--json] [--html FILE] [-y PATH] [--offline] [-j JOBS] [--limit SECONDS] [--again]",
        (
            CallOption(("--json",), "json", "", "a JSON object in a line for each dump"),
            CallOption(("--html",), "html", "FILE", "write a page with the groups and the dumps, too"),
            _SYMBOLS,
            _OFFLINE,
            CallOption(
                ("-j", "--jobs"), "jobs", "JOBS", "dumps that are looked at side by side (one for each processor)"
            ),
            CallOption(("--limit",), "limit", "SECONDS", "how long one dump may take (300)"),
            CallOption(("--again",), "again", "", "look again at dumps whose rows are known"),
        ),
        (
            "PATH is a dump, a folder, or an archive (zip, cab, 7z, gz, bz2, xz).",
            "exit status: 0 all could be read, 1 some could not, 2 there is no dump or the call is wrong",
        ),
    ),
    "windbg-setup": CallWords(
        "dumpkit windbg-setup [--folder FOLDER] [--remove | --aliases [all]]",
        (
            CallOption(("--folder",), "folder", "FOLDER", "a folder on PATH to write to, instead of Python's own"),
            CallOption(("--remove",), "remove", "", "take everything away again"),
            CallOption(
                ("--aliases",), "aliases", "", "print lines that let WinDbg take !di; all: WinDbg's own names, too"
            ),
        ),
    ),
}


def usage(name: str) -> str:
    """How a call is written."""
    return CALLS[name].usage


def read_call(name: str, words: Sequence[str]) -> Tuple[Dict[str, Any], List[str]]:
    """The options of a call by their fields, and its other words. Raises CommandError with the usage."""
    return read_words(words, CALLS[name].options, usage(name))


def read_number(values: Dict[str, Any], field: str, flag: str, name: str, default: float) -> float:
    """An option's value as a number above 0. Raises CommandError with the call's usage."""
    text = values.get(field)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise CommandError(f"{flag} needs a number above 0, not {text}", usage(name))
    return number


def call_help(name: str) -> str:
    """What `dumpkit NAME --help` shows."""
    call = CALLS[name]
    lines = [f"usage: {call.usage}", FIRST_WORDS[name]]
    if call.options:
        lines += ["", *option_lines(call.options)]
    if call.notes:
        lines += ["", *call.notes]
    return "\n".join(lines) + "\n"
