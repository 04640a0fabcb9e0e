"""Objects of the object manager: the header in front of each, its type, name and counts.

    thread = KernelObject(target, address)
    thread.type.name            "Thread"
    thread.name                 None where it has none
    thread.path                 "\\\\Device\\\\Tcp"

Layout: _OBJECT_HEADER and its optional headers in the kernel's symbols. Since Windows 10 the type's index is
mixed with a cookie (ObHeaderCookie) and the second byte of the header's address; Windows 7 has the bare index,
and what was before a pointer to the type.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, MemoryReadError, SymbolError
from dumpkit.named_tuple import NamedTuple
from dumpkit.objects import Record, Space
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional

#: Optional headers by their bits in InfoMask, the nearest to the header first (ntoskrnl's public symbols).
OPTIONAL_HEADERS = (
    (0x01, "CreatorInfo", "_OBJECT_HEADER_CREATOR_INFO"),
    (0x02, "NameInfo", "_OBJECT_HEADER_NAME_INFO"),
    (0x04, "HandleInfo", "_OBJECT_HEADER_HANDLE_INFO"),
    (0x08, "QuotaInfo", "_OBJECT_HEADER_QUOTA_INFO"),
    (0x10, "ProcessInfo", "_OBJECT_HEADER_PROCESS_INFO"),
    (0x20, "AuditInfo", "_OBJECT_HEADER_AUDIT_INFO"),
    (0x40, "ExtendedInfo", "_OBJECT_HEADER_EXTENDED_INFO"),
)
#: Before Windows 7 the header says itself how far in front of it each lies.
_OFFSET_MEMBERS = (
    ("NameInfo", "NameInfoOffset"),
    ("HandleInfo", "HandleInfoOffset"),
    ("QuotaInfo", "QuotaInfoOffset"),
)
_MOST_TYPES = 0x100
#: Directories in directories: no namespace is deeper.
_DEEPEST = 64
#: No type has a longer name, in bytes.
_LONGEST_TYPE_NAME = 0x80


class ObjectType(NamedTuple):
    """A type of objects: the virtual address of its _OBJECT_TYPE, its name and its number in ObTypeIndexTable."""

    address: int
    name: str
    number: int


class OptionalHeader(NamedTuple):
    """A header in front of an object's header: its short name, its type, and its virtual address."""

    name: str
    type: str
    address: int


class ObjectTypes:
    """The object types of a kernel, read from ObTypeIndexTable as they are asked for."""

    def __init__(self, target: Target, space: Space) -> None:
        #: The types and the memory that this is about.
        self.space = space
        self._target = target
        self._known: Dict[int, ObjectType] = {}
        self._table: Optional[int] = None
        self._cookie: Optional[int] = None
        self._cookie_known = False

    def of(self, header: Record) -> ObjectType:
        """The type that an _OBJECT_HEADER says. Raises DumpkitError where it is no type's, or cannot be read."""
        if "TypeIndex" not in header.type:
            return self._at(int(header.Type))
        index = header.TypeIndex
        cookie = self.cookie
        if cookie is not None:
            index ^= cookie ^ (header.address >> 8 & 0xFF)
        return self.numbered(index)

    @property
    def cookie(self) -> Optional[int]:
        """The byte that indices are mixed with, or None in a Windows that has none. Raises MemoryReadError."""
        if not self._cookie_known:
            try:
                place: Optional[int] = self._target.symbols.address_of("nt!ObHeaderCookie")
            except SymbolError:
                place = None
            self._cookie = None if place is None else self._target.memory.u8(place)
            self._cookie_known = True
        return self._cookie

    def numbered(self, index: int) -> ObjectType:
        """The type of an index. Raises DumpkitError where there is none, or it cannot be read."""
        known = self._known.get(index)
        if known is None:
            if self._table is None:
                self._table = self._target.symbols.address_of("nt!ObTypeIndexTable")
            found = self._at(self._target.memory.u64(self._table + 8 * index))
            if found.number != index:
                raise DumpkitError(f"entry {index:#x} of ObTypeIndexTable is no object type")
            known = self._known[index] = found
        return known

    def __iter__(self) -> Iterator[ObjectType]:
        """Every type that can be read, by index."""
        for index in range(2, _MOST_TYPES):
            try:
                yield self.numbered(index)
            except SymbolError:
                raise
            except DumpkitError:
                continue

    def named(self, name: str) -> ObjectType:
        """The type of a name, in any case. Raises DumpkitError where there is none, or none can be read."""
        wanted = name.lower()
        count = 0
        for type in self:
            count += 1
            if type.name.lower() == wanted:
                return type
        if not count:
            # Says why: the first entry's reason is every entry's.
            self.numbered(2)
        raise DumpkitError(f"'{name}' is no type of objects")

    def _at(self, address: int) -> ObjectType:
        record = self._target.type("_OBJECT_TYPE").at(address)
        name = record.Name
        if address >> 47 != 0x1FFFF or not 0 < name.Length <= _LONGEST_TYPE_NAME:
            raise DumpkitError(f"no object type is at {address:016x}")
        return ObjectType(address, name.text(), record.Index)


