"""From a line that a person typed to results: commands are found, called and shown here."""

from __future__ import annotations

import re
from importlib import import_module

from dumpkit.arguments import asks_for_help, read_arguments
from dumpkit.commands import INDEX
from dumpkit.errors import CommandError, DumpkitError, ExpressionError
from dumpkit.named_tuple import NamedTuple
from dumpkit.output import Line, data
from dumpkit.registry import REGISTERED, Command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional, Tuple

#: Entry points of this group name modules that register commands of third parties.
ENTRY_POINTS = "dumpkit.commands"

_EXTENSION = r"!(?:[A-Za-z]\w*\.)*(\w+|\?)"
_SIGNS = ("$$>a<", "$$><", "$$<", "$>a<", "$><", "$<", "??", "?", "~", "||", "|")
_NAME = re.compile(r"\.?[A-Za-z_]\w*")


_LONGEST_NAME = 32


class Call(NamedTuple):
    """A command and the text behind its name."""

    command: Command
    arguments: str
    #: The command as it was typed.
    text: str


def split_commands(line: str) -> List[str]:
    """The commands of a line: `;` parts them outside double quotes, `*` makes the rest a comment, `$$` up to a `;`.

    It does not part the characters of a constant that `?` evaluates either: ? 'a;b'.
    """
    commands: List[str] = []
    start, quoted = 0, False
    constant_end = -1
    for position, character in enumerate(line + ";"):
        at_end = position == len(line)
        if position <= constant_end:
            continue
        if character == '"' and not at_end:
            quoted = not quoted
        if character == "'" and not quoted and line[start:position].lstrip().startswith("?"):
            constant_end = line.find("'", position + 1)
        if (character != ";" or quoted) and not at_end:
            continue
        text = line[start:position].strip()
        start = position + 1
        if text.startswith("*"):
            break
        if text and not (text.startswith("$$") and not text.startswith(("$$><", "$$>a<", "$$<"))):
            commands.append(text)
    return commands


def _load(name: str) -> Optional[Command]:
    """The command of that name, its module imported if need be; None where there is none."""
    found = REGISTERED.get(name)
    if found is None and name in INDEX:
        import_module(f"dumpkit.commands.{INDEX[name]}")
        found = REGISTERED.get(name)
    return found


def find_command(name: str) -> Optional[Command]:
    """The command of that name, exactly spelled or in any case."""
    found = _load(name) or _load(name.lower())
    if found is None:
        lower = name.lower()
        spelled = next((known for known in (*INDEX, *REGISTERED) if known.lower() == lower), None)
        found = _load(spelled) if spelled else None
    return found


def load_all() -> Dict[str, Command]:
    """Every command by its listed name, third parties' included."""
    for module in sorted(set(INDEX.values())):
        import_module(f"dumpkit.commands.{module}")
    load_entry_points()
    return {command.name: command for command in REGISTERED.values()}


def load_entry_points() -> None:
    """Import the modules that other packages name in the entry point group `dumpkit.commands`."""
    from importlib.metadata import entry_points

    group: Any = entry_points()
    group = group.select(group=ENTRY_POINTS) if hasattr(group, "select") else group.get(ENTRY_POINTS, ())
    for entry in group:
        try:
            entry.load()
        except (ImportError, AttributeError) as error:
            raise CommandError(f"commands of {entry.name} ({entry.value}) cannot be loaded: {error}") from error


def _name_of(text: str) -> Tuple[str, str]:
    """The name at the start of a command, and the text behind it."""
    sign = next((sign for sign in _SIGNS if text.startswith(sign)), None)
    if sign is not None:
        return sign, text[len(sign) :]
    if text.startswith("!"):
        match = re.match(_EXTENSION, text)
        return (match.group(1), text[match.end() :]) if match is not None else ("", text)
    match = _NAME.match(text)
    return (match.group(), text[match.end() :]) if match is not None else ("", text)


