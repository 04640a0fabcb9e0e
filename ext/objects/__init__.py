"""Typed views of a target's memory: records whose members are attributes.

    thread = target.type("_KTHREAD").at(address)
    thread.WaitReason                      an EnumValue: an int with .name
    thread.ApcState.Process                the _KPROCESS pointed to, nothing of it read yet
    thread.member("ApcState.Process.Header.Type")
    "SystemProcess" in process.type

What an attribute gives, by the member's type: integers, characters, bits and pointers to anything but
records are plain ints; enumerations EnumValue; floats float; records and pointers to records Record
(a null pointer is a Record that is false); arrays Array. Every address is virtual. Reads are strict:
MemoryReadError where a byte is missing; `get` gives None instead.
"""

from __future__ import annotations

from struct import Struct, error

from dumpkit.errors import MemoryReadError, SymbolError
from dumpkit.memory import U64_MASK, AddressSpace
from dumpkit.objects.decoding import Decoder, EnumValue, decoder
from dumpkit.symbols.types import ArrayType, BaseType, EnumType, PointerType, RecordType, Type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Union

    from dumpkit.objects.lists import ListWalk

#: A record up to this size is read at once; a larger one member by member.
WHOLE_READ = 0x1000
#: `Array` and text reads are bounded by this many bytes, whatever a type or a length field claims.
READ_LIMIT = 1 << 24

#: Members that the headers declare as bytes although they hold an enumeration.
ENUMERATED = {
    ("_KTHREAD", "State"): "_KTHREAD_STATE",
    ("_KTHREAD", "WaitReason"): "_KWAIT_REASON",
    ("_DISPATCHER_HEADER", "Type"): "_KOBJECTS",
}


class MemberError(SymbolError, AttributeError):
    """A type has no member of that name."""


class Space:
    """The memory and the types that a family of views shares, and what was learnt of its types.

    `find_type` gives a type of the kernel by name, or raises SymbolError.
    """

    def __init__(self, memory: AddressSpace, find_type: Callable[[str], Type]) -> None:
        self.memory = memory
        self.find_type = find_type
        self.plans: Dict[RecordType, Dict[str, Callable[[Record], Any]]] = {}

    def complete(self, record: RecordType) -> RecordType:
        """The definition of a record that its own symbol file only declares, where the kernel has one."""
        if record.size or record.members or not record.name:
            return record
        try:
            found = self.find_type(record.name)
        except SymbolError:
            return record
        return found if isinstance(found, RecordType) else record

    def enumeration(self, record: str, member: str) -> Optional[EnumType]:
        """The enumeration that a member declared as a byte holds, or None."""
        name = ENUMERATED.get((record, member))
        if name is None:
            return None
        try:
            found = self.find_type(name)
        except SymbolError:
            return None
        return found if isinstance(found, EnumType) else None

    def value(self, type: Type, address: int) -> Any:
        """What an attribute of `type` at a virtual address gives. Raises MemoryReadError."""
        decode = decoder(type)
        if decode is not None:
            return decode(self.memory.read(address, type.size), 0)
        if isinstance(type, PointerType):
            target = type.target
            pointer = int.from_bytes(self.memory.read(address, type.size), "little")
            return Record(self, self.complete(target), pointer) if isinstance(target, RecordType) else pointer
        if isinstance(type, RecordType):
            return Record(self, self.complete(type), address)
        if isinstance(type, ArrayType):
            return Array(self, type, address)
        return address


