"""A page of documentation for each command: its usage, its help, an example, and its result as JSON has it."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from pkgutil import walk_packages
from typing import Dict, Iterator, List, Sequence, Tuple

import dumpkit.commands
import dumpkit.kernel
from dumpkit.clock import Zone
from dumpkit.commands import INDEX
from dumpkit.errors import DumpkitError
from dumpkit.library import Dump, open_dump
from dumpkit.record import Record
from dumpkit.registry import CATEGORIES, Command, Option, Switch
from dumpkit.triage.row import FIELDS

from tests.docs.examples import EXAMPLES
from tests.running import own_commands

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "commands"

JSON_PAGE = ROOT / "docs" / "json.md"
_TABLE = "| field | |\n|---|---|\n"

#: Lines of an example that a page shows.
_MOST_LINES = 24
_SIGNS = {"?": "question", "~": "tilde", ".": "dot", "$": "dollar", ">": "gt", "<": "lt", "!": "bang"}

_JSON_TYPES = {
    "str": "string",
    "int": "number",
    "float": "number",
    "bool": "true or false",
    "bytes": "string of hex digits",
    "Any": "anything",
    "object": "anything",
    "Hex": '"0x…"',
}

_HEADING = """<!-- Made by `python -m tests.docs` from the commands' registry entries: change those, not this file. -->
"""


def file_name(command: Command) -> str:
    """The name of a command's page: `k.md`. Signs are spelled (`dot-bugcheck.md`), and a capital where another command
    differs by it alone (`d-capital-d.md`): not every file system tells them apart.
    """
    has_twin = sum(name.lower() == command.name.lower() for name in INDEX) > 1
    words = []
    for character in command.name:
        if character in _SIGNS:
            words.append(f"{_SIGNS[character]}-")
        else:
            words.append(f"-capital-{character.lower()}" if has_twin and character.isupper() else character)
    return "".join(words).strip("-") + ".md"


def _arguments(command: Command) -> Iterator[str]:
    if not command.arguments:
        return
    yield ""
    yield "| argument | |"
    yield "|---|---|"
    for argument in command.arguments:
        if isinstance(argument, Switch):
            left = ", ".join(f"`{flag}`" for flag in argument.flags)
        elif isinstance(argument, Option):
            left = ", ".join(f"`{flag} {argument.name.upper()}`" for flag in argument.flags)
        else:
            left = f"`{argument.name.upper()}`"
        text = argument.help.replace("|", "\\|")
        yield f"| {left} | {text} |"


def example_dump(folder: str) -> Dump:
    """An example's dump, its times in UTC."""
    dump = open_dump(str(ROOT / "examples" / folder), offline=True)
    dump.session.zone = Zone()
    return dump


def _example(command: Command) -> Iterator[str]:
    found = EXAMPLES.get(command.name)
    if found is None:
        return
    folder, line = found
    dump = example_dump(folder)
    dump.session.select_processor(dump.target.current_processor)
    try:
        shown = [text.rstrip() for text in dump.run(line).lines]
    except DumpkitError as error:
        shown = [str(error)]
    yield ""
    yield "## Example"
    yield ""
    yield f"On [examples/{folder}](../../examples/{folder}):"
    yield ""
    yield "```"
    yield f"{dump.session.prompt}{line}"
    yield from shown[:_MOST_LINES]
    if len(shown) > _MOST_LINES:
        yield f"… {len(shown) - _MOST_LINES} lines more"
    yield "```"


def _import_results() -> None:
    """Import what results are made of: modules that commands import when they are needed define Records, too."""
    for package in (dumpkit.commands, dumpkit.kernel):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)


def _all_records(base: type) -> Dict[str, type]:
    """Every Record of dumpkit's own by its name."""
    found: Dict[str, type] = {}
    for each in base.__subclasses__():
        if each.__module__.startswith("dumpkit."):
            found.update({each.__name__: each, **_all_records(each)})
    return found


def _annotation(hint: object) -> str:
    return hint if isinstance(hint, str) else getattr(hint, "__name__", str(hint))


