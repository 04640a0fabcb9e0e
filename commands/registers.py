"""`r`: the current registers and the instruction that they stand at."""

from __future__ import annotations

import re
from typing import Dict, Iterator, Optional, Tuple

from dumpkit.code import current_line, label_of
from dumpkit.errors import CommandError, ExpressionError, RegisterError
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.register_text import register_lines, register_text
from dumpkit.registers import Context
from dumpkit.registry import Text, command
from dumpkit.session import Session


class Registers(Record):
    """The registers of the current context; `location` and `instruction` stand for its instruction pointer."""

    processor: int
    values: Dict[str, Hex]
    location: Optional[str]
    instruction: str
    #: Whether a command such as .cxr set the context.
    is_set_context: bool
    _context: Context


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
        yield from register_lines(result._context)
        if result.location is not None:
            yield f"{result.location}:"
        yield result.instruction


def _value(session: Session, name: str) -> int:
    return session.pseudo_register(name[1:]) if name.startswith("$") else session.context[name]


def _named(session: Session, names: str) -> SomeRegisters:
    values: Dict[str, Hex] = {}
    texts = []
    for match in re.finditer(r"@?([^\s,]+)(\s*,\s*)?", names):
        name = match.group(1).lower()
        if "=" in name:
            raise CommandError("r shows registers; dumpkit never changes a target", "r [NAME, ...]")
        if ":" in name:
            raise CommandError(f"r: display formats such as {name} are not supported", "r [NAME, ...]")
        try:
            values[name] = Hex(_value(session, name))
        except RegisterError as error:
            raise ExpressionError("Bad register error", match.end(1), names, caret=True) from error
        if match.group(2) is None and match.end() < len(names):
            raise ExpressionError("Syntax error", match.end() + 1, names, caret=True)
        plain = name.startswith("$")
        texts.append(f"{name}={values[name]:016x}" if plain else register_text(session.context, name))
    return SomeRegisters(values, tuple(texts), session.override is not None)


@command(
    "r",
    category="Stack",
    summary="The registers and the current instruction",
    arguments=(Text("names", "registers, parts and flags, with commas between them: rax, al, zf, $ip"),),
    render=registers_lines,
)
def r(session: Session, names: str = "") -> object:
    """Shows the registers of the current processor (see ~Ns), and the instruction that it stands at."""
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