class Record:
    """A struct or union at a virtual address. A member is an attribute, unnamed records' members included."""

    __slots__ = ("_data", "_plan", "_space", "address", "type")

    def __init__(self, space: Space, type: RecordType, address: int, data: Optional[bytes] = None) -> None:
        self._space = space
        self._data = data
        self.type = type
        self.address = address & U64_MASK
        plan = space.plans.get(type)
        if plan is None:
            plan = space.plans[type] = {}
        self._plan = plan

    def __getattr__(self, name: str) -> Any:
        access = self._plan.get(name)
        if access is None:
            access = self._plan[name] = self._learn(name)
        return access(self)

    def _learn(self, name: str) -> Callable[[Record], Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        found = self.type.find(name)
        if found is None:
            raise MemberError(f"{self.type.name or 'unnamed type'} has no member {name}")
        offset, type = found
        enumeration = self._space.enumeration(self.type.name, name)
        if enumeration is not None and isinstance(type, BaseType):
            type = EnumType(enumeration.name, type.size, False, lambda: enumeration.enumerators)
        decode = decoder(type)
        if decode is not None:
            return _number_access(offset, type.size, decode)
        if isinstance(type, PointerType):
            return _pointer_access(offset, type)
        if isinstance(type, RecordType):
            return _record_access(offset, type)
        return lambda record: record._space.value(type, record.address + offset)

    def _whole(self) -> bytes:
        """The record's bytes as far as they are there, read once; none where it is too large for that."""
        data = self._data
        if data is None:
            size = self.type.size
            data = self._space.memory.read_prefix(self.address, size) if size <= WHOLE_READ else b""
            self._data = data
        return data

    def member(self, path: str) -> Any:
        """A member by path: "ApcState.Process.Header", "Values[3]"; pointers are followed on the way."""
        value: Any = self
        position = 0
        for step in path.replace("[", ".[").removeprefix(".").split("."):
            if step.startswith("[") and step.endswith("]") and step[1:-1].isdecimal():
                is_known = isinstance(value, Array)
                value = value.element(int(step[1:-1])) if is_known else None
            elif step and "[" not in step and "]" not in step:
                is_known = isinstance(value, Record)
                value = value.__getattr__(step) if is_known else None
            else:
                raise MemberError(f"{path} is no path of members")
            if not is_known:
                raise MemberError(f"{path[:position]} has no members: {path} leads nowhere")
            position = path.index(step, position) + len(step)
        return value

    def get(self, path: str, default: Any = None) -> Any:
        """As `member`, but `default` where the type has no such member or its memory cannot be read."""
        try:
            return self.member(path)
        except (MemberError, MemoryReadError):
            return default

    def address_of(self, path: str) -> int:
        """The virtual address of a member, by a path through embedded records. Raises MemberError."""
        return (self.address + offset_of(self.type, path)) & U64_MASK

    def text(self) -> str:
        """The characters of a counted string (UNICODE_STRING, STRING). Raises MemoryReadError, MemberError."""
        length = min(self.Length, READ_LIMIT)
        found = self.type.find("Buffer")
        if found is None or not isinstance(found[1], PointerType):
            raise MemberError(f"{self.type.name} is no counted string")
        element = found[1].target.size
        buffer = self.Buffer
        raw = self._space.memory.read(int(buffer), length) if length else b""
        return raw.decode("utf-16-le" if element == 2 else "latin-1", "replace")

    def bytes(self) -> bytes:
        """The record's bytes. Raises MemoryReadError."""
        return self._space.memory.read(self.address, min(self.type.size, READ_LIMIT))

    def iterate(self, type: str, member: str, limit: int = 100_000, strict: bool = False) -> ListWalk:
        """The records of a list that this _LIST_ENTRY (or _SINGLE_LIST_ENTRY) heads; see `ListWalk`."""
        from dumpkit.objects.lists import ListWalk

        return ListWalk(BoundType(self._space, self._space.find_type(type)), self.address, member, limit, strict)

    def __contains__(self, name: object) -> bool:
        return name in self.type

    def __bool__(self) -> bool:
        return self.address != 0

    def __index__(self) -> int:
        return self.address

    __int__ = __index__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and (self.address, self.type.name) == (other.address, other.type.name)

    def __hash__(self) -> int:
        return hash(self.address)

    def __format__(self, specification: str) -> str:
        return format(self.address, specification) if specification else str(self)

    def __repr__(self) -> str:
        return f"{self.type.name or '<unnamed>'} at {self.address:016x}"

    def __dir__(self) -> List[str]:
        from dumpkit.symbols.types import flat_members

        return [*object.__dir__(self), *(member.name for member in flat_members(self.type))]


def _number_access(offset: int, size: int, decode: Decoder) -> Callable[[Record], Any]:
    def access(record: Record) -> Any:
        try:
            return decode(record._data or record._whole(), offset)
        except error:
            return decode(record._space.memory.read(record.address + offset, size), 0)

    return access


def _pointer_access(offset: int, type: PointerType) -> Callable[[Record], Any]:
    size = type.size
    layout = Struct("<Q" if size == 8 else "<I")
    whole: List[Optional[RecordType]] = []

    def access(record: Record) -> Any:
        if not whole:
            # Only now: the target may be in a table that the look-up of the member alone need not touch.
            target = type.target
            whole.append(record._space.complete(target) if isinstance(target, RecordType) else None)
        try:
            pointer: int = layout.unpack_from(record._data or record._whole(), offset)[0]
        except error:
            pointer = int.from_bytes(record._space.memory.read(record.address + offset, size), "little")
        return pointer if whole[0] is None else Record(record._space, whole[0], pointer)

    return access


def _record_access(offset: int, type: RecordType) -> Callable[[Record], Any]:
    size = type.size

    def access(record: Record) -> Any:
        part = record._whole()[offset : offset + size]
        inner = part if part and len(part) == size else None
        return Record(record._space, record._space.complete(type), record.address + offset, inner)

    return access


class Array:
    """Elements in a row at a virtual address. An index beyond `len` raises IndexError, `element` looks there."""

    __slots__ = ("_space", "address", "type")

    def __init__(self, space: Space, type: ArrayType, address: int) -> None:
        self._space = space
        self.type = type
        self.address = address & U64_MASK

    def __len__(self) -> int:
        return self.type.count

    def element(self, index: int) -> Any:
        """The element at `index`, whatever the declared count: for arrays declared as [1] or []."""
        element = self.type.element
        return self._space.value(element, self.address + index * element.size)

    def __getitem__(self, index: Union[int, slice]) -> Any:
        if isinstance(index, slice):
            return [self.element(at) for at in range(*index.indices(self.type.count))]
        count = self.type.count
        if not -count <= index < count:
            raise IndexError(f"index {index} of an array of {count}")
        return self.element(index % count)

    def __iter__(self) -> Iterator[Any]:
        element, count = self.type.element, self.type.count
        decode = decoder(element)
        size = element.size
        if decode is not None and count * size <= READ_LIMIT:
            data = self._space.memory.read(self.address, count * size)
            return iter([decode(data, at * size) for at in range(count)])
        return map(self.element, range(count))

    def bytes(self) -> bytes:
        """The array's bytes. Raises MemoryReadError."""
        return self._space.memory.read(self.address, min(self.type.size, READ_LIMIT))

    def text(self) -> str:
        """The characters before the first NUL. Raises MemoryReadError."""
        raw = self.bytes()
        text = raw.decode("utf-16-le" if self.type.element.size == 2 else "latin-1", "replace")
        return text.split("\0", 1)[0]

    def __repr__(self) -> str:
        return f"[{self.type.count}] at {self.address:016x}"


class BoundType:
    """A type together with the memory that holds objects of it."""

    __slots__ = ("space", "type")

    def __init__(self, space: Space, type: Type) -> None:
        self.space = space
        self.type = space.complete(type) if isinstance(type, RecordType) else type

    @property
    def name(self) -> str:
        return self.type.name

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.type.size

    def over(self, memory: AddressSpace) -> BoundType:
        """The same type over another address space: that of another process."""
        return BoundType(Space(memory, self.space.find_type), self.type)

    def __contains__(self, name: object) -> bool:
        return isinstance(self.type, RecordType) and name in self.type

    def at(self, address: int) -> Any:
        """The object at a virtual address: a Record, or the value of a type that is no record."""
        if isinstance(self.type, RecordType):
            return Record(self.space, self.type, int(address))
        return self.space.value(self.type, int(address))

    def offset(self, path: str) -> int:
        """The offset in bytes of a member, by a path through embedded records. Raises MemberError."""
        return offset_of(self.type, path)

    def containing(self, address: int, path: str) -> Record:
        """The record whose member `path` is at a virtual address (CONTAINING_RECORD)."""
        if not isinstance(self.type, RecordType):
            raise MemberError(f"{self.name} has no members")
        return Record(self.space, self.type, int(address) - self.offset(path))

    def array(self, address: int, count: int) -> Array:
        """`count` objects in a row from a virtual address on."""
        type = self.type
        return Array(self.space, ArrayType(lambda: type, count, count * type.size), int(address))

    def value(self, number: int) -> EnumValue:
        """The enumeration's value for a number. Raises SymbolError where the type is no enumeration."""
        if not isinstance(self.type, EnumType):
            raise SymbolError(f"{self.name} is no enumeration")
        return EnumValue(self.type, number)

    @property
    def values(self) -> Mapping[str, int]:
        """Enumerator -> number; empty where the type is no enumeration."""
        return dict(self.type.enumerators) if isinstance(self.type, EnumType) else {}

    def __repr__(self) -> str:
        return f"type {self.name or '<unnamed>'}, {self.size:#x} bytes"


def offset_of(type: Type, path: str) -> int:
    """The offset in bytes of a member, by a path through embedded records. Raises MemberError."""
    found = type.path(path) if isinstance(type, RecordType) else None
    if found is None:
        raise MemberError(f"{type.name or 'unnamed type'} has no member {path}")
    return found[0]
