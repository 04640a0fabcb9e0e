"""A hardware error record as WinDbg's `!errrec` prints it.

Layout and labels: public transcripts of WinDbg; those of sections that no transcript was found of are dumpkit's own,
and so are the dim lines behind the sections.
"""

from __future__ import annotations

from dumpkit.kernel.whea.device_sections import (
    CORRECTABLE,
    UNCORRECTABLE,
    AerRegisters,
    ErrorPacket,
    FirmwareReference,
    MemorySection,
    NmiSection,
    PciExpressSection,
    PciLocation,
    PciXBusSection,
    PciXDeviceSection,
)
from dumpkit.kernel.whea.error_record import SEVERITIES, ErrorRecord, ErrorSection
from dumpkit.kernel.whea.error_sources import SOURCE_TYPES
from dumpkit.kernel.whea.processor_sections import McaSection, ProcessorGenericSection, XpfProcessorSection
from dumpkit.numbers import pointer
from dumpkit.output import Line, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Iterator, Mapping, Optional, Tuple, Union

_DOUBLE, _SINGLE = "=" * 79, "-" * 79
#: WHEA_ERROR_RECORD_SECTION_DESCRIPTOR_FLAGS.
_SECTION_FLAGS = (
    "Primary",
    "ContainmentWarning",
    "Reset",
    "ThresholdExceeded",
    "ResourceNotAvailable",
    "LatentError",
    "Propagated",
    "FruTextByPlugin",
)
_NO_DATA = "No valid data fields are present."


def record_lines(result: ErrorRecord) -> Iterator[Line]:
    """The record's header, its sections, and what of it could not be read."""
    yield _DOUBLE
    yield f"Common Platform Error Record @ {pointer(result.address)}"
    yield _SINGLE
    yield f"Record Id     : {result.record_id:016x}"
    yield f"Severity      : {_severity(result.severity)} ({result.severity})"
    yield f"Length        : {result.length}"
    yield f"Creator       : {result.creator_name or f'{{{result.creator}}}'}"
    yield f"Notify Type   : {result.notify_name or f'{{{result.notify}}}'}"
    if result.time is not None:
        year, month, day, hour, minute, second = result.time
        yield f"Timestamp     : {month}/{day}/{year} {hour}:{minute:02d}:{second:02d} (UTC)"
    if result.platform is not None:
        yield f"Platform Id   : {{{result.platform}}}"
    if result.partition is not None:
        yield f"Partition Id  : {{{result.partition}}}"
    yield f"Flags         : 0x{result.flags:08x}"
    for number, section in enumerate(result.sections):
        yield ""
        yield from _section_lines(number, section)
    for problem in result.problems:
        yield (Span(f"The record is not whole: {problem}", "warning"),)


def _severity(severity: int) -> str:
    return SEVERITIES[severity] if severity < len(SEVERITIES) else "Unknown"


def _section_lines(number: int, section: ErrorSection) -> Iterator[Line]:
    yield _DOUBLE
    yield f"Section {number:<6}: {section.name or f'{{{section.type}}}'}"
    yield _SINGLE
    yield f"Descriptor    @ {pointer(section.descriptor)}"
    yield f"Section       @ {pointer(section.address)}"
    yield f"Offset        : {section.offset}"
    yield f"Length        : {section.length}"
    flags = " ".join(name for bit, name in enumerate(_SECTION_FLAGS) if section.flags >> bit & 1)
    yield f"Flags         : 0x{section.flags:08x}{' ' + flags if flags else ''}"
    yield f"Severity      : {_severity(section.severity)}"
    if section.fru_id is not None:
        yield f"FRU Id        : {{{section.fru_id}}}"
    if section.fru_text is not None:
        yield f"FRU Text      : {section.fru_text}"
    yield ""
    if section.problem is not None:
        yield (Span(f"The section cannot be read: {section.problem}", "warning"),)
        return
    shown = _BODIES.get(type(section.body))
    if shown is None:
        yield "*** Unknown section format ***"
    else:
        yield from shown(section.body, section)


def _labelled(*rows: Tuple[str, Union[str, int, None]]) -> Iterator[Line]:
    """Rows with a value; a number is 16 digits wide."""
    for label, value in rows:
        if value is not None:
            yield f"{label:<14}: {f'0x{value:016x}' if isinstance(value, int) else value}"


# --- Processors ----------------------------------------------------------------


def _generic(body: ProcessorGenericSection, _: ErrorSection) -> Iterator[Line]:
    if not body.valid_bits:
        yield _NO_DATA
        return
    yield from _labelled(
        ("Proc. Type", body.processor_type),
        ("Instr. Set", body.instruction_set),
        ("Error Type", body.error_type),
        ("Operation", body.operation),
        ("Flags", None if body.flags is None else f"0x{body.flags:02x}"),
        ("Level", None if body.level is None else str(int(body.level))),
        ("CPU Version", body.cpu_version),
        ("CPU Brand", body.brand),
        ("Processor ID", body.processor_id),
        ("Target Addr.", body.target_address),
        ("Requester ID", body.requester_id),
        ("Responder ID", body.responder_id),
        ("Instr. Ptr.", body.instruction_pointer),
    )


