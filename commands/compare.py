"""`c`: two ranges of memory compared byte by byte."""

from __future__ import annotations

from dumpkit.errors import CommandError, DumpkitError, ExpressionError
from dumpkit.expression import parse_expression, read_range
from dumpkit.named_tuple import NamedTuple
from dumpkit.numbers import quoted
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Tuple

_MOST_BYTES = 1 << 24


class UnequalByte(NamedTuple):
    """A byte that differs: virtual addresses and values."""

    first: Hex
    first_value: Hex
    second: Hex
    second_value: Hex


class Comparison(Record):
    """The bytes in which two ranges differ."""

    differences: Tuple[UnequalByte, ...]


def comparison_lines(result: Comparison) -> Iterator[str]:
    for each in result.differences:
        first, second = quoted(each.first), quoted(each.second)
        yield f"{first}  {each.first_value:02x} - {second}  {each.second_value:02x}"


@command(
    "c",
    category="Memory",
    summary="Compares two ranges of memory",
    arguments=(Text("ranges", "RANGE ADDRESS"),),
    render=comparison_lines,
    raw=True,
)
def c(session: Session, ranges: str = "") -> Comparison:
    """Compares a range with the memory at another address, and shows the bytes that differ: c RANGE ADDRESS."""
    first = read_range(ranges, session.scope, 1)
    if not first.given:
        raise ExpressionError("Address expression missing from", len(ranges), ranges)
    ranges = first.text or ranges
    other, end = parse_expression(ranges, session.scope, first.end, "Address expression missing from")
    session.refuse_surplus(ranges, end)
    if first.count > _MOST_BYTES:
        raise CommandError(f"c: {first.count:,} bytes are more than can be compared at once ({_MOST_BYTES:,})")
    memory = session.dump.memory
    try:
        left, right = memory.read(first.start, first.count), memory.read(other, first.count)
    except DumpkitError as error:
        raise ExpressionError("Memory access error", end, ranges, caret=True) from error
    return Comparison(
        tuple(
            UnequalByte(Hex(first.start + at), Hex(left[at]), Hex(other + at), Hex(right[at]))
            for at in range(first.count)
            if left[at] != right[at]
        )
    )
