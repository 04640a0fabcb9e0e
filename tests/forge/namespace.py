"""The object manager's namespace and the handle tables: directories, links, registry keys by name, handles."""

from __future__ import annotations

from struct import pack
from typing import Dict, Mapping, NamedTuple, Optional

from tests.forge.machine import Machine
from tests.forge.objects import ObjectManager
from tests.forge.structure import Structure

_BUCKETS = 37
_PAGE = 0x1000
_ENTRY = 0x10
_PER_LEAF = _PAGE // _ENTRY
_PER_PAGE = _PAGE // 8


class Namespace:
    """The directories of a machine; the root exists."""

    def __init__(self, objects: ObjectManager) -> None:
        self.objects = objects
        self.machine: Machine = objects.machine
        self.root = objects.create("_OBJECT_DIRECTORY", "Directory", "\\")
        self.machine.set_global("ObpRootDirectoryObject", self.root)
        self.directories: Dict[str, Structure] = {"": self.root}

    def directory(self, path: str) -> Structure:
        """A directory by its path ("\\\\Device"), made with those above it where it is not there."""
        made = self.directories.get(path)
        if made is None:
            above, _, name = path.rpartition("\\")
            parent = self.directory(above)
            made = self.directories[path] = self.objects.create("_OBJECT_DIRECTORY", "Directory", name)
            self._enter(parent, made, name)
        return made

    def enter(self, path: str, object: Structure) -> None:
        """Put an object that was created with a name into a directory."""
        header = self.objects.header_of(object.address)
        info = self.machine.view(
            "_OBJECT_HEADER_NAME_INFO", header.address - self.machine.layouts.size("_OBJECT_HEADER_NAME_INFO")
        )
        name = self.machine.read(info["Name.Buffer"], info["Name.Length"]).decode("utf-16-le")
        self._enter(self.directory(path), object, name)

    def _enter(self, directory: Structure, object: Structure, name: str) -> None:
        machine = self.machine
        header = self.objects.header_of(object.address)
        size = machine.layouts.size("_OBJECT_HEADER_NAME_INFO")
        machine.view("_OBJECT_HEADER_NAME_INFO", header.address - size)["Directory"] = directory
        bucket = sum(name.upper().encode("utf-16-le")) % _BUCKETS
        entry = machine.place("_OBJECT_DIRECTORY_ENTRY")
        entry.set({"Object": object, "ChainLink": directory[f"HashBuckets[{bucket}]"]})
        directory[f"HashBuckets[{bucket}]"] = entry

    def link(self, path: str, name: str, target: str) -> Structure:
        """A symbolic link in a directory."""
        made = self.objects.create("_OBJECT_SYMBOLIC_LINK", "SymbolicLink", name)
        made["LinkTarget"] = target
        self._enter(self.directory(path), made, name)
        return made


def add_namespace(objects: ObjectManager) -> Namespace:
    """The namespace with every driver and device that was created with a name, drivers where their full names say."""
    known = list(objects.named)
    namespace = Namespace(objects)
    for type, _, object in known:
        if type == "Driver":
            place, length = object["DriverName.Buffer"], object["DriverName.Length"]
            full = objects.machine.read(place, length).decode("utf-16-le")
            namespace.enter(full.rpartition("\\")[0], object)
        elif type == "Device":
            namespace.enter("\\Device", object)
    return namespace


def add_key(machine: Machine, objects: ObjectManager, path: str) -> Structure:
    """A registry key by its path ("\\\\REGISTRY"): the object that a handle leads to, and its control blocks."""
    parent = 0
    for name in path.strip("\\").split("\\"):
        block = machine.place("_CM_KEY_CONTROL_BLOCK")
        data = name.encode("latin-1")
        names = machine.allocate(machine.layouts.size("_CM_NAME_CONTROL_BLOCK") + len(data))
        named = machine.view("_CM_NAME_CONTROL_BLOCK", names)
        named.set({"Compressed": 1, "NameLength": len(data)})
        machine.put(named.at("Name"), data)
        block.set({"ParentKcb": parent, "NameBlock": names})
        parent = block.address
    body = objects.create("_CM_KEY_BODY", "Key")
    body["KeyControlBlock"] = parent
    return body


class Entry(NamedTuple):
    """A handle: the object, the access that was granted, and the attributes (1 protect, 2 inherit, 4 audit)."""

    object: Structure
    access: int = 0x1F0003
    attributes: int = 0


def add_handle_table(
    objects: ObjectManager,
    handles: Mapping[int, Entry],
    process: Optional[Structure] = None,
    level: int = 0,
    bare: bool = False,
) -> Structure:
    """A handle table with `level` pages of pointers above its leaves.

    With a process it is the process's; `bare` entries lead to objects, not to their headers, as PspCidTable's do.
    """
    machine = objects.machine
    table = machine.place("_HANDLE_TABLE")
    leaves: Dict[int, int] = {}
    for handle, entry in sorted(handles.items()):
        number = handle // 4
        if not number % _PER_LEAF:
            raise ValueError(f"handle {handle:#x} is the first of a page, which stands for none")
        leaf = leaves.get(number // _PER_LEAF)
        if leaf is None:
            leaf = leaves[number // _PER_LEAF] = machine.allocate(_PAGE, _PAGE)
            # Free entries lead to the next one.
            for index in range(1, _PER_LEAF):
                machine.put_u64(leaf + index * _ENTRY, 0, 4 * (number // _PER_LEAF * _PER_LEAF + index + 1))
        place = leaf + number % _PER_LEAF * _ENTRY
        pointer = entry.object.address if bare else objects.header_of(entry.object.address).address
        low = 1 | 0x7FFC << 1 | entry.attributes << 17 | (pointer >> 4 & (1 << 44) - 1) << 20
        machine.put(place, pack("<QQ", low, entry.access))
    last = max(leaves, default=0)
    table.set(
        {
            "TableCode": _root(machine, leaves, level) | level,
            "NextHandleNeedingPool": 4 * _PER_LEAF * (last + 1),
            "UniqueProcessId": 0 if process is None else process["UniqueProcessId"],
            "QuotaProcess": process or 0,
            "FreeLists[0].HandleCount": len(handles),
        }
    )
    if process is not None:
        process["ObjectTable"] = table
    return table


def _root(machine: Machine, leaves: Mapping[int, int], level: int) -> int:
    pages = dict(leaves)
    for _ in range(level):
        above: Dict[int, int] = {}
        for number, page in pages.items():
            if number // _PER_PAGE not in above:
                above[number // _PER_PAGE] = machine.allocate(_PAGE, _PAGE)
            machine.put_u64(above[number // _PER_PAGE] + 8 * (number % _PER_PAGE), page)
        pages = above
    return pages.get(0, 0)
