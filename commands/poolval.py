"""`poolval`: whether the headers of a pool page are sound."""

from __future__ import annotations

from dumpkit.commands.pool import entry_line
from dumpkit.kernel.pool.block import Block, tag_text
from dumpkit.kernel.pool.header import PROTECTED
from dumpkit.kernel.pool.pools import pools_of
from dumpkit.kernel.pool.validation import BitError, Fault, Validation, validate
from dumpkit.output import Hex, Line
from dumpkit.record import Record
from dumpkit.registry import Expression, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple

_LISTS, _BASIC, _FULL = 1, 2, 3


class PageFault(Record):
    """Something wrong with a page: where (a virtual address), up to where it is damaged, and what."""

    address: Hex
    end: Optional[Hex]
    text: str


class WrongBit(Record):
    """A bit that, turned over, makes the page's headers agree."""

    address: Hex
    bit: int


class PoolValidation(Record):
    """What `poolval` found."""

    page: Hex
    region: str
    #: "VS", "LFH", "classic" …, or None where nobody has the page.
    allocator: Optional[str]
    valid: bool
    faults: Tuple[PageFault, ...]
    single_bit_errors: Tuple[WrongBit, ...]
    _found: Optional[Validation] = None
    _level: int = 0


def _block_lines(block: Block, level: int) -> Iterator[Line]:
    yield entry_line(block, " ")
    if level >= _BASIC and block.tag is not None:
        kind = f"{block.pool_type:#x}" if block.pool_type is not None else "none"
        yield f"    PoolType: {kind}  PoolTag: {tag_text(block.tag & ~PROTECTED)} ({block.tag:08x})"
    if level >= _FULL:
        billed = f"{block.process:016x}" if block.process is not None else "none"
        yield f"    Allocator: {block.allocator}  Block: {block.start:016x} - {block.end:016x}  ProcessBilled: {billed}"


def _fault_line(fault: PageFault) -> str:
    if fault.end is not None:
        return (
            f"[ {fault.address:016x} --> {fault.end:016x} (size = {fault.end - fault.address:#x} bytes)]: {fault.text}"
        )
    return f"[ {fault.address:016x} ]: {fault.text}"


def poolval_lines(result: PoolValidation) -> Iterator[Line]:
    found = result._found
    assert found is not None
    yield f"Pool page {found.page.address:016x} region is {result.region}"
    yield ""
    yield f"Validating Pool headers for pool page: {found.page.address:016x}"
    yield ""
    yield f"Pool page [ {result.page:016x} ] is {'VALID' if result.valid else 'INVALID'}."
    if result._level >= _LISTS:
        yield ""
        for block in found.page.blocks:
            yield from _block_lines(block, result._level)
    if result.valid:
        return
    yield ""
    yield "Analyzing linked list..."
    yield from map(_fault_line, result.faults)
    if not found.checked:
        yield "No allocator of the pool is known to have this page"
    yield ""
    yield ""
    yield "Scanning for single bit errors..."
    yield ""
    for wrong in result.single_bit_errors:
        yield f"{wrong.address:016x}: with bit {wrong.bit} turned over the headers agree"
    if not result.single_bit_errors:
        yield "None found"


def _fault(fault: Fault) -> PageFault:
    return PageFault(Hex(fault.address), Hex(fault.end) if fault.end != fault.address else None, fault.text)


def _bit(error: BitError) -> WrongBit:
    return WrongBit(Hex(error.address), error.bit)


@command(
    "poolval",
    category="Kernel",
    summary="Whether the headers of a pool page are sound",
    arguments=(
        Expression("address", "a virtual address in the page", required=True),
        Expression("level", "0 the verdict, 1 the blocks too, 2 and 3 more of their headers"),
    ),
    render=poolval_lines,
)
def poolval(session: Session, address: int, level: int = 0) -> PoolValidation:
    """Checks the headers of the pool page that holds an address, and looks for a bit whose change explains the damage.

    Pages of the segment heap are checked as what they are: chunk headers, POOL_HEADERs, subsegments. WinDbg's
    poolval reads every page as a classic one and calls all pages of the segment heap invalid.
    """
    found = validate(pools_of(session.dump), address)
    return PoolValidation(
        Hex(found.page.page),
        found.page.region_name,
        found.page.allocator,
        found.is_valid,
        tuple(map(_fault, found.faults)),
        tuple(map(_bit, found.bit_errors)),
        found,
        level,
    )
