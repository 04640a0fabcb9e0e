"""The words of the command line.

A table and a loop instead of argparse: importing that costs as much as opening a dump.
"""

from __future__ import annotations

from dumpkit.errors import CommandError
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple


class _Option(Record):
    """An option: its spellings, the field it sets, the name of its value ("" for a switch), and its help."""

    flags: Tuple[str, ...]
    field: str
    value: str
    help: str


#: Every option, as `--help` lists them.
OPTIONS = (
    _Option(("-c",), "commands", "COMMANDS", "run these commands (`;` between them) and end"),
    _Option(("-f",), "script", "SCRIPT", "run a command file, found here or beside the dump"),
    _Option(("-y", "--symbols"), "symbols", "PATH", "symbol path in WinDbg's syntax, before _NT_SYMBOL_PATH"),
    _Option(("--offline",), "offline", "", "ask no symbol server, whatever the symbol path says"),
    _Option(("--json",), "json", "", "write every command's result as a JSON object in one line"),
    _Option(("--keep-going",), "keep_going", "", "go on behind a command that failed"),
    _Option(("--no-echo",), "no_echo", "", "do not show prompt and command before their output (-f)"),
    _Option(("--log",), "log", "FILE", "write what is shown to a file, too"),
    _Option(("--time-zone",), "time_zone", "ZONE", "local (the default), utc, or hours east of UTC: -8, +5:30"),
    _Option(("--no-color", "--no-colour"), "plain", "", "no colours"),
    _Option(("-h", "--help"), "help", "", "show this"),
    _Option(("--version",), "version", "", "show dumpkit's version"),
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


def help_text() -> str:
    """What `dumpkit --help` shows."""
    rows = [(f"{', '.join(option.flags)} {option.value}".rstrip(), option.help) for option in OPTIONS]
    width = max(len(left) for left, _ in rows)
    lines = [f"usage: {USAGE}", "", "WinDbg's kernel crash-dump commands, without WinDbg.", ""]
    lines.append(f"  {'FILE':<{width}}  a kernel dump, or a folder that holds one")
    lines += [f"  {left:<{width}}  {right}" for left, right in rows]
    lines += ["", "instead of a FILE:"]
    lines += [f"  {name:<{width}}  {text}" for name, text in FIRST_WORDS.items()]
    return "\n".join(lines) + "\n" + _EXAMPLES


def read_options(words: Sequence[str]) -> Options:
    """The options of a command line. Raises CommandError, with the usage, for words that do not fit."""
    by_flag = {flag: option for option in OPTIONS for flag in option.flags}
    values: Dict[str, Any] = {}
    files: List[str] = []
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        flag, is_joined, joined = word.partition("=") if word.startswith("--") else (word, "", "")
        option = by_flag.get(flag)
        if option is not None and not option.value and not is_joined:
            values[option.field] = True
        elif option is not None and option.value:
            if not is_joined and not waiting:
                raise CommandError(f"{flag} needs its {option.value} behind it", USAGE)
            values[option.field] = joined if is_joined else waiting.pop(0)
        elif word.startswith("-") and word != "-":
            raise CommandError(f"unknown option {word} (dumpkit --help lists them)", USAGE)
        else:
            files.append(word)
    if values.get("help") or values.get("version"):
        return Options(**values)
    if values.get("commands") is not None and values.get("script") is not None:
        raise CommandError("-c and -f exclude each other; a script can run a line, and `$$><` a script", USAGE)
    if len(files) != 1:
        problem = f"one dump at a time: {', '.join(files)}" if files else "the path of a dump is missing"
        raise CommandError(problem, USAGE)
    return Options(dump=files[0], **values)
