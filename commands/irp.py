"""`irp`: a request's stack locations, or the requests of every thread.

Format: the examples of the !irp and !irpfind pages in Microsoft's debugger documentation.
"""

from __future__ import annotations

from functools import partial

from dumpkit.errors import CommandError, DumpkitError, MemoryReadError
from dumpkit.gaps import Gaps
from dumpkit.kernel.io.irp import DEVICE_CONTROL, INTERNAL_DEVICE_CONTROL, Irp, StackLocation, major_name, minor_name
from dumpkit.numbers import pointer
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, Word, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple, Union

_HEADING = "     cmd  flg cl Device   File     Completion-Context"


class IrpLocation(Record):
    """A stack location of a request; addresses are virtual."""

    number: int
    address: Hex
    current: bool
    major: Hex
    #: N/A for a location without a device, as the debugger has it.
    major_name: str
    minor: Hex
    minor_name: str
    flags: Hex
    control: Hex
    #: Success, Error, Cancel: when the completion routine is called; pending: whether it was marked so.
    control_words: Tuple[str, ...]
    device: Hex
    driver: Optional[str]
    file: Hex
    file_name: Optional[str]
    completion_routine: Hex
    completion_symbol: Optional[str]
    context: Hex
    arguments: Tuple[Hex, ...]


class IrpData(Record):
    """A request."""

    address: Hex
    stack_count: int
    #: 1 is the lowest driver's location, stack_count + 1 none's.
    current: int
    current_address: Hex
    complete: bool
    mdl: Hex
    #: The request that it is a part of, or 0.
    master_irp: Hex
    system_buffer: Hex
    thread: Hex
    pending_returned: bool
    cancelled: bool
    status: Hex
    flags: Hex
    locations: Tuple[IrpLocation, ...]
    #: The members that detail 1 shows: (name, value).
    members: Tuple[Tuple[str, str], ...]
    #: What could not be read, and what contradicts itself.
    notes: Tuple[str, ...]


class ListedIrp(Record):
    """A request of a thread, in short."""

    address: Hex
    thread: Hex
    process: Optional[str]
    complete: bool
    major: Optional[Hex]
    minor: Optional[Hex]
    function: Optional[str]
    device: Optional[Hex]
    driver: Optional[str]
    file_name: Optional[str]
    mdl: Hex


class IrpList(Record):
    """The requests in the lists of all threads."""

    threads: int
    irps: Tuple[ListedIrp, ...]
    notes: Tuple[str, ...]


def irp_lines(result: Union[IrpData, IrpList]) -> Iterator[Line]:
    if isinstance(result, IrpList):
        yield from _list_lines(result)
        return
    yield (
        f"Irp is active with {result.stack_count} stacks {result.current} is current "
        f"(= 0x{pointer(result.current_address)})"
    )
    yield tuple(_buffers(result))
    yield from (f"{name} = {value}" for name, value in result.members)
    if result.locations:
        yield _HEADING
    for location in result.locations:
        yield from _location_lines(location)
    for note in result.notes:
        yield (Span(note, "warning"),)


def _buffers(result: IrpData) -> List[Union[str, Span]]:
    pieces: List[Union[str, Span]] = [f" Mdl={pointer(result.mdl)}: " if result.mdl else " No Mdl: "]
    if result.master_irp:
        pieces += ["Master Irp=", Span(pointer(result.master_irp), "address", f"irp {result.master_irp:x}"), ": "]
    else:
        buffer = result.system_buffer
        pieces.append(f"System buffer={pointer(buffer)}: " if buffer else "No System Buffer: ")
    pieces += ["Thread ", _thread(result.thread), ":  "]
    pieces.append("Irp is completed.  " if result.complete else "Irp stack trace.  ")
    if result.pending_returned:
        pieces.append("Pending has been returned")
    return pieces


def _thread(address: int) -> Union[str, Span]:
    return Span(pointer(address), "address", f"t {address:x}") if address else pointer(0)


