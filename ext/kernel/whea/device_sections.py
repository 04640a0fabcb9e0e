"""What error records say of PCI Express, PCI and PCI-X, of memory, and of the rest.

Layouts: WHEA_PCIEXPRESS_ERROR_SECTION, WHEA_PCIXBUS_ERROR_SECTION, WHEA_PCIXDEVICE_ERROR_SECTION,
WHEA_MEMORY_ERROR_SECTION, WHEA_FIRMWARE_ERROR_RECORD_REFERENCE, WHEA_NMI_ERROR_SECTION and WHEA_ERROR_PACKET_V1 of
ntddk.h; the registers of a PCI Express device: PCI_EXPRESS_ROOTPORT_AER_CAPABILITY of wdm.h.
"""

from __future__ import annotations

from dumpkit.kernel.whea.fields import Fields, name_of
from dumpkit.output import Hex
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional, Tuple

#: WHEA_PCIEXPRESS_DEVICE_TYPE (ntddk.h).
_PORT_TYPES = (
    "Endpoint",
    "Legacy Endpoint",
    None,
    None,
    "Root Port",
    "Upstream Switch Port",
    "Downstream Switch Port",
    "PCI Express to PCI/PCI-X Bridge",
    "PCI/PCI-X to PCI Express Bridge",
    "Root Complex Integrated Endpoint",
    "Root Complex Event Collector",
)
#: Bits of the AER capability's registers, highest first, with the debugger's short names.
UNCORRECTABLE = {20: "ur", 19: "ecrc", 18: "mtlp", 17: "rof", 16: "uc", 15: "ca", 14: "cto", 13: "fcp", 12: "ptlp"}
UNCORRECTABLE.update({5: "sd", 4: "dlp", 0: "und"})
CORRECTABLE = {13: "adv", 12: "rtto", 8: "rnro", 7: "dllp", 6: "tlp", 0: "re"}
#: The same bits in the specification's words.
UNCORRECTABLE_WORDS: Dict[int, str] = {
    20: "unsupported request",
    19: "ECRC error",
    18: "malformed TLP",
    17: "receiver overflow",
    16: "unexpected completion",
    15: "completer abort",
    14: "completion timeout",
    13: "flow control protocol error",
    12: "poisoned TLP",
    5: "surprise down",
    4: "data link protocol error",
}
#: WHEA_MEMERRTYPE_* (ntddk.h).
_MEMORY_ERRORS = (
    "Unknown",
    "No error",
    "Single-bit ECC",
    "Multi-bit ECC",
    "Single-symbol chipkill ECC",
    "Multi-symbol chipkill ECC",
    "Master abort",
    "Target abort",
    "Parity error",
    "Watchdog timeout",
    "Invalid address",
    "Mirror broken",
    "Memory sparing",
)
#: PCIXBUS_ERRTYPE_* (ntddk.h).
_PCIX_ERRORS = (
    "Unknown",
    "Data parity",
    "System",
    "Master abort",
    "Bus timeout",
    "Master data parity",
    "Address parity",
    "Command parity",
)
#: Numbers of a memory section: bit among the valid bits, offset, size in bytes.
_MEMORY_NUMBERS = {
    "node": (3, 32, 2),
    "card": (4, 34, 2),
    "module": (5, 36, 2),
    "bank": (6, 38, 2),
    "device": (7, 40, 2),
    "row": (8, 42, 2),
    "column": (9, 44, 2),
    "bit_position": (10, 46, 2),
    "requester_id": (11, 48, 8),
    "responder_id": (12, 56, 8),
    "target_id": (13, 64, 8),
    "rank": (15, 74, 2),
    "card_handle": (16, 76, 2),
    "module_handle": (17, 78, 2),
}
_AER, _AER_SIZE, _EXPRESS = 112, 96, 52
_PACKET_SIGNATURE = b"ErPt"
#: WHEA_ERROR_TYPE and WHEA_RAW_DATA_FORMAT of ntddk.h.
_PACKET_ERRORS = ("Processor", "Memory", "PCI Express", "NMI", "PCI-X Bus", "PCI-X Device", "Generic", "PMEM")
_RAW_FORMATS = (
    "IPF SAL Record",
    "IA32 MCA",
    "Intel64 MCA",
    "AMD64 MCA",
    "Memory",
    "PCI Express",
    "NMI Port",
    "PCI-X Bus",
    "PCI-X Device",
    "Generic",
)


class PciLocation(Record):
    """Which function of which device, and what it is."""

    segment: int
    bus: int
    device: int
    function: int
    vendor_id: Hex
    device_id: Hex
    class_code: Hex


