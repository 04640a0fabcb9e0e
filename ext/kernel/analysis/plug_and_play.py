"""The devices that a bugcheck is about, as Plug and Play knows them, and the power requests that are under way.

_TRIAGE_9F_POWER, _TRIAGE_9F_PNP, _TRIAGE_POP_FX_DEVICE and _TRIAGE_DEVICE_NODE are types of the kernel's symbols:
their members lie where those of the structures lie that the kernel has.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.kernel.analysis.evidence import Evidence
from dumpkit.kernel.bugchecks import Bugcheck
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

#: More requests or devices than this are not under way at a time.
_MOST = 256


class PnpDevice(Record):
    """A device by its node in the Plug and Play manager's tree. Addresses are virtual."""

    node: Hex
    #: The physical device object.
    device: Hex
    #: "PCI\\VEN_8086&DEV_1533&…", and the service whose driver it has: "" where it has none.
    instance: str
    service: str


class PowerRequest(Record):
    """A power IRP that is under way. Addresses are virtual."""

    irp: Hex
    #: The physical device object of the stack that it is in.
    device: Hex
    #: The driver that has it; None where that cannot be told.
    driver: Optional[str]


class PlugAndPlay(Record):
    """What Plug and Play and the power manager know of a bugcheck."""

    devices: Tuple[PnpDevice, ...]
    power_requests: Tuple[PowerRequest, ...]


class PlugAndPlayFinder:
    """Reads what the arguments of one bugcheck lead to."""

    def __init__(self, target: Target, parameters: Sequence[int], evidence: Evidence) -> None:
        self._target = target
        self._parameters = parameters
        self._evidence = evidence
        self._devices: List[PnpDevice] = []
        self._requests: List[PowerRequest] = []

    def find(self, bugcheck: Bugcheck) -> Optional[PlugAndPlay]:
        """All that is known; None where the bugcheck is about no device, or nothing can be read."""
        ways: Dict[str, Callable[[int], None]] = {
            "device": self._of_device,
            "fx": self._of_power_framework,
            "pnp": self._of_manager,
            "power": self._of_power_manager,
        }
        for way, number in bugcheck.rule("pnp"):
            address = self._parameters[int(number) - 1]
            if not address:
                continue
            try:
                ways[way](address)
            except DumpkitError as error:
                self._evidence.lack(f"pnp_{way}", f"argument {number} ({address:016x}): {error}")
            else:
                self._evidence.note(f"pnp_{way}", f"argument {number} ({address:016x})")
        if not self._devices and not self._requests:
            return None
        return PlugAndPlay(tuple(self._devices), tuple(self._requests))

    def _of_device(self, address: int) -> None:
        """The node of a physical device object."""
        from dumpkit.kernel.io.device import Device

        device = Device(self._target, address)
        if not device.is_device:
            raise DumpkitError("it is no device object")
        if not device.device_node:
            raise DumpkitError("it has no node in the tree of devices")
        self._node(device.device_node)

    def _of_power_framework(self, address: int) -> None:
        """The node of a device that the power framework manages."""
        self._node(int(self._target.type("_TRIAGE_POP_FX_DEVICE").at(address).DeviceNode))

    def _of_manager(self, address: int) -> None:
        """The nodes of the devices that the Plug and Play manager waits for."""
        queue = self._target.type("_TRIAGE_9F_PNP").at(address).CompletionQueue
        head = self._target.type("_TRIAGE_PNP_DEVICE_COMPLETION_QUEUE").at(int(queue)).address_of("DispatchedList")
        for request in self._walk(head, "_TRIAGE_PNP_DEVICE_COMPLETION_REQUEST", "ListEntry"):
            self._node(int(request.DeviceNode))

    def _of_power_manager(self, address: int) -> None:
        """The power requests that are under way."""
        from dumpkit.kernel.io.irp import Irp

        head = int(self._target.type("_TRIAGE_9F_POWER").at(address).IrpList)
        for request in self._walk(head, "_TRIAGE_POP_IRP_DATA", "Link"):
            irp = Irp(self._target, int(request.Irp))
            driver: Optional[str] = None
            try:
                driver = (irp.driver_name or None) if irp.is_irp else None
            except DumpkitError as error:
                self._evidence.lack("power_request", error)
            self._requests.append(PowerRequest(Hex(irp.address), Hex(int(request.Pdo)), driver))

    def _walk(self, head: int, type: str, member: str) -> List[Any]:
        if not head:
            return []
        walk = self._target.list(head, type, member, _MOST)
        found = list(walk)
        if not walk.complete:
            self._evidence.lack("pnp_list", f"the list at {head:016x}: {walk.ended}")
        return found

    def _node(self, address: int) -> None:
        node = self._target.type("_TRIAGE_DEVICE_NODE").at(address)
        instance, service = node.InstancePath.text(), node.ServiceName.text()
        self._devices.append(PnpDevice(Hex(address), Hex(int(node.PhysicalDeviceObject)), instance, service))
