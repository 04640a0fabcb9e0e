"""A command's words become its typed arguments."""

from __future__ import annotations

from dumpkit.errors import CommandError
from dumpkit.registry import Argument, Command, Expression, Option, Switch, Text, Word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

    from typing_extensions import TypeAlias

#: Reads one expression from the start of a text: (value, what follows it).
Evaluate: TypeAlias = "Callable[[str], Tuple[int, str]]"

#: What asks any command for its help.
HELP_FLAGS = frozenset(("-h", "-?", "-help", "--help", "/?"))


def take_word(text: str) -> Tuple[Optional[str], str]:
    """The first word of a text, double quotes grouping, and what follows; None where there is none."""
    text = text.lstrip()
    if not text:
        return None, ""
    if text.startswith('"'):
        word, _, rest = text[1:].partition('"')
        return word, rest
    word = text.split(None, 1)[0]
    return word, text[len(word) :]


class _Reader:
    """Walks along the text of one call."""

    def __init__(self, command: Command, text: str, evaluate: Evaluate) -> None:
        self.command = command
        self.text = text.strip()
        self.evaluate = evaluate
        self.values: Dict[str, Any] = {}
        self.flags: Dict[str, Argument] = {}
        self.positional: List[Argument] = []
        for argument in command.arguments:
            if isinstance(argument, (Switch, Option)):
                self.flags.update((flag, argument) for flag in argument.flags)
            else:
                self.positional.append(argument)

    def fail(self, message: str) -> CommandError:
        return CommandError(f"{self.command.name}: {message}", self.command.synopsis)

    def take_flag(self) -> bool:
        """Take a declared option at the start of the text; false where there is none."""
        word = self.text.split(None, 1)[0] if self.text else ""
        argument = self.flags.get(word) or self.flags.get(word.lower())
        if argument is None:
            return False
        self.text = self.text[len(word) :].lstrip()
        if isinstance(argument, Switch):
            self.values[argument.name] = True
        elif isinstance(argument, Option) and argument.kind == "expression":
            if not self.text:
                raise self.fail(f"{word} needs an expression behind it")
            self.values[argument.name], self.text = self.evaluate(self.text)
            self.text = self.text.lstrip()
        elif isinstance(argument, Option):
            value, self.text = take_word(self.text)
            self.text = self.text.lstrip()
            if value is None:
                raise self.fail(f"{word} needs a word behind it")
            self.values[argument.name] = value
        return True

    def take_positional(self, argument: Argument) -> None:
        """Take the next argument that is no option."""
        if isinstance(argument, Text):
            self.values[argument.name], self.text = self.text, ""
        elif isinstance(argument, Expression):
            self.values[argument.name], self.text = self.evaluate(self.text)
        elif isinstance(argument, Word):
            word, self.text = take_word(self.text)
            if argument.repeated:
                self.values.setdefault(argument.name, []).append(word)
            else:
                self.values[argument.name] = word
        self.text = self.text.lstrip()

    def read(self) -> Dict[str, Any]:
        waiting = list(self.positional)
        while self.text:
            if self.take_flag():
                continue
            if not waiting:
                raise self.fail(self._surplus())
            argument = waiting[0]
            if not (isinstance(argument, Word) and argument.repeated):
                waiting.pop(0)
            self.take_positional(argument)
        for argument in waiting:
            if getattr(argument, "required", False) and argument.name not in self.values:
                raise self.fail(f"{argument.name.upper()} is missing")
        return self.values

    def _surplus(self) -> str:
        word = self.text.split(None, 1)[0]
        if word.startswith(("-", "/")) and len(word) > 1:
            known = " ".join(sorted(self.flags)) or "none"
            return f"unknown option {word} (options: {known})"
        return f"unexpected '{self.text}'"


def read_arguments(command: Command, text: str, evaluate: Evaluate) -> Dict[str, Any]:
    """The keyword arguments of a call of `command` with `text` behind its name.

    Arguments that were not given are left out, so that the function's own defaults hold. Raises
    CommandError with the synopsis where the text does not fit.
    """
    return _Reader(command, text, evaluate).read()


def asks_for_help(command: Command, text: str) -> bool:
    """Whether the arguments are a request for help."""
    words: Sequence[str] = text.split()
    return not command.raw and len(words) == 1 and words[0].lower() in HELP_FLAGS
