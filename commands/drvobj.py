"""`drvobj`: a driver object, its routines and its devices.

Format: public transcripts of !drvobj, and its page in Microsoft's debugger documentation.
"""

from __future__ import annotations

from functools import partial

from dumpkit.commands.devobj import DeviceStackData, stack_data, stack_lines
from dumpkit.commands.object_argument import object_address
from dumpkit.errors import CommandError, SymbolError
from dumpkit.gaps import Gaps
from dumpkit.kernel.io.driver import Driver
from dumpkit.kernel.io.irp import MAJOR_FUNCTIONS
from dumpkit.numbers import pointer
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, Word, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Set, Tuple, Union

DEVICES, ROUTINES, STACKS = 1, 2, 4
#: Devices in a line.
_PER_LINE = 4
_MOST_EXTENSIONS = 1000


class Routine(Record):
    """A routine of a driver; `symbol` is None where it has none."""

    name: str
    address: Hex
    symbol: Optional[str]


class DriverExtension(Record):
    """An extension that the driver allocated (IoAllocateDriverObjectExtension)."""

    identification: Hex
    address: Hex


class DriverData(Record):
    """A driver object; addresses are virtual. What the flags did not ask for is empty."""

    address: Hex
    name: Optional[str]
    start: Hex
    size: Hex
    extensions: Tuple[DriverExtension, ...]
    devices: Tuple[Hex, ...]
    #: DriverEntry, DriverStartIo, DriverUnload, AddDevice.
    routines: Tuple[Routine, ...]
    #: By major function.
    dispatch: Tuple[Routine, ...]
    fast_io: Tuple[Routine, ...]
    stacks: Tuple[DeviceStackData, ...]
    notes: Tuple[str, ...]
    _flags: int = DEVICES


def driver_lines(result: DriverData) -> Iterator[Line]:
    yield f"Driver object ({pointer(result.address)}) is for:"
    yield f" {result.name if result.name is not None else '????'}"
    yield ""
    if result._flags & DEVICES:
        yield "Driver Extension List: (id , addr)"
        pairs = "".join(f"({pointer(each.identification)} {pointer(each.address)})  " for each in result.extensions)
        yield pairs
        yield "Device Object list:"
        for at in range(0, len(result.devices), _PER_LINE):
            yield _device_row(result.devices[at : at + _PER_LINE])
        yield ""
    if result._flags & ROUTINES:
        yield from _routine_lines(result)
    if result._flags & STACKS:
        yield from _stack_lines(result)
    for note in result.notes:
        yield (Span(note, "warning"),)


def _device_row(devices: Tuple[Hex, ...]) -> Line:
    pieces: List[Union[str, Span]] = []
    for device in devices:
        pieces += [Span(pointer(device), "address", f"devobj {device:x}"), "  "]
    return tuple(pieces)


def _routine_lines(result: DriverData) -> Iterator[Line]:
    for routine in result.routines:
        # Their symbols stand without the distance.
        name = (routine.symbol or "").partition("+0x")[0]
        yield (f"{routine.name + ':':<15}{pointer(routine.address)}\t", _symbol(routine, name))
    yield ""
    yield "Dispatch routines:"
    for code, routine in enumerate(result.dispatch):
        yield (
            f"[{code:02x}] {routine.name:<35}{pointer(routine.address)}\t",
            _symbol(routine, routine.symbol or ""),
        )
    yield ""
    if result.fast_io:
        yield "Fast I/O routines:"
        for routine in result.fast_io:
            yield (f"{routine.name:<40}{pointer(routine.address)}\t", _symbol(routine, routine.symbol or ""))
        yield ""


def _symbol(routine: Routine, text: str) -> Span:
    return Span(text, "symbol", f"u {routine.address:x}" if routine.address else None)


def _stack_lines(result: DriverData) -> Iterator[Line]:
    yield ""
    yield "Device Object stacks:"
    yield ""
    for stack in result.stacks:
        yield f"!devstack {pointer(stack.address)} :"
        yield from stack_lines(stack)
        yield ""
    yield f"Processed {len(result.stacks)} device objects."


