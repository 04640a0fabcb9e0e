"""`.trap`, `.cxr`, `.ecxr` and `.exr`: registers and exceptions that lie in memory."""

from __future__ import annotations

from dumpkit.code import current_line, label_of
from dumpkit.errors import CommandError, MemoryReadError
from dumpkit.kernel.context_record import context_record
from dumpkit.kernel.exception_record import exception_meaning, exception_record, exception_words
from dumpkit.kernel.trap_frame import trap_frame
from dumpkit.numbers import quoted
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.register_text import register_lines
from dumpkit.registers import Context
from dumpkit.registry import Expression, Text, command
from dumpkit.session import Session
from dumpkit.target import ExceptionRecord, Target
from dumpkit.target_symbols import SymbolLocation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, Optional, Tuple


class RegisterBlock(Record):
    """Registers as `.trap`, `.cxr` and `.frame /r` show them, with the instruction that they stand at."""

    #: Where they were read, a virtual address; None where they come from no record in memory.
    address: Optional[Hex]
    #: What the record holds.
    values: Dict[str, Hex]
    #: `nt!Name+0x10`, or None outside every module.
    location: Optional[str]
    instruction: str
    #: Whether registers are missing in the record, as in every trap frame, and shown as zero.
    incomplete: bool
    _context: Context


class ExceptionBlock(Record):
    """An exception record as `.exr` shows it; addresses are virtual."""

    code: Hex
    #: "Access violation", or None where the debugger has no words for the code.
    words: Optional[str]
    flags: Hex
    #: The record that this one leads to: the exception during whose handling it was raised; 0 where there is none.
    record: Hex
    address: Hex
    #: `nt!Name+0x0000000000000010`, or None outside every module.
    location: Optional[str]
    parameters: Tuple[Hex, ...]
    #: "Attempt to read from address 0000000000000008", or None.
    meaning: Optional[str]


class Reset(Record):
    """What went back to what the processor had; `was_set` is false where nothing had been set."""

    was_set: bool


def register_block(
    target: Target,
    context: Context,
    address: Optional[int] = None,
    incomplete: bool = False,
    location: Optional[str] = None,
) -> RegisterBlock:
    """The block of a context that was read at a virtual address; `location` where it has another name than its code."""
    return RegisterBlock(
        Hex(address) if address is not None else None,
        {name: Hex(value) for name, value in context.values.items()},
        location or label_of(target, context.instruction_pointer),
        current_line(target, context),
        incomplete,
        context,
    )


def trap_block(target: Target, address: int) -> RegisterBlock:
    """What `.trap` shows of the trap frame at a virtual address. Raises CommandError where it cannot be read."""
    try:
        context = trap_frame(target, address)
    except MemoryReadError as error:
        raise CommandError(f"Unable to read trap frame at {quoted(address)}: {error.reason}") from error
    return register_block(target, context, address, incomplete=True)


def context_block(target: Target, address: int) -> RegisterBlock:
    """What `.cxr` shows of the context record at a virtual address. Raises CommandError where it cannot be read."""
    try:
        context = context_record(target, address)
    except MemoryReadError as error:
        raise CommandError(f"Unable to read context at {quoted(address)}: {error.reason}") from error
    return register_block(target, context, address)


def exception_block(target: Target, record: ExceptionRecord) -> ExceptionBlock:
    """What `.exr` shows of an exception record."""
    return ExceptionBlock(
        Hex(record.code),
        exception_words(record.code),
        Hex(record.flags),
        Hex(record.record),
        Hex(record.address),
        _wide_name(target.symbols.nearest(record.address)),
        tuple(Hex(parameter) for parameter in record.parameters),
        exception_meaning(record),
    )


def exception_block_at(target: Target, address: int) -> ExceptionBlock:
    """What `.exr` shows of the record at a virtual address. Raises CommandError where it cannot be read."""
    try:
        return exception_block(target, exception_record(target, address))
    except MemoryReadError as error:
        raise CommandError(f"Cannot read Exception record @ {address:016x}: {error.reason}") from error


def _wide_name(place: Optional[SymbolLocation]) -> Optional[str]:
    """A place's name, its displacement in sixteen digits."""
    if place is None:
        return None
    name = f"{place.module.name}!{place.name}" if place.name is not None else place.module.name
    return f"{name}+0x{place.displacement:016x}" if place.displacement else name


