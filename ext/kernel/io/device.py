"""Device objects: whose they are, what lies above and below them, and their names.

Layout: _DEVICE_OBJECT and _DEVOBJ_EXTENSION in the kernel's symbols; flags and device types from wdm.h and ntifs.h.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.kernel.io.driver import Driver
from dumpkit.kernel.io.public_types import io_type
from dumpkit.kernel.object_header import KernelObject
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional

#: IO_TYPE_DEVICE (wdm.h): what _DEVICE_OBJECT.Type holds.
IO_TYPE_DEVICE = 3
#: A device's StackSize is a signed byte: no stack is deeper.
_DEEPEST = 128


class DeviceStack(NamedTuple):
    """The devices of a stack, the topmost first, and why it is not whole, or None."""

    devices: List[Device]
    damage: Optional[str]


class Device:
    """A device object by its virtual address. Properties raise MemoryReadError where the memory is not there."""

    def __init__(self, target: Target, address: int) -> None:
        self.target = target
        self.address = int(address)
        self.record: Any = io_type(target, "_DEVICE_OBJECT").at(self.address)

    @property
    def is_device(self) -> bool:
        """Whether it says of itself that it is a device object."""
        return bool(self.record.Type == IO_TYPE_DEVICE)

    @property
    def driver(self) -> Driver:
        """The driver that made it."""
        return Driver(self.target, int(self.record.DriverObject))

    @property
    def name(self) -> Optional[str]:
        """Its name in its directory ("NTPNP_PCI0011"), or None where it has none."""
        return KernelObject(self.target, self.address).name

    @property
    def extension(self) -> Any:
        """Its _DEVOBJ_EXTENSION; false where it has none."""
        return self.record.DeviceObjectExtension

    @property
    def attached_device(self) -> Optional[Device]:
        """The device above it, or None."""
        above = int(self.record.AttachedDevice)
        return Device(self.target, above) if above else None

    @property
    def attached_to(self) -> Optional[Device]:
        """The device below it, or None. Its extension says so; raises MemberError in a Windows that does not."""
        extension = self.extension
        below = int(extension.AttachedTo) if extension else 0
        return Device(self.target, below) if below else None

    @property
    def device_node(self) -> int:
        """The virtual address of the Plug and Play node of a bus's device, or 0."""
        extension = self.extension
        return int(extension.get("DeviceNode", 0)) if extension else 0

    @property
    def stack(self) -> DeviceStack:
        """The whole stack that it is part of; bounded, loops found."""
        below, damage_below = self._follow("attached_to")
        above, damage_above = self._follow("attached_device")
        return DeviceStack([*reversed(above), self, *below], damage_above or damage_below)

    def _follow(self, way: str) -> DeviceStack:
        found: List[Device] = []
        seen = {self.address}
        device: Device = self
        while True:
            try:
                following: Optional[Device] = getattr(device, way)
            except DumpkitError as error:
                return DeviceStack(found, f"beyond {device.address:016x}: {error}")
            if following is None:
                return DeviceStack(found, None)
            if following.address in seen or len(found) == _DEEPEST:
                return DeviceStack(found, f"the stack loops at {following.address:016x}")
            seen.add(following.address)
            found.append(following)
            device = following
