"""`sysinfo`: what the firmware and the kernel say of the machine.

Format: public transcripts of !sysinfo machineid, cpuinfo and cpuspeed.
"""

from __future__ import annotations

from dumpkit.errors import CommandError, DumpkitError
from dumpkit.kernel.processor_key import PROCESSOR_KEY_TAG, registry_values
from dumpkit.kernel.smbios import SMBIOS_TAG, Smbios, firmware_table
from dumpkit.output import Line
from dumpkit.record import Record
from dumpkit.registry import Word, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, Optional, Tuple, Union

_USAGE = "sysinfo machineid|cpuinfo|cpuspeed"
_SUBJECTS = ("machineid", "cpuinfo", "cpuspeed")
#: What machineid shows, in its order; serial numbers are not among it.
_MACHINE = (
    "BiosVendor",
    "BiosVersion",
    "BiosReleaseDate",
    "SystemManufacturer",
    "SystemProductName",
    "SystemFamily",
    "SystemVersion",
    "SystemSKU",
    "BaseBoardManufacturer",
    "BaseBoardProduct",
    "BaseBoardVersion",
)


class SystemFacts(Record):
    """What was asked for: names and values."""

    subject: str
    #: Of the machine's SMBIOS table: (major, minor).
    smbios_version: Optional[Tuple[int, int]]
    #: Names as the debugger has them; those that the machine does not give are left out.
    facts: Tuple[Tuple[str, str], ...]


def system_lines(result: SystemFacts) -> Iterator[Line]:
    if result.subject == "machineid":
        major, minor = result.smbios_version or (0, 0)
        yield f"Machine ID Information [From Smbios {major}.{minor}]"
    elif result.subject == "cpuinfo":
        yield "[CPU Information]"
    for name, value in result.facts:
        yield f"{name + ':':<13} {value}" if result.subject == "cpuspeed" else f"{name} = {value}"


@command(
    "sysinfo",
    category="Kernel",
    summary="The machine: firmware, maker, board, processor, speed",
    arguments=(Word("subject", "machineid, cpuinfo or cpuspeed", True, holds="nothing"),),
    render=system_lines,
)
def sysinfo(session: Session, subject: str) -> SystemFacts:
    """Shows what the firmware says of the machine (machineid), or of its processor (cpuinfo, cpuspeed).

    It comes from the SMBIOS table that Windows writes behind a dump, or from memory where a complete dump holds it.
    """
    subject = subject.lower()
    if subject not in _SUBJECTS:
        raise CommandError(f"sysinfo: '{subject}' is not shown: {', '.join(_SUBJECTS)}", _USAGE)
    target = session.dump
    if subject == "machineid":
        table = Smbios(_table(target))
        facts = table.facts()
        found = tuple((name, facts[name]) for name in _MACHINE if name in facts)
        if not found:
            raise DumpkitError("the dump's SMBIOS table says nothing of the machine")
        return SystemFacts(subject, table.version, found)
    return SystemFacts(subject, None, tuple(_processor(target, subject).items()))


def _table(target: Target) -> bytes:
    table = target.tagged_data(SMBIOS_TAG)
    if table is not None:
        return table
    try:
        return firmware_table(target)
    except DumpkitError as error:
        raise DumpkitError(f"the machine's SMBIOS table is not in the dump: {error}") from error


def _processor(target: Target, subject: str) -> Dict[str, str]:
    """The facts of the first processor. Raises DumpkitError where nothing of it is there."""
    key = target.tagged_data(PROCESSOR_KEY_TAG)
    values = registry_values(key) if key is not None else {}
    if not values:
        values = _by_prcb(target)
    if subject == "cpuinfo":
        return {name: _written(name, value) for name, value in values.items()}
    name, speed = str(values.get("ProcessorNameString", "")).strip(), values.get("~MHz")
    found = {"CPUID": f'"{name}"'} if name else {}
    # The name ends in the speed that the processor is sold with.
    whole, dot, part = name.rpartition("@")[2].partition("GHz")[0].strip().partition(".")
    if "@" in name and dot and (whole + part).isdigit():
        found["MaxSpeed"] = str(int(whole) * 1000 + int(f"{part:0<3}"[:3]))
    if isinstance(speed, int):
        found["CurrentSpeed"] = str(speed)
    return found


def _written(name: str, value: Union[str, int, bytes]) -> str:
    """A value of the processor's key with its type in front."""
    if isinstance(value, str):
        return f"REG_SZ {value}"
    if isinstance(value, int):
        return f"REG_DWORD {value}"
    if name == "MSR8B":
        return f"REG_QWORD {int.from_bytes(value, 'little'):x}"
    kind = "REG_FULL_RESOURCE_DESCRIPTOR" if name == "Configuration Data" else "REG_BINARY"
    return f"{kind} {','.join(f'{byte:x}' for byte in value)}"


def _by_prcb(target: Target) -> Dict[str, Union[str, int, bytes]]:
    """What the first processor's KPRCB says, by the names of the key's values."""
    try:
        prcb = target.type("_KPRCB").at(target.prcb_address(0))
        vendor, family, step = prcb.VendorString.text(), int(prcb.CpuType) & 0xFF, int(prcb.CpuStep)
        maker = "AMD64" if "AMD" in vendor else "Intel64"
        identifier = f"{maker} Family {family} Model {step >> 8} Stepping {step & 0xFF}"
        return {"~MHz": int(prcb.MHz), "Identifier": identifier, "VendorIdentifier": vendor}
    except DumpkitError as error:
        raise DumpkitError(f"the processor's description is not in the dump: {error}") from error
