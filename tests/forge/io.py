"""The I/O manager's structures: drivers, devices, files, IRPs."""

from __future__ import annotations

from typing import Mapping, NamedTuple, Optional, Sequence

from tests.forge.machine import Machine
from tests.forge.objects import ObjectManager
from tests.forge.structure import Structure

_DRIVER, _DEVICE, _FILE, _IRP = 4, 3, 5, 6


class StackLocation(NamedTuple):
    """An IO_STACK_LOCATION: a major function (IRP_MJ_*), and the objects that it is about."""

    major: int
    device: Optional[Structure] = None
    file: Optional[Structure] = None
    minor: int = 0
    flags: int = 0
    control: int = 0
    completion: int = 0
    context: int = 0


def add_driver(
    machine: Machine,
    objects: ObjectManager,
    name: str,
    base: int,
    size: int,
    routines: Mapping[int, int],
    default: int,
    address: Optional[int] = None,
    unload: int = 0,
) -> Structure:
    """A DRIVER_OBJECT ("\\\\FileSystem\\\\Ntfs"); `routines` are its dispatch routines by major function."""
    driver = objects.create("_DRIVER_OBJECT", "Driver", name.rsplit("\\", 1)[-1], address)
    extension = machine.place("_DRIVER_EXTENSION")
    extension["DriverObject"] = driver
    driver.set(
        {
            "Type": _DRIVER,
            "Size": driver.size,
            "Flags": 0x12,
            "DriverStart": base,
            "DriverSize": size,
            "DriverExtension": extension,
            "DriverName": name,
            "DriverUnload": unload,
        }
    )
    for major in range(28):
        driver[f"MajorFunction[{major}]"] = routines.get(major, default)
    return driver


def add_device(
    machine: Machine,
    objects: ObjectManager,
    driver: Structure,
    device_type: int,
    name: Optional[str] = None,
    address: Optional[int] = None,
    extension_size: int = 0,
    attached_to: Optional[Structure] = None,
    stack_size: int = 1,
) -> Structure:
    """A DEVICE_OBJECT of a driver, with its extension behind it; `attached_to` is the device that it lies upon."""
    device = objects.create("_DEVICE_OBJECT", "Device", name, address, extension_size)
    size = device.size
    behind = machine.place("_DEVOBJ_EXTENSION", machine.allocate(0x200))
    behind["DeviceObject"] = device
    device.set(
        {
            "Type": _DEVICE,
            "Size": size + extension_size,
            "ReferenceCount": 1,
            "DriverObject": driver,
            "NextDevice": driver["DeviceObject"],
            "Flags": 0x40,
            "DeviceType": device_type,
            "StackSize": stack_size,
            "DeviceObjectExtension": behind,
        }
    )
    if extension_size:
        device["DeviceExtension"] = device.address + size
        machine.put(device.address + size, bytes(extension_size))
    if attached_to is not None:
        attached_to["AttachedDevice"] = device
        behind["AttachedTo"] = attached_to
    driver["DeviceObject"] = device
    return device


def add_file(
    machine: Machine,
    objects: ObjectManager,
    device: Structure,
    name: str,
    address: Optional[int] = None,
    access: str = "",
) -> Structure:
    """A FILE_OBJECT; `access` has r, w, d for what it was opened for."""
    file = objects.create("_FILE_OBJECT", "File", None, address)
    file.set(
        {
            "Type": _FILE,
            "Size": file.size,
            "DeviceObject": device,
            "Vpb": device["Vpb"],
            "FileName": name,
            "ReadAccess": int("r" in access),
            "WriteAccess": int("w" in access),
            "DeleteAccess": int("d" in access),
            "Flags": 0x2,
        }
    )
    machine.link(file.at("IrpList"), ())
    return file


def add_irp(
    machine: Machine,
    thread: Optional[Structure],
    locations: Sequence[StackLocation],
    current: int,
    address: Optional[int] = None,
    members: Optional[Mapping[str, int]] = None,
) -> Structure:
    """An IRP with its stack locations, the lowest driver's first; `current` is counted from 1 as CurrentLocation is.

    With a thread it is in the thread's list.
    """
    size = machine.layouts.size("_IRP")
    step = machine.layouts.size("_IO_STACK_LOCATION")
    total = size + step * len(locations)
    place = machine.allocate(total) if address is None else address
    machine.put(place, bytes(total))
    irp = machine.view("_IRP", place)
    at = place + size + step * (current - 1)
    irp.set(
        {
            "Type": _IRP,
            "Size": total,
            "StackCount": len(locations),
            "CurrentLocation": current,
            "Tail.Overlay.CurrentStackLocation": at,
        }
    )
    for index, location in enumerate(locations):
        _put_location(machine.view("_IO_STACK_LOCATION", place + size + step * index), location)
    file = locations[current - 1].file if current <= len(locations) else None
    if file is not None:
        irp["Tail.Overlay.OriginalFileObject"] = file
    if thread is not None:
        irp["Tail.Overlay.Thread"] = thread
        machine.append(thread.at("IrpList"), irp.at("ThreadListEntry"))
    else:
        machine.link(irp.at("ThreadListEntry"), ())
    return irp.set(members or {})


def _put_location(place: Structure, location: StackLocation) -> None:
    place.set(
        {
            "MajorFunction": location.major,
            "MinorFunction": location.minor,
            "Flags": location.flags,
            "Control": location.control,
            "DeviceObject": location.device or 0,
            "FileObject": location.file or 0,
            "CompletionRoutine": location.completion,
            "Context": location.context,
        }
    )
