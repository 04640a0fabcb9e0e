"""A kernel structure in a forged machine: members are set by their paths, in the layout of its Windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, Union

from dumpkit.symbols.types import BitfieldType, RecordType

if TYPE_CHECKING:
    from tests.forge.machine import Machine

_U64 = 0xFFFF_FFFF_FFFF_FFFF


class Structure:
    """A structure at the virtual address `address`.

    thread["Tcb.State"] = 2
    thread["Tcb.WaitBlock[0].Object"] = event      # another Structure: its address
    file["FileName"] = "\\\\Temp\\\\x.txt"         # text for a UNICODE_STRING: allocated
    thread["Tcb.State"]                            # 2
    """

    def __init__(self, machine: Machine, type: str, address: int) -> None:
        self.machine = machine
        self.type = type
        self.address = address & _U64

    def __index__(self) -> int:
        return self.address

    __int__ = __index__

    def __repr__(self) -> str:
        return f"{self.type} at {self.address:016x}"

    @property
    def size(self) -> int:
        """Bytes."""
        return self.machine.layouts.size(self.type)

    def at(self, path: str) -> int:
        """The virtual address of a member."""
        return self.address + self.machine.layouts.offset(self.type, path)

    def __contains__(self, path: str) -> bool:
        try:
            self.machine.layouts.place(self.type, path)
        except KeyError:
            return False
        return True

    def member(self, path: str) -> Structure:
        """An embedded structure. Raises KeyError for a member that is none."""
        offset, type = self.machine.layouts.place(self.type, path)
        if not isinstance(type, RecordType):
            raise KeyError(f"{self.type}.{path} is no structure")
        return Structure(self.machine, type.name, self.address + offset)

    def __getitem__(self, path: str) -> int:
        """A member that is a number."""
        offset, type = self.machine.layouts.place(self.type, path)
        value = int.from_bytes(self.machine.read(self.address + offset, type.size), "little")
        if isinstance(type, BitfieldType):
            return value >> type.position & (1 << type.length) - 1
        return value

    def __setitem__(self, path: str, value: Union[int, str, bytes, Structure]) -> None:
        """Set a member: a number (its low bits where it is larger), bytes as they are, or text for a counted string."""
        offset, type = self.machine.layouts.place(self.type, path)
        place = self.address + offset
        if isinstance(value, bytes):
            if len(value) > type.size:
                raise ValueError(f"{len(value)} bytes for {self.type}.{path}, which has {type.size}")
            self.machine.put(place, value)
        elif isinstance(value, str):
            self.machine.put(place, self.machine.counted_string(value))
        elif isinstance(type, BitfieldType):
            mask = (1 << type.length) - 1
            old = int.from_bytes(self.machine.read(place, type.size), "little")
            new = old & ~(mask << type.position) | (int(value) & mask) << type.position
            self.machine.put(place, new.to_bytes(type.size, "little"))
        else:
            self.machine.put(place, (int(value) & (1 << 8 * type.size) - 1).to_bytes(type.size, "little"))

    def set(self, members: Mapping[str, Union[int, str, bytes, Structure]]) -> Structure:
        """Set several members; itself."""
        for path, value in members.items():
            self[path] = value
        return self
