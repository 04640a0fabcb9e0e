"""`irpfind`: the IRPs in the pool, all of them or those that fit a criterion.

Format: the !irpfind page in Microsoft's debugger documentation, and public transcripts of x64.
"""

from __future__ import annotations

from dumpkit.arguments import take_word
from dumpkit.errors import CommandError, DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.kernel.io.irp import Irp
from dumpkit.kernel.pool.block import tag_text
from dumpkit.kernel.pool.header import PROTECTED
from dumpkit.kernel.pool.pools import pools_of
from dumpkit.kernel.pool.search import NONPAGED_ONLY, PAGED_ONLY, SPECIAL_ONLY, TagSearch
from dumpkit.kernel.pool.tags import fits
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Switch, Text, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Set, Tuple

_USAGE = "irpfind [-v] [POOLTYPE [RESTART [CRITERION VALUE]]]"
_TAG = "Irp?"
_CRITERIA = ("arg", "device", "fileobject", "mdlprocess", "thread", "userevent")
_WORDS = {NONPAGED_ONLY: "nonpaged", PAGED_ONLY: "paged", SPECIAL_ONLY: "special"}
#: An IRP lies at most this far into its block: behind a POOL_HEADER and a quota's or verifier's header.
_FARTHEST = 0x60
_STEP = 0x10


class FoundIrp(Record):
    """An IRP; what cannot be read is None. `guessed` where only a pool header's tag led to it."""

    address: Hex
    thread: Optional[Hex]
    stack_count: int
    current_location: int
    is_complete: bool
    #: Of the current stack location.
    major: Optional[int]
    minor: Optional[int]
    device: Optional[Hex]
    driver: Optional[str]
    mdl: Hex
    guessed: bool


class IrpSearch(Record):
    """What was found, by address."""

    pool_type: int
    ranges: Tuple[Tuple[Hex, Hex], ...]
    irps: Tuple[FoundIrp, ...]
    #: IRPs that the criterion left out.
    left_out: int
    #: What could not be read and why, one line each.
    problems: Tuple[str, ...]


def irp_search_lines(result: IrpSearch) -> Iterator[Line]:
    words = _WORDS[result.pool_type]
    for start, end in result.ranges:
        yield f"Searching {words} pool ({start:016x} : {end:016x}) for tag {_TAG}"
    if not result.ranges:
        yield f"Searching {words} pool for tag {_TAG}"
    yield ""
    yield "  Irp            [ Thread ]         irpStack: (Mj,Mn)   DevObj          [Driver]         MDL Process"
    for irp in result.irps:
        yield _row(irp)
    if not result.irps:
        yield "No IRP was found." if not result.left_out else f"None of {result.left_out} IRPs fits."
    for problem in result.problems:
        yield (Span(problem, "dim"),)


def _row(irp: FoundIrp) -> Line:
    head: Line = (
        Span(f"{irp.address:016x}", "address", f"irp {irp.address:x}"),
        " [",
        Span("?" * 16 if irp.thread is None else f"{irp.thread:016x}", "address", f"t {irp.thread or 0:x}"),
        "] ",
    )
    mdl = f" 0x{irp.mdl:016x}" if irp.mdl else ""
    if irp.is_complete:
        where = f"Irp is complete (CurrentLocation {irp.current_location} > StackCount {irp.stack_count})"
        return (*head, where + mdl)
    if irp.major is None:
        return (*head, "its current stack location cannot be read")
    device = 0 if irp.device is None else int(irp.device)
    return (
        *head,
        f"irpStack: ({irp.major:2x},{irp.minor or 0:2x})  ",
        Span(f"{device:016x}", "address", f"devobj {device:x}"),
        f" [ {irp.driver or '????'}]{mdl}",
        "  (by its header alone)" if irp.guessed else "",
    )


class _IrpRequest(Record):
    """What the arguments ask for."""

    pool_type: int
    restart: int
    criterion: Optional[str]
    value: int


def _request(session: Session, text: str) -> _IrpRequest:
    text = text.strip()
    pool_type, text = session.evaluate_prefix(text) if text else (NONPAGED_ONLY, "")
    text = text.strip()
    restart, text = session.evaluate_prefix(text) if text else (0, "")
    criterion, rest = take_word(text)
    if pool_type not in _WORDS:
        raise CommandError(f"irpfind: pool type {pool_type} is not searched: 0 nonpaged, 1 paged, 2 special", _USAGE)
    if criterion is None:
        return _IrpRequest(pool_type, restart, None, 0)
    if criterion.lower() not in _CRITERIA:
        raise CommandError(f"irpfind: '{criterion}' is no criterion: {', '.join(_CRITERIA)}", _USAGE)
    if not rest.strip():
        raise CommandError(f"irpfind: {criterion} needs its value behind it", _USAGE)
    return _IrpRequest(pool_type, restart, criterion.lower(), session.evaluate(rest.strip()))


