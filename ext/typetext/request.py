"""What was asked of `dt`: its options, its names and its fields, from the words of the command."""

from __future__ import annotations

import re

from dumpkit.errors import CommandError
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, List, Optional, Tuple

USAGE = "dt [-abceiorsvy] [module!]name [[-y] field ...] [address] [-l list-field]"

#: -r without a number.
DEFAULT_DEPTH = 2
#: -a without a number.
DEFAULT_COUNT = 5
#: Levels beyond this are never wanted, and their number grows exponentially.
DEPTH_LIMIT = 32

# Compiled when they are needed, by the cache of `re`: most commands need one or two of them.
_STEP = r"(?:\.|->)?([^.\[\]>-]+)((?:\[[^\[\]]+\])*)"
_INDEX = r"\[([^\[\]]+)\]"
_NUMBER = r"(?i)(?:0x|0n)?[0-9a-f`]+(?:[-+*/&|^<>()].*)?$"
#: What can only be an address, in front of the name as well.
_CERTAIN = r"(?i)(?:[@(]|poi\(|0x|0n|[0-9a-f]{8}|[0-9])"


class Step(NamedTuple):
    """One part of a field's path: a name or pattern, and the indexes behind it."""

    name: str
    indexes: Tuple[int, ...] = ()


class FieldPath(NamedTuple):
    """A field that was asked for: "Tcb.Header.", "Wait*", "MajorFunction[3]"."""

    text: str
    steps: Tuple[Step, ...]
    #: -y: the last name is a beginning.
    partial: bool = False
    #: The path ends in a dot: every member of what it leads to.
    all_members: bool = False


class TypeRequest(NamedTuple):
    """A `dt` command, understood."""

    #: The type's name or pattern, with its module as written: "nt!_KTHREAD", "_EPROCESS", "nt!_E*".
    name: str
    #: A MASM expression, None where there is none.
    address: Optional[str] = None
    fields: Tuple[FieldPath, ...] = ()
    #: -l: the field that leads to the next element.
    list_field: Optional[str] = None
    #: -r: levels of records shown inside records.
    depth: int = 0
    #: -b: embedded records and array elements in full, pointers not followed.
    block: bool = False
    #: -v
    verbose: bool = False
    #: -a: so many elements one after the other; -1 as many as are declared.
    elements: Optional[int] = None
    #: -c: on one line.
    compact: bool = False
    #: -i: without indenting.
    flat: bool = False
    #: -o: without offsets.
    without_offsets: bool = False
    #: -p: the address is physical.
    physical: bool = False
    #: -s: types of this size only, in an enumeration.
    size: Optional[int] = None
    #: -e, -t: the name is a pattern, and types alone are listed.
    types_only: bool = False
    #: -y before the name: it is a beginning.
    partial: bool = False

    @property
    def module(self) -> Optional[str]:
        """The module that the name says, or None."""
        return self.name.rpartition("!")[0] or None

    @property
    def bare_name(self) -> str:
        """The name without its module."""
        return self.name.rpartition("!")[2]

    @property
    def is_pattern(self) -> bool:
        """Whether names are to be listed instead of one type shown."""
        return self.partial or self.types_only or any(character in self.bare_name for character in "*?")


def parse(text: str, is_address: Optional[Callable[[str], bool]] = None) -> TypeRequest:
    """The words of a `dt` command. `is_address` tells an address expression from a field; a plain rule where None.

    Raises CommandError for an option that `dt` does not have, or without a name.
    """
    reader = _RequestReader(text.split(), is_address or looks_like_address)
    return reader.request()


def looks_like_address(word: str) -> bool:
    """The engine's rule: hexadecimal digits, a register, or an expression that begins as one, is an address.

    A field such as `Add` therefore needs -n before it.
    """
    return (
        bool(re.match(_NUMBER, word)) or word[:1] in "@(" or word[:1].isdigit() or word.startswith(("poi(", "nt!", "$"))
    )


