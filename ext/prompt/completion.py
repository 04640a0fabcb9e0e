"""What Tab offers at the prompt: commands, their options, modules, symbols, registers, files."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from itertools import islice

from dumpkit.dispatcher import load_all, parse_call
from dumpkit.errors import CommandError, DumpkitError, RegisterError
from dumpkit.named_tuple import NamedTuple
from dumpkit.registers import PARTS
from dumpkit.registry import REGISTERED, Argument, Command, Expression, Option, Switch, Text, Word
from dumpkit.session import Session
from dumpkit.symbols.types import RecordType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterable, Iterator, List, Optional, Tuple, TypeVar

    from dumpkit.symbols.types import Type

    _Value = TypeVar("_Value")

#: No more than this is offered at once.
LIMIT = 200
#: No more entries of a folder than this are looked at.
_FOLDER_LIMIT = 5000

#: A command whose name may still be going on: an extension's name or none, and a name.
_NAME = re.compile(r"(!(?:[A-Za-z]\w*\.)*|)(\.?\w*|\$[$><a]*)")
#: The part of an expression that a name could be in the making of.
_TOKEN = re.compile(r"[\w$@!:~]*$")


class Candidate(NamedTuple):
    """A text that could stand in the line from position `start` on, up to the cursor."""

    start: int
    text: str
    #: A few words beside it.
    meaning: str = ""


class Completion:
    """Finds what a line could go on with, for one session. Nothing here reads memory or loads symbols."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._commands: Dict[str, Command] = {}

    def candidates(self, line: str) -> List[Candidate]:
        """What could stand at the end of `line`, the text before the cursor: at most `LIMIT`, in the order to show."""
        start = _start_of_command(line)
        text = line[start:]
        if text.startswith("*"):
            return []
        name = _NAME.fullmatch(text)
        found = self._names(name.group(1), name.group(2), start) if name is not None else self._arguments(text, start)
        # A name that a dump made up must not bring line ends or control characters into the line.
        return [candidate for candidate in islice(found, LIMIT) if candidate.text.isprintable()]

    # --- Names of commands ---------------------------------------------------

    @property
    def commands(self) -> Dict[str, Command]:
        """Every command by each of its names."""
        if not self._commands:
            # What is wrong with another package's commands, `help` says.
            with suppress(CommandError):
                load_all()
            self._commands = dict(sorted(REGISTERED.items(), key=lambda item: (item[0].lower(), item[0])))
        return self._commands

    def _names(self, extension: str, typed: str, start: int) -> Iterator[Candidate]:
        for name, command in _beginning(self.commands, typed):
            # Behind `!` stand extensions: what takes glued arguments is the engine's own.
            if extension and (command.glued or not name[0].isalpha()):
                continue
            is_alias = name != command.name
            if is_alias and not typed:
                continue
            meaning = f"{command.summary} ({command.name})" if is_alias else command.summary
            yield Candidate(start + len(extension), name, meaning)

    # --- Arguments -----------------------------------------------------------

    def _arguments(self, text: str, start: int) -> Iterator[Candidate]:
        try:
            call = parse_call(text)
        except CommandError:
            return
        typed = call.arguments + text[len(text.rstrip()) :]
        before, word = _split_last(typed)
        place = start + len(text) - len(word)
        argument = _argument_at(call.command, before)
        options = list(_options(call.command, word, place)) if word[:1] in ("-", "/") else []
        if options:
            yield from options
            return
        holds = "nothing" if argument is None else getattr(argument, "holds", "")
        if holds == "command":
            yield from self._names("", word, place)
        elif holds == "file":
            yield from _files(word, place)
        elif holds == "module":
            yield from self._modules(word, place)
        elif holds == "type":
            names = [each for each in before if not each.startswith(("-", "/"))]
            yield from self._members(names[0], word, place) if names else self._types(word, place)
        elif holds == "":
            yield from self._expression(word, place)

    def _expression(self, word: str, place: int) -> Iterator[Candidate]:
        """What a name at the end of an expression could be: a register, a symbol, a module."""
        match = _TOKEN.search(word)
        token = match.group() if match is not None else ""
        place += len(word) - len(token)
        if token.startswith(("@$", "$")):
            yield from self._pseudo_registers(token.lstrip("@$"), place + len(token) - len(token.lstrip("@$")))
        elif token.startswith("@"):
            yield from self._registers(token[1:], place + 1)
        elif "!" in token:
            yield from self._symbols(token, place)
        else:
            yield from self._modules(token, place)

    def _modules(self, typed: str, place: int) -> Iterator[Candidate]:
        target = self.session.target
        if target is not None:
            names = {module.name: module for module in sorted(target.modules, key=lambda module: module.name.lower())}
            for name, module in _beginning(names, typed):
                yield Candidate(place, name, module.image_name)

    def _symbols(self, typed: str, place: int) -> Iterator[Candidate]:
        target = self.session.target
        if target is not None:
            for name in target.symbols.completions(typed):
                yield Candidate(place, name)

    def _types(self, typed: str, place: int) -> Iterator[Candidate]:
        """Types, and variables, which `dt` takes as well."""
        target = self.session.target
        if target is None:
            return
        if "!" not in typed:
            yield from self._modules(typed, place)
        # Nearly every name of a type begins so; who types the rest means it, too.
        module, bang, bare = typed.rpartition("!")
        for prefix in (typed, f"{module}{bang}_{bare}") if bare and not bare.startswith("_") else (typed,):
            for name in target.symbols.type_completions(prefix):
                yield Candidate(place, name)
        yield from self._symbols(typed, place)

    def _members(self, type_name: str, typed: str, place: int) -> Iterator[Candidate]:
        """Members of a type whose symbols are loaded, one step of a path at a time; addresses stand there as well."""
        target = self.session.target
        if target is None or not any(name == type_name for name in target.symbols.type_completions(type_name)):
            return
        path, dot, name = typed.rpartition(".")
        try:
            found: Optional[Type] = target.type(type_name).type
        except DumpkitError:
            return
        if dot and isinstance(found, RecordType):
            step = found.path(path)
            found = step[1] if step is not None else None
        if isinstance(found, RecordType):
            names = dict(_named_members(found))
            for member, meaning in _beginning(names, name):
                yield Candidate(place + len(typed) - len(name), member, meaning)
        yield from self._expression(typed, place)

    def _registers(self, typed: str, place: int) -> Iterator[Candidate]:
        target = self.session.target
        if target is None:
            return
        architecture = target.architecture
        names = dict.fromkeys((*architecture.layout, *architecture.aliases))
        if typed:
            names.update(dict.fromkeys(PARTS[architecture.name]))
        for name, _ in _beginning(names, typed):
            yield Candidate(place, name, self._value(name))

    def _pseudo_registers(self, typed: str, place: int) -> Iterator[Candidate]:
        from dumpkit.expression.scope import PSEUDO_REGISTERS

        for name, _ in _beginning(dict.fromkeys(sorted(PSEUDO_REGISTERS)), typed):
            yield Candidate(place, name)

    def _value(self, register: str) -> str:
        """A register's value, for the eye."""
        try:
            return f"{self.session.context[register]:x}"
        except RegisterError:
            return "not known"
        except DumpkitError:
            return ""