@command(
    "irpfind",
    category="Kernel",
    summary="The IRPs in the pool, all of them or those that fit a criterion",
    arguments=(
        Switch("verbose", ("-v",), "accepted; irp shows one in full"),
        Text("query", "[POOLTYPE [RESTART [CRITERION VALUE]]]: 0 nonpaged, 1 paged, 2 special pool"),
    ),
    render=irp_search_lines,
)
def irpfind(session: Session, verbose: bool = False, query: str = "") -> IrpSearch:
    """Searches the pool for IRPs by their tag. Only those from address RESTART on, and only those that fit:

    arg VALUE          an argument of one of its stack locations
    device VALUE       the device object of one of them
    fileobject VALUE   Tail.Overlay.OriginalFileObject
    mdlprocess VALUE   the process of its MDL
    thread VALUE       Tail.Overlay.Thread
    userevent VALUE    UserEvent

    `irp` without an address lists the requests that threads have, which needs no search.
    """
    request = _request(session, query)
    target = session.dump
    search = TagSearch(pools_of(target), lambda tag: fits(tag, _TAG), request.pool_type)
    gaps = Gaps()
    found: List[FoundIrp] = []
    seen: Set[int] = set()
    left_out = 0
    for start, size, guessed in _blocks(search):
        irp = _irp_in(target, start, size)
        if irp is None or irp.address in seen or irp.address < request.restart:
            continue
        seen.add(irp.address)
        if request.criterion is not None and not _fits(irp, request.criterion, request.value, gaps):
            left_out += 1
            continue
        found.append(_data(irp, guessed, gaps))
    for problem in dict.fromkeys(search.problems):
        gaps.add("the pool", problem)
    ranges = tuple((Hex(first), Hex(last)) for first, last in search.ranges())
    found.sort(key=lambda irp: irp.address)
    return IrpSearch(request.pool_type, ranges, tuple(found), left_out, gaps.lines())


def _blocks(search: TagSearch) -> Iterator[Tuple[int, int, bool]]:
    """The allocations of the tag: address, size, and whether nothing but a header speaks for it."""
    for entry in search.big():
        yield entry.address, entry.size, False
    for found in search.blocks():
        tag = tag_text((found.block.tag or 0) & ~PROTECTED)
        if found.block.allocated is not False and fits(tag, _TAG):
            yield found.block.address, found.block.size, found.guessed


def _irp_in(target: Target, start: int, size: int) -> Optional[Irp]:
    """The IRP in a block: behind what headers stand in front of it."""
    for offset in range(0, min(_FARTHEST, size), _STEP):
        irp = Irp(target, start + offset)
        try:
            # An IRP says its type, and how long it and its stack locations are: no longer than the block.
            if irp.is_irp and irp.least_size <= int(irp.record.Size) <= size:
                return irp
        except DumpkitError:
            return None
    return None


def _fits(irp: Irp, criterion: str, value: int, gaps: Gaps) -> bool:
    record = irp.record
    try:
        if criterion == "thread":
            return irp.thread == value
        if criterion == "userevent":
            return int(record.UserEvent) == value
        if criterion == "fileobject":
            return int(record.member("Tail.Overlay.OriginalFileObject")) == value
        if criterion == "mdlprocess":
            return bool(irp.mdl) and int(record.member("MdlAddress.Process")) == value
        locations = irp.stack_locations
        if criterion == "device":
            return any(each.device is not None and each.device.address == value for each in locations)
        return any(value in each.arguments for each in locations)
    except DumpkitError as error:
        gaps.add(f"IRP {irp.address:016x}", error)
        return False


def _data(irp: Irp, guessed: bool, gaps: Gaps) -> FoundIrp:
    what = f"IRP {irp.address:016x}"
    location = None if irp.is_complete else gaps.read(what, lambda: irp.current_location)
    thread: Optional[int] = gaps.read(what, lambda: irp.thread)
    device = gaps.read(what, lambda: location.device) if location is not None else None
    return FoundIrp(
        Hex(irp.address),
        Hex(thread or 0),
        irp.stack_count,
        irp.current_number,
        irp.is_complete,
        None if location is None else location.major,
        None if location is None else location.minor,
        None if device is None else Hex(device.address),
        None if location is None else gaps.read(f"the driver of {what}", lambda: location.driver_name),
        Hex(irp.mdl),
        guessed,
    )
