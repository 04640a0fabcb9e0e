"""`idt`: a processor's interrupt dispatch table.

Format: the example of the !idt page in Microsoft's debugger documentation, and public transcripts of x64.
"""

from __future__ import annotations

from dumpkit.gaps import Gaps
from dumpkit.kernel.interrupt_table import Gate, InterruptTable, interrupt_stack, table_address
from dumpkit.output import Hex, Line, Span, hex_or_none
from dumpkit.record import Record
from dumpkit.registry import Expression, Switch, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple

#: Vectors of the processor's own exceptions, which drivers do not connect to.
_EXCEPTIONS = 0x20
#: What a gate leads to that stands for every vector without an interrupt.
_COMMON = ("nt!KiIsrThunk", "nt!KiIsrLinkage", "nt!KiUnexpectedInterrupt")


class ConnectedInterrupt(Record):
    """An interrupt: its _KINTERRUPT and its service routine, virtual addresses."""

    address: Hex
    routine: Hex
    symbol: Optional[str]


class Vector(Record):
    """A vector; `interrupts` are those that drivers connected to it."""

    vector: Hex
    handler: Hex
    symbol: Optional[str]
    #: Top of the stack that the processor takes for it; None where it goes on with the current one.
    stack: Optional[Hex]
    interrupts: Tuple[ConnectedInterrupt, ...]


class InterruptDispatchTable(Record):
    """The vectors that were asked for."""

    processor: int
    address: Hex
    vectors: Tuple[Vector, ...]
    #: What could not be read and why, one line each.
    problems: Tuple[str, ...]


def table_lines(result: InterruptDispatchTable) -> Iterator[Line]:
    yield ""
    yield f"Dumping IDT: {result.address:016x}"
    yield ""
    for each in result.vectors:
        head = f"{each.vector:02x}:\t"
        for interrupt in each.interrupts:
            yield (
                head,
                Span(f"{interrupt.routine:016x}", "address", f"u {interrupt.routine:x}"),
                f" {interrupt.symbol or ''} (KINTERRUPT ",
                Span(f"{interrupt.address:016x}", "address", f"dt nt!_KINTERRUPT {interrupt.address:x}"),
                ")",
            )
            head = " " * 4 + "\t"
        if not each.interrupts:
            stack = f"\tStack = 0x{each.stack:016X}" if each.stack is not None else ""
            place = Span(f"{each.handler:016x}", "address", f"u {each.handler:x}")
            yield (head, place, f" {each.symbol or ''}{stack}")
    yield ""
    for problem in result.problems:
        yield (Span(problem, "dim"),)


@command(
    "idt",
    category="Kernel",
    summary="The interrupt dispatch table: what services each vector",
    arguments=(
        Switch("every", ("-a",), "every vector, the processor's exceptions among them"),
        Expression("vector", "one vector only"),
    ),
    render=table_lines,
)
def idt(session: Session, every: bool = False, vector: Optional[int] = None) -> InterruptDispatchTable:
    """Shows the interrupt dispatch table of the current processor (`~Ns` chooses another): the vectors that drivers or
    the kernel service, with the routines of drivers' interrupts. -a shows all that are present.
    """
    target = session.dump
    place = table_address(target, session.processor)
    gaps = Gaps()
    table = InterruptTable(target, place, session.processor)
    gates = table.gates()
    if len(gates) and not table.is_whole:
        gaps.add(f"the table at {place:016x}", f"it is in the dump only up to vector {gates[-1].vector:x}")
    chosen = [
        gate for gate in gates if (vector is None and (every or _is_serviced(target, gate))) or gate.vector == vector
    ]
    vectors = tuple(_vector(target, gate, session.processor, gaps) for gate in chosen)
    return InterruptDispatchTable(session.processor, Hex(place), vectors, gaps.lines())


def _symbol(target: Target, address: int) -> Optional[str]:
    found = target.symbols.nearest(address)
    return str(found) if found is not None else None


def _is_serviced(target: Target, gate: Gate) -> bool:
    """Whether more than the kernel's default is behind a vector."""
    if gate.interrupts or gate.problem is not None:
        return True
    if gate.vector < _EXCEPTIONS:
        return False
    return not (_symbol(target, gate.handler) or "").startswith(_COMMON)


def _vector(target: Target, gate: Gate, processor: int, gaps: Gaps) -> Vector:
    gaps.add(f"vector {gate.vector:x}", gate.problem)
    return Vector(
        Hex(gate.vector),
        Hex(gate.handler),
        _symbol(target, gate.handler),
        _stack(target, gate.stack_slot, processor, gaps),
        tuple(
            ConnectedInterrupt(Hex(each.address), Hex(each.routine), _symbol(target, each.routine))
            for each in gate.interrupts
        ),
    )


def _stack(target: Target, slot: int, processor: int, gaps: Gaps) -> Optional[Hex]:
    """The stack in a slot (1 to 7) of the processor's interrupt stack table (Intel SDM volume 3, chapter 8)."""
    if not slot:
        return None
    return gaps.read("the task state", lambda: hex_or_none(interrupt_stack(target, processor, slot)))