def parse_field(text: str, partial: bool = False) -> FieldPath:
    """A field's path. Raises CommandError where an index is no number."""
    steps: List[Step] = []
    rest = text.rstrip(".")
    all_members = rest != text or text.endswith("->")
    if rest.endswith("->"):
        rest = rest[:-2]
    position = 0
    while position < len(rest):
        found = re.match(_STEP, rest[position:])
        if found is None:
            raise CommandError(f"Syntax error at '{rest[position:]}'", USAGE)
        indexes = tuple(_index(word) for word in re.findall(_INDEX, found.group(2)))
        steps.append(Step(found.group(1), indexes))
        position += found.end()
    if not steps:
        raise CommandError(f"Syntax error at '{text}'", USAGE)
    return FieldPath(text, tuple(steps), partial, all_members)


def _index(word: str) -> int:
    try:
        index = int(word[2:], 10) if word.lower().startswith("0n") else int(word, 16)
    except ValueError:
        raise CommandError(f"Syntax error at '{word}]'", USAGE) from None
    if not 0 <= index < 1 << 32:
        raise CommandError(f"index {word} is out of range", USAGE)
    return index


class _RequestReader:
    """Walks along the words of one command."""

    def __init__(self, words: List[str], is_address: Callable[[str], bool]) -> None:
        self.words = words
        self.is_address = is_address
        self.values = TypeRequest("")
        self.fields: List[FieldPath] = []
        #: What -y and -n say of the next name.
        self.partial = self.literal = False

    def request(self) -> TypeRequest:
        while self.words:
            word = self.words.pop(0)
            if word.startswith("-") and len(word) > 1 and not word.startswith("->"):
                self.option(word[1:])
            else:
                self.name(word)
        if not self.values.name:
            raise CommandError("dt wants the name of a type", USAGE)
        return self.values._replace(fields=tuple(self.fields))

    def set(self, **values: object) -> None:
        self.values = self.values._replace(**values)  # type: ignore[arg-type]

    def name(self, word: str) -> None:
        partial, literal, self.partial, self.literal = self.partial, self.literal, False, False
        if not self.values.name and not (re.match(_CERTAIN, word) and self.is_address(word) and self.words):
            self.set(name=word, partial=partial)
        elif not literal and not partial and self.is_address(word):
            # What follows an operator belongs to the expression.
            self.set(address=f"{self.values.address} {word}" if self.values.address else word)
        else:
            self.fields.append(parse_field(word, partial))

    def option(self, letters: str) -> None:
        position = 0
        while position < len(letters):
            letter = letters[position]
            position += 1
            rest = letters[position:] if letter in "ar" else ""
            number = rest[: len(rest) - len(rest.lstrip("0123456789"))]
            position += len(number)
            self.letter(letter, int(number) if number else None)

    def letter(self, letter: str, number: Optional[int]) -> None:
        if letter == "r":
            self.set(depth=DEFAULT_DEPTH if number is None else min(number, DEPTH_LIMIT))
        elif letter == "a":
            self.set(elements=-1 if number is None else number)
        elif letter in _SWITCHES:
            self.set(**{_SWITCHES[letter]: True})
        elif letter == "y":
            self.partial = True
        elif letter == "n":
            self.literal = True
        elif letter == "l":
            self.set(list_field=self.argument("-l", "a field"))
        elif letter == "s":
            word = self.argument("-s", "a size")
            try:
                self.set(size=int(word, 16), types_only=True)
            except ValueError:
                raise CommandError(f"-s {word}: no size in hexadecimal", USAGE) from None
        elif letter not in "dmz":
            raise CommandError(f"dt has no option -{letter}", USAGE)

    def argument(self, option: str, words: str) -> str:
        if not self.words:
            raise CommandError(f"{option} wants {words}", USAGE)
        return self.words.pop(0)


_SWITCHES = {
    "b": "block",
    "v": "verbose",
    "c": "compact",
    "i": "flat",
    "o": "without_offsets",
    "p": "physical",
    "e": "types_only",
    "t": "types_only",
}
