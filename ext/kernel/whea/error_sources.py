"""The sources that Windows takes hardware errors from: nt!WheapErrorSourceTable, by the kernel's own types."""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.objects.lists import COMPLETE
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Tuple

    from dumpkit.objects import Record as View

#: WHEA_ERROR_SOURCE_TYPE (ntddk.h): the debugger's short and long names.
SOURCE_TYPES: Dict[int, Tuple[str, str]] = {
    0x00: ("MCE", "Machine Check Exception"),
    0x01: ("CMC", "Corrected Machine Check"),
    0x02: ("CPE", "Corrected Platform Error"),
    0x03: ("NMI", "Non-Maskable Interrupt"),
    0x04: ("PCIe", "PCI Express Error"),
    0x05: ("Generic", "Generic Error"),
    0x06: ("INIT", "INIT Error Record"),
    0x07: ("BOOT", "BOOT Error Record"),
    0x08: ("SCI", "SCI Generic Error"),
    0x09: ("IPF MCA", "Itanium Machine Check Abort"),
    0x0A: ("IPF CMC", "Itanium Corrected Machine Check"),
    0x0B: ("IPF CPE", "Itanium Corrected Platform Error"),
    0x0C: ("Generic V2", "Generic Error"),
    0x0D: ("SCI V2", "SCI Generic Error"),
    0x0E: ("BMC", "Baseboard Management Controller Error"),
    0x0F: ("PMEM", "Persistent Memory Error"),
    0x10: ("Device Driver", "Device Driver Error"),
    0x11: ("SEA", "Synchronous External Abort"),
    0x12: ("SEI", "SError Interrupt"),
}
_MOST_SOURCES, _MOST_RECORDS = 1024, 1024


class ErrorSource(Record):
    """A source. Addresses are virtual."""

    address: Hex
    type: int
    error_count: int
    record_count: int
    #: Bytes from one preallocated record to the next.
    record_length: int
    #: The wrapper of each preallocated record, and the record in it.
    records: Tuple[Tuple[Hex, Hex], ...]
    descriptor: Hex
    #: Length, MaxRawDataLength, NumRecordsToPreallocate, MaxSectionsPerRecord, ErrorSourceId, Flags.
    facts: Dict[str, Hex]


class ErrorSources(Record):
    """The table of all sources."""

    address: Hex
    count: int
    sources: Tuple[ErrorSource, ...]
    #: Why the list is not whole; None where it is.
    problem: Optional[str]


_FACTS = ("Length", "MaxRawDataLength", "NumRecordsToPreallocate", "MaxSectionsPerRecord", "ErrorSourceId", "Flags")


def error_sources(target: Target) -> ErrorSources:
    """The error sources of the running Windows. Raises SymbolError without the kernel's symbols, MemoryReadError."""
    address = target.symbols.address_of("nt!WheapErrorSourceTable")
    table = target.type("_WHEAP_ERROR_SOURCE_TABLE").at(address)
    wrapper = target.type("_WHEAP_ERROR_RECORD_WRAPPER")
    inner = wrapper.offset("ErrorRecord")
    walk = target.list(table.address_of("Items"), "_WHEAP_ERROR_SOURCE", "ListEntry", _MOST_SOURCES)
    found: List[ErrorSource] = []
    problem: Optional[str] = None
    for record in walk:
        try:
            found.append(_source(record, inner))
        except DumpkitError as error:
            problem = str(error)
            break
    if problem is None and walk.ended != COMPLETE:
        problem = walk.ended
    return ErrorSources(Hex(address), int(table.Count), tuple(found), problem)


def _source(record: View, inner: int) -> ErrorSource:
    first, length, count = int(record.Records), int(record.RecordLength), int(record.RecordCount)
    shown = min(count, _MOST_RECORDS) if first and length else 0
    wrappers = [first + number * length for number in range(shown)]
    descriptor = record.address_of("Descriptor")
    facts = {name: Hex(int(record.member(f"Descriptor.{name}"))) for name in _FACTS}
    return ErrorSource(
        Hex(record.address),
        int(record.Type),
        int(record.ErrorCount),
        count,
        length,
        tuple((Hex(place), Hex(place + inner)) for place in wrappers),
        Hex(descriptor),
        facts,
    )