def _location_lines(location: IrpLocation) -> Iterator[Line]:
    mark = ">" if location.current else " "
    yield f"{mark}[{location.major_name}({location.major:x}), {location.minor_name}({location.minor:x})]"
    success, error, cancel, *pending = (
        word if word in location.control_words else "" for word in ("Success", "Error", "Cancel", "pending")
    )
    words = " ".join([success, error, cancel, *pending])
    device, file = location.device, location.file
    yield (
        f"{location.flags:13x} {location.control:2x} ",
        Span(pointer(device), "address", f"devobj {device:x}") if device else pointer(device),
        " ",
        Span(pointer(file), "address", f"fileobj {file:x}") if file else pointer(file),
        f" {pointer(location.completion_routine)}-{pointer(location.context)} {words}",
    )
    if not device:
        yield ""
    elif location.completion_symbol is not None:
        driver = (f"\t       {location.driver or '????'}\t", Span(location.completion_symbol, "symbol"))
        yield driver
    else:
        yield f"\t       {location.driver or '????'}"
    first, second, third, fourth = location.arguments
    # The control code stands there as a number of C, the others as pointers.
    is_control = location.major in (DEVICE_CONTROL, INTERNAL_DEVICE_CONTROL)
    code = f"0x{third:x}" if is_control else pointer(third)
    yield f"\t\t\tArgs: {pointer(first)} {pointer(second)} {code} {pointer(fourth)}"


def _list_lines(result: IrpList) -> Iterator[Line]:
    yield "  Irp              [    Thread      ] irpStack: (Mj,Mn)   DevObj          [Driver]  File"
    for row in result.irps:
        yield tuple(_row(row))
    yield ""
    yield f"{len(result.irps)} requests of {result.threads} threads"
    for note in result.notes:
        yield (Span(note, "warning"),)


def _row(row: ListedIrp) -> Iterator[Union[str, Span]]:
    yield Span(pointer(row.address), "address", f"irp {row.address:x}")
    yield " ["
    yield _thread(row.thread)
    yield "] "
    if row.complete:
        yield "Irp is complete"
        return
    if row.major is None or row.minor is None:
        yield "????"
        return
    yield f"irpStack: ({row.major:2x},{row.minor:2x})  "
    if row.device:
        yield Span(pointer(row.device), "address", f"devobj {row.device:x}")
        yield f" [{row.driver or '????'}]"
    if row.file_name:
        yield f"  {row.file_name}"


@command(
    "irp",
    category="Kernel",
    summary="An I/O request: its stack locations, buffers and thread",
    arguments=(
        Expression("address", "the virtual address of the IRP; without it: the requests of every thread"),
        Word("detail", "1: the IRP's members too", holds="nothing"),
    ),
    render=irp_lines,
)
def irp(session: Session, address: Optional[int] = None, detail: Optional[str] = None) -> Union[IrpData, IrpList]:
    """Shows an I/O request packet: irp ADDRESS [1].

    Each stack location has two or three lines: the function; its flags (flg), control bits (cl), device, file,
    completion routine and context, and when the routine is called; the driver of the device, and behind it the
    completion routine that the driver above set. > marks the location of the driver that has the request now.

    Without an address: the requests in the lists of all threads.
    """
    target = session.dump
    return requests_of_threads(target) if address is None else irp_data(target, address, bool(detail))


def irp_data(target: Target, address: int, detail: bool = False) -> IrpData:
    """The request at a virtual address. Raises CommandError where none is there, MemoryReadError."""
    request = Irp(target, address)
    if not request.is_irp:
        raise CommandError(f"{address:016x}: IRP signature does not match, probably not an IRP")
    gaps = Gaps()
    current = request.current_number
    complete = request.is_complete
    if current > request.stack_count + 1:
        gaps.add("CurrentLocation", f"{current} is beyond the {request.stack_count} stack locations")
    here = request.current_location
    place = request.current_pointer
    if here is not None and here.address != place:
        gaps.add("CurrentStackLocation", f"{place:016x} is not location {current}, which is at {here.address:016x}")
    locations = () if complete else tuple(_locations(request, current, gaps))
    return IrpData(
        Hex(address),
        request.stack_count,
        current,
        Hex(place),
        complete,
        Hex(request.mdl),
        Hex(request.master_irp),
        Hex(request.system_buffer),
        Hex(request.thread or 0),
        request.pending_returned,
        request.is_cancelled,
        Hex(request.status),
        Hex(request.flags),
        locations,
        tuple(_members(request)) if detail else (),
        gaps.lines(),
    )


def _locations(request: Irp, current: int, gaps: Gaps) -> Iterator[IrpLocation]:
    for location in request.stack_locations:
        try:
            yield _location(location, location.number == current, gaps)
        except MemoryReadError as error:
            gaps.add(f"stack location {location.number} and on", error)
            return


