"""`fileobj`: a file object, how it was opened, and what hangs on it.

Format: public transcripts of !fileobj.
"""

from __future__ import annotations

from functools import partial

from dumpkit.errors import CommandError, SymbolError
from dumpkit.gaps import Gaps
from dumpkit.kernel.io.file import FileObject
from dumpkit.kernel.io.irp import Irp
from dumpkit.numbers import pointer
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

_MOST_IRPS = 10_000


class QueuedIrp(Record):
    """A request queued to the file object."""

    address: Hex
    driver: Optional[str]


class FileData(Record):
    """A file object; addresses are virtual."""

    address: Hex
    name: Optional[str]
    device: Hex
    driver: Optional[str]
    vpb: Hex
    related: Hex
    signalled: bool
    access: str
    flags: Hex
    flag_names: Tuple[str, ...]
    irps: Tuple[QueuedIrp, ...]
    fs_context: Hex
    fs_context2: Hex
    current_byte_offset: Hex
    #: None where nothing is cached.
    section_object_pointers: Hex
    data_section: Optional[Hex]
    shared_cache_map: Optional[Hex]
    image_section: Optional[Hex]
    notes: Tuple[str, ...]


def file_lines(result: FileData) -> Iterator[Line]:
    if result.name is not None:
        yield result.name
    yield ""
    if result.related:
        yield ("Related File Object: ", Span(f"0x{pointer(result.related)}", "address", f"fileobj {result.related:x}"))
        yield ""
    yield (
        "Device Object: ",
        Span(f"0x{pointer(result.device)}", "address", f"devobj {result.device:x}"),
        f"   {result.driver or '????'}",
    )
    yield f"Vpb: 0x{pointer(result.vpb)}" if result.vpb else "Vpb is NULL"
    if result.signalled:
        yield "Event signalled"
    if result.access:
        yield f"Access: {result.access} "
    yield ""
    yield f"Flags:  0x{result.flags:x}"
    yield from (f"\t{name}" for name in result.flag_names)
    yield ""
    yield from _irp_lines(result)
    if result.fs_context or result.fs_context2:
        yield f"FsContext: 0x{pointer(result.fs_context)}\tFsContext2: 0x{pointer(result.fs_context2)}"
    yield f"CurrentByteOffset: {result.current_byte_offset:x}"
    yield from _cache_lines(result)
    for note in result.notes:
        yield (Span(note, "warning"),)


def _irp_lines(result: FileData) -> Iterator[Line]:
    if not result.irps:
        return
    yield "IRPs queued to File Object:"
    yield ""
    for irp in result.irps:
        yield ("\t", Span(pointer(irp.address), "address", f"irp {irp.address:x}"), f"   {irp.driver or ''}")
    yield ""
    yield f"{len(result.irps)} queued."
    yield ""


def _cache_lines(result: FileData) -> Iterator[Line]:
    if not result.section_object_pointers:
        return
    yield "Cache Data:"
    yield f"  Section Object Pointers: {pointer(result.section_object_pointers)}"
    if result.shared_cache_map is not None:
        yield f"  Shared Cache Map: {pointer(result.shared_cache_map)}"
    if result.data_section:
        yield f"  Data Section: {pointer(result.data_section)}"
    if result.image_section:
        yield f"  Image Section: {pointer(result.image_section)}"


@command(
    "fileobj",
    category="Kernel",
    summary="A file object: its name, device, flags, requests and cache",
    arguments=(Expression("address", "the virtual address of a file object", True),),
    render=file_lines,
)
def fileobj(session: Session, address: int) -> FileData:
    """Shows a file object: fileobj ADDRESS."""
    target = session.dump
    file = FileObject(target, address)
    if not file.is_file:
        raise CommandError(f"{file.address:016x} is not a file object: its type is {int(file.record.Type)}")
    return file_data(target, file)


def file_data(target: Target, file: FileObject) -> FileData:
    """A file object's facts. Raises MemoryReadError where the object itself cannot be read."""
    gaps = Gaps()
    record = file.record
    device = file.device
    data, cache, image = _sections(target, file, gaps)
    return FileData(
        Hex(file.address),
        gaps.read("its name", lambda: file.full_name) or None,
        Hex(device.address if device is not None else 0),
        None if device is None else gaps.read("its device's driver", lambda: device.driver.name),
        Hex(int(record.Vpb)),
        Hex(int(record.RelatedFileObject)),
        bool(record.get("Event.Header.SignalState", 0)),
        file.access,
        Hex(int(record.Flags)),
        tuple(file.flags),
        tuple(_queued(target, file, gaps)),
        Hex(int(record.FsContext)),
        Hex(int(record.FsContext2)),
        Hex(int(record.member("CurrentByteOffset.QuadPart")) & 0xFFFF_FFFF_FFFF_FFFF),
        Hex(int(record.SectionObjectPointer)),
        data,
        cache,
        image,
        gaps.lines(),
    )


def _sections(target: Target, file: FileObject, gaps: Gaps) -> Tuple[Optional[Hex], Optional[Hex], Optional[Hex]]:
    """DataSectionObject, SharedCacheMap and ImageSectionObject; None where they are not known."""
    pointers = file.record.SectionObjectPointer
    if not pointers:
        return None, None, None
    names = ("DataSectionObject", "SharedCacheMap", "ImageSectionObject")
    values = (gaps.read("its section object pointers", partial(getattr, pointers, name)) for name in names)
    data, cache, image = (None if value is None else Hex(int(value)) for value in values)
    return data, cache, image


def _queued(target: Target, file: FileObject, gaps: Gaps) -> List[QueuedIrp]:
    """The requests in its own list: of files that are bound to a completion port."""
    if "IrpList" not in file.record:
        return []
    try:
        walk = target.list(file.record.address_of("IrpList"), "_IRP", "ThreadListEntry", _MOST_IRPS)
    except SymbolError as error:
        gaps.add("its requests", error)
        return []
    found = []
    for record in walk:
        irp = Irp(target, record.address)
        found.append(QueuedIrp(Hex(irp.address), _driver(irp, gaps)))
    # A file object that never had a request queued may have a list of zeros.
    if walk.ended != "complete" and not (not found and "null link" in (walk.ended or "")):
        gaps.add("its requests", walk.ended)
    return found


def _driver(irp: Irp, gaps: Gaps) -> Optional[str]:
    location = gaps.read(f"IRP {irp.address:016x}", lambda: irp.current_location)
    if location is None:
        return None
    name: Optional[str] = gaps.read(f"the driver of IRP {irp.address:016x}", lambda: location.driver_name)
    return name
