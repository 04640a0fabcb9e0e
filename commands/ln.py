"""`ln`: the symbols near an address."""

from __future__ import annotations

from dumpkit.errors import CommandError
from dumpkit.memory import U64_MASK
from dumpkit.numbers import quoted
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Switch, Text, command
from dumpkit.session import Session
from dumpkit.symbol_text import behind_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple


class NamedPlace(Record):
    """A symbol at a virtual address: "nt!KeBugCheckEx", and what stands behind the name."""

    address: Hex
    name: str
    value: str = ""


class NearSymbols(Record):
    """What lies around an address: the symbol before it, the one behind, and those at it."""

    address: Hex
    before: NamedPlace
    #: Bytes from `before` to the address; None where `before` is in another section, for want of a better one.
    displacement: Optional[int]
    after: Optional[NamedPlace]
    exact: Tuple[NamedPlace, ...]
    #: "file(line)+0x3", where the symbols give it.
    source: Optional[str] = None


def near_lines(result: NearSymbols) -> Iterator[Line]:
    if result.source is not None:
        yield result.source
    # For a place in front of every symbol of its section the engine prints a displacement of -1.
    displacement = -1 if result.displacement is None else result.displacement
    behind = f"+0x{_hexadecimal(displacement & U64_MASK)}" if displacement else ""
    after = result.after
    yield (
        f"({quoted(result.before.address)})   ",
        Span(result.before.name, "symbol", f"u {result.before.address:x}"),
        f"{behind}   ",
        f"|  ({quoted(after.address)})   " if after is not None else "",
        Span(after.name, "symbol", f"u {after.address:x}") if after is not None else "",
    )
    if result.exact:
        yield (Span("Exact matches:", "heading"),)
        for place in result.exact:
            yield ("    ", Span(place.name, "symbol"), f" {place.value}")


def _hexadecimal(number: int) -> str:
    return quoted(number) if number >> 32 else f"{number:x}"


@command(
    "ln",
    category="Symbols",
    summary="The symbols near an address",
    arguments=(Switch("links", ("/D",), "as WinDbg takes it; nothing changes"), Text("address", "ADDRESS")),
    render=near_lines,
)
def ln(session: Session, links: bool = False, address: str = "") -> NearSymbols:
    """Shows the symbol before an address and the one behind it, and every symbol at exactly that address.

    Without an address it looks around the current instruction.
    """
    target = session.dump
    place = session.evaluate(address) if address else session.context.instruction_pointer
    module = target.module_at(place)
    if module is None:
        raise CommandError(f"ln: {quoted(place)} is in no module")
    near = target.symbols.around(place)
    if near is None:
        remark = target.symbols.remark(module)
        raise CommandError(f"ln: {module.name} has no symbols{f': {remark}' if remark else ''}")
    line = target.symbols.source_line(place)
    source = None
    if line is not None:
        source = f"{line.file}({line.line})" + (f"+0x{line.displacement:x}" if line.displacement else "")
    after = near.after
    return NearSymbols(
        Hex(place),
        NamedPlace(Hex(near.before.address), str(near.before)),
        near.displacement,
        NamedPlace(Hex(after.address), str(after)) if after is not None else None,
        tuple(
            NamedPlace(Hex(found.address), str(found), behind_name(found, target.symbols.type_of(found), target))
            for found in near.exact
        ),
        source,
    )
