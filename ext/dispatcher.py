"""From a line that a person typed to results: commands are found, called and shown here."""

from __future__ import annotations

from dumpkit.arguments import asks_for_help, read_arguments
from dumpkit.command_line import parted_commands
from dumpkit.commands import INDEX
from dumpkit.errors import CommandError, DumpkitError, ExpressionError
from dumpkit.named_tuple import NamedTuple
from dumpkit.output import Line, Unfinished, data, plain
from dumpkit.registry import REGISTERED, Command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, Optional, Tuple

#: Entry points of this group name modules that register commands of third parties.
ENTRY_POINTS = "dumpkit.commands"

_SIGNS = ("$$>a<", "$$><", "$$<", "$>a<", "$><", "$<", "??", "?", "~", "||", "|")
_LONGEST_NAME = 32
#: How deep blocks of commands may stand within each other.
_DEEPEST = 32


class Call(NamedTuple):
    """A command and the text behind its name."""

    command: Command
    arguments: str
    #: The command as it was typed.
    text: str


def _load(name: str) -> Optional[Command]:
    """The command of that name, its module imported if need be; None where there is none."""
    found = REGISTERED.get(name)
    if found is None and name in INDEX:
        # Not import_module: importlib costs more to import than most commands.
        __import__(f"dumpkit.commands.{INDEX[name]}")
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
        __import__(f"dumpkit.commands.{module}")
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
        start, end = _extension_name(text)
        return (text[start:end], text[end:]) if end > start else ("", text)
    start = 1 if text.startswith(".") else 0
    end = _word_end(text, start) if _is_letter(text[start : start + 1]) or text[start : start + 1] == "_" else 0
    return (text[:end], text[end:]) if end else ("", text)


def _extension_name(text: str) -> Tuple[int, int]:
    """Where the name of an extension's command begins and ends: behind the `!`, and modules with a dot each."""
    start, end = 1, _word_end(text, 1)
    while _is_letter(text[start : start + 1]) and text[end : end + 1] == ".":
        behind = _word_end(text, end + 1)
        if behind == end + 1 and text[behind : behind + 1] != "?":
            break
        start, end = end + 1, behind
    return start, end + 1 if text[start : start + 1] == "?" else end


def _word_end(text: str, start: int) -> int:
    """Where a word of letters, digits and underscores ends that begins at `start`."""
    end = start
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    return end


def _is_letter(text: str) -> bool:
    return text.isascii() and text.isalpha()


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

    from dumpkit.commands.absent import why_absent

    reason = why_absent(name)
    if reason is not None:
        return f"{name} is not in dumpkit: {reason}"
    # Comparing costs the square of the length, and no name is long.
    near = get_close_matches(name.lower()[:_LONGEST_NAME], [known.lower() for known in (*INDEX, *REGISTERED)], 3)
    hint = f"; near it: {', '.join(dict.fromkeys(near))}" if near else ""
    shown = name if len(name) <= 2 * _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."
    return f"No such command: {shown}{hint} (help lists them)"


def _in_line(error: ExpressionError, line: str) -> ExpressionError:
    """The error with its place in the whole command, as the engine quotes it where it points with a caret."""
    if error.text is None or not error.caret or not line.lower().endswith(error.text.lower()):
        return error
    # The debugger may quote a letter of it otherwise than it was typed.
    before = line[: len(line) - len(error.text)]
    return error.within(before + error.text, len(before))


def _before(rest: str, lines: Iterator[Line]) -> Iterator[Line]:
    """The lines of a command that something follows: its errors quote that, too, as the engine's do."""
    try:
        yield from lines
    except ExpressionError as error:
        if not rest or type(error) is not ExpressionError or error.caret or error.text is None or error.end is not None:
            raise
        # Behind the end of what could be read, white space is passed over.
        if not rest.strip() and error.offset >= len(error.text):
            raise
        raise error.within(error.text + rest, 0) from error.__cause__


class Dispatcher:
    """Runs lines for one session and shows what comes of them."""

    def __init__(self, session: Session) -> None:
        self.session = session
        session.runner = self
        #: How many blocks are running within each other.
        self._depth = 0

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
        if session.target is not None:
            session.target.refuse_if_cut()
        session.line = call.text
        session.surplus = None
        try:
            arguments = read_arguments(command, call.arguments, session.evaluate_prefix)
            result = command.run(session, **arguments)
        except ExpressionError as error:
            located = _in_line(error, call.text)
            located.found = error.found
            raise located from error
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
        commands = parted_commands(self.session.aliases.expand(line))
        rounds = 0
        while True:
            for text, rest in commands:
                if self.session.json:
                    self._run_as_data(text)
                else:
                    self.session.output.lines(_before(rest, self._lines_of(text)))
                if self.session.ended:
                    return
                if self.session.again:
                    break
            else:
                return
            rounds += 1
            self.session.again = False
            self.session.output.line(f"redo [{rounds}] {line}")

    def _lines_of(self, text: str) -> Iterator[Line]:
        """As `lines`, nothing run before the first is asked for."""
        yield from self.lines(text)

    def block(self, text: str) -> Iterator[Line]:
        """The lines that the commands of a block show, aliases replaced; the first that fails ends it."""
        if self._depth >= _DEEPEST:
            raise CommandError(f"no more than {_DEEPEST} blocks within each other")
        begun = ""
        for command, rest in parted_commands(self.session.aliases.expand(text)):
            self._depth += 1
            try:
                for line in _before(rest, self._lines_of(command)):
                    if isinstance(line, Unfinished):
                        begun += line
                    elif begun:
                        yield begun + plain(line)
                        begun = ""
                    else:
                        yield line
            finally:
                self._depth -= 1
            if self.session.ended:
                break
        if begun:
            yield Unfinished(begun)

    def _run_as_data(self, text: str) -> None:
        """Run a command and write a JSON object in one line: its command and its data, or its error."""
        from contextlib import suppress
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
                with suppress(DumpkitError):
                    record["data"] = data(error.found)
            record["error"] = {"kind": type(error).__name__, "message": str(error)}
        self.session.output.line(dumps(record, ensure_ascii=True))
        if failure is not None:
            raise failure
