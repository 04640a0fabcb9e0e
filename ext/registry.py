"""What a command is: its names, its arguments, its function and its rendering."""

from __future__ import annotations

from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterable, Optional, Sequence, Tuple, TypeVar, Union

    from dumpkit.output import Line
    from typing_extensions import TypeAlias

    Function = TypeVar("Function", bound=Callable[..., Any])

#: Where a command stands in `help`.
CATEGORIES = ("Dump", "Stack", "Memory", "Code", "Modules", "Symbols", "Kernel", "Session")


class Switch(Record):
    """An option without a value: true where one of `flags` stands among the arguments."""

    name: str
    flags: Tuple[str, ...]
    help: str


#: What a word or text holds, for the prompt's completion: an expression where nothing is said.
#: "nothing" is what cannot be completed, "type" the name of a type or a variable and, behind it, members.
HOLDS = ("", "command", "file", "module", "nothing", "type")


class Option(Record):
    """An option with a value: `-m PATTERN`. `kind` is "word" or "expression"; absent, the value is None."""

    name: str
    flags: Tuple[str, ...]
    help: str
    kind: str = "word"
    holds: str = ""


class Word(Record):
    """One word, up to white space; double quotes group."""

    name: str
    help: str
    required: bool = False
    repeated: bool = False
    holds: str = ""


class Expression(Record):
    """A MASM expression, handed on as its value: an address where the command wants one."""

    name: str
    help: str
    required: bool = False


class Text(Record):
    """The rest of the line as it stands."""

    name: str
    help: str
    required: bool = False
    holds: str = ""


Argument: TypeAlias = "Union[Switch, Option, Word, Expression, Text]"


class Command(Record):
    """A registered command.

    `run(session, **arguments)` returns the result, a dataclass or None where there is nothing to
    show; `render(result)` yields its lines. `name` is how help lists it.
    """

    name: str
    run: Callable[..., Any]
    render: Callable[[Any], Iterable[Line]]
    aliases: Tuple[str, ...]
    category: str
    summary: str
    help: str
    arguments: Tuple[Argument, ...]
    #: Whether it can run without a target.
    needs_target: bool
    #: Whether `-h` and the like are for the command itself to read (`.echo -h`).
    raw: bool
    #: Whether arguments may stand right behind the name (`dqrsp`, `lmvm`, `kn5`).
    glued: bool
    #: Whether a call without a result leaves no trace in JSON (`$$><`, which runs others).
    silent: bool

    @property
    def synopsis(self) -> str:
        """The usage line: `db [RANGE]`."""
        parts = [self.name]
        for argument in self.arguments:
            if isinstance(argument, Switch):
                parts.append(f"[{argument.flags[0]}]")
            elif isinstance(argument, Option):
                parts.append(f"[{argument.flags[0]} {argument.name.upper()}]")
            else:
                name = argument.name.upper() + (" ..." if getattr(argument, "repeated", False) else "")
                parts.append(name if argument.required else f"[{name}]")
        return " ".join(parts)


#: Every command whose module has been imported, by each of its names. Case counts where two differ by it (dd, dD).
REGISTERED: Dict[str, Command] = {}


def _no_lines(result: Any) -> Iterable[Line]:
    return ()


def command(
    name: str,
    *,
    category: str,
    summary: str,
    aliases: Sequence[str] = (),
    arguments: Sequence[Argument] = (),
    render: Optional[Callable[[Any], Iterable[Line]]] = None,
    needs_target: bool = True,
    raw: bool = False,
    glued: bool = False,
    silent: bool = False,
) -> Callable[[Function], Function]:
    """Register a function as a command; its docstring becomes the help text.

    Names are as a person types them in WinDbg, without the `!` of an extension: `.bugcheck`, `db`,
    `di`. They are matched in any case, with or without `!` and an extension's name before them.
    """

    def register(function: Function) -> Function:
        entry = Command(
            name,
            function,
            render or _no_lines,
            tuple(aliases),
            category,
            summary,
            function.__doc__ or "",
            tuple(arguments),
            needs_target,
            raw,
            glued,
            silent,
        )
        for known in (name, *aliases):
            REGISTERED[known] = entry
        return function

    return register
