"""`help`: the commands by category, and the text of each."""

from __future__ import annotations

from textwrap import dedent

from dumpkit.errors import CommandError
from dumpkit.output import Line, Span
from dumpkit.record import Record
from dumpkit.registry import CATEGORIES, Command, Option, Switch, Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Tuple, Union


class Overview(Record):
    """Every command with its summary, by category."""

    categories: Dict[str, Tuple[Tuple[str, str], ...]]


class CommandHelp(Record):
    """What a command is for and what it takes."""

    name: str
    aliases: Tuple[str, ...]
    synopsis: str
    summary: str
    #: (argument, what it means)
    arguments: Tuple[Tuple[str, str], ...]
    text: str


def describe(entry: Command) -> CommandHelp:
    """The help of one command."""
    rows: List[Tuple[str, str]] = []
    for argument in entry.arguments:
        if isinstance(argument, Switch):
            rows.append((", ".join(argument.flags), argument.help))
        elif isinstance(argument, Option):
            rows.append((f"{', '.join(argument.flags)} {argument.name.upper()}", argument.help))
        else:
            rows.append((argument.name.upper(), argument.help))
    first, _, rest = entry.help.strip().partition("\n")
    text = f"{first}\n{dedent(rest)}".strip()
    return CommandHelp(entry.name, entry.aliases, entry.synopsis, entry.summary, tuple(rows), text)


def render_help(result: Union[CommandHelp, Overview]) -> Iterator[Line]:
    if isinstance(result, Overview):
        for category, commands in result.categories.items():
            yield (Span(category, "heading"),)
            width = max(len(name) for name, _ in commands)
            for name, summary in commands:
                yield ("    ", Span(f"{name:<{width}}", "symbol", f"help {name}"), f"  {summary}")
        yield ""
        yield "help COMMAND shows one of them, and so does COMMAND -h for most."
        yield "WinDbg's spellings of extensions are known too: di, !di and !mex.di are one command."
        return
    yield (Span(result.synopsis, "heading"),)
    yield f"    {result.summary}" + (f" (also: {', '.join(result.aliases)})" if result.aliases else "")
    if result.arguments:
        yield ""
        width = max(len(name) for name, _ in result.arguments)
        for name, meaning in result.arguments:
            yield f"    {name:<{width}}  {meaning}"
    if result.text:
        yield ""
        yield from result.text.splitlines()


@command(
    "help",
    aliases=(".help", "hh", ".hh"),
    category="Session",
    summary="The commands, or the help of one",
    arguments=(Text("name", "a command; all of them where it is left out", holds="command"),),
    render=render_help,
    needs_target=False,
)
def help(session: Session, name: str = "") -> Union[CommandHelp, Overview]:
    """Lists every command by category, or shows what one of them does and takes."""
    if name:
        entry = session.commands.find(name.strip())
        if entry is None:
            raise CommandError(f"No such command: {name} (help lists them)")
        return describe(entry)
    commands = session.commands.all().values()
    listed = {
        category: tuple(sorted((entry.name, entry.summary) for entry in commands if entry.category == category))
        for category in (*CATEGORIES, *sorted({entry.category for entry in commands} - set(CATEGORIES)))
    }
    return Overview({category: rows for category, rows in listed.items() if rows})