def _results(annotation: str) -> List[type]:
    """The Records that an annotation names: read as text, since some names are imported for type checkers only."""
    known = _all_records(Record)
    return [known[name] for name in re.findall(r"\w+", annotation) if name in known]


def _type_text(annotation: str) -> str:
    """A field's type as JSON has it."""
    outer, _, inner = annotation.partition("[")
    outer = outer.strip().rpartition(".")[2]
    parts = _parts(inner[:-1]) if inner else []
    if outer == "Optional":
        return f"{_type_text(parts[0])} or null"
    if outer == "Union":
        return " or ".join(dict.fromkeys(_type_text(part) for part in parts))
    if outer in ("Tuple", "List", "Sequence", "tuple", "list", "FrozenSet"):
        return "list of " + " and ".join(dict.fromkeys(_type_text(part) for part in parts if part != "..."))
    if outer in ("Dict", "Mapping", "dict"):
        return f"object of {_type_text(parts[1])}"
    return f"object {outer}" if outer in _all_records(Record) else _JSON_TYPES.get(outer, outer)


def _parts(text: str) -> List[str]:
    """What commas part outside brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _fields(record: type) -> Iterator[Tuple[str, str, List[type]]]:
    hints: Dict[str, str] = {}
    for base in reversed(record.__mro__):
        hints.update({name: _annotation(hint) for name, hint in base.__dict__.get("__annotations__", {}).items()})
    for name in record._fields:  # type: ignore[attr-defined]
        if not name.startswith("_"):
            yield name, _type_text(hints[name]), _results(hints[name])


def _json(command: Command) -> Iterator[str]:
    waiting = _results(_annotation(command.run.__annotations__.get("return", "")))
    if not waiting:
        return
    yield ""
    yield "## As JSON"
    seen: Dict[str, type] = {}
    while waiting:
        record = waiting.pop(0)
        if record.__name__ in seen:
            continue
        seen[record.__name__] = record
        yield ""
        summary = (record.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
        yield f"**{record.__name__}**: {re.sub(' +', ' ', summary)}"
        yield ""
        for name, text, further in _fields(record):
            yield f"* `{name}`: {text}"
            waiting += further


def page(command: Command) -> str:
    """A command's page."""
    lines = [_HEADING, f"# {command.name}", "", f"{command.summary}.", "", "```", command.synopsis, "```"]
    if command.aliases:
        lines += ["", "Also: " + ", ".join(f"`{alias}`" for alias in command.aliases)]
    lines += _arguments(command)
    help_text = cleandoc(command.help)
    if help_text:
        lines += ["", "```", help_text, "```"]
    lines += _example(command)
    lines += _json(command)
    return "\n".join(lines) + "\n"


def index_page(commands: Sequence[Command]) -> str:
    """The list of all commands, by category."""
    lines = [_HEADING, "# Commands", ""]
    lines.append(
        "As `help` lists them. Names work in any case, with `!` before them and an extension's name (`!mex.di`)."
    )
    for category in CATEGORIES:
        lines += ["", f"## {category}", "", "| command | |", "|---|---|"]
        for command in sorted((each for each in commands if each.category == category), key=lambda each: each.name):
            lines.append(f"| [`{command.name}`]({file_name(command)}) | {command.summary} |")
    return "\n".join(lines) + "\n"


def pages() -> Dict[str, str]:
    """Every page by its file's name. Third parties' commands are left out."""
    _import_results()
    commands = list(own_commands().values())
    found = {file_name(command): page(command) for command in commands}
    assert len(found) == len(commands), "two commands' pages have one name"
    found["README.md"] = index_page(commands)
    return found


def json_page() -> str:
    """docs/json.md with the table of a triage row's fields."""
    text = JSON_PAGE.read_text(encoding="utf-8")
    rows = "".join(f"| `{name}` | {meaning} |\n" for name, meaning in FIELDS.items())
    return text[: text.index(_TABLE) + len(_TABLE)] + rows


def write(folder: Path = FOLDER) -> None:
    """Write every page, and delete those of commands that are gone."""
    made = pages()
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.md"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    JSON_PAGE.write_text(json_page(), encoding="utf-8")
    sys.stdout.write(f"{len(made)} pages in {folder}\n")
