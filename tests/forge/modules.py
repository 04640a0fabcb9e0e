"""PsLoadedModuleList and the unloaded drivers, from the images that a machine has loaded."""

from __future__ import annotations

from struct import pack_into
from typing import Dict, NamedTuple, Sequence

from tests.forge.machine import Machine
from tests.forge.structure import Structure

_UNLOADED_SIZE, _UNLOADED_COUNT = 0x28, 50


class Unloaded(NamedTuple):
    """An unloaded image: virtual addresses [start, end), file name, FILETIME."""

    start: int
    end: int
    name: str
    time: int = 0


def add_loaded_modules(machine: Machine) -> Dict[str, Structure]:
    """Lay out PsLoadedModuleList in the order of loading; the entries by file name."""
    entries: Dict[str, Structure] = {}
    for image, path in machine.images:
        name = path.rsplit("\\", 1)[-1]
        entry = machine.place("_KLDR_DATA_TABLE_ENTRY")
        entry.set(
            {
                "DllBase": image.base,
                "EntryPoint": image.base + image.rva_of(image.entry_point),
                "SizeOfImage": image.size,
                "FullDllName": path,
                "BaseDllName": name,
                "CheckSum": image.checksum,
                "TimeDateStamp": image.stamp,
                "Flags": 0x49104000,
                "LoadCount": 1,
            }
        )
        entries[name] = entry
    machine.link(machine.address("PsLoadedModuleList"), [each.at("InLoadOrderLinks") for each in entries.values()])
    return entries


def add_unloaded_modules(machine: Machine, images: Sequence[Unloaded]) -> None:
    """Lay out MmUnloadedDrivers, the oldest first (rekall and volatility document its entries)."""
    machine.unloaded = [tuple(image) for image in images]
    array = bytearray(_UNLOADED_COUNT * _UNLOADED_SIZE)
    for number, image in enumerate(images):
        name = machine.counted_string(image.name)
        place = number * _UNLOADED_SIZE
        array[place : place + 16] = name
        pack_into("<QQQ", array, place + 16, image.start, image.end, image.time)
    place = machine.allocate(len(array))
    machine.put(place, bytes(array))
    machine.set_global("MmUnloadedDrivers", place)
    machine.set_global("MmLastUnloadedDriver", len(images), 4)