def _named_members(record: RecordType) -> Iterator[Tuple[str, str]]:
    """(name, name of its type) of each member, those of unnamed members and base classes too."""
    for member in record.members:
        if member.kind == "base" or not member.name or member.name.startswith("<unnamed"):
            if isinstance(member.type, RecordType):
                yield from _named_members(member.type)
        else:
            yield member.name, member.type.name


def _beginning(names: Dict[str, _Value], typed: str) -> Iterator[Tuple[str, _Value]]:
    """The entries whose names begin with what was typed, in any case; those in the same case first."""
    lower = typed.lower()
    found = [item for item in names.items() if item[0].lower().startswith(lower)]
    return iter(sorted(found, key=lambda item: not item[0].startswith(typed)))


def _start_of_command(line: str) -> int:
    """Where the last command of a line begins: behind its last `;` outside double quotes, and behind white space."""
    start, quoted = 0, False
    for position, character in enumerate(line):
        if character == '"':
            quoted = not quoted
        elif character == ";" and not quoted:
            start = position + 1
    return len(line) - len(line[start:].lstrip())


def _split_last(text: str) -> Tuple[List[str], str]:
    """The words of a text, and the one that its end is in: white space parts them outside double quotes."""
    words, quoted = [""], False
    for character in text:
        if character == '"':
            quoted = not quoted
        if character.isspace() and not quoted:
            words.append("")
        else:
            words[-1] += character
    return [word for word in words[:-1] if word], words[-1]


def _argument_at(command: Command, before: Iterable[str]) -> Optional[Argument]:
    """The argument that the word behind those `before` it belongs to; None where the command takes no more."""
    flags = {flag: one for one in command.arguments if isinstance(one, (Switch, Option)) for flag in one.flags}
    waiting = [one for one in command.arguments if isinstance(one, (Word, Expression, Text))]
    pending: Optional[Argument] = None
    for word in before:
        if pending is not None:
            pending = None
            continue
        flag = flags.get(word) or flags.get(word.lower())
        if isinstance(flag, Option):
            pending = flag
        elif flag is None and waiting and not _takes_more(waiting[0]):
            waiting.pop(0)
    return pending or (waiting[0] if waiting else None)


def _takes_more(argument: Argument) -> bool:
    return isinstance(argument, Text) or (isinstance(argument, Word) and argument.repeated)


def _options(command: Command, typed: str, place: int) -> Iterator[Candidate]:
    for argument in command.arguments:
        if isinstance(argument, (Switch, Option)):
            for flag in argument.flags:
                if flag.startswith(typed):
                    yield Candidate(place, flag, argument.help)


def _files(typed: str, place: int) -> Iterator[Candidate]:
    """Files and folders of the path typed so far, relative to the working folder; in quotes where one has spaces."""
    path = typed.lstrip('"')
    cut = max(path.rfind(separator) for separator in (os.sep, os.altsep or os.sep)) + 1
    shown, name = path[:cut], path[cut:]
    try:
        with os.scandir(os.path.expanduser(shown) or ".") as folder:
            entries = [(entry.name, entry.is_dir()) for entry in islice(folder, _FOLDER_LIMIT)]
    except OSError:
        return
    for found, is_folder in sorted(entries):
        if os.path.normcase(found).startswith(os.path.normcase(name)) and (name or not found.startswith(".")):
            whole = f"{shown}{found}{os.sep if is_folder else ''}"
            quote = '"' if typed.startswith('"') or " " in whole else ""
            yield Candidate(place, f"{quote}{whole}{'' if is_folder else quote}", "folder" if is_folder else "")