def register_block_lines(result: RegisterBlock) -> Iterator[Line]:
    if result.incomplete:
        yield "NOTE: The trap frame does not contain all registers."
        yield "Some register values may be zeroed or incorrect."
    yield from register_lines(result._context, segments=not result.incomplete)
    if result.location is not None:
        yield (Span(result.location, "symbol"), ":")
    yield result.instruction


def exception_block_lines(result: ExceptionBlock) -> Iterator[Line]:
    place = f" ({result.location})" if result.location is not None else ""
    yield ("ExceptionAddress: ", Span(f"{result.address:016x}", "address", f"u {result.address:x}"), place)
    words = f" ({result.words})" if result.words is not None else ""
    yield f"   ExceptionCode: {result.code:08x}{words}"
    yield f"  ExceptionFlags: {result.flags:08x}"
    yield f"NumberParameters: {len(result.parameters)}"
    for number, parameter in enumerate(result.parameters):
        yield f"   Parameter[{number}]: {parameter:016x}"
    if result.meaning is not None:
        yield result.meaning
    if result.record:
        # The debugger does not show that the record leads to another one.
        record = f"{result.record:016x}"
        yield (Span("Associated record: ", "dim"), Span(record, "address", f".exr {record}"))


def _context_lines(result: object) -> Iterator[Line]:
    if isinstance(result, RegisterBlock):
        yield from register_block_lines(result)
    elif isinstance(result, Reset) and result.was_set:
        yield "Resetting default scope"


def _reset_or(session: Session, address: Optional[int]) -> Optional[Reset]:
    """The reset that a call without an address, or with 0, is; None where there is one to read at."""
    return None if address else Reset(session.reset_context())


@command(
    ".trap",
    category="Stack",
    summary="The registers of a trap frame become current",
    arguments=(Expression("address", "the trap frame; without it, the processor's registers are current again"),),
    render=_context_lines,
)
def trap(session: Session, address: Optional[int] = None) -> object:
    """Shows the registers in the trap frame at an address and makes them current: r, k and u go by them.

    A trap frame does not hold rbx, rsi, rdi and r12 to r15 (x64) or x19 to x28 (ARM64): they are shown as zero, as is
    what an instruction reads or writes by them. `.trap` alone, `.cxr` alone and ~Ns go back.
    """
    if not address:
        return _reset_or(session, address)
    block = trap_block(session.dump, address)
    session.set_context(block._context)
    return block


@command(
    ".cxr",
    category="Stack",
    summary="The registers of a context record become current",
    arguments=(Expression("address", "the context record; without it, the processor's registers are current again"),),
    render=_context_lines,
)
def cxr(session: Session, address: Optional[int] = None) -> object:
    """Shows the registers in the context record at an address and makes them current: r, k and u go by them.

    `.cxr` alone and ~Ns go back to those of the processor.
    """
    if not address:
        return _reset_or(session, address)
    block = context_block(session.dump, address)
    session.set_context(block._context)
    return block


class NoExceptionContext(Record):
    """Why `.ecxr` has nothing to show."""

    reason: str


def _no_context_lines(result: NoExceptionContext) -> Iterator[Line]:
    yield result.reason


@command(".ecxr", category="Stack", summary="The context of the dump's exception", render=_no_context_lines)
def ecxr(session: Session) -> NoExceptionContext:
    """In a dump of a process: the registers of the exception that ended it. A kernel dump has none of its own.

    It says so and goes on, since `.cxr; .ecxr ; kb` is what analyze gives as the way to its stack. The context of the
    crash is current from the start; that of an exception that a bugcheck reports is in its arguments: see .bugcheck
    and .cxr.
    """
    return NoExceptionContext("Unable to get exception context, HRESULT 0x8000FFFF")


@command(
    ".exr",
    category="Stack",
    summary="An exception record",
    arguments=(Text("address", "the record, or -1 for the exception that stopped the machine", required=True),),
    render=exception_block_lines,
)
def exr(session: Session, address: str) -> ExceptionBlock:
    """Shows the exception record at an address: code, place and parameters. `.exr -1` shows the dump's own."""
    value, rest = session.evaluate_prefix(address)
    session.refuse_surplus(address, len(address) - len(rest))
    if address[: len(address) - len(rest)].strip() != "-1":
        return exception_block_at(session.dump, value)
    record = session.dump.last_exception
    if record is None:
        raise CommandError("The dump has no exception record of its own")
    return exception_block(session.dump, record)
