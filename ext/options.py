"""The words of the command line.

A table and a loop instead of argparse: importing that costs as much as opening a dump.
"""

from __future__ import annotations

from dumpkit.errors import CommandError
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple


class CallOption(Record):
    """An option: its spellings, the field it sets, the name of its value ("" for a switch), and its help."""

    flags: Tuple[str, ...]
    field: str
    value: str
    help: str


#: Every option, as `--help` lists them.
OPTIONS = (
    CallOption(("-c",), "commands", "COMMANDS", "run these commands (`;` between them) and end"),
    CallOption(("-f",), "script", "SCRIPT", "run a command file, found here or beside the dump"),
    CallOption(("-y", "--symbols"), "symbols", "PATH", "symbol path in WinDbg's syntax, before _NT_SYMBOL_PATH"),
    CallOption(("--offline",), "offline", "", "ask no symbol server, whatever the symbol path says"),
    CallOption(("--json",), "json", "", "write every command's result as a JSON object in one line"),
    CallOption(("--keep-going",), "keep_going", "", "go on behind a command that failed"),
    CallOption(("--no-echo",), "no_echo", "", "do not show prompt and command before their output (-f)"),
    CallOption(("--log",), "log", "FILE", "write what is shown to a file, too"),
    CallOption(("--time-zone",), "time_zone", "ZONE", "local (the default), utc, or hours east of UTC: -8, +5:30"),
    CallOption(("--no-color", "--no-colour"), "plain", "", "no colours"),
    CallOption(("-h", "--help"), "help", "", "show this"),
    CallOption(("--version",), "version", "", "show dumpkit's version"),
)

#: First words that are no dump, and what they do.
FIRST_WORDS: Dict[str, str] = {
    "check": "what damaged dumps still hold",
    "completion": "completion for a shell",
    "help": "the commands",
    "mcp": "the commands as tools of the Model Context Protocol",
    "report": "a report on a dump",
    "triage": "a line for each of many dumps",
    "windbg-setup": "put dumpkit where WinDbg finds it",
}

USAGE = "dumpkit FILE [-c COMMANDS | -f SCRIPT] [OPTION...]"

_EXAMPLES = """
examples:
  dumpkit MEMORY.DMP                       a prompt, as in WinDbg
  dumpkit MEMORY.DMP -c "di; .bugcheck; k" commands, one after the other
  dumpkit MEMORY.DMP -f triage.dk --json   a command file, every result as a JSON object
  dumpkit triage DUMPS                     a line for each dump of a folder, grouped by failure
  dumpkit report MEMORY.DMP -o out.html    a page to send on
  dumpkit help lm                          the help of a command
  dumpkit windbg-setup                     have WinDbg's !py find the commands (Windows)

environment:
  _NT_SYMBOL_PATH    where symbols are looked for behind --symbols
  NO_COLOR           no colours
  DUMPKIT_DEBUG=1    shows the traceback of a defect in dumpkit itself
"""


class Options(Record):
    """What a command line asks for."""

    #: The dump, or a folder that holds one.
    dump: str = ""
    commands: Optional[str] = None
    script: Optional[str] = None
    symbols: Optional[str] = None
    offline: bool = False
    json: bool = False
    keep_going: bool = False
    no_echo: bool = False
    log: Optional[str] = None
    time_zone: Optional[str] = None
    plain: bool = False
    help: bool = False
    version: bool = False


def option_lines(options: Sequence[CallOption], others: Sequence[Tuple[str, str]] = ()) -> List[str]:
    """A line of help for each option, behind those of other words."""
    rows = [*others, *((f"{', '.join(option.flags)} {option.value}".rstrip(), option.help) for option in options)]
    width = max(len(left) for left, _ in rows)
    return [f"  {left:<{width}}  {right}" for left, right in rows]


def help_text() -> str:
    """What `dumpkit --help` shows."""
    lines = [f"usage: {USAGE}", "", "WinDbg's kernel crash-dump commands, without WinDbg.", ""]
    lines += option_lines(OPTIONS, [("FILE", "a kernel dump, or a folder or archive that holds one")])
    width = max(len(name) for name in FIRST_WORDS)
    lines += ["", "instead of a FILE:"]
    lines += [f"  {name:<{width}}  {text}" for name, text in FIRST_WORDS.items()]
    return "\n".join(lines) + "\n" + _EXAMPLES


def read_words(words: Sequence[str], options: Sequence[CallOption], usage: str) -> Tuple[Dict[str, Any], List[str]]:
    """The values of options by their fields, and the other words; behind `--`, every word is one of these.

    Raises CommandError, with the usage, for words that do not fit.
    """
    by_flag = {flag: option for option in options for flag in option.flags}
    values: Dict[str, Any] = {}
    others: List[str] = []
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            return values, others + waiting
        flag, is_joined, joined = word.partition("=") if word.startswith("--") else (word, "", "")
        option = by_flag.get(flag)
        if option is not None and not option.value and not is_joined:
            values[option.field] = True
        elif option is not None and option.value:
            if not is_joined and not waiting:
                raise CommandError(f"{flag} needs its {option.value} behind it", usage)
            values[option.field] = joined if is_joined else waiting.pop(0)
        elif word.startswith("-") and word != "-":
            raise CommandError(f"unknown option {word} (--help lists them)", usage)
        else:
            others.append(word)
    return values, others


def read_options(words: Sequence[str]) -> Options:
    """The options of a command line. Raises CommandError, with the usage, for words that do not fit."""
    values, files = read_words(words, OPTIONS, USAGE)
    if values.get("help") or values.get("version"):
        return Options(**values)
    if values.get("commands") is not None and values.get("script") is not None:
        raise CommandError("-c and -f exclude each other; a script can run a line, and `$$><` a script", USAGE)
    if len(files) != 1:
        raise CommandError(_not_one(files), USAGE)
    return Options(dump=files[0], **values)


def _not_one(files: Sequence[str]) -> str:
    """What is wrong with no dump, or with several."""
    if not files:
        return "the path of a dump is missing"
    from difflib import get_close_matches
    from os.path import exists

    near = get_close_matches(files[0].lower(), FIRST_WORDS, 1)
    if near and not exists(files[0]):
        return f"there is no dump {files[0]}; is `dumpkit {near[0]}` meant?"
    return f"one dump at a time: {', '.join(files)} (commands stand behind -c; `dumpkit triage` takes many dumps)"
