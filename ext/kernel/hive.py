r"""The registry in memory: hives, their keys and their values.

A hive is a _CMHIVE in CmpHiveListHead's list. Its cells are those of its file ("nk", "vk", "lf" …: Maxim
Suhanov's "Windows registry file format specification"); the maps of its _HHIVE.Storage say where each block of
4 KB is, one for what is stored and one for what is volatile. A cell's number is, from its highest bit down, one
of storage, ten of directory, nine of table and twelve of offset. From Windows 10 1803 on the cells lie in the
address space of the process that CmpRegistryProcess names, which kernel dumps leave out.
"""

from __future__ import annotations

from struct import Struct

from dumpkit.errors import DumpkitError, MemoryReadError
from dumpkit.memory import AddressSpace
from dumpkit.named_tuple import NamedTuple
from dumpkit.objects import MemberError
from dumpkit.output import Hex
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Optional, Tuple, Union

    from typing_extensions import TypeAlias

#: _HHIVE.Signature
_HIVE_SIGNATURE = 0xBEE0BEE0
_NO_CELL = 0xFFFF_FFFF
#: Bits of _HMAP_ENTRY.PermanentBinAddress that are none of the address.
_BIN_FLAGS = 0xF

# What no sane hive goes beyond.
_MOST_HIVES = 1000
_MOST_SUBKEYS = 100_000
_MOST_VALUES = 20_000
_LARGEST_VALUE = 1 << 20
_DEEPEST_PATH = 512
_MOST_LINKS = 8
_MOST_BUCKETS = 0x10000
_MOST_OPEN_KEYS = 100_000

# Key node: signature, flags, time of the last write, parent, subkeys (stored, volatile), their lists, values, list.
_KEY = Struct("<2sHQ4xIIIIIII")
_KEY_NAME = Struct("<H2x")
_KEY_NAME_AT = 0x48
_KEY_SIZE = 0x4C
_IS_LINK = 0x10
_IS_NARROW = 0x20
# Value: signature, size of the name, size of the data, cell of the data, type, flags.
_VALUE = Struct("<2sHIIIH2x")
_VALUE_SIZE = _VALUE.size
_VALUE_IS_NARROW = 1
#: The data of a value lie in the place of their cell's number.
_INLINE = 0x8000_0000
#: The most that one cell holds of a value; more are in a "db" cell.
_LARGEST_SEGMENT = 16344
# The start of a list: signature, entries.
_LIST = Struct("<2sH")

VALUE_TYPES = (
    "REG_NONE",
    "REG_SZ",
    "REG_EXPAND_SZ",
    "REG_BINARY",
    "REG_DWORD",
    "REG_DWORD_BIG_ENDIAN",
    "REG_LINK",
    "REG_MULTI_SZ",
    "REG_RESOURCE_LIST",
    "REG_FULL_RESOURCE_DESCRIPTOR",
    "REG_RESOURCE_REQUIREMENTS_LIST",
    "REG_QWORD",
)
_TEXTS = ("REG_SZ", "REG_EXPAND_SZ", "REG_LINK")

Data: TypeAlias = "Union[str, int, bytes, Tuple[str, ...]]"


class RegistryValue(NamedTuple):
    """A value of a key; `type` is "REG_SZ" and its like, or the number of one without a name."""

    name: str
    type: str
    #: Text, a number, several texts, or the bytes of what is none of these.
    data: Data


