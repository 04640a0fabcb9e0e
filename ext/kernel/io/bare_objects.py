"""The driver that has a request, or made a device, where the kernel's symbols are missing.

Layouts: _IRP, IO_STACK_LOCATION, DEVICE_OBJECT and DRIVER_OBJECT for 64-bit processors in wdm.h, where drivers are
built against them: they are the same in every 64-bit Windows. With symbols, `Irp`, `Device` and `Driver` are used.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.target import Target

_IRP_TYPE, _DEVICE_TYPE, _DRIVER_TYPE = 6, 3, 4
#: Offsets in bytes: _IRP.StackCount, .CurrentLocation and .Tail.Overlay.CurrentStackLocation.
_STACK_COUNT, _CURRENT, _LOCATION = 0x42, 0x43, 0xB8
#: IO_STACK_LOCATION.DeviceObject; DEVICE_OBJECT.DriverObject; DRIVER_OBJECT.DriverStart.
_LOCATION_DEVICE, _DEVICE_DRIVER, _DRIVER_START = 0x28, 0x8, 0x18


def device_of_irp(target: Target, address: int) -> int:
    """The virtual address of the device that an IRP is with. Raises DumpkitError."""
    memory = target.memory
    if memory.u16(address) != _IRP_TYPE:
        raise DumpkitError(f"{address:016x} is no IRP")
    count, current = memory.u8(address + _STACK_COUNT), memory.u8(address + _CURRENT)
    if not 0 < current <= count:
        raise DumpkitError("no driver has the IRP")
    return memory.u64(memory.u64(address + _LOCATION) + _LOCATION_DEVICE)


def driver_of_device(target: Target, address: int) -> int:
    """The virtual address of the driver object of a device. Raises DumpkitError."""
    if target.memory.u16(address) != _DEVICE_TYPE:
        raise DumpkitError(f"{address:016x} is no device object")
    return target.memory.u64(address + _DEVICE_DRIVER)


def start_of_driver(target: Target, address: int) -> int:
    """The virtual address of a driver's image, by its driver object. Raises DumpkitError."""
    if target.memory.u16(address) != _DRIVER_TYPE:
        raise DumpkitError(f"{address:016x} is no driver object")
    return target.memory.u64(address + _DRIVER_START)
