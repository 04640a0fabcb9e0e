"""`.formats`, `?` and `??`: what an expression is worth, and a number in every form."""

from __future__ import annotations

from dumpkit.formats import NumberFormats, evaluation, number_formats
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator


class Value(Record):
    """What an expression is worth."""

    value: Hex
    text: str


class Formats(Record):
    """A number in every form."""

    value: Hex
    formats: NumberFormats


def value_lines(result: Value) -> Iterator[str]:
    yield result.text


def formats_lines(result: Formats) -> Iterator[str]:
    yield from result.formats.lines()


def _leading(session: Session, text: str) -> int:
    """The value of the expression at the start of a text; what follows it is refused once that has been shown."""
    value, rest = session.evaluate_prefix(text)
    session.refuse_surplus(text, len(text) - len(rest))
    return value


@command(
    ".formats",
    category="Memory",
    summary="A number in every form: hex, decimal, binary, text, time, float",
    arguments=(Text("expression", "a MASM expression"),),
    render=formats_lines,
    needs_target=False,
)
def dot_formats(session: Session, expression: str = "") -> Formats:
    """Shows the value of an expression as a number in every base, as characters, as a time and as floats."""
    value = _leading(session, expression)
    return Formats(Hex(value), number_formats(value, session.zone))


@command(
    "?",
    category="Memory",
    summary="The value of a MASM expression",
    arguments=(Text("expression", "numbers are hexadecimal; registers, symbols, poi(), operators"),),
    render=value_lines,
    needs_target=False,
    raw=True,
)
def evaluate(session: Session, expression: str = "") -> Value:
    """Evaluates an expression: ? @rsp+8*4, ? poi(@rsp), ? nt+1000, ? 0n10+0x10, ? hi(@rax).

    Numbers are in the session's base (see n) unless 0x, 0n, 0t, 0y or h says otherwise; a back-tick
    may part the halves of an address. Operators: + - * / mod and or xor not << >> = < > <= >= !=;
    by, wo, dwo, qwo and poi read memory.
    """
    value = _leading(session, expression)
    return Value(Hex(value), evaluation(value))


@command(
    "??",
    category="Memory",
    summary="The value of a C++ expression of integers",
    arguments=(Text("expression", "integers, operators, @registers"),),
    render=value_lines,
    needs_target=False,
    raw=True,
)
def evaluate_cpp(session: Session, expression: str = "") -> Value:
    """Evaluates a C++ expression of integers: ?? 1+2. Numbers are decimal unless 0x or 0 stands before them."""
    from dumpkit.expression.cpp import evaluate_cpp

    value, end = evaluate_cpp(expression, session.scope)
    session.refuse_surplus(expression, end)
    return Value(Hex(value.number), str(value))
