"""What the hardware reported: the error record that a bugcheck's argument points to, or a status in its arguments.

The failure bucket's form and the module that stands for the processor's maker are those of WinDbg's public transcripts.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.kernel.analysis.blame import Culprit
from dumpkit.kernel.analysis.evidence import Evidence
from dumpkit.kernel.bugchecks import Bugcheck
from dumpkit.kernel.whea.device_sections import MemorySection, PciExpressSection, PciLocation, PciXDeviceSection
from dumpkit.kernel.whea.error_record import SEVERITIES, ErrorRecord, read_error_record
from dumpkit.kernel.whea.machine_check import VENDOR_NAMES, MachineCheckStatus, machine_check_status
from dumpkit.kernel.whea.processor_sections import McaSection, ProcessorGenericSection, XpfProcessorSection
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Sequence, Tuple, Type, TypeVar

    T = TypeVar("T")

#: The generic processor section's kinds of errors, and those of a machine check's code -> the bucket's word.
_PROCESSOR_WORDS: Dict[str, str] = {
    "Cache error": "CACHE",
    "TLB error": "TLB",
    "BUS error": "BUS",
    "Micro-Architectural Error": "MAE",
}
#: The sections whose facts are told.
_TOLD = (
    ProcessorGenericSection,
    XpfProcessorSection,
    McaSection,
    PciExpressSection,
    PciXDeviceSection,
    MemorySection,
)


class MachineCheck(Record):
    """What one bank of a processor reported; None where nothing says it."""

    processor: Optional[int]
    bank: Optional[int]
    status: MachineCheckStatus
    #: MCi_ADDR and MCi_MISC, where the status vouches for them.
    address: Optional[Hex]
    misc: Optional[Hex]


class DeviceError(Record):
    """What a device reported, or what was reported of it."""

    location: PciLocation
    #: What kind of port it is: "Root Port", "Endpoint"; None where nothing says it.
    port: Optional[str]
    #: The errors of its uncorrectable status, in words.
    errors: Tuple[str, ...]


class FailingMemory(Record):
    """What a memory controller reported."""

    physical_address: Optional[Hex]
    error: Optional[str]
    #: Node, card, module, bank and so on.
    place: Dict[str, Hex]


class HardwareError(Record):
    """All that is known of an error of the hardware."""

    #: Virtual address of the record; None where the bugcheck has none that can be read.
    record: Optional[Hex]
    #: Who told Windows ("Machine Check Exception"), how grave it is, and the processor's maker ("GenuineIntel").
    notified_by: Optional[str]
    severity: Optional[str]
    vendor: Optional[str]
    #: The processor that the generic section names, and what it says of the error.
    processor: Optional[Hex]
    processor_error: Optional[str]
    #: What its checks say: each of them in a text.
    checks: Tuple[str, ...]
    machine_checks: Tuple[MachineCheck, ...]
    devices: Tuple[DeviceError, ...]
    memory: Tuple[FailingMemory, ...]
    #: Names or GUIDs of the record's sections that say nothing of these, or cannot be read.
    others: Tuple[str, ...]

    @property
    def culprit(self) -> Optional[Culprit]:
        """The maker of the processor, in the place of a module; None where that or the record is not known."""
        if self.record is None or self.vendor is None:
            return None
        return Culprit("", None, self.vendor, f"{self.vendor}.sys", None, None, None)

    def bucket(self, code: int, source: int) -> Optional[str]:
        """The failure bucket, with the source of the error as a decimal number; None without a culprit."""
        if self.record is None or self.vendor is None:
            return None
        if self.processor_error is not None:
            kind = f"PROCESSOR_{_PROCESSOR_WORDS.get(self.processor_error, '_UNKNOWN')}"
        elif self.devices:
            kind = "PCIEXPRESS"
        elif self.memory:
            kind = "MEMORY"
        else:
            kind = "_UNKNOWN"
        return f"0x{code:X}_{source}_{self.vendor}_{kind}_IMAGE_{self.vendor}.sys"


def hardware_error(
    target: Target, bugcheck: Bugcheck, parameters: Sequence[int], evidence: Evidence
) -> Optional[HardwareError]:
    """What the hardware reported; None for a bugcheck that is not about hardware, or where nothing is known."""
    if not bugcheck.rule("errrec") and not bugcheck.rule("mca"):
        return None
    record = _record(target, bugcheck, parameters, evidence)
    bodies = [section.body for section in record.sections] if record is not None else []
    banks = _all(bodies, McaSection)
    makers = [VENDOR_NAMES[bank.vendor] for bank in banks if bank.vendor in VENDOR_NAMES]
    vendor = makers[0] if makers else _vendor(target, evidence)
    checks = [MachineCheck(bank.processor, bank.bank, bank.status, bank.address, bank.misc) for bank in banks]
    if not checks:
        checks = _of_arguments(bugcheck, parameters, vendor, evidence)
    if record is not None:
        found = _of_record(record, bodies, vendor, checks)
        if found.culprit is not None:
            evidence.note("culprit", "the hardware failed: the processor's maker stands in a module's place")
        return found
    return HardwareError(None, None, None, vendor, None, None, (), tuple(checks), (), (), ()) if checks else None


def _record(target: Target, bugcheck: Bugcheck, parameters: Sequence[int], evidence: Evidence) -> Optional[ErrorRecord]:
    record: Optional[ErrorRecord] = None
    for (number,) in bugcheck.rule("errrec"):
        address = parameters[int(number) - 1]
        try:
            record = read_error_record(target, address)
        except DumpkitError as error:
            evidence.lack("error_record", error)
            continue
        evidence.note("error_record", f"{address:016x}, argument {number}")
        for section in record.sections:
            if section.problem is not None:
                evidence.lack("error_section", f"{section.name or section.type}: {section.problem}")
        for problem in record.problems:
            evidence.lack("error_sections", problem)
    return record


def _of_record(
    record: ErrorRecord, bodies: Sequence[object], vendor: Optional[str], checks: Sequence[MachineCheck]
) -> HardwareError:
    generic = _all(bodies, ProcessorGenericSection)
    devices = [
        DeviceError(each.location, each.port_type, each.aer.errors if each.aer is not None else ())
        for each in _all(bodies, PciExpressSection)
        if each.location is not None
    ]
    devices += [DeviceError(each.location, None, ()) for each in _all(bodies, PciXDeviceSection) if each.location]
    memory = [FailingMemory(each.physical_address, each.error_type, each.place) for each in _all(bodies, MemorySection)]
    words = [
        f"{check.kind}: {', '.join(check.facts)}"
        for section in _all(bodies, XpfProcessorSection)
        for check in section.checks
        if check.facts
    ]
    others = [
        section.name or f"{{{section.type}}}" for section in record.sections if not isinstance(section.body, _TOLD)
    ]
    return HardwareError(
        record.address,
        record.notify_name or f"{{{record.notify}}}",
        SEVERITIES[record.severity] if record.severity < len(SEVERITIES) else None,
        vendor,
        generic[0].processor_id if generic else None,
        (generic[0].error_type or "Unknown") if generic else None,
        tuple(words),
        tuple(checks),
        tuple(devices),
        tuple(memory),
        tuple(others),
    )


def _all(bodies: Sequence[object], kind: Type[T]) -> List[T]:
    return [body for body in bodies if isinstance(body, kind)]


def _of_arguments(
    bugcheck: Bugcheck, parameters: Sequence[int], vendor: Optional[str], evidence: Evidence
) -> List[MachineCheck]:
    """The machine check whose status stands in two arguments."""
    for bank, high, low in bugcheck.rule("mca"):
        value = (parameters[int(high) - 1] & 0xFFFF_FFFF) << 32 | parameters[int(low) - 1] & 0xFFFF_FFFF
        if not value >> 63:
            evidence.lack("machine_check", f"arguments {high} and {low} hold no valid MCi_STATUS")
            continue
        maker = next((number for number, name in VENDOR_NAMES.items() if name == vendor), None)
        evidence.note("machine_check", f"MCi_STATUS in arguments {high} and {low}")
        number = parameters[int(bank) - 1] if int(bank) else None
        return [MachineCheck(None, number, machine_check_status(value, maker), None, None)]
    return []


def _vendor(target: Target, evidence: Evidence) -> Optional[str]:
    """Who made the processor that crashed, by its KPRCB."""
    try:
        prcb = target.type("_KPRCB").at(target.prcb_address(target.current_processor))
        name: str = prcb.VendorString.text()
    except DumpkitError as error:
        evidence.lack("processor_maker", error)
        return None
    if not name.isalnum():
        evidence.lack("processor_maker", "the KPRCB names none")
        return None
    return name
