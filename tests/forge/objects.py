"""The object manager's side of objects: headers, names, types, the object directory."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from tests.forge.machine import Machine
from tests.forge.structure import Structure

#: Optional headers in the order of their bits in InfoMask; a lower bit lies nearer to the header.
_OPTIONAL = (
    (0x01, "_OBJECT_HEADER_CREATOR_INFO"),
    (0x02, "_OBJECT_HEADER_NAME_INFO"),
    (0x04, "_OBJECT_HEADER_HANDLE_INFO"),
    (0x08, "_OBJECT_HEADER_QUOTA_INFO"),
    (0x10, "_OBJECT_HEADER_PROCESS_INFO"),
)
_NAME = 0x02
#: Bytes in front of an object: an OBJECT_HEADER and every optional one fit.
_ROOM = 0xC0
#: The variable that points to the type's object, for those that have one.
_TYPE_VARIABLES = {
    "Process": "PsProcessType", "Thread": "PsThreadType", "File": "IoFileObjectType", "Driver": "IoDriverObjectType",
    "Device": "IoDeviceObjectType", "Event": "ExEventObjectType", "Mutant": "ExMutantObjectType",
    "Semaphore": "ExSemaphoreObjectType", "Type": "ObpTypeObjectType",
}  # fmt: skip
#: The first build that mixes a cookie and the header's address into the type's index.
_FIRST_WITH_COOKIE = 10240
#: Name -> index, as Windows 10 and 11 number them.
TYPES = {
    "Type": 2, "Directory": 3, "SymbolicLink": 4, "Token": 5, "Process": 7, "Thread": 8, "Event": 16, "Mutant": 17,
    "Semaphore": 19, "Timer": 21, "Driver": 34, "Device": 33, "File": 37, "Key": 44,
}  # fmt: skip


class ObjectManager:
    """Object types, headers and names of a machine. `cookie` is ObHeaderCookie."""

    def __init__(self, machine: Machine, cookie: int = 0x5A) -> None:
        self.machine = machine
        self.cookie = cookie
        self.types: Dict[str, Structure] = {}
        #: The objects that were created with a name: type, name, object.
        self.named: List[Tuple[str, str, Structure]] = []
        if machine.build >= _FIRST_WITH_COOKIE:
            machine.set_global("ObHeaderCookie", cookie, 1)
        machine.set_global("ObpInfoMaskToOffset", self._mask_offsets())
        for name, index in TYPES.items():
            self._add_type(name, index)

    def _mask_offsets(self) -> bytes:
        sizes = [(bit, self.machine.layouts.size(type)) for bit, type in _OPTIONAL]
        return bytes(sum(size for bit, size in sizes if mask & bit) & 0xFF for mask in range(0x100))

    def _add_type(self, name: str, index: int) -> None:
        machine = self.machine
        type = self.place("_OBJECT_TYPE")
        self.types[name] = type
        machine.link(type.at("TypeList"), ())
        type.set({"Name": name, "Index": index, "Key": int.from_bytes((name + "    ")[:4].encode(), "little")})
        machine.put_u64(machine.address("ObTypeIndexTable") + 8 * index, type.address)
        if name in _TYPE_VARIABLES:
            machine.set_global(_TYPE_VARIABLES[name], type)
        self.header(type.address, "Type", name)

    def header(
        self, body: int, type: str, name: Optional[str] = None, handles: int = 0, pointers: int = 1, directory: int = 0
    ) -> Structure:
        """Put an object's header in front of the object at a virtual address; the header."""
        machine = self.machine
        # The type's last member is the object's own first word.
        size = machine.layouts.offset("_OBJECT_HEADER", "Body")
        header = machine.view("_OBJECT_HEADER", body - size)
        machine.put(header.address, bytes(size))
        index = TYPES[type]
        if machine.build >= _FIRST_WITH_COOKIE:
            index ^= header.address >> 8 & 0xFF ^ self.cookie
        header.set({"PointerCount": pointers, "HandleCount": handles, "TypeIndex": index})
        if name is not None:
            header["InfoMask"] = _NAME
            info = machine.place(
                "_OBJECT_HEADER_NAME_INFO", header.address - machine.layouts.size("_OBJECT_HEADER_NAME_INFO")
            )
            info.set({"Directory": directory, "Name": name, "ReferenceCount": 1})
        return header

    def header_of(self, body: int) -> Structure:
        """The header of an object at a virtual address."""
        return self.machine.view("_OBJECT_HEADER", body - self.machine.layouts.offset("_OBJECT_HEADER", "Body"))

    def create(
        self, structure: str, type: str, name: Optional[str] = None, address: Optional[int] = None, behind: int = 0
    ) -> Structure:
        """A new object with its header: a structure on the heap, `behind` bytes kept behind it, or at an address."""
        body = self.place(structure, address, behind)
        self.header(body.address, type, name)
        if name is not None:
            self.named.append((type, name, body))
        return body

    def place(self, structure: str, address: Optional[int] = None, behind: int = 0) -> Structure:
        """A structure on the heap, with room for headers in front of it, or at a virtual address."""
        machine = self.machine
        if address is None:
            address = machine.allocate(machine.layouts.size(structure) + _ROOM + behind) + _ROOM
        return machine.place(structure, address)
