"""`analyze`: what crashed, where, and who is to blame."""

from __future__ import annotations

from typing import Any, Iterator, List, Optional, Sequence, Tuple

from dumpkit.errors import CommandError
from dumpkit.kernel.bugchecks import describe
from dumpkit.output import Hex, Line
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session

_USAGE = "analyze [-v] [-f | -hang | -show [CODE [P1 [P2 [P3 [P4]]]]]]"
#: What ext.dll's !analyze writes to its own formats; dumpkit has --json for programs.
_REFUSED = ("-d", "-xml", "-xcs", "-c", "-load", "-unload", "-xd", "-xmi", "-xmf", "-xsd", "-xss", "-z")


class Argument(Record):
    """An argument of a bugcheck; `meaning` is None where nothing is known of it."""

    value: Hex
    meaning: Optional[str]


class Description(Record):
    """What a bugcheck is."""

    code: Hex
    name: Optional[str]
    text: Tuple[str, ...]
    arguments: Tuple[Argument, ...]


def description(code: int, parameters: Sequence[int]) -> Description:
    """The description of a bugcheck with four arguments; the code may carry the triage flag."""
    known = describe(code, parameters)
    arguments = tuple(Argument(Hex(value), label) for value, label in zip(parameters, known.labels))
    return Description(Hex(code), known.name, known.text, arguments)


def description_lines(result: Description) -> Iterator[str]:
    """Name, text and arguments, as `-show` prints them."""
    if result.name is None:
        yield f"Unknown bugcheck code ({result.code:x})"
        yield "Unknown bugcheck description"
    else:
        yield f"{result.name} ({result.code:x})"
    yield from result.text
    yield "Arguments:"
    for number, argument in enumerate(result.arguments, 1):
        meaning = f", {argument.meaning}" if argument.meaning is not None else ""
        yield from f"Arg{number}: {argument.value:016x}{meaning}".splitlines()


class _Options:
    """The words behind `analyze`."""

    def __init__(self, session: Session, text: str) -> None:
        self.is_verbose = self.is_hang = self.is_forced = False
        #: The numbers behind -show: a code and its arguments; None without -show.
        self.shown: Optional[List[int]] = None
        words = text.split()
        while words:
            word = words.pop(0).lower().replace("/", "-", 1)
            if word == "-show":
                self.shown = self._numbers(session, text.split()[-len(words) :] if words else [])
                return
            if word[:2] == "-v" and (word[2:].isdigit() or word == "-v"):
                self.is_verbose = True
            elif word in ("-hang", "-f"):
                self.is_hang |= word == "-hang"
                self.is_forced |= word == "-f"
            elif word.startswith(_REFUSED):
                raise CommandError(f"analyze: {word} is not supported; --json gives programs the result", _USAGE)
            else:
                raise CommandError(f"analyze: unknown option {word}", _USAGE)

    @staticmethod
    def _numbers(session: Session, words: Sequence[str]) -> List[int]:
        numbers = [session.evaluate(word) for word in words]
        if len(numbers) > 5:
            raise CommandError("analyze: -show takes a code and at most four arguments", _USAGE)
        return numbers


def _shown(session: Session, numbers: List[int]) -> Description:
    if numbers:
        code, *parameters = numbers
        return description(code, (parameters + [0] * 4)[:4])
    found = session.dump.bugcheck
    if found is None:
        raise CommandError("This target did not bugcheck: analyze -show CODE shows any bugcheck", _USAGE)
    return description(found.code, found.parameters)


def analyze_lines(result: Any) -> Iterator[Line]:
    if isinstance(result, Description):
        yield from description_lines(result)


@command(
    "analyze",
    category="Dump",
    summary="What crashed, where, and who is to blame",
    arguments=(Text("options", "-v, -f, -hang, or -show with a bugcheck's code and arguments"),),
    render=analyze_lines,
    needs_target=False,
)
def analyze(session: Session, options: str = "") -> object:
    """Analyses the bugcheck: its arguments, the failing context, instruction and address, the stack, and the
    first frame that is not the kernel's own plumbing, with its module and its failure bucket.

    -v     everything; without it a summary
    -f     the exception is analysed even where the target did not bugcheck
    -hang  threads that block others, instead of a crash
    -show  what a bugcheck's code and arguments mean: this dump's, or `-show CODE [P1 [P2 [P3 [P4]]]]`
    """
    wanted = _Options(session, options)
    if wanted.shown is not None:
        return _shown(session, wanted.shown)
    if session.target is None:
        raise CommandError("analyze needs a dump: start dumpkit with the path of one")
    raise CommandError("analyze: only -show is there", _USAGE)