class AerRegisters(Record):
    """The advanced error reporting capability of a PCI Express device; None where the section ends before."""

    uncorrectable_status: Hex
    uncorrectable_mask: Hex
    uncorrectable_severity: Hex
    correctable_status: Hex
    correctable_mask: Hex
    capabilities: Hex
    header_log: Tuple[Hex, ...]
    root_command: Hex
    root_status: Hex
    correctable_source: Hex
    uncorrectable_source: Hex
    #: The errors that the uncorrectable status has, in the specification's words.
    errors: Tuple[str, ...]


class PciExpressSection(Record):
    """WHEA_PCIEXPRESS_ERROR_SECTION; what its valid bits do not vouch for is None."""

    valid_bits: Hex
    port_type: Optional[str]
    version: Optional[str]
    command: Optional[Hex]
    status: Optional[Hex]
    location: Optional[PciLocation]
    secondary_bus: Optional[int]
    slot: Optional[int]
    serial_number: Optional[Hex]
    bridge_control: Optional[Hex]
    secondary_status: Optional[Hex]
    #: Device capabilities, device control, device status and root control of the PCI Express capability.
    express: Optional[Tuple[Hex, ...]]
    aer: Optional[AerRegisters]


class PciXBusSection(Record):
    """WHEA_PCIXBUS_ERROR_SECTION."""

    valid_bits: Hex
    error_status: Optional[Hex]
    error_type: Optional[str]
    bus: Optional[int]
    segment: Optional[int]
    address: Optional[Hex]
    data: Optional[Hex]
    command: Optional[Hex]
    requester_id: Optional[Hex]
    completer_id: Optional[Hex]
    target_id: Optional[Hex]


class PciXDeviceSection(Record):
    """WHEA_PCIXDEVICE_ERROR_SECTION, without its registers."""

    valid_bits: Hex
    error_status: Optional[Hex]
    location: Optional[PciLocation]
    memory_registers: Optional[Hex]
    io_registers: Optional[Hex]


class MemorySection(Record):
    """WHEA_MEMORY_ERROR_SECTION."""

    valid_bits: Hex
    error_status: Optional[Hex]
    physical_address: Optional[Hex]
    physical_mask: Optional[Hex]
    error_type: Optional[str]
    #: Node, card, module, bank and so on, as far as the valid bits vouch for them.
    place: Dict[str, Hex]


class FirmwareReference(Record):
    """WHEA_FIRMWARE_ERROR_RECORD_REFERENCE."""

    type: Optional[Hex]
    record_id: Optional[Hex]


class NmiSection(Record):
    """WHEA_NMI_ERROR_SECTION: eight bytes as hexadecimal digits, and flags (bit 0: the hypervisor's)."""

    data: str
    flags: Optional[Hex]


class ErrorPacket(Record):
    """WHEA_ERROR_PACKET_V1, which Windows Vista and 7 keep in their records."""

    flags: Optional[Hex]
    size: Optional[Hex]
    raw_data_length: Optional[Hex]
    context: Optional[Hex]
    error_type: Optional[str]
    severity: Optional[Hex]
    source_id: Optional[Hex]
    source_type: Optional[Hex]
    version: Optional[Hex]
    cpu: Optional[Hex]
    raw_data_format: Optional[str]
    raw_data_offset: Optional[Hex]


def pci_express(data: bytes) -> PciExpressSection:
    """Decode a section's bytes."""
    fields = Fields(data)
    bits = fields.number(0, 8) or Hex(0)
    version = data[12:14] if bits & 2 and len(data) >= 14 else None
    identity = data[24:40] if bits & 8 and len(data) >= 40 else None
    location = secondary = slot = None
    if identity is not None:
        location = _express_location(identity)
        secondary, slot = identity[12], int.from_bytes(identity[13:15], "little") >> 3
    registers = tuple(fields.number(_EXPRESS + offset, size) for offset, size in ((4, 4), (8, 2), (10, 2), (28, 2)))
    express = tuple(each for each in registers if each is not None)
    return PciExpressSection(
        bits,
        name_of(fields.valid(bits, 0, 8, 4), _PORT_TYPES),
        None if version is None else f"{version[1]}.{version[0]}",
        fields.valid(bits, 2, 16, 2),
        fields.valid(bits, 2, 18, 2),
        location,
        secondary,
        slot,
        fields.valid(bits, 4, 40, 8),
        fields.valid(bits, 5, 50, 2),
        fields.valid(bits, 5, 48, 2),
        express if bits >> 6 & 1 and len(express) == len(registers) else None,
        _aer(data[_AER : _AER + _AER_SIZE]) if bits >> 7 & 1 else None,
    )


