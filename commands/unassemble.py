"""`u` and `ub`: code as instructions."""

from __future__ import annotations

from typing import Iterator, List, Optional, Sequence, Tuple

from dumpkit.code import instructions, instructions_before
from dumpkit.disassembly.instruction import Instruction
from dumpkit.errors import CommandError
from dumpkit.expression import parse_range, read_range, refuse_surplus
from dumpkit.numbers import quoted
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session
from dumpkit.target import Target

#: Instructions shown where no length is given.
_COUNT = 8


class CodeLine(Record):
    """An instruction at a virtual address; `label` is the symbol that starts there, or where the listing starts."""

    address: Hex
    bytes: bytes
    mnemonic: str
    operands: str
    label: Optional[str]
    _text: str = ""


class Listing(Record):
    """What `u` and `ub` show; `failure` says why it ends early, where it does."""

    lines: Tuple[CodeLine, ...]
    failure: Optional[str] = None


def listing(target: Target, found: Sequence[Instruction]) -> Listing:
    """Instructions with the labels that the engine puts over them: at the first, and where a symbol starts."""
    lines: List[CodeLine] = []
    for number, instruction in enumerate(found):
        place = target.symbols.nearest(instruction.address)
        starts = place is not None and (number == 0 or (place.name is not None and place.displacement == 0))
        lines.append(
            CodeLine(
                Hex(instruction.address),
                instruction.raw,
                instruction.mnemonic,
                instruction.operands,
                str(place) if starts else None,
                instruction.text,
            )
        )
    failure = None
    if found and not found[-1].raw:
        address = found[-1].address
        failure = f"Memory access error at {quoted(address)}: {target.memory.explain(address)}"
    return Listing(tuple(lines), failure)


def listing_lines(result: Listing) -> Iterator[Line]:
    for line in result.lines:
        if line.label is not None:
            yield (Span(f"{line.label}:", "symbol"),)
        yield (Span(quoted(line.address), "address"), f" {line._text}")
    if result.failure is not None:
        yield (Span(result.failure, "error"),)


@command(
    "u",
    category="Code",
    summary="Code from an address on",
    arguments=(Text("range", "ADDRESS [L COUNT | END]"),),
    render=listing_lines,
)
def u(session: Session, range: str = "") -> Listing:
    """Shows instructions: u ADDRESS shows eight, u ADDRESS L COUNT as many, u ADDRESS END those up to END.

    Without an address it goes on behind the last u, at first with the current instruction.
    """
    target = session.dump
    start = session.positions.get("u", session.context.instruction_pointer) if not range else None
    wanted = read_range(range, session.scope, _COUNT, default_start=start)
    refuse_surplus(range, wanted.end)
    # A length counts instructions, an end is an address.
    end = wanted.last + 1 if wanted.last is not None else None
    found = instructions(target, wanted.start, wanted.count, end)
    if found:
        session.positions["u"] = found[-1].next_address
        session.positions["ub"] = wanted.start
    return listing(target, found)


@command(
    "ub",
    category="Code",
    summary="Code up to an address",
    arguments=(Text("range", "ADDRESS [L COUNT]"),),
    render=listing_lines,
)
def ub(session: Session, range: str = "") -> Listing:
    """Shows the instructions that end at an address, eight where no count is given; without one it goes on backwards.

    Instructions have different lengths, so the way back is found by trying starts: from the function's
    start where it is known, otherwise the one that most ways agree on.
    """
    target = session.dump
    start = session.positions.get("ub", session.context.instruction_pointer) if not range else None
    begin, count = parse_range(range, session.scope, _COUNT, 1, default_start=start)
    found = instructions_before(target, begin, count)
    if not found:
        raise CommandError(f"ub: no code before {quoted(begin)}: {target.memory.explain(begin - 1)}")
    session.positions["ub"] = found[0].address
    session.positions["u"] = begin
    return listing(target, found)
