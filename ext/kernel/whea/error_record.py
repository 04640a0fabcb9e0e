"""An error record: its header, the descriptors of its sections, and the sections (WHEA_ERROR_RECORD of ntddk.h).

Every offset and length is the record's own word and is held against its length; a section that cannot be read has its
reason instead of its facts.
"""

from __future__ import annotations

from struct import Struct

from dumpkit.errors import DumpkitError, MemoryReadError
from dumpkit.kernel.whea import device_sections, processor_sections
from dumpkit.kernel.whea.identifiers import (
    CREATORS,
    ERROR_PACKET,
    FIRMWARE_REFERENCE,
    MEMORY,
    NMI,
    NOTIFY_TYPES,
    PCI_EXPRESS,
    PCIX_BUS,
    PCIX_DEVICE,
    PROCESSOR_GENERIC,
    SECTION_TYPES,
    XPF_MCA,
    XPF_PROCESSOR,
    guid_text,
)
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, List, Optional, Tuple

#: WHEA_ERROR_RECORD_HEADER (ntddk.h): signature, revision, end of the signature, sections, severity, valid bits,
#: length, timestamp, four GUIDs, record id, flags, persistence information, reserved.
_HEADER = Struct("<4sHIHIIIQ16s16s16s16sQIQ12s")
#: WHEA_ERROR_RECORD_SECTION_DESCRIPTOR: offset, length, revision, valid bits, reserved, flags, type, FRU's id,
#: severity, FRU's text.
_DESCRIPTOR = Struct("<IIHBBI16s16sI20s")
_SIGNATURE, _SIGNATURE_END = b"CPER", 0xFFFFFFFF
#: WHEA_ERROR_SEVERITY.
SEVERITIES = ("Recoverable", "Fatal", "Corrected", "Informational")
#: No record that Windows makes has more bytes than this; what claims more is damaged.
_LONGEST = 0x100000
_MOST_SECTIONS = 64

_DECODERS: Dict[str, Callable[[bytes], object]] = {
    PROCESSOR_GENERIC: processor_sections.processor_generic,
    XPF_PROCESSOR: processor_sections.xpf_processor,
    XPF_MCA: processor_sections.machine_check,
    MEMORY: device_sections.memory,
    PCI_EXPRESS: device_sections.pci_express,
    PCIX_BUS: device_sections.pcix_bus,
    PCIX_DEVICE: device_sections.pcix_device,
    FIRMWARE_REFERENCE: device_sections.firmware_reference,
    NMI: device_sections.nmi,
    ERROR_PACKET: device_sections.error_packet,
}


class ErrorSection(Record):
    """A section of a record. Addresses are virtual, offsets from the record's start."""

    descriptor: Hex
    address: Hex
    offset: int
    length: int
    flags: Hex
    severity: int
    #: The GUID of the section's type, and its name; None where it has none that is known.
    type: str
    name: Optional[str]
    fru_id: Optional[str]
    fru_text: Optional[str]
    #: What it says; None where its format is not known or it cannot be read.
    body: Optional[object]
    #: Why it cannot be read.
    problem: Optional[str]


class ErrorRecord(Record):
    """A record as its header has it."""

    address: Hex
    revision: str
    severity: int
    #: Bytes.
    length: int
    #: (year, month, day, hour, minute, second) UTC; None where the header does not vouch for it.
    time: Optional[Tuple[int, int, int, int, int, int]]
    platform: Optional[str]
    partition: Optional[str]
    #: GUIDs, and their names where those are known.
    creator: str
    creator_name: Optional[str]
    notify: str
    notify_name: Optional[str]
    record_id: Hex
    flags: Hex
    sections: Tuple[ErrorSection, ...]
    #: What of the record could not be read.
    problems: Tuple[str, ...]


def read_error_record(target: Target, address: int) -> ErrorRecord:
    """The record at a virtual address. Raises MemoryReadError, and DumpkitError where there is none."""
    data = target.memory.read(address, _HEADER.size)
    header = _HEADER.unpack(data)
    signature, revision, end, count, severity, valid, length, time = header[:8]
    if signature != _SIGNATURE or end != _SIGNATURE_END:
        raise DumpkitError(f"{address:016x} is no error record: it does not begin with {_SIGNATURE.decode()}")
    if not _HEADER.size <= length <= _LONGEST:
        raise DumpkitError(f"{address:016x} is a damaged error record: its length is 0x{length:x}")
    guids = [guid_text(guid) for guid in header[8:12]]
    platform, partition, creator, notify = guids
    sections, problems = _sections(target, address, count, length)
    return ErrorRecord(
        Hex(address),
        f"{revision >> 8}.{revision & 0xFF}",
        severity,
        length,
        _time(time) if valid & 2 else None,
        platform if valid & 1 else None,
        partition if valid & 4 else None,
        creator,
        CREATORS.get(creator),
        notify,
        NOTIFY_TYPES.get(notify),
        Hex(header[12]),
        Hex(header[13]),
        sections,
        problems,
    )


def _time(value: int) -> Tuple[int, int, int, int, int, int]:
    """WHEA_TIMESTAMP: bytes with the second, minute, hour, flags, day, month, year and century."""
    second, minute, hour, _, day, month, year, century = value.to_bytes(8, "little")
    return century * 100 + year, month, day, hour, minute, second


def _sections(target: Target, record: int, count: int, length: int) -> Tuple[Tuple[ErrorSection, ...], Tuple[str, ...]]:
    found: List[ErrorSection] = []
    room = min((length - _HEADER.size) // _DESCRIPTOR.size, _MOST_SECTIONS)
    problems = [f"it claims {count} sections and has room for {room}"] if count > room else []
    for number in range(min(count, room)):
        place = record + _HEADER.size + number * _DESCRIPTOR.size
        try:
            descriptor = target.memory.read(place, _DESCRIPTOR.size)
        except MemoryReadError as error:
            problems.append(f"descriptors from section {number} on: {error}")
            break
        found.append(_section(target, record, length, place, descriptor))
    return tuple(found), tuple(problems)


def _section(target: Target, record: int, length: int, place: int, descriptor: bytes) -> ErrorSection:
    offset, size, _, valid, _, flags, guid, fru_id, severity, fru_text = _DESCRIPTOR.unpack(descriptor)
    type = guid_text(guid)
    body: Optional[object] = None
    problem: Optional[str] = None
    if offset + size > length:
        problem = f"its end 0x{offset + size:x} lies behind the record's"
    else:
        try:
            decoder = _DECODERS.get(type)
            body = decoder(target.memory.read(record + offset, size)) if decoder is not None else None
        except MemoryReadError as error:
            problem = str(error)
    return ErrorSection(
        Hex(place),
        Hex(record + offset),
        offset,
        size,
        Hex(flags),
        severity,
        type,
        SECTION_TYPES.get(type),
        guid_text(fru_id) if valid & 1 else None,
        fru_text.split(b"\0", 1)[0].decode("ascii", "replace") if valid & 2 else None,
        body,
        problem,
    )
