"""`u` and `ub`: code as instructions."""

from __future__ import annotations

from dumpkit.code import instructions, instructions_before, label_of
from dumpkit.disassembly.instruction import Instruction
from dumpkit.errors import CommandError
from dumpkit.expression import read_range
from dumpkit.numbers import quoted
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Sequence, Tuple

#: Instructions shown where no length is given.
_COUNT = 8


class CodeLine(Record):
    """An instruction at a virtual address; `label` is the symbol that starts there, or where the listing starts."""

    address: Hex
    bytes: bytes
    mnemonic: str
    operands: str
    label: Optional[str]
    #: The number of its source line, where the symbols give one.
    source: Optional[int] = None
    #: Where a direct jump goes.
    goal: Optional[Hex] = None
    _text: str = ""


class Listing(Record):
    """What `u` and `ub` show; `failure` says why it ends early, where it does. The last line has no bytes then."""

    lines: Tuple[CodeLine, ...]
    failure: Optional[str] = None

    @property
    def is_readable(self) -> bool:
        """Whether at least one instruction could be read, or none was asked for."""
        return self.failure is None or len(self.lines) > 1


def code_line(target: Target, instruction: Instruction, label: Optional[str], lines: bool) -> CodeLine:
    """The line of an instruction; `lines` says whether its source line is looked for."""
    source = target.symbols.source_line(instruction.address) if lines else None
    return CodeLine(
        Hex(instruction.address),
        instruction.raw,
        instruction.mnemonic,
        instruction.operands,
        label,
        source.line if source is not None else None,
        Hex(instruction.target) if instruction.is_branch and instruction.target is not None else None,
        instruction.text,
    )


def listing(target: Target, found: Sequence[Instruction], asked: str, with_source: bool = True) -> Listing:
    """Instructions with the labels that the engine puts over them: at the first, and where a symbol starts.

    `asked` is the command that the failure names; `with_source` says whether labels name the source line.
    """
    lines: List[CodeLine] = []
    for number, instruction in enumerate(found):
        place = target.symbols.nearest(instruction.address)
        starts = number == 0 or (place is not None and place.name is not None and place.displacement == 0)
        label = label_of(target, instruction.address, with_source) if starts else None
        lines.append(code_line(target, instruction, label, with_source))
    failure = None
    if found and not found[-1].raw:
        address = found[-1].address
        failure = f"Memory access error in '{asked}' at {quoted(address)}: {target.memory.explain(address)}"
    return Listing(tuple(lines), failure)


def listing_lines(result: Listing) -> Iterator[Line]:
    """The lines of a listing. Raises CommandError behind them where nothing at all could be read."""
    for line in result.lines:
        if line.label is not None:
            yield (Span(f"{line.label}:", "symbol"),)
        yield (Span(quoted(line.address), "address"), f" {line._text}")
    if not result.is_readable:
        raise CommandError(result.failure or "")
    if result.failure is not None:
        yield (Span(result.failure, "error"),)


@command(
    "u",
    aliases=("uu",),
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
    session.refuse_surplus(wanted.text or range, wanted.end)
    # A length counts instructions, an end is an address.
    end = wanted.last + 1 if wanted.last is not None else None
    found = instructions(target, wanted.start, wanted.count, end)
    session.positions["u"] = found[-1].next_address if found else wanted.start
    session.positions.pop("ub", None)
    return listing(target, found, session.line, session.lines)


@command(
    "ub",
    category="Code",
    summary="Code up to an address",
    arguments=(Text("range", "ADDRESS [L COUNT]"),),
    render=listing_lines,
)
def ub(session: Session, range: str = "") -> Listing:
    """Shows the instructions that end at an address, eight where no count is given.

    Without an address it shows those before the place where u goes on, and leaves that place where it is; the next one
    shows those before that.
    Instructions have different lengths, so the way back is found by trying starts: the one that the
    debugger takes.
    """
    target = session.dump
    start = session.positions.get("u", session.context.instruction_pointer) if not range else None
    if not range and "ub" in session.positions:
        start = session.positions["ub"]
    wanted = read_range(range, session.scope, _COUNT, 1, default_start=start)
    session.refuse_surplus(wanted.text or range, wanted.end)
    begin, count = wanted.start, wanted.count
    if "ub" not in session.positions or range:
        session.positions["u"] = begin
    found = instructions_before(target, begin, count)
    session.positions["ub"] = found[0].address if found else begin
    if count > 0 and not found:
        raise CommandError(
            f"Unable to find valid previous instruction for '{session.line}': {_why_none(target, begin)}"
        )
    return listing(target, found, session.line, session.lines)


def _why_none(target: Target, address: int) -> str:
    """Why no instruction ends at a virtual address."""
    if address == 0:
        return "nothing is below address 0"
    before = address - 1
    if target.memory.read_prefix(before, 1):
        return f"none ends at {quoted(address)}"
    return f"{quoted(before)}: {target.memory.explain(before)}"