def _express_location(data: bytes) -> PciLocation:
    """WHEA_PCIEXPRESS_DEVICE_ID: vendor, device, 24 bits of class, function, device, segment, primary bus."""
    vendor, device = int.from_bytes(data[:2], "little"), int.from_bytes(data[2:4], "little")
    kind, segment = int.from_bytes(data[4:7], "little"), int.from_bytes(data[9:11], "little")
    return PciLocation(segment, data[11], data[8], data[7], Hex(vendor), Hex(device), Hex(kind))


def _aer(data: bytes) -> Optional[AerRegisters]:
    """PCI_EXPRESS_ROOTPORT_AER_CAPABILITY: behind its header of 4 bytes, registers of 4 bytes each."""
    if len(data) < 56:
        return None
    words = [Hex(int.from_bytes(data[at : at + 4], "little")) for at in range(4, 56, 4)]
    status, mask, severity, corrected, corrected_mask, capabilities = words[:6]
    command, root_status, source = words[10:]
    return AerRegisters(
        status,
        mask,
        severity,
        corrected,
        corrected_mask,
        capabilities,
        tuple(words[6:10]),
        command,
        root_status,
        Hex(source & 0xFFFF),
        Hex(source >> 16),
        tuple(word for bit, word in UNCORRECTABLE_WORDS.items() if status >> bit & 1),
    )


def pcix_bus(data: bytes) -> PciXBusSection:
    """Decode a section's bytes."""
    fields = Fields(data)
    bits = fields.number(0, 8) or Hex(0)
    bus, segment = fields.valid(bits, 2, 18, 1), fields.valid(bits, 2, 19, 1)
    return PciXBusSection(
        bits,
        fields.valid(bits, 0, 8, 8),
        name_of(fields.valid(bits, 1, 16, 2), _PCIX_ERRORS),
        None if bus is None else int(bus),
        None if segment is None else int(segment),
        *(fields.valid(bits, bit, offset, 8) for bit, offset in ((3, 24), (4, 32), (5, 40), (6, 48), (7, 56), (8, 64))),
    )


def pcix_device(data: bytes) -> PciXDeviceSection:
    """Decode a section's bytes."""
    fields = Fields(data)
    bits = fields.number(0, 8) or Hex(0)
    location = None
    if bits & 2 and len(data) >= 32:
        vendor, device = int.from_bytes(data[16:18], "little"), int.from_bytes(data[18:20], "little")
        kind = int.from_bytes(data[20:23], "little")
        location = PciLocation(data[26], data[25], data[24], data[23], Hex(vendor), Hex(device), Hex(kind))
    return PciXDeviceSection(
        bits, fields.valid(bits, 0, 8, 8), location, fields.valid(bits, 2, 32, 4), fields.valid(bits, 3, 36, 4)
    )


def memory(data: bytes) -> MemorySection:
    """Decode a section's bytes; older records end before the rank."""
    fields = Fields(data)
    bits = fields.number(0, 8) or Hex(0)
    numbers = {name: fields.valid(bits, *place) for name, place in _MEMORY_NUMBERS.items()}
    return MemorySection(
        bits,
        fields.valid(bits, 0, 8, 8),
        fields.valid(bits, 1, 16, 8),
        fields.valid(bits, 2, 24, 8),
        name_of(fields.valid(bits, 14, 72, 1), _MEMORY_ERRORS),
        {name: number for name, number in numbers.items() if number is not None},
    )


def firmware_reference(data: bytes) -> FirmwareReference:
    """Decode a section's bytes."""
    fields = Fields(data)
    return FirmwareReference(fields.number(0, 1), fields.number(8, 8))


def nmi(data: bytes) -> NmiSection:
    """Decode a section's bytes."""
    return NmiSection(data[:8].hex(), Fields(data).number(8, 4))


def error_packet(data: bytes) -> Optional[ErrorPacket]:
    """Decode a section's bytes; None for a packet of another version."""
    if data[:4] != _PACKET_SIGNATURE:
        return None
    fields = Fields(data)
    return ErrorPacket(
        fields.number(4, 4),
        fields.number(8, 4),
        fields.number(12, 4),
        fields.number(24, 8),
        name_of(fields.number(32, 4), _PACKET_ERRORS),
        fields.number(36, 4),
        fields.number(40, 4),
        fields.number(44, 4),
        fields.number(52, 4),
        fields.number(56, 8),
        name_of(fields.number(272, 4), _RAW_FORMATS),
        fields.number(276, 4),
    )
