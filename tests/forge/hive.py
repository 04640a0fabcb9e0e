"""Registry hives in a forged machine: cells as in a hive's file, and the structures by which the kernel finds them.

hive = Hive()
hive.root("SYSTEM", [folder("Select", values=[("Current", REG_DWORD, 1)]), …])
hive.place(machine, 0x1B6E0000000, "\\\\REGISTRY\\\\MACHINE\\\\SYSTEM", tables)

Source of the cells: Maxim Suhanov's "Windows registry file format specification".
"""

from __future__ import annotations

from struct import pack
from typing import List, NamedTuple, Optional, Sequence, Tuple, Union

from tests.forge.machine import Machine
from tests.forge.memory import PAGE_SIZE
from tests.forge.page_tables import PageTables
from tests.forge.structure import Structure

REG_SZ, REG_EXPAND_SZ, REG_BINARY, REG_DWORD, REG_LINK, REG_MULTI_SZ, REG_QWORD = 1, 2, 3, 4, 6, 7, 11
NO_CELL = 0xFFFFFFFF
_VOLATILE = 0x80000000
_LINK, _NARROW = 0x10, 0x20
_MOST_IN_A_CELL = 16344
_SIGNATURE = 0xBEE0BEE0

Value = Tuple[str, int, Union[str, int, bytes, Sequence[str]]]


class Folder(NamedTuple):
    """A key: its name, its values, the keys below it, whether it is volatile, and the form of the list of keys."""

    name: str
    values: Sequence[Value] = ()
    keys: Sequence[Folder] = ()
    volatile: bool = False
    list: str = "lh"
    link: bool = False


def folder(name: str, *keys: Folder, values: Sequence[Value] = (), **facts: bool) -> Folder:
    """A key with keys below it."""
    return Folder(name, values, keys, **facts)  # type: ignore[arg-type]


