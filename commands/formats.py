"""`.formats`, `?` and `??`: what an expression is worth, and a number in every form."""

from __future__ import annotations

from dumpkit.formats import NumberFormats, evaluation, number_formats
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple


class Value(Record):
    """What an expression is worth."""

    value: Hex
    text: str


class TypedValue(Record):
    """What a C++ expression is worth: a number, or the address of an object; None for floating point."""

    value: Optional[Hex]
    type: str
    text: str
    #: What it leads to, as dt shows it.
    lines: Tuple[str, ...] = ()


def typed_lines(result: TypedValue) -> Iterator[str]:
    yield result.text
    yield from result.lines


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
    summary="The value of a C++ expression",
    arguments=(Text("expression", "numbers, operators, @registers, casts, members, sizeof"),),
    render=typed_lines,
    needs_target=False,
    raw=True,
)
def evaluate_cpp(session: Session, expression: str = "") -> TypedValue:
    """Evaluates a C++ expression, and shows its type: ?? 1+2, ?? @$thread->Tcb.Process, ?? sizeof(nt!_EPROCESS).

    Numbers are decimal unless 0x or 0 stands before them. Types are those of C++ and of the symbols: ((nt!_KTHREAD*)
    ADDRESS)->Process, *(int*)@rsp, ((nt!_LIST_ENTRY*)@rsp)->Flink->Flink, &@$proc->Pcb.Header,
    #FIELD_OFFSET(nt!_KTHREAD, Process), @@masm(poi(@rsp)). A record is shown as dt shows it, and so is what a pointer
    to one leads to. Nothing is called and nothing is changed.
    """
    from dumpkit.expression.cpp import evaluate_cpp

    value, end = evaluate_cpp(expression, session.scope)
    session.refuse_surplus(expression, end)
    is_float = value.kind.is_float
    if value.type is None:
        return TypedValue(None if is_float else Hex(value.integer), value.kind.name, str(value), ())
    from dumpkit.commands.typed_value import type_words, typed_text

    head, *behind = typed_text(session, value)
    return TypedValue(Hex(value.integer), type_words(value.type), head, tuple(behind))