@command(
    "drvobj",
    category="Kernel",
    summary="A driver object: its devices and its dispatch routines",
    arguments=(
        Word("driver", "the address of a driver object, its path, or its name in \\Driver", True, holds="nothing"),
        Expression("flags", "1 devices (default), 2 routines, 4 the devices' stacks; 7 all of them"),
    ),
    render=driver_lines,
)
def drvobj(session: Session, driver: str, flags: int = DEVICES) -> DriverData:
    """Shows a driver object: drvobj ADDRESS, drvobj \\FileSystem\\Ntfs 7, drvobj disk 2.

    A name without a back-slash is looked for in \\Driver, then in \\FileSystem.
    """
    target = session.dump
    found = Driver(target, object_address(session, driver, ("\\Driver", "\\FileSystem")))
    if not found.is_driver:
        raise CommandError(f"{found.address:016x} is not a driver object: its type is {int(found.record.Type)}")
    return driver_data(target, found, flags)


def driver_data(target: Target, driver: Driver, flags: int) -> DriverData:
    """A driver object's facts. Raises MemoryReadError where the object itself cannot be read."""
    gaps = Gaps()
    listed = driver.devices() if flags & (DEVICES | STACKS) else None
    if listed is not None:
        gaps.add("its devices", listed.damage)
    devices = listed.devices if listed is not None else []
    return DriverData(
        Hex(driver.address),
        gaps.read("its name", lambda: driver.name),
        Hex(driver.start),
        Hex(int(driver.record.DriverSize)),
        tuple(_extensions(target, driver, gaps)) if flags & DEVICES else (),
        tuple(Hex(device.address) for device in devices) if flags & DEVICES else (),
        tuple(_routines(target, driver, gaps)) if flags & ROUTINES else (),
        tuple(_dispatch(target, driver)) if flags & ROUTINES else (),
        tuple(_fast_io(target, driver, gaps)) if flags & ROUTINES else (),
        tuple(stack_data(device) for device in devices) if flags & STACKS else (),
        gaps.lines(),
        flags,
    )


def _routine(target: Target, name: str, address: int) -> Routine:
    symbol = target.symbols.nearest(address) if address else None
    return Routine(name, Hex(address), None if symbol is None else str(symbol))


def _routines(target: Target, driver: Driver, gaps: Gaps) -> Iterator[Routine]:
    record = driver.record
    for name, member in (
        ("DriverEntry", "DriverInit"),
        ("DriverStartIo", "DriverStartIo"),
        ("DriverUnload", "DriverUnload"),
    ):
        yield _routine(target, name, int(getattr(record, member)))
    extension = record.DriverExtension
    add_device = gaps.read("AddDevice", lambda: int(extension.AddDevice), 0) if extension else 0
    yield _routine(target, "AddDevice", add_device)


def _dispatch(target: Target, driver: Driver) -> Iterator[Routine]:
    for name, address in zip(MAJOR_FUNCTIONS, driver.dispatch_routines):
        yield _routine(target, f"IRP_MJ_{name}", address)


def _fast_io(target: Target, driver: Driver, gaps: Gaps) -> List[Routine]:
    found: List[Routine] = gaps.read(
        "its fast I/O routines",
        lambda: [_routine(target, name, address) for name, address in driver.fast_io_routines],
        [],
    )
    return found


def _extensions(target: Target, driver: Driver, gaps: Gaps) -> Iterator[DriverExtension]:
    """The list that begins at DriverExtension.ClientDriverExtension: what follows each head is the driver's."""
    extension = driver.record.DriverExtension
    if not extension:
        return
    try:
        type = target.type("_IO_CLIENT_EXTENSION")
    except SymbolError:
        return
    place = gaps.read("its extensions", lambda: int(extension.get("ClientDriverExtension", 0)), 0)
    seen: Set[int] = set()
    while place:
        if place in seen or len(seen) == _MOST_EXTENSIONS:
            gaps.add("its extensions", f"the list loops at {place:016x}")
            return
        seen.add(place)
        record = type.at(place)
        identification = gaps.read("its extensions", partial(getattr, record, "ClientIdentificationAddress"))
        if identification is None:
            return
        yield DriverExtension(Hex(int(identification)), Hex(place + type.size))
        place = int(record.NextExtension)
