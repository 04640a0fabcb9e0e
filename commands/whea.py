"""`errrec` and `whea`: a hardware error record, and the sources that Windows takes such records from.

Format: the examples of the !errrec and !whea pages in Microsoft's debugger documentation, and public transcripts.
"""

from __future__ import annotations

from dumpkit.commands.errrec_text import record_lines
from dumpkit.kernel.whea.error_record import ErrorRecord, read_error_record
from dumpkit.kernel.whea.error_sources import SOURCE_TYPES, ErrorSource, ErrorSources, error_sources
from dumpkit.numbers import pointer
from dumpkit.output import Line, Span
from dumpkit.registry import Expression, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

#: Label -> the descriptor's member, hexadecimal without leading zeros but for the flags.
_DESCRIPTOR = (
    ("Length", "Length"),
    ("Max Raw Data Length", "MaxRawDataLength"),
    ("Num Records To Preallocate", "NumRecordsToPreallocate"),
    ("Max Sections Per Record", "MaxSectionsPerRecord"),
    ("Error Source ID", "ErrorSourceId"),
)


@command(
    "errrec",
    category="Kernel",
    summary="A hardware error record (WHEA), section by section",
    arguments=(Expression("address", "the address of a WHEA_ERROR_RECORD: argument 2 of bugcheck 124", True),),
    render=record_lines,
)
def errrec(session: Session, address: int) -> ErrorRecord:
    """Shows a hardware error record: who reported what, and what the parts of the machine say of it.

    Bugcheck 124 gives the address of its record as argument 2; whea lists the records of every error source.
    """
    return read_error_record(session.dump, address)


def source_lines(result: ErrorSources) -> Iterator[Line]:
    yield ("Error Source Table @ ", Span(pointer(result.address), "address"))
    yield f"{result.count} Error Sources"
    for number, source in enumerate(result.sources):
        yield from _one_source(number, source)
    if result.problem is not None:
        yield (Span(f"The list of error sources is not whole: {result.problem}", "warning"),)


def _one_source(number: int, source: ErrorSource) -> Iterator[Line]:
    short, name = SOURCE_TYPES.get(source.type, ("Unknown", "Unknown"))
    yield (f"Error Source {number} @ ", Span(pointer(source.address), "address"))
    yield f"   Notify Type      : {name}"
    yield f"   Type             : 0x{source.type:x} ({short})"
    yield f"   Error Count      : {source.error_count:x}"
    yield f"   Record Count     : {source.record_count:x}"
    yield f"   Record Length    : {source.record_length:x}"
    label = "Error Records"
    for wrapper, record in source.records:
        link = Span(pointer(record), "address", f"!errrec {record:x}")
        yield (f"   {label:<17}: wrapper @ {pointer(wrapper)}  record @ ", link)
        label = ""
    yield f"   Descriptor       : @ {pointer(source.descriptor)}"
    for label, member in _DESCRIPTOR:
        yield f"      {label:<27}: {source.facts[member]:x}"
    yield f"      {'Flags':<27}: {source.facts['Flags']:08x}"


@command(
    "whea",
    category="Kernel",
    summary="The sources of hardware errors, and their records",
    render=source_lines,
)
def whea(session: Session) -> ErrorSources:
    """Lists the sources that Windows takes hardware errors from (WHEA), how many errors each has had, and its records.

    errrec shows a record.
    """
    return error_sources(session.dump)