def _xpf(body: XpfProcessorSection, section: ErrorSection) -> Iterator[Line]:
    if not body.valid_bits:
        yield _NO_DATA
        return
    yield from _labelled(("Local APIC Id", body.local_apic_id))
    if body.cpu_id is not None:
        pairs = [body.cpu_id[at : at + 2] for at in range(0, len(body.cpu_id), 2)]
        label = "CPU Id        : "
        for at in range(0, len(pairs), 16):
            yield f"{label}{' '.join(pairs[at : at + 8])} - {' '.join(pairs[at + 8 : at + 16])}"
            label = " " * 16
    for number, check in enumerate(body.checks):
        yield ""
        yield f"Proc. Info {number:<3}@ {pointer(section.address + check.offset)}"
        words = f": {', '.join(check.facts)}" if check.facts else ""
        yield (Span(f"  {check.kind} check{words}", "dim"),)


def _mca(body: McaSection, _: ErrorSection) -> Iterator[Line]:
    status = body.status
    yield f"Error         : {status.error} (Proc {body.processor or 0} Bank {body.bank or 0})"
    yield f"  Status      : 0x{status.value:016x}"
    if body.address is not None:
        yield f"  Address     : 0x{body.address:016x}"
    if body.misc is not None:
        yield f"  Misc.       : 0x{body.misc:016x}"
    if status.flags:
        yield (Span(f"  Status says : {', '.join(status.flags)}", "dim"),)


# --- Devices -------------------------------------------------------------------


def _express(body: PciExpressSection, section: ErrorSection) -> Iterator[Line]:
    yield from _labelled(("Port Type", body.port_type), ("Version", body.version))
    if body.command is not None and body.status is not None:
        yield f"Command/Status: 0x{body.command:04x}/0x{body.status:04x}"
    if body.location is not None:
        yield "Device Id     :"
        yield from _location(body.location)
        yield f"  Primary Bus : 0x{body.location.bus:02x}"
        yield f"  Second. Bus : 0x{body.secondary_bus or 0:02x}"
        yield f"  Slot        : 0x{body.slot or 0:04x}"
    yield from _labelled(("Dev. Serial #", None if body.serial_number is None else f"{body.serial_number:016x}"))
    if body.secondary_status is not None and body.bridge_control is not None:
        yield f"Sec. Status   : 0x{body.secondary_status:04x}"
        yield f"Bridge Ctl.   : 0x{body.bridge_control:04x}"
    if body.express is not None:
        capabilities, control, status, root = body.express
        yield f"Express Capability Information @ {pointer(section.address + 52)}"
        yield f"  Device Caps : {capabilities:08x} Role-Based Error Reporting: {capabilities >> 15 & 1}"
        yield f"  Device Ctl  : {control:04x} {_letters(control, {3: 'ur', 2: 'fe', 1: 'nf', 0: 'ce'})}"
        yield f"  Dev Status  : {status:04x} {_letters(status, {3: 'ur', 2: 'fe', 1: 'nf', 0: 'ce'})}"
        yield f"   Root Ctl   : {root:04x} {_letters(root, {2: 'fs', 1: 'nfs', 0: 'cs'})}"
    if body.aer is not None:
        yield ""
        yield f"AER Information @ {pointer(section.address + 112)}"
        yield from _aer(body.aer)


def _location(location: PciLocation) -> Iterator[Line]:
    yield f"  VenId:DevId : {location.vendor_id:04x}:{location.device_id:04x}"
    yield f"  Class code  : {location.class_code:06x}"
    yield f"  Function No : 0x{location.function:02x}"
    yield f"  Device No   : 0x{location.device:02x}"
    yield f"  Segment     : 0x{location.segment:04x}"


def _letters(value: int, names: Mapping[int, str]) -> str:
    """The names of bits: in capitals where one is set."""
    return " ".join(name.upper() if value >> bit & 1 else name for bit, name in names.items())