def object_types(target: Target) -> ObjectTypes:
    """The object types of a target. Raises SymbolError where it has no symbols."""
    space = target.type("_OBJECT_TYPE").space
    types: Optional[ObjectTypes] = target.__dict__.get("_object_types")
    # Other symbols come with another space.
    if types is None or types.space is not space:
        types = target.__dict__["_object_types"] = ObjectTypes(target, space)
    return types


class KernelObject:
    """An object by the virtual address of its body. What it says of itself is read when asked for.

    Properties raise MemoryReadError where the dump lacks the memory, and SymbolError where it has no symbols.
    """

    def __init__(self, target: Target, address: int) -> None:
        self.target = target
        self.address = int(address)
        #: The header, a typed view of _OBJECT_HEADER; virtual address `header.address`.
        self.header: Any = target.type("_OBJECT_HEADER").containing(self.address, "Body")

    @property
    def type(self) -> ObjectType:
        """The object's type. Raises DumpkitError where what the header says is no type."""
        return object_types(self.target).of(self.header)

    @property
    def type_name(self) -> Optional[str]:
        """The name of the type, or None where it is not known."""
        try:
            return self.type.name
        except DumpkitError:
            return None

    @property
    def handle_count(self) -> int:
        """How many handles are open."""
        return int(self.header.HandleCount)

    @property
    def pointer_count(self) -> int:
        """The header's count of references: from Windows 8 on handles hold 32768 each, not all of them used up."""
        return int(self.header.PointerCount)

    @property
    def optional_headers(self) -> List[OptionalHeader]:
        """The optional headers, the nearest to the header first."""
        if "InfoMask" not in self.header.type:
            return self._by_offset_members()
        found = []
        mask = self.header.InfoMask
        distance = 0
        for bit, name, type in OPTIONAL_HEADERS:
            if not mask & bit:
                continue
            try:
                distance += self.target.type(type).size
            except SymbolError:
                # What is in front of a header that the symbols lack is not known.
                break
            found.append(OptionalHeader(name, type, self.header.address - distance))
        return found

    def _by_offset_members(self) -> List[OptionalHeader]:
        types = {name: type for _, name, type in OPTIONAL_HEADERS}
        found = []
        for name, member in _OFFSET_MEMBERS:
            offset = self.header.get(member)
            if offset:
                found.append(OptionalHeader(name, types[name], self.header.address - offset))
        return found

    def optional_header(self, name: str) -> Optional[Any]:
        """A typed view of an optional header ("NameInfo"), or None where the object has none."""
        for header in self.optional_headers:
            if header.name == name:
                return self.target.type(header.type).at(header.address)
        return None

    @property
    def name(self) -> Optional[str]:
        """The name in its directory, or None where it has none (files and keys carry theirs themselves)."""
        info = self.optional_header("NameInfo")
        if info is None:
            return None
        return str(info.Name.text()) or None

    @property
    def directory(self) -> int:
        """The virtual address of the directory that names it, or 0."""
        info = self.optional_header("NameInfo")
        return 0 if info is None else int(info.Directory)

    @property
    def path(self) -> Optional[str]:
        """The full path of its name, or None where it has none; "..." leads it where a directory cannot be read."""
        name = self.name
        if name is None:
            return None
        steps: List[str] = [name]
        seen = {self.address}
        place = self.directory
        while place and place not in seen and len(steps) < _DEEPEST:
            seen.add(place)
            parent = KernelObject(self.target, place)
            try:
                step, place = parent.name, parent.directory
            except MemoryReadError:
                return "\\".join(["...", *reversed(steps)])
            # The root's own name is the back-slash.
            if step is not None and step != "\\":
                steps.append(step)
        return "\\" + "\\".join(reversed(steps)) if name != "\\" else "\\"