class Hive:
    """A hive at the virtual address of its _CMHIVE."""

    def __init__(self, registry: Registry, address: int) -> None:
        self.registry = registry
        self.address = address
        self.record: Any = registry.target.type("_CMHIVE").over(registry.memory).at(address)

    @property
    def path(self) -> str:
        r"""Where it is mounted: `\REGISTRY\MACHINE\SYSTEM`; empty where the hive does not say."""
        path = self._text("HiveRootPath")
        if path:
            return path
        file = self.file.rpartition("\\")[2].upper()
        return f"\\REGISTRY\\MACHINE\\{file}" if file in ("SYSTEM", "SOFTWARE", "SAM", "SECURITY") else ""

    @property
    def file(self) -> str:
        """The path of its file; empty where it has none, as the hive of the hardware."""
        return self._text("FileUserName") or self._text("FileFullPath")

    def _text(self, member: str) -> str:
        record = self.record.get(member)
        try:
            return str(record.text()) if record is not None else ""
        except (MemoryReadError, MemberError):
            return ""

    @property
    def root(self) -> Key:
        """Its topmost key. Raises DumpkitError."""
        signature = self.record.member("Hive.Signature")
        if signature != _HIVE_SIGNATURE:
            raise DumpkitError(f"the hive at {self.address:016x} has the signature {signature:x}: it is none")
        return Key(self, int(self.record.member("Hive.BaseBlock.RootCell")), self.path or self.file)

    def cell(self, number: int) -> int:
        """The virtual address of a cell's data, in the registry's address space. Raises DumpkitError."""
        storage = self.record.Hive.Storage[number >> 31]
        length = int(storage.Length)
        if number & 0x7FFF_FFFF >= length:
            raise DumpkitError(f"cell {number:x} is beyond the end of the hive at {self.address:016x} ({length:x})")
        memory = self.registry.memory
        table = memory.u64(int(storage.Map) + 8 * (number >> 21 & 0x3FF))
        entry_type = self.registry.entry_type
        entry = entry_type.at(table + (number >> 12 & 0x1FF) * entry_type.size)
        if "PermanentBinAddress" in entry_type:
            block = (int(entry.PermanentBinAddress) & ~_BIN_FLAGS) + int(entry.BlockOffset)
        else:
            block = int(entry.BlockAddress)
        # The size of the cell stands before its data.
        return block + (number & 0xFFF) + 4

    def read(self, number: int, size: int) -> bytes:
        """The first bytes of a cell. Raises DumpkitError."""
        return self.registry.memory.read(self.cell(number), size)


class Key:
    r"""A key of a hive; `path` is its whole path as far as it is known (`\REGISTRY\MACHINE\…`)."""

    def __init__(self, hive: Hive, cell: int, path: str) -> None:
        """Raises DumpkitError where the cell cannot be read, or is no key."""
        self.hive = hive
        self.cell = cell
        data = hive.read(cell, _KEY_SIZE)
        signature, self._flags, self.last_write_time, self.parent, *counts = _KEY.unpack_from(data)
        if signature != b"nk":
            raise DumpkitError(f"cell {cell:x} of the hive at {hive.address:016x} is no key")
        self._counts = counts[:2]
        self._lists = counts[2:4]
        self._value_count, self._value_list = counts[4:6]
        (size,) = _KEY_NAME.unpack_from(data, _KEY_NAME_AT)
        name = hive.registry.memory.read(self.address + _KEY_SIZE, size)
        #: The last part of its path.
        self.name = name.decode("latin-1" if self._flags & _IS_NARROW else "utf-16-le", "replace")
        self.path = path

    @property
    def address(self) -> int:
        """The virtual address of its node."""
        return self.hive.cell(self.cell)

    @property
    def is_link(self) -> bool:
        """Whether it stands for another key."""
        return bool(self._flags & _IS_LINK)

    def subkeys(self) -> Iterator[Key]:
        """The keys below it, those that are stored before those that are volatile. Raises DumpkitError."""
        for count, cell in zip(self._counts, self._lists):
            if count and cell != _NO_CELL:
                for number in self._list(cell, min(count, _MOST_SUBKEYS)):
                    key = Key(self.hive, number, "")
                    key.path = f"{self.path}\\{key.name}"
                    yield key

    def _list(self, cell: int, most: int, depth: int = 0) -> List[int]:
        """The cells of the keys in a list of keys, or in one of lists."""
        signature, count = _LIST.unpack(self.hive.read(cell, _LIST.size))
        width = {b"lf": 8, b"lh": 8, b"li": 4, b"ri": 4}.get(signature)
        if width is None or depth > 2:
            raise DumpkitError(f"cell {cell:x} of the hive at {self.hive.address:016x} is no list of keys")
        data = self.hive.read(cell, _LIST.size + width * count)
        numbers = [int.from_bytes(data[at : at + 4], "little") for at in range(_LIST.size, len(data), width)]
        if signature != b"ri":
            return numbers[:most]
        found: List[int] = []
        for number in numbers:
            found += self._list(number, most - len(found), depth + 1)
            if len(found) >= most:
                break
        return found

    def subkey(self, name: str) -> Optional[Key]:
        """The key of a name right below it, in any case; None where there is none. Raises DumpkitError."""
        wanted = name.lower()
        return next((key for key in self.subkeys() if key.name.lower() == wanted), None)

    def values(self) -> Iterator[RegistryValue]:
        """Its values. Raises DumpkitError."""
        if not self._value_count or self._value_list == _NO_CELL:
            return
        count = min(self._value_count, _MOST_VALUES)
        data = self.hive.read(self._value_list, 4 * count)
        for at in range(0, len(data), 4):
            yield self._value(int.from_bytes(data[at : at + 4], "little"))

    def value(self, name: str) -> Optional[RegistryValue]:
        """The value of a name, in any case; None where there is none. Raises DumpkitError."""
        wanted = name.lower()
        return next((value for value in self.values() if value.name.lower() == wanted), None)

    def _value(self, cell: int) -> RegistryValue:
        signature, name_size, size, place, kind, flags = _VALUE.unpack(self.hive.read(cell, _VALUE_SIZE))
        if signature != b"vk":
            raise DumpkitError(f"cell {cell:x} of the hive at {self.hive.address:016x} is no value")
        raw = self.hive.registry.memory.read(self.hive.cell(cell) + _VALUE_SIZE, name_size)
        name = raw.decode("latin-1" if flags & _VALUE_IS_NARROW else "utf-16-le", "replace")
        type_name = VALUE_TYPES[kind] if kind < len(VALUE_TYPES) else f"{kind:x}"
        return RegistryValue(name, type_name, decoded(type_name, self._data(size, place)))

    def _data(self, size: int, place: int) -> bytes:
        if size & _INLINE:
            return place.to_bytes(4, "little")[: size & 7]
        size = min(size, _LARGEST_VALUE)
        if not size:
            return b""
        if size <= _LARGEST_SEGMENT or self.hive.read(place, 2) != b"db":
            return self.hive.read(place, size)
        _, count, segments = Struct("<2sHI").unpack(self.hive.read(place, 8))
        cells = self.hive.read(segments, 4 * count)
        data = b""
        for at in range(0, len(cells), 4):
            most = min(_LARGEST_SEGMENT, size - len(data))
            data += self.hive.read(int.from_bytes(cells[at : at + 4], "little"), most)
        return data


