"""MASM expressions and address ranges: what the arguments of commands mean.

`? 1 + 2`, `db rsp L20`, `u @rip @rip+10`. Numbers are hexadecimal unless the scope's radix is another.
Source: "MASM Numbers and Operators" and "Address and Address Range Syntax" in Microsoft's debugger
documentation, and the answers of the engine.
"""

from __future__ import annotations

import re

from dumpkit.errors import ExpressionError
from dumpkit.expression.evaluator import MISSING, Evaluator
from dumpkit.expression.scope import Scope
from dumpkit.expression.tokens import U64_MASK, skip_space
from dumpkit.numbers import signed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

#: Longest range in bytes without `L?`: longer ones are typing errors, as a rule.
RANGE_LIMIT = 0x1000_0000

_ADDRESS = "Address expression missing from"
_LENGTH = "Length of range missing from"

#: The L of a range stands behind white space; what follows is its length.
_LENGTH_MARK = re.compile(r"(?<=[ \t])[Ll](-?)(\??)")


class Range:
    """An address range as it was asked for.

    `start` is the virtual address of the first unit, `count` the number of units, of the size that the
    command has; `given` is false where `count` is the command's default. `last` is the last address,
    inclusive, of a range given as START END, else None. `end` is the place in the text behind the range. `text`
    is the text as the debugger quotes it from the range on, where that differs.
    """

    __slots__ = ("count", "end", "given", "last", "start", "text")

    def __init__(
        self,
        start: int,
        count: int,
        end: int,
        given: bool = True,
        last: Optional[int] = None,
        text: Optional[str] = None,
    ) -> None:
        self.start = start
        self.count = count
        self.end = end
        self.given = given
        self.last = last
        self.text = text

    def __repr__(self) -> str:
        return f"Range({self.start:#x}, count={self.count:#x}, end={self.end}, given={self.given}, last={self.last})"


def parse_expression(text: str, scope: Scope, position: int = 0, missing: str = MISSING) -> Tuple[int, int]:
    """The value of the expression at a place in a text, and the place behind it.

    The expression goes as far as it can: `1 + 2 3` ends before the 3. The value is from 0 to 2**64 - 1,
    and becomes $exp. Raises ExpressionError in the engine's words; its cause is the MemoryReadError,
    RegisterError or SymbolError that says more.
    """
    evaluator = Evaluator(text, scope, position, missing, _read_cpp)
    value = evaluator.value()
    scope.evaluated(value)
    return value, evaluator.position


def _read_cpp(text: str, scope: Scope, position: int) -> Tuple[int, int]:
    from dumpkit.expression.cpp import evaluate_cpp

    value, end = evaluate_cpp(text, scope, position)
    try:
        return value.integer & U64_MASK, end
    except (ValueError, OverflowError) as error:
        raise ExpressionError("Type conflict error at", position, text) from error


def evaluate_prefix(text: str, scope: Scope) -> Tuple[int, str]:
    """The value of the expression at the start of a text, and what follows it. Raises ExpressionError."""
    value, end = parse_expression(text, scope)
    return value, text[end:]


def evaluate(text: str, scope: Scope) -> int:
    """The value of a whole text. Raises ExpressionError, for surplus characters too."""
    value, end = parse_expression(text, scope)
    refuse_surplus(text, end)
    return value


def refuse_surplus(text: str, position: int) -> None:
    """Raise ExpressionError, "Extra character error", where anything but white space is left in a command."""
    position = skip_space(text, position)
    if position < len(text):
        raise ExpressionError("Extra character error", position + 1, text, caret=True)


def parse_range(
    text: str, scope: Scope, default_count: int, unit_size: int = 1, default_start: Optional[int] = None
) -> Tuple[int, int]:
    """Start and number of units of a whole text as an address range: see `read_range`. Nothing may follow it."""
    found = read_range(text, scope, default_count, unit_size, default_start)
    refuse_surplus(found.text or text, found.end)
    return found.start, found.count


def read_range(
    text: str,
    scope: Scope,
    default_count: int,
    unit_size: int = 1,
    default_start: Optional[int] = None,
    position: int = 0,
) -> Range:
    """The address range at a place in a text: START, START END, START L COUNT, START L-COUNT, START L?COUNT.

    Counts are units of `unit_size` bytes; END is the last address, inclusive; L-COUNT ends before START.
    A range of more than 256 MiB needs `L?`. Without a START, `default_start` stands for it; where that is
    None the range is missing. Raises ExpressionError.
    """
    first = skip_space(text, position)
    if first == len(text) and default_start is not None:
        return Range(default_start & U64_MASK, default_count, first, given=False)
    mark = _LENGTH_MARK.search(text, first + 1) if first < len(text) else None
    if mark is None:
        return _read_pair(text, scope, first, default_count, unit_size)
    start = _read_marked_start(text[: mark.start()], scope, first, text)
    # The debugger quotes the text from here on with its L in lower case.
    text = f"{text[: mark.start()]}l{text[mark.start() + 1 :]}"
    count, end = parse_expression(text, scope, mark.end(), _LENGTH)
    backwards, unlimited = mark.groups()
    _check_size(text, end, signed(count) * unit_size, not unlimited)
    return Range((start - count * unit_size) & U64_MASK if backwards else start, count, end, text=text)


def _read_pair(text: str, scope: Scope, position: int, default_count: int, unit_size: int) -> Range:
    """START, or START END."""
    start, end = parse_expression(text, scope, position, _ADDRESS)
    place = skip_space(text, end)
    if place == len(text):
        return Range(start, default_count, end, given=False)
    last, end = parse_expression(text, scope, place, _ADDRESS)
    if last < start:
        raise ExpressionError("Range error", end, text, caret=True)
    _check_size(text, end, last - start + 1, True)
    return Range(start, (last - start) // unit_size + 1, end, last=last)


def _read_marked_start(part: str, scope: Scope, position: int, text: str) -> int:
    """The START in `part`, which is `text` up to the L. As by the engine, what else stands there is passed over."""
    try:
        start, _ = parse_expression(part, scope, position, _ADDRESS)
    except ExpressionError as error:
        raise error.within(text, 0, len(part)) from error.__cause__
    return start


def _check_size(text: str, end: int, size: int, limited: bool) -> None:
    """Refuse a range that is longer than it may be; `size` is in bytes, of two's complement as lengths are."""
    if abs(size) >> 63 or (not limited and (size < 0 or size >> 62)):
        raise ExpressionError("Overflow error", end, text, caret=True)
    if limited and not 0 <= size <= RANGE_LIMIT:
        raise ExpressionError("Range error", end, text, caret=True)
