"""Driver objects: names, dispatch routines and devices.

Layout: _DRIVER_OBJECT in the kernel's symbols.
"""

from __future__ import annotations

from dumpkit.errors import MemoryReadError
from dumpkit.kernel.io.public_types import io_type
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Optional, Tuple

    from dumpkit.kernel.io.device import Device

#: IO_TYPE_DRIVER (wdm.h): what _DRIVER_OBJECT.Type holds.
IO_TYPE_DRIVER = 4
#: Devices of one driver: a list beyond this is damaged.
_MOST_DEVICES = 20_000


class DriverDevices(NamedTuple):
    """The devices that a driver made, the newest first, and why the list is not whole, or None."""

    devices: List[Device]
    damage: Optional[str]


class Driver:
    """A driver object by its virtual address. Properties raise MemoryReadError where the memory is not there."""

    def __init__(self, target: Target, address: int) -> None:
        self.target = target
        self.address = int(address)
        self.record: Any = io_type(target, "_DRIVER_OBJECT").at(self.address)

    @property
    def is_driver(self) -> bool:
        """Whether it says of itself that it is a driver object."""
        return bool(self.record.Type == IO_TYPE_DRIVER)

    @property
    def name(self) -> str:
        """The full name: `\\Driver\\disk`, `\\FileSystem\\Ntfs`."""
        return str(self.record.DriverName.text())

    @property
    def short_name(self) -> str:
        """The last part of the name: `disk`."""
        return self.name.rpartition("\\")[2]

    @property
    def start(self) -> int:
        """The virtual address of its image."""
        return int(self.record.DriverStart)

    @property
    def dispatch_routines(self) -> Tuple[int, ...]:
        """The virtual addresses of the routines by major function, from IRP_MJ_CREATE on."""
        return tuple(int(routine) for routine in self.record.MajorFunction)

    @property
    def fast_io_routines(self) -> Iterator[Tuple[str, int]]:
        """The names and virtual addresses of the fast I/O routines that it has; none where it has no table."""
        table = self.record.FastIoDispatch
        if not table:
            return
        size = table.SizeOfFastIoDispatch
        for member in table.type.members:
            if member.offset and member.offset + 8 <= size:
                routine = int(getattr(table, member.name))
                if routine:
                    yield member.name, routine

    def devices(self) -> DriverDevices:
        """The devices that it made; bounded, loops found."""
        from dumpkit.kernel.io.device import Device

        found: List[Device] = []
        seen = set()
        place = int(self.record.DeviceObject)
        while place:
            if place in seen or len(found) == _MOST_DEVICES:
                return DriverDevices(found, f"the list of devices loops at {place:016x}")
            seen.add(place)
            device = Device(self.target, place)
            try:
                following = int(device.record.NextDevice)
            except MemoryReadError as error:
                return DriverDevices(found, f"the list of devices ends at {place:016x}: {error.reason}")
            found.append(device)
            place = following
        return DriverDevices(found, None)
