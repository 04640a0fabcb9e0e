"""`r`: the current registers and the instruction that they stand at."""

from __future__ import annotations

import re

from dumpkit.code import current_line, label_of
from dumpkit.errors import CommandError, ExpressionError, RegisterError
from dumpkit.expression import parse_expression
from dumpkit.expression.tokens import skip_space
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.register_text import (
    CONTROL,
    DEBUG,
    DESCRIPTORS,
    FLOATING,
    INTEGERS,
    MMX,
    NOT_READ,
    SEGMENTS,
    XMM,
    XMM_INTEGERS,
    formatted_register,
    masked_lines,
    register_lines,
    register_text,
)
from dumpkit.registers import X64, Context
from dumpkit.registry import Expression, Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, Optional, Tuple


class Registers(Record):
    """The registers of the current context; `location` and `instruction` stand for its instruction pointer."""

    processor: int
    values: Dict[str, Hex]
    location: Optional[str]
    instruction: str
    #: Whether a command such as .cxr set the context.
    is_set_context: bool
    _context: Context
    #: The mask of rM; None shows what r shows.
    _mask: Optional[int] = None


class SomeRegisters(Record):
    """The registers that were asked for, as text and as numbers."""

    values: Dict[str, Hex]
    texts: Tuple[str, ...]
    #: Whether a command such as .cxr set the context.
    is_set_context: bool


def registers_lines(result: object) -> Iterator[str]:
    if getattr(result, "is_set_context", False):
        yield "Last set context:"
    if isinstance(result, SomeRegisters):
        yield " ".join(result.texts)
    elif isinstance(result, Registers):
        yield from register_lines(result._context) if result._mask is None else _mask_lines(result)
        if result.location is not None:
            yield f"{result.location}:"
        yield result.instruction


def _mask_lines(result: Registers) -> Iterator[str]:
    mask = result._mask or 0
    known = INTEGERS | SEGMENTS | DEBUG | XMM | CONTROL | DESCRIPTORS | FLOATING | MMX | XMM_INTEGERS
    if mask & ~(known | NOT_READ):
        yield f"Ignored invalid bits {mask & ~(known | NOT_READ):X}"
    yield from masked_lines(result._context, mask)
    if mask & NOT_READ:
        yield "The AVX registers are not in a dump's contexts."


def _value(session: Session, name: str) -> int:
    if name.startswith("$"):
        return session.pseudo_register(name[1:])
    floating = session.context.floating(name)
    return floating if floating is not None else session.context[name]


#: Pseudo-registers that a user may set.
_SETTABLE = frozenset(f"$t{number}" for number in range(20))
_ASSIGNMENT = re.compile(r"\s*@?(\$\.u[0-9]|[^\s,:=]+)\s*=(?!=)")
_FIXED = re.compile(r"\s*(\$\.u[0-9]+)\s*(=(.*))?", re.DOTALL)


def _set(session: Session, text: str) -> str:
    """Set the pseudo-registers that a text begins with, `$t0=5, $t1=@rsp`; what is left of it.

    Raises CommandError for registers of the target.
    """
    position = 0
    while True:
        match = _ASSIGNMENT.match(text, position)
        if match is None:
            return text[position:]
        name = match.group(1).lower()
        if name not in _SETTABLE:
            if not name.startswith("$"):
                _value(session, name)
            raise CommandError("r shows registers; dumpkit never changes a target", "r [NAME[:FORMAT], ...]")
        value, position = parse_expression(text, session.scope, match.end())
        session.pseudo[name[1:]] = value
        place = skip_space(text, position)
        if text[place : place + 1] != ",":
            session.refuse_surplus(text, position)
            return ""
        position = place + 1


def _fixed_alias(session: Session, match: re.Match[str], text: str) -> Optional[SomeRegisters]:
    """Set $u0 to $u9, or show it."""
    name = match.group(1)[2:]
    if len(name) != 2:
        raise ExpressionError("Bad register error", match.end(1), text, caret=True)
    if match.group(2) is not None:
        session.aliases.fixed[name[1]] = match.group(3).strip()
        return None
    return SomeRegisters({}, (f"${name}={session.aliases.fixed.get(name[1]) or '<Empty>'}",), False)


def _text(session: Session, name: str, value: int, form: str) -> str:
    """A register or pseudo-register as text. Raises KeyError for a display format that there is not."""
    is_pseudo = name.startswith("$")
    if form:
        return formatted_register(session.context, name, form, value if is_pseudo else None)
    return f"{name}={value:016x}" if is_pseudo else register_text(session.context, name)