def parse_call(text: str) -> Call:
    """The command that a text names. Raises CommandError where there is none of that name."""
    name, rest = _name_of(text)
    # Some extensions have the name of an engine command: !db shows physical memory, db virtual.
    command = (_load(f"!{name.lower()}") if text.startswith("!") else None) or (find_command(name) if name else None)
    if command is not None:
        return Call(command, rest.strip(), text)
    # Engine commands may have their arguments right behind them: dqrsp, lmvm nt, kn5.
    if not text.startswith("!"):
        for length in range(len(name) - 1, 0, -1):
            command = _load(name[:length]) or _load(name[:length].lower())
            if command is not None and command.glued:
                return Call(command, (name[length:] + rest).strip(), text)
    load_entry_points()
    command = find_command(name)
    if command is not None:
        return Call(command, rest.strip(), text)
    raise CommandError(_unknown(name or text.strip().partition(" ")[0]) if text.strip() else "a command is missing")


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    # Comparing costs the square of the length, and no name is long.
    near = get_close_matches(name.lower()[:_LONGEST_NAME], [known.lower() for known in (*INDEX, *REGISTERED)], 3)
    hint = f"; near it: {', '.join(dict.fromkeys(near))}" if near else ""
    shown = name if len(name) <= 2 * _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."
    return f"No such command: {shown}{hint} (help lists them)"


def _in_line(error: ExpressionError, line: str) -> ExpressionError:
    """The error with its place in the whole command, as the engine quotes it where it points with a caret."""
    if error.text is None or not error.caret or not line.endswith(error.text):
        return error
    return error.within(line, len(line) - len(error.text))


class Dispatcher:
    """Runs lines for one session and shows what comes of them."""

    def __init__(self, session: Session) -> None:
        self.session = session
        session.runner = self

    def find(self, name: str) -> Optional[Command]:
        """The command that a person means by a name, spelled as in a call; None where there is none."""
        try:
            return parse_call(name).command
        except CommandError:
            return None

    def all(self) -> Dict[str, Command]:
        """Every command by its listed name."""
        return load_all()

    def call(self, call: Call) -> Any:
        """Run one command; its result. Raises DumpkitError."""
        command = call.command
        session = self.session
        if asks_for_help(command, call.arguments):
            from dumpkit.commands.help import describe

            return describe(command)
        if command.needs_target and session.target is None:
            raise CommandError(f"{command.name} needs a dump: start dumpkit with the path of one")
        session.line = call.text
        session.surplus = None
        try:
            arguments = read_arguments(command, call.arguments, session.evaluate_prefix)
            result = command.run(session, **arguments)
        except ExpressionError as error:
            raise _in_line(error, call.text) from error
        # A command that runs others has left theirs behind.
        surplus, session.surplus = session.surplus, None
        if surplus is not None:
            late = _in_line(surplus, call.text)
            late.found = result
            raise late
        return result

    def render(self, call: Call, result: Any) -> Iterator[Line]:
        """The lines of a result."""
        if result is None:
            return
        if asks_for_help(call.command, call.arguments):
            from dumpkit.commands.help import render_help

            yield from render_help(result)
        else:
            yield from call.command.render(result)

    def lines(self, text: str) -> Iterator[Line]:
        """The lines that a command would show."""
        call = parse_call(text)
        try:
            return self.render(call, self.call(call))
        except ExpressionError as error:
            if error.found is None:
                raise
            return self._found(call, error)

    def _found(self, call: Call, error: ExpressionError) -> Iterator[Line]:
        """What a command found nevertheless, and then its error."""
        yield from self.render(call, error.found)
        raise error

    def run(self, line: str) -> None:
        """Run every command of a line and show each; the first that fails ends it. Raises DumpkitError."""
        for text in split_commands(line):
            if self.session.json:
                self._run_as_data(text)
            else:
                self.session.output.lines(self.lines(text))
            if self.session.ended:
                return

    def _run_as_data(self, text: str) -> None:
        """Run a command and write a JSON object in one line: its command and its data, or its error."""
        from json import dumps

        record: Dict[str, Any] = {"command": text}
        failure: Optional[DumpkitError] = None
        try:
            call = parse_call(text)
            record["name"] = call.command.name
            result = self.call(call)
            if result is None and call.command.silent:
                return
            record["data"] = data(result)
        except DumpkitError as error:
            failure = error
            if isinstance(error, ExpressionError) and error.found is not None:
                record["data"] = data(error.found)
            record["error"] = {"kind": type(error).__name__, "message": str(error)}
        self.session.output.line(dumps(record, ensure_ascii=True))
        if failure is not None:
            raise failure