def decoded(type: str, data: bytes) -> Data:
    """The data of a value of a type: text without its NUL, numbers, several texts, or the bytes as they are."""
    if type in _TEXTS:
        return data.decode("utf-16-le", "replace").split("\0", 1)[0]
    if type == "REG_MULTI_SZ":
        return tuple(text for text in data.decode("utf-16-le", "replace").split("\0") if text)
    if (type, len(data)) in (("REG_DWORD", 4), ("REG_QWORD", 8)):
        return Hex(int.from_bytes(data, "little"))
    if (type, len(data)) == ("REG_DWORD_BIG_ENDIAN", 4):
        return Hex(int.from_bytes(data, "big"))
    return data


class Registry:
    """The registry of a target. Raises SymbolError where the kernel's symbols lack what it needs."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._head = target.symbols.address_of("nt!CmpHiveListHead")
        #: Where cells are read: the registry's own address space, where it has one.
        self.memory: AddressSpace = self._memory()
        self.entry_type = target.type("_HMAP_ENTRY").over(self.memory)
        self._hives: Optional[List[Hive]] = None
        #: How the walk along the hives ended, if not at its end.
        self.ended = ""

    def _memory(self) -> AddressSpace:
        from dumpkit.kernel.process import Process, find_process

        target = self.target
        try:
            address = target.memory.u64(target.symbols.address_of("nt!CmpRegistryProcess"))
            process = Process(target, address) if address else None
        except DumpkitError:
            try:
                process = find_process(target, "Registry")
            except DumpkitError:
                process = None
        return process.memory if process is not None else target.memory

    def hives(self) -> List[Hive]:
        """The hives in the order of their list; `ended` then says whether all of it could be walked."""
        if self._hives is None:
            walk = self.target.list(self._head, "_CMHIVE", "HiveList", _MOST_HIVES)
            self._hives = [Hive(self, record.address) for record in walk]
            self.ended = "" if walk.complete else walk.ended or ""
        return self._hives

    def hive_of(self, path: str) -> Tuple[Hive, List[str]]:
        r"""The hive that a path (`\REGISTRY\MACHINE\SYSTEM\…`) is in, and the parts of the path below its root.

        Raises DumpkitError where no hive is mounted on the way.
        """
        wanted = path.upper()
        found: Optional[Tuple[Hive, str]] = None
        for hive in self.hives():
            place = hive.path.upper()
            if (
                place
                and (wanted == place or wanted.startswith(place + "\\"))
                and (not found or len(place) > len(found[1]))
            ):
                found = hive, place
        if found is None:
            behind = f" (the list of hives: {self.ended})" if self.ended else ""
            raise DumpkitError(f"no hive is mounted at {path} or above it{behind}")
        return found[0], [part for part in path[len(found[1]) :].split("\\") if part]

    def open(self, path: str) -> Key:
        r"""The key of a path; links (CurrentControlSet) are followed. Raises DumpkitError: which part is missing."""
        for _ in range(_MOST_LINKS):
            hive, parts = self.hive_of(path)
            key = hive.root
            for index, part in enumerate(parts[:_DEEPEST_PATH]):
                below = key.subkey(part) or self._control_set(key, part)
                if below is None:
                    raise DumpkitError(f"{key.path} has no key {part}")
                key = below
                if key.is_link:
                    link = key.value("SymbolicLinkValue")
                    if link is None or not isinstance(link.data, str):
                        raise DumpkitError(f"{key.path} is a link that leads nowhere")
                    path = "\\".join([link.data, *parts[index + 1 :]])
                    break
            else:
                return key
        raise DumpkitError(f"{path}: links lead on and on")

    @staticmethod
    def _control_set(key: Key, name: str) -> Optional[Key]:
        """CurrentControlSet by what Select says, where its link is not there."""
        select = key.subkey("Select") if name.lower() == "currentcontrolset" else None
        current = select.value("Current") if select is not None else None
        return key.subkey(f"ControlSet{current.data:03d}") if current and isinstance(current.data, int) else None

    def cached_key(self, key: Key) -> Optional[int]:
        """The virtual address of the control block (_CM_KEY_CONTROL_BLOCK) of an open key, or None where it has none.

        Its hive keeps them in a hash table; which bucket is of no matter here.
        """
        try:
            table, size = int(key.hive.record.KcbCacheTable), int(key.hive.record.KcbCacheTableSize)
            blocks = self.target.type("_CM_KEY_CONTROL_BLOCK")
            hashes = self.target.type("_CM_KEY_HASH_TABLE_ENTRY").array(table, size)
            steps = 0
            for bucket in range(min(size, _MOST_BUCKETS)):
                entry = hashes.element(bucket).Entry
                while entry and steps < _MOST_OPEN_KEYS:
                    if int(entry.KeyCell) == key.cell and int(entry.KeyHive) == key.hive.address:
                        return int(blocks.containing(entry.address, "KeyHash").address)
                    entry, steps = entry.NextHash, steps + 1
        except DumpkitError:
            return None
        return None


_COMPUTER_NAME = "\\REGISTRY\\MACHINE\\SYSTEM\\CurrentControlSet\\Control\\ComputerName\\ComputerName"
_PROCESSOR = "\\REGISTRY\\MACHINE\\HARDWARE\\DESCRIPTION\\System\\CentralProcessor\\0"


def _text_of(target: Target, path: str, name: str) -> str:
    value = Registry(target).open(path).value(name)
    if value is None or not isinstance(value.data, str):
        raise DumpkitError(f"{path} has no text {name}")
    return value.data.strip()


def computer_name(target: Target) -> str:
    """The machine's name. Raises DumpkitError, saying what of the registry is not there."""
    return _text_of(target, _COMPUTER_NAME, "ComputerName")


def processor_name(target: Target) -> str:
    """What the first processor calls itself. Raises DumpkitError likewise."""
    return _text_of(target, _PROCESSOR, "ProcessorNameString")
