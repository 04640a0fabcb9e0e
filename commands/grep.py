"""`grep` (mex): the lines of another command that have a text."""

from __future__ import annotations

import re

from dumpkit.arguments import take_word
from dumpkit.errors import CommandError
from dumpkit.named_tuple import NamedTuple
from dumpkit.output import Line, plain
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator, List, Tuple

_USAGE = "grep [-r] [-v] [-A COUNT] PATTERN COMMAND"
#: grep within grep: no deeper than this.
_DEEPEST = 8
#: What `-A` may ask for.
_MOST_AFTER = 100_000


class MatchingLines(Record):
    """The lines of a command that match."""

    pattern: str
    command: str
    lines: Tuple[str, ...]
    #: Lines that match, without those that -A adds.
    matches: int
    #: Lines that the command showed.
    total: int
    #: The same lines with their links.
    _lines: Tuple[Line, ...] = ()


class _Request(NamedTuple):
    """What the arguments ask for."""

    is_regex: bool
    is_inverted: bool
    after: int
    pattern: str
    command: str


def matching_lines(result: MatchingLines) -> Iterator[Line]:
    yield from result._lines


def _request(text: str) -> _Request:
    is_regex = is_inverted = False
    after = 0
    word, rest = take_word(text)
    while word is not None and word in ("-r", "-v", "-A", "-a"):
        if word == "-r":
            is_regex = True
        elif word == "-v":
            is_inverted = True
        else:
            number, rest = take_word(rest)
            if number is None or not number.isdigit() or int(number) > _MOST_AFTER:
                raise CommandError(f"grep: -A needs a number of lines behind it, not '{number or ''}'", _USAGE)
            after = int(number)
        word, rest = take_word(rest)
    rest = rest.strip()
    if not word:
        raise CommandError("grep: PATTERN is missing", _USAGE)
    if not rest:
        raise CommandError("grep: the command whose lines are looked through is missing", _USAGE)
    return _Request(is_regex, is_inverted, after, word, rest)


def _test(request: _Request) -> Callable[[str], bool]:
    """Whether a line matches. Raises CommandError for what is no regular expression."""
    if not request.is_regex:
        text = request.pattern.lower()
        return lambda line: (text in line.lower()) != request.is_inverted
    try:
        pattern = re.compile(request.pattern, re.IGNORECASE)
    except re.error as error:
        raise CommandError(f"grep: '{request.pattern}' is no regular expression: {error}", _USAGE) from error
    return lambda line: (pattern.search(line) is not None) != request.is_inverted


@command(
    "grep",
    category="Session",
    summary="The lines of another command that have a text",
    arguments=(Text("query", "[-r] [-v] [-A COUNT] PATTERN COMMAND", holds="nothing"),),
    render=matching_lines,
    needs_target=False,
)
def grep(session: Session, query: str = "") -> MatchingLines:
    """Runs a command and shows those of its lines that have PATTERN in them, in any case.

    -r        PATTERN is a regular expression
    -v        the lines that do not match
    -A COUNT  so many lines behind each match, too

    grep WrResource lt -a       threads that wait for a resource
    grep -r "^00|driver" lm     a pattern with a space stands in double quotes
    """
    request = _request(query)
    if _depth(request.command) > _DEEPEST:
        raise CommandError(f"grep: no more than {_DEEPEST} within each other", _USAGE)
    test = _test(request)
    kept: List[Line] = []
    matches = total = 0
    following = 0
    for line in session.commands.lines(request.command):
        total += 1
        if test(plain(line)):
            matches += 1
            following = request.after
        elif following:
            following -= 1
        else:
            continue
        kept.append(line)
    return MatchingLines(request.pattern, request.command, tuple(map(plain, kept)), matches, total, tuple(kept))


def _depth(text: str) -> int:
    """How many words of a command are grep, as an upper bound of how deep it goes."""
    return len(re.findall(r"(?i)(?:^|\s)!?(?:\w+\.)*grep(?=\s)", text))
