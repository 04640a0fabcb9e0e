"""Processes."""

from __future__ import annotations

from typing import Optional

from tests.forge.machine import Machine
from tests.forge.objects import ObjectManager
from tests.forge.structure import Structure

_PROCESS_OBJECT = 3


def add_process(
    machine: Machine,
    name: str,
    pid: int,
    address: Optional[int] = None,
    objects: Optional[ObjectManager] = None,
    *,
    parent: int = 0,
    root: Optional[int] = None,
    path: str = "",
    create_time: int = 0,
    listed: bool = True,
) -> Structure:
    """An EPROCESS; `root` is the physical address of its top page table, by default the kernel's.

    `listed` processes are in PsActiveProcessHead's list. `path` is the image's ("\\\\Device\\\\…"), where it has one.
    """
    process = machine.place("_EPROCESS", address) if objects is None else objects.place("_EPROCESS", address)
    machine.link(process.at("Pcb.ThreadListHead"), ())
    machine.link(process.at("ThreadListHead"), ())
    machine.link(process.at("Pcb.ReadyListHead"), ())
    machine.link(process.at("Pcb.ProfileListHead"), ())
    process.set(
        {
            "Pcb.Header.Type": _PROCESS_OBJECT,
            "Pcb.Header.Size": machine.layouts.size("_KPROCESS") // 4,
            "Pcb.DirectoryTableBase": machine.root if root is None else root,
            "Pcb.BasePriority": 8,
            "UniqueProcessId": pid,
            "InheritedFromUniqueProcessId": parent,
            "CreateTime.QuadPart": create_time,
            "ImageFileName": name.encode()[:14] + b"\0",
            "PriorityClass": 2,
        }
    )
    if path:
        process["SeAuditProcessCreationInfo.ImageFileName"] = _audit_name(machine, path)
    if listed:
        machine.append(machine.address("PsActiveProcessHead"), process.at("ActiveProcessLinks"))
    if objects is not None:
        objects.header(process.address, "Process", pointers=0x10000, handles=1)
    return process


def _audit_name(machine: Machine, path: str) -> int:
    """An OBJECT_NAME_INFORMATION: a UNICODE_STRING that a pointer leads to."""
    place = machine.allocate(16)
    machine.put(place, machine.counted_string(path))
    return place