def _named(session: Session, names: str) -> SomeRegisters:
    values: Dict[str, Hex] = {}
    texts = []
    for match in re.finditer(r"@?([\w$.]+(?::\w*)?|[^\s,])(\s*,\s*)?", names):
        name, _, form = match.group(1).lower().partition(":")
        try:
            values[name] = Hex(_value(session, name))
        except RegisterError as error:
            end = match.start(1) + (len(name) if name[0].isalnum() or name[0] in "_$." else 0)
            raise ExpressionError("Bad register error", end, names, caret=True) from error
        try:
            if match.group(1).endswith(":"):
                raise KeyError(form)
            texts.append(_text(session, name, values[name], form))
        except KeyError as error:
            place = match.start(1) + len(name) + 1
            raise ExpressionError("Syntax error", place, names, caret=True) from error
        if match.group(2) is None and match.end() < len(names):
            raise ExpressionError("Syntax error", skip_space(names, match.end()), names, caret=True)
    return SomeRegisters(values, tuple(texts), session.override is not None)


def _masked(session: Session, mask: int) -> Registers:
    """The registers of a mask. Raises CommandError where none of its bits is known here."""
    context, target = session.context, session.dump
    if context.architecture is not X64:
        raise CommandError("rM is for x64: r shows all of ARM64's registers")
    return Registers(
        session.processor,
        {name: Hex(value) for name, value in context.values.items()},
        label_of(target, context.instruction_pointer),
        current_line(target, context),
        session.override is not None,
        context,
        mask,
    )


@command(
    "rM",
    category="Stack",
    summary="The registers of a mask",
    arguments=(
        Expression(
            "mask",
            "1 2 integers, 4 x87, 8 segments, 10 MMX, 20 debug, 40 800 xmm, 80 control, 100 descriptors",
            required=True,
        ),
        Text("names", "as for r"),
    ),
    render=registers_lines,
)
def r_masked(session: Session, mask: int, names: str = "") -> object:
    """Shows some of the registers of the current processor, and the instruction that it stands at.

    The mask's bits say which. A dump's contexts do not hold AVX registers (200 and 400).
    """
    return _named(session, names) if names else _masked(session, mask)


@command(
    "rF",
    category="Stack",
    summary="The x87 registers",
    arguments=(Text("names", "as for r"),),
    render=registers_lines,
)
def r_floating(session: Session, names: str = "") -> object:
    """Shows the x87 registers of the current processor, and the instruction that it stands at: rM 4."""
    return _named(session, names) if names else _masked(session, FLOATING)


@command(
    "rX",
    category="Stack",
    summary="The xmm registers",
    arguments=(Text("names", "as for r"),),
    render=registers_lines,
)
def r_xmm(session: Session, names: str = "") -> object:
    """Shows the xmm registers of the current processor, and the instruction that it stands at: rM 40."""
    return _named(session, names) if names else _masked(session, XMM)


@command(
    "r",
    category="Stack",
    summary="The registers and the current instruction",
    raw=True,
    needs_target=False,
    arguments=(Text("names", "registers, parts and flags, with commas between them: rax, al, zf, $ip, xmm0:ud"),),
    render=registers_lines,
)
def r(session: Session, names: str = "") -> object:
    """Shows the registers of the current processor (see ~Ns), and the instruction that it stands at.

    r $t0=EXPRESSION sets one of $t0 to $t19, r $.u0=TEXT one of the fixed aliases $u0 to $u9; nothing of the target
    is ever changed. Behind a register's name a format may stand: ub, uw, ud, uq its bytes, words, double and quad
    words, ib, iw, id, iq the same in decimal, f and d as floating point of 32 and 64 bits, the highest first. See rM,
    rF and rX for other registers.
    """
    fixed = _FIXED.match(names)
    if fixed is not None:
        return _fixed_alias(session, fixed, names)
    if names and names != "?":
        try:
            left = _set(session, names)
        except RegisterError as error:
            place = len(names.split("=")[0].rstrip())
            raise ExpressionError("Bad register error", place, names, caret=True) from error
        return _named(session, left) if left.strip() else None
    context = session.context
    target = session.dump
    return Registers(
        session.processor,
        {name: Hex(value) for name, value in context.values.items()},
        label_of(target, context.instruction_pointer),
        current_line(target, context),
        session.override is not None,
        context,
    )