def _location(location: StackLocation, current: bool, gaps: Gaps) -> IrpLocation:
    device = int(location.record.DeviceObject)
    routine = location.completion_routine
    driver = file_name = None
    if device:
        driver = gaps.read(f"the driver of device {device:016x}", lambda: location.driver_name)
    if location.file is not None:
        file = location.file
        file_name = gaps.read(f"the name of file {file.address:016x}", lambda: file.name)
    symbol = location.target.symbols.nearest(routine) if routine else None
    return IrpLocation(
        location.number,
        Hex(location.address),
        current,
        Hex(location.major),
        major_name(location.major) if device else "N/A",
        Hex(location.minor),
        minor_name(location.major, location.minor) if device else "N/A",
        Hex(int(location.record.Flags)),
        Hex(int(location.record.Control)),
        tuple(location.control_words),
        Hex(device),
        driver,
        Hex(int(location.record.FileObject)),
        file_name,
        Hex(routine),
        (str(symbol) if symbol is not None else pointer(routine)) if routine else None,
        Hex(location.context),
        tuple(Hex(word) for word in location.arguments),
    )


def _members(request: Irp) -> Iterator[Tuple[str, str]]:
    """The members of the IRP itself, which stand in front of the stack locations with detail 1."""
    record = request.record
    yield "Flags", f"{request.flags:08x}"
    for link in ("Flink", "Blink"):
        yield f"ThreadListEntry.{link}", pointer(int(record.member(f"ThreadListEntry.{link}")))
    yield "IoStatus.Status", f"{request.status:08x}"
    yield "IoStatus.Information", pointer(int(record.IoStatus.Information))
    yield "RequestorMode", f"{int(record.RequestorMode):08x}"
    yield "Cancel", f"{int(record.Cancel):02x}"
    yield "CancelIrql", f"{int(record.CancelIrql):x}"
    yield "ApcEnvironment", f"{int(record.ApcEnvironment):02x}"
    for path in (
        "UserIosb",
        "UserEvent",
        "Overlay.AsynchronousParameters.UserApcRoutine",
        "Overlay.AsynchronousParameters.UserApcContext",
    ):
        yield path, _member(request, path)
    size = int(record.get("Overlay.AllocationSize.QuadPart", 0)) & 0xFFFF_FFFF_FFFF_FFFF
    yield "Overlay.AllocationSize", f"{size >> 32:08x} - {size & 0xFFFFFFFF:08x}"
    for path in ("CancelRoutine", "UserBuffer"):
        yield path, _member(request, path)
    yield "&Tail.Overlay.DeviceQueueEntry", pointer(record.address_of("Tail.Overlay.DeviceQueueEntry"))
    for path in (
        "Tail.Overlay.Thread",
        "Tail.Overlay.AuxiliaryBuffer",
        "Tail.Overlay.ListEntry.Flink",
        "Tail.Overlay.ListEntry.Blink",
        "Tail.Overlay.CurrentStackLocation",
        "Tail.Overlay.OriginalFileObject",
        "Tail.CompletionKey",
    ):
        yield path, _member(request, path)


def _member(request: Irp, path: str) -> str:
    value = request.record.get(path)
    return "????" if value is None else pointer(int(value))


def requests_of_threads(target: Target) -> IrpList:
    """The requests in the lists of all threads, process by process. Raises SymbolError."""
    from dumpkit.kernel.process import processes

    gaps = Gaps()
    rows: List[ListedIrp] = []
    count = 0
    listed = processes(target)
    for process in listed:
        name = gaps.read("the name of a process", partial(getattr, process, "name"))
        threads = process.threads()
        for thread in threads:
            count += 1
            walk = thread.irp_walk()
            rows.extend(_row_of(Irp(target, address), thread.address, name, gaps) for address in walk)
            if walk.ended != "complete":
                gaps.add(f"the requests of thread {thread.address:016x}", walk.ended)
        if not threads.complete:
            gaps.add(f"the threads of process {process.address:016x}", threads.ended)
    if not listed.complete:
        gaps.add("the list of processes", listed.ended)
    return IrpList(count, tuple(rows), gaps.lines())


def _row_of(request: Irp, thread: int, process: Optional[str], gaps: Gaps) -> ListedIrp:
    location = None
    complete, mdl = False, 0
    try:
        complete, mdl = request.is_complete, request.mdl
        location = request.current_location
        major, minor = (location.major, location.minor) if location is not None else (None, None)
    except DumpkitError as error:
        gaps.add(f"IRP {request.address:016x}", error)
        major = minor = None
    device = None
    driver = None
    if location is not None and major is not None:
        device = int(location.record.DeviceObject)
        if device:
            driver = gaps.read(f"the driver of device {device:016x}", lambda: location.driver_name)
    function = None
    if major is not None and minor is not None:
        function = f"{major_name(major)}, {minor_name(major, minor)}"
    return ListedIrp(
        Hex(request.address),
        Hex(thread),
        process,
        complete,
        None if major is None else Hex(major),
        None if minor is None else Hex(minor),
        function,
        None if device is None else Hex(device),
        driver,
        request.file_name,
        Hex(mdl),
    )
