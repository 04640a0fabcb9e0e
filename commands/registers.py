"""`r`: the current registers and the instruction that they stand at."""

from __future__ import annotations

import re

from dumpkit.code import current_line, label_of
from dumpkit.errors import CommandError, ExpressionError, RegisterError
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.register_text import (
    CONTROL,
    DEBUG,
    DESCRIPTORS,
    INTEGERS,
    NOT_READ,
    SEGMENTS,
    XMM,
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
    known = INTEGERS | SEGMENTS | DEBUG | XMM | CONTROL | DESCRIPTORS
    if mask & ~(known | NOT_READ):
        yield f"Ignored invalid bits {mask & ~(known | NOT_READ):x}"
    yield from masked_lines(result._context, mask)
    if mask & NOT_READ:
        yield "Floating-point, MMX and AVX registers are not read from dumps."


def _value(session: Session, name: str) -> int:
    return session.pseudo_register(name[1:]) if name.startswith("$") else session.context[name]


def _text(session: Session, name: str, value: int, form: str) -> str:
    """A register or pseudo-register as text. Raises KeyError for a display format that there is not."""
    is_pseudo = name.startswith("$")
    if form:
        return formatted_register(session.context, name, form, value if is_pseudo else None)
    return f"{name}={value:016x}" if is_pseudo else register_text(session.context, name)


def _named(session: Session, names: str) -> SomeRegisters:
    values: Dict[str, Hex] = {}
    texts = []
    for match in re.finditer(r"@?([^\s,]+)(\s*,\s*)?", names):
        name, _, form = match.group(1).lower().partition(":")
        if "=" in name:
            raise CommandError("r shows registers; dumpkit never changes a target", "r [NAME[:FORMAT], ...]")
        try:
            values[name] = Hex(_value(session, name))
        except RegisterError as error:
            raise ExpressionError("Bad register error", match.start(1) + len(name), names, caret=True) from error
        try:
            texts.append(_text(session, name, values[name], form))
        except KeyError as error:
            place = match.start(1) + len(name) + 1
            raise ExpressionError("Syntax error", place, names, caret=True) from error
        if match.group(2) is None and match.end() < len(names):
            raise ExpressionError("Syntax error", match.end() + 1, names, caret=True)
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
        Expression("mask", "1, 2 integers, 8 segments, 20 debug, 40 xmm, 80 control, 100 descriptors", required=True),
        Text("names", "as for r"),
    ),
    render=registers_lines,
)
def r_masked(session: Session, mask: int, names: str = "") -> object:
    """Shows some of the registers of the current processor, and the instruction that it stands at.

    The mask's bits say which. Floating-point (4), MMX (10) and AVX registers (200 and above) are not read from dumps.
    """
    return _named(session, names) if names else _masked(session, mask)


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
    arguments=(Text("names", "registers, parts and flags, with commas between them: rax, al, zf, $ip, xmm0:ud"),),
    render=registers_lines,
)
def r(session: Session, names: str = "") -> object:
    """Shows the registers of the current processor (see ~Ns), and the instruction that it stands at.

    Behind a register's name a format may stand: ub, uw, ud, uq its bytes, words, double and quad words, f and d as
    floating point of 32 and 64 bits, the highest first. See rM and rX for other registers.
    """
    if names:
        return _named(session, names)
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