def value_bytes(kind: int, data: Union[str, int, bytes, Sequence[str]]) -> bytes:
    """The data of a value as they are stored."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, int):
        return data.to_bytes(8 if kind == REG_QWORD else 4, "little")
    if isinstance(data, str):
        return (data if kind == REG_LINK else data + "\0").encode("utf-16-le")
    return "".join(text + "\0" for text in [*data, ""]).encode("utf-16-le")


class Hive:
    """The cells of a hive, in one bin for each of its storages."""

    def __init__(self) -> None:
        self.storages = [bytearray(b"hbin" + bytes(28)), bytearray(b"hbin" + bytes(28))]
        #: The number of the topmost key's cell.
        self.root_cell = NO_CELL

    def cell(self, data: bytes, volatile: bool = False) -> int:
        """A new cell; its number."""
        storage = self.storages[volatile]
        number = len(storage)
        size = -(-(len(data) + 4) // 8) * 8
        storage += pack("<i", -size) + data.ljust(size - 4, b"\0")
        return number | (_VOLATILE if volatile else 0)

    def root(self, name: str, keys: Sequence[Folder] = (), values: Sequence[Value] = ()) -> int:
        """The topmost key."""
        self.root_cell = self.key(Folder(name, values, keys))
        return self.root_cell

    def key(self, key: Folder) -> int:
        """A key with all below it; its cell."""
        below: List[List[int]] = [[], []]
        for each in key.keys:
            below[each.volatile].append(self.key(each))
        lists = [self._list(cells, key.list, bool(index)) if cells else NO_CELL for index, cells in enumerate(below)]
        values = [self._value(each, key.volatile) for each in key.values]
        value_list = self.cell(pack(f"<{len(values)}I", *values), key.volatile) if values else NO_CELL
        narrow = key.name.isascii()
        name = key.name.encode("latin-1" if narrow else "utf-16-le")
        head = pack("<2sHQII", b"nk", _NARROW * narrow | _LINK * key.link, 0x1DA26B0A32B7330, 0, 0)
        counts = pack("<6I", len(below[0]), len(below[1]), *lists, len(values), value_list)
        data = (head + counts).ljust(0x48, b"\0") + pack("<HH", len(name), 0) + name
        return self.cell(data, key.volatile)

    def _list(self, cells: Sequence[int], kind: str, volatile: bool) -> int:
        if kind == "ri":
            parts = [self._list(cells[at : at + 2], "li", volatile) for at in range(0, len(cells), 2)]
            return self.cell(b"ri" + pack("<H", len(parts)) + pack(f"<{len(parts)}I", *parts), volatile)
        entries = b"".join(pack("<I", cell) + (b"hash" if kind in ("lf", "lh") else b"") for cell in cells)
        return self.cell(kind.encode() + pack("<H", len(cells)) + entries, volatile)

    def _value(self, value: Value, volatile: bool) -> int:
        name, kind, data = value
        raw = value_bytes(kind, data)
        if len(raw) <= 4:
            size, place = len(raw) | 0x80000000, int.from_bytes(raw, "little")
        elif len(raw) > _MOST_IN_A_CELL:
            pieces = [raw[at : at + _MOST_IN_A_CELL] for at in range(0, len(raw), _MOST_IN_A_CELL)]
            cells = [self.cell(piece, volatile) for piece in pieces]
            table = self.cell(pack(f"<{len(cells)}I", *cells), volatile)
            size, place = len(raw), self.cell(b"db" + pack("<HI", len(cells), table), volatile)
        else:
            size, place = len(raw), self.cell(raw, volatile)
        narrow = name.isascii()
        text = name.encode("latin-1" if narrow else "utf-16-le")
        return self.cell(pack("<2sHIIIHH", b"vk", len(text), size, place, kind, narrow, 0) + text, volatile)

    def place(
        self, machine: Machine, address: int, path: str, tables: Optional[PageTables] = None, file: str = ""
    ) -> Structure:
        """The _CMHIVE, its cells from a virtual address on in `tables` (the kernel's where None).

        The machine's layouts must have the structures of the registry (`layouts/registry_*.txt`).
        """
        hive = machine.place("_CMHIVE")
        base = machine.place("_HBASE_BLOCK")
        base.set({"Signature": 0x66676572, "RootCell": self.root_cell, "Length": len(self.storages[0])})
        hive.set({"Hive.Signature": _SIGNATURE, "Hive.BaseBlock": base.address})
        for number, storage in enumerate(self.storages):
            length = -(-len(storage) // PAGE_SIZE) * PAGE_SIZE
            place = address + number * 0x10000000
            (tables or machine.tables).map_bytes(place, bytes(storage).ljust(length, b"\0"))
            hive.set(
                {
                    f"Hive.Storage[{number}].Length": length,
                    f"Hive.Storage[{number}].Map": self._map(machine, place, length // PAGE_SIZE),
                }
            )
        if path:
            hive["HiveRootPath"] = path
        if file:
            hive["FileUserName"] = file
        machine.append(machine.address("CmpHiveListHead"), hive.at("HiveList"))
        return hive

    @staticmethod
    def _map(machine: Machine, place: int, blocks: int) -> int:
        size = machine.layouts.size("_HMAP_ENTRY")
        table = machine.allocate(512 * size)
        for block in range(blocks):
            entry = machine.view("_HMAP_ENTRY", table + block * size)
            # The low bits of the address of a bin are flags.
            entry.set({"BlockOffset": block * PAGE_SIZE, "PermanentBinAddress": place | 3})
        directory = machine.allocate(1024 * 8)
        machine.put_u64(directory, table)
        return directory


def address_space(machine: Machine) -> PageTables:
    """Page tables of another process: its own user half, the kernel's as it is now."""
    tables = PageTables(machine.memory, self_map=machine.self_map)
    kernel_half = machine.memory.read(machine.root + 0x800, 0x800)
    assert kernel_half is not None
    machine.memory.write(tables.root + 0x800, kernel_half)
    machine.memory.write_u64(tables.root + machine.self_map * 8, tables.table_entry(tables.root // PAGE_SIZE))
    return tables
