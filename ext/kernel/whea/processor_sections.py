"""What error records say of processors: the generic section, that of x86 and x64, and the machine check's registers.

Layouts: WHEA_PROCESSOR_GENERIC_ERROR_SECTION, WHEA_XPF_PROCESSOR_ERROR_SECTION, WHEA_XPF_PROCINFO and
WHEA_XPF_MCA_SECTION of ntddk.h.
"""

from __future__ import annotations

from dumpkit.kernel.whea.fields import Fields, name_of
from dumpkit.kernel.whea.identifiers import CHECKS, guid_text
from dumpkit.kernel.whea.machine_check import MachineCheckStatus, machine_check_status
from dumpkit.output import Hex
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Tuple

_PROCESSOR_TYPES = ("x86/x64", "Itanium", "ARM")
#: GENPROC_PROCISA_*, GENPROC_PROCERRTYPE_* and GENPROC_OP_* of ntddk.h.
_INSTRUCTION_SETS = ("x86", "Itanium", "x64", None, "ARM32", None, None, None, "ARM64")
_ERROR_TYPES: Dict[int, str] = {
    0: "Unknown",
    1: "Cache error",
    2: "TLB error",
    4: "BUS error",
    8: "Micro-Architectural Error",
}
_OPERATIONS = ("Generic", "Data Read", "Data Write", "Instruction Execute")
#: WHEA_XPF_*_CHECK: transaction types, operations, the bus's participation and address spaces, other errors.
_TRANSACTIONS = ("instruction", "data access", "generic")
_CHECK_OPERATIONS = (
    "generic",
    "read",
    "write",
    "data read",
    "data write",
    "instruction fetch",
    "prefetch",
    "eviction",
    "snoop",
)
_PARTICIPATIONS = ("originated", "responded", "observed", "generic")
_MICROARCHITECTURE = ("no error", "unclassified", "microcode ROM parity", "external", "FRC", "internal unclassified")

_PROCESSOR_INFO, _PROCESSOR_INFO_SIZE = 64, 64
_EXTENDED_REGISTERS = 0x48
_MOST_EXTENDED_REGISTERS = 24


class ProcessorGenericSection(Record):
    """WHEA_PROCESSOR_GENERIC_ERROR_SECTION; what its valid bits do not vouch for is None."""

    valid_bits: Hex
    processor_type: Optional[str]
    instruction_set: Optional[str]
    error_type: Optional[str]
    operation: Optional[str]
    flags: Optional[Hex]
    level: Optional[Hex]
    cpu_version: Optional[Hex]
    brand: Optional[str]
    processor_id: Optional[Hex]
    target_address: Optional[Hex]
    requester_id: Optional[Hex]
    responder_id: Optional[Hex]
    instruction_pointer: Optional[Hex]


class ProcessorCheck(Record):
    """WHEA_XPF_PROCINFO: what one unit of the processor reported."""

    #: Where it lies in the section, in bytes.
    offset: Hex
    #: "Cache", "TLB", "Bus", "Micro-Architectural", or the GUID of another kind.
    kind: str
    check: Optional[Hex]
    #: What the check says, in words.
    facts: Tuple[str, ...]
    target_id: Optional[Hex]
    requester_id: Optional[Hex]
    responder_id: Optional[Hex]
    instruction_pointer: Optional[Hex]


class XpfProcessorSection(Record):
    """WHEA_XPF_PROCESSOR_ERROR_SECTION."""

    valid_bits: Hex
    local_apic_id: Optional[Hex]
    #: 48 bytes of what CPUID answered, as hexadecimal digits.
    cpu_id: Optional[str]
    checks: Tuple[ProcessorCheck, ...]
    #: How many records of registers stand behind the checks.
    contexts: int


class McaSection(Record):
    """WHEA_XPF_MCA_SECTION: the registers of the bank that reported."""

    version: Optional[Hex]
    #: WHEA_CPU_VENDOR: 0 other, 1 Intel, 2 AMD.
    vendor: Optional[int]
    #: The processor's number, and the bank's.
    processor: Optional[int]
    bank: Optional[int]
    global_status: Optional[Hex]
    instruction_pointer: Optional[Hex]
    status: MachineCheckStatus
    #: MCi_ADDR and MCi_MISC; None where the status does not vouch for them.
    address: Optional[Hex]
    misc: Optional[Hex]
    apic_id: Optional[Hex]
    extended_registers: Tuple[Hex, ...]