def _aer(aer: AerRegisters) -> Iterator[Line]:
    """The registers with the short names of their bits, and the root port's sources."""
    for label, value, names in (
        ("Uncorrectable Error Status", aer.uncorrectable_status, UNCORRECTABLE),
        ("Uncorrectable Error Mask", aer.uncorrectable_mask, UNCORRECTABLE),
        ("Uncorrectable Error Severity", aer.uncorrectable_severity, UNCORRECTABLE),
        ("Correctable Error Status", aer.correctable_status, CORRECTABLE),
        ("Correctable Error Mask", aer.correctable_mask, CORRECTABLE),
    ):
        yield f"  {label:<30}: {value:08x} {_letters(value, names)}"
    names = {8: "ecrcchken", 7: "ecrcchkcap", 6: "ecrcgenen", 5: "ecrcgencap"}
    first = f"FEP {aer.capabilities & 0x1F:02x}"
    yield f"  Caps & Control                : {aer.capabilities:08x} {_letters(aer.capabilities, names)} {first}"
    yield f"  Header Log                    : {' '.join(f'{word:08x}' for word in aer.header_log)}"
    names = {2: "fen", 1: "nfen", 0: "cen"}
    yield f"  Root Error Command            : {aer.root_command:08x} {_letters(aer.root_command, names)}"
    names = {6: "fer", 5: "nfer", 4: "fuf", 3: "mur", 2: "ur", 1: "mcr", 0: "cer"}
    message = f"MSG# {aer.root_status >> 27:02x}"
    yield f"  Root Error Status             : {aer.root_status:08x} {message} {_letters(aer.root_status, names)}"
    yield f"  Correctable Error Source ID   : {_source(aer.correctable_source)}"
    yield f"  Uncorrectable Error Source ID : {_source(aer.uncorrectable_source)}"
    if aer.errors:
        yield (Span(f"  Status says                   : {', '.join(aer.errors)}", "dim"),)


def _source(requester: int) -> str:
    """A requester's id: bus, device, function."""
    return f"{requester >> 8:02x},{requester >> 3 & 0x1F:02x},{requester & 7:02x}"


def _pcix_bus(body: PciXBusSection, _: ErrorSection) -> Iterator[Line]:
    bus = None if body.bus is None else f"0x{body.bus:02x} (segment 0x{body.segment or 0:02x})"
    yield from _labelled(
        ("Error Status", body.error_status),
        ("Error Type", body.error_type),
        ("Bus", bus),
        ("Bus Address", body.address),
        ("Bus Data", body.data),
        ("Bus Command", body.command),
        ("Requester Id", body.requester_id),
        ("Completer Id", body.completer_id),
        ("Target Id", body.target_id),
    )


def _pcix_device(body: PciXDeviceSection, _: ErrorSection) -> Iterator[Line]:
    yield from _labelled(("Error Status", body.error_status))
    if body.location is not None:
        yield "Device Id     :"
        yield from _location(body.location)
        yield f"  Bus         : 0x{body.location.bus:02x}"
    yield from _labelled(("Memory Regs.", body.memory_registers), ("I/O Regs.", body.io_registers))


# --- The rest ------------------------------------------------------------------


def _memory(body: MemorySection, _: ErrorSection) -> Iterator[Line]:
    if not body.valid_bits:
        yield _NO_DATA
        return
    yield from _labelled(
        ("Error Status", body.error_status),
        ("Phys. Address", body.physical_address),
        ("Phys. Mask", body.physical_mask),
    )
    for name, number in body.place.items():
        yield f"{name.replace('_', ' ').title():<14}: 0x{number:x}"
    yield from _labelled(("Error Type", body.error_type))


def _firmware(body: FirmwareReference, _: ErrorSection) -> Iterator[Line]:
    kind = None if body.type is None else f"0x{body.type:x}"
    yield from _labelled(("Record Type", kind), ("Record Id", body.record_id))


def _nmi(body: NmiSection, _: ErrorSection) -> Iterator[Line]:
    yield from _labelled(
        ("NMI Data", body.data),
        ("NMI Flags", None if body.flags is None else f"0x{body.flags:08x}"),
    )


def _packet(body: ErrorPacket, section: ErrorSection) -> Iterator[Line]:
    severity, source = body.severity or 0, body.source_type or 0
    yield f"   WHEA Error Packet Info Section (@ {pointer(section.address)})"
    rows: Tuple[Tuple[str, Optional[str]], ...] = (
        ("Flags", f"0x{body.flags or 0:08x}"),
        ("Size", f"0x{body.size or 0:x}"),
        ("RawDataLength", f"0x{body.raw_data_length or 0:x}"),
        ("Context", f"0x{body.context or 0:016x}"),
        ("ErrorType", body.error_type),
        ("ErrorSeverity", f"0x{severity:x} - {_severity(severity)}"),
        ("ErrorSourceId", f"0x{body.source_id or 0:x}"),
        ("ErrorSourceType", f"0x{source:x} - {SOURCE_TYPES.get(source, ('Unknown', ''))[0]}"),
        ("Version", f"{body.version or 0:08x}"),
        ("Cpu", f"{body.cpu or 0:016x}"),
        ("RawDataFormat", body.raw_data_format),
    )
    for label, value in rows:
        if value is not None:
            yield f"   {label:<17}: {value}"
    if body.raw_data_offset is not None:
        yield ""
        yield f"   Raw Data         : Located @ {section.address + body.raw_data_offset:016X}"


_BODIES: Dict[type, Callable[..., Iterator[Line]]] = {
    ProcessorGenericSection: _generic,
    XpfProcessorSection: _xpf,
    McaSection: _mca,
    PciExpressSection: _express,
    PciXBusSection: _pcix_bus,
    PciXDeviceSection: _pcix_device,
    MemorySection: _memory,
    FirmwareReference: _firmware,
    NmiSection: _nmi,
    ErrorPacket: _packet,
}
