"""What is known around a crash: the process, the machine it ran on, what black boxes the dump has."""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.kernel.analysis.evidence import Evidence
from dumpkit.kernel.analysis.key_values import Hypervisor
from dumpkit.kernel.machine import machine_facts
from dumpkit.record import Record
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple

    from dumpkit.kernel.system_va import SystemVaTypes

#: The black boxes, in WinDbg's order, with the command that shows each: tagged data by GUID. No header names the
#: GUIDs; each was told by what its data is in dumps of Windows 10 and 11: the boot status data, whose first word is its
#: size; a buffer of time-out records that is there since the file system started; the Plug and Play manager's last
#: event, with a device and a problem code; the name of what Winlogon did last.
BLACK_BOXES = (
    ("BLACKBOXBSD", "f57308df-cc45-4e01-ad76-29a4ebb010ec", "!blackboxbsd"),
    ("BLACKBOXNTFS", "00afe9c4-940d-4213-8016-cd3719b5bc20", "!blackboxntfs"),
    ("BLACKBOXPNP", "b7631941-532a-4cd6-b1b1-edb5917d4557", "!blackboxpnp"),
    ("BLACKBOXWINLOGON", "80cc79cf-a719-4af1-bf97-fe29ff76ebc1", None),
)

#: (what the firmware's manufacturer and product contain, in lower case, and WinDbg's word for the machine).
_VIRTUAL_MACHINES = (
    ("microsoft corporation", "virtual machine", "HyperV"),
    ("vmware", "", "VMware"),
    ("innotek", "", "VirtualBox"),
    ("", "virtualbox", "VirtualBox"),
    ("qemu", "", "QEMU"),
    ("xen", "", "Xen"),
    ("parallels", "", "Parallels"),
)


_PAGE = 0x1000


class BlackBox(Record):
    """Tagged data that Windows kept for the time after a crash."""

    name: str
    command: Optional[str]
    #: Size in bytes.
    size: int


def black_boxes(target: Target) -> Tuple[BlackBox, ...]:
    """The black boxes that a dump has."""
    found: List[BlackBox] = []
    for name, guid, command in BLACK_BOXES:
        data = target.tagged_data(guid)
        if data:
            found.append(BlackBox(name, command, len(data)))
    return tuple(found)


def virtual_machine(target: Target, hypervisor: Hypervisor, evidence: Evidence) -> Optional[str]:
    """The kind of virtual machine that Windows ran in; None on a physical one, and where nothing tells."""
    facts = machine_facts(target)
    manufacturer = (facts.system_manufacturer or "").lower()
    product = (facts.system_product_name or "").lower()
    if not manufacturer and not product:
        evidence.lack("virtual_machine", "the dump has no SMBIOS table")
        return None
    for maker, name, kind in _VIRTUAL_MACHINES:
        if maker in manufacturer and name in product and (kind != "HyperV" or hypervisor.is_guest is not False):
            evidence.note("virtual_machine", f"SMBIOS: {facts.system_manufacturer}, {facts.system_product_name}")
            return kind
    return None


def process_name(target: Target, evidence: Evidence) -> Optional[str]:
    """The name of the process in whose address space the processor that crashed was."""
    from dumpkit.kernel.process import Process

    try:
        process = Process(target, target.process_address(target.current_processor))
        name = process.name
    except DumpkitError as error:
        evidence.lack("process_name", error)
        return None
    if not name:
        evidence.lack("process_name", f"the process at {process.address:016x} has no name")
        return None
    evidence.note("process_name", f"EPROCESS {process.address:016x}")
    return name


class Regions:
    """The regions of the system's address space, as `pool` calls them."""

    def __init__(self, target: Target, evidence: Evidence) -> None:
        self._target = target
        self._evidence = evidence
        self._types: Optional[SystemVaTypes] = None

    def name(self, address: int) -> str:
        """The name of the region that holds a virtual address; empty where that is Unknown."""
        if address < _PAGE:
            # A null pointer with an offset: no table has to be asked.
            return ""
        from dumpkit.kernel.system_va import UNKNOWN, SystemVaTypes

        if self._types is None:
            self._types = SystemVaTypes(self._target)
        region = self._types.region(address)
        if region.type is None:
            self._evidence.lack("region", region.evidence)
        else:
            self._evidence.note("region", region.evidence)
        return "" if region.name == UNKNOWN else region.name