def processor_generic(data: bytes) -> ProcessorGenericSection:
    """Decode a section's bytes; those behind its end count as not valid."""
    fields = Fields(data)
    bits = fields.number(0, 8) or Hex(0)
    error = fields.valid(bits, 2, 10, 1)
    brand = data[24:152] if bits >> 7 & 1 else b""
    return ProcessorGenericSection(
        bits,
        name_of(fields.valid(bits, 0, 8, 1), _PROCESSOR_TYPES),
        name_of(fields.valid(bits, 1, 9, 1), _INSTRUCTION_SETS),
        None if error is None else _ERROR_TYPES.get(error, f"0x{error:x}"),
        name_of(fields.valid(bits, 3, 11, 1), _OPERATIONS),
        fields.valid(bits, 4, 12, 1),
        fields.valid(bits, 5, 13, 1),
        fields.valid(bits, 6, 16, 8),
        brand.split(b"\0", 1)[0].decode("ascii", "replace") or None,
        fields.valid(bits, 8, 152, 8),
        fields.valid(bits, 9, 160, 8),
        fields.valid(bits, 10, 168, 8),
        fields.valid(bits, 11, 176, 8),
        fields.valid(bits, 12, 184, 8),
    )


def xpf_processor(data: bytes) -> XpfProcessorSection:
    """Decode a section's bytes; no more checks are told of than it has room for."""
    fields = Fields(data)
    bits = fields.number(0, 8) or Hex(0)
    room = max(0, len(data) - _PROCESSOR_INFO) // _PROCESSOR_INFO_SIZE
    checks = [
        _check(data, _PROCESSOR_INFO + number * _PROCESSOR_INFO_SIZE) for number in range(min(bits >> 2 & 0x3F, room))
    ]
    cpu_id = data[16:64].hex() if bits & 2 and len(data) >= 64 else None
    return XpfProcessorSection(bits, fields.valid(bits, 0, 8, 8), cpu_id, tuple(checks), bits >> 8 & 0x3F)


def _check(data: bytes, offset: int) -> ProcessorCheck:
    fields = Fields(data[offset : offset + _PROCESSOR_INFO_SIZE])
    guid = guid_text(fields.data[:16])
    kind = CHECKS.get(guid, f"{{{guid}}}")
    bits = fields.number(16, 8) or Hex(0)
    check = fields.valid(bits, 0, 24, 8)
    return ProcessorCheck(
        Hex(offset),
        kind,
        check,
        _check_words(kind, check) if check is not None else (),
        fields.valid(bits, 1, 32, 8),
        fields.valid(bits, 2, 40, 8),
        fields.valid(bits, 3, 48, 8),
        fields.valid(bits, 4, 56, 8),
    )


def _check_words(kind: str, check: int) -> Tuple[str, ...]:
    """What a check says; each of its facts has a bit of its own that vouches for it."""
    words: List[str] = []
    if kind == "Micro-Architectural":
        _add(words, check, 0, name_of(check >> 16 & 7, _MICROARCHITECTURE))
        first_valid, first = 1, 19
    elif kind in ("Cache", "TLB", "Bus"):
        _add(words, check, 0, name_of(check >> 16 & 3, _TRANSACTIONS))
        _add(words, check, 1, name_of(check >> 18 & 0xF, _CHECK_OPERATIONS))
        _add(words, check, 2, f"level {check >> 22 & 7}")
        first_valid, first = 3, 25
    else:
        return ()
    for number, word in enumerate(
        ("processor context corrupt", "uncorrected", "precise IP", "restartable IP", "overflow")
    ):
        if check >> (first + number) & 1:
            _add(words, check, first_valid + number, word)
    if kind == "Bus":
        _add(words, check, 8, f"participation {name_of(check >> 30 & 3, _PARTICIPATIONS)}")
        if check >> 32 & 1:
            _add(words, check, 9, "timeout")
    return tuple(words)


def _add(words: List[str], check: int, valid_bit: int, word: Optional[str]) -> None:
    if check >> valid_bit & 1 and word is not None:
        words.append(word)


def machine_check(data: bytes) -> McaSection:
    """Decode a section's bytes; a section of an older version ends earlier."""
    fields = Fields(data)
    vendor = fields.number(4, 4)
    status = machine_check_status(fields.number(0x28, 8) or 0, vendor)
    count = min(fields.number(0x40, 4) or 0, _MOST_EXTENDED_REGISTERS)
    registers = [fields.number(_EXTENDED_REGISTERS + 8 * number, 8) for number in range(count)]
    processor, bank = fields.number(0x10, 4), fields.number(0x24, 4)
    return McaSection(
        fields.number(0, 4),
        None if vendor is None else int(vendor),
        None if processor is None else int(processor),
        None if bank is None else int(bank),
        fields.number(0x14, 8),
        fields.number(0x1C, 8),
        status,
        fields.number(0x30, 8) if status.has_address else None,
        fields.number(0x38, 8) if status.has_misc else None,
        fields.number(0x44, 4),
        tuple(register for register in registers if register is not None),
    )
