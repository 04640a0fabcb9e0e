"""Values of typed memory, decoded as far as the memory is there: what `dt` shows, before it is text.

Unlike `objects`, which the kernel model computes with, nothing here raises for memory that cannot be
read: a value says that it is missing. Everything is decoded when it is asked for, so that a walk over
`-r` levels costs what it prints.
"""

from __future__ import annotations

from dumpkit.errors import SymbolError
from dumpkit.memory import U64_MASK, AddressSpace
from dumpkit.named_tuple import NamedTuple
from dumpkit.numbers import quoted
from dumpkit.objects.decoding import FLOATS, SIGNED_KINDS
from dumpkit.symbols.types import (
    ArrayType,
    BaseType,
    BitfieldType,
    EnumType,
    Member,
    PointerType,
    RecordType,
    Type,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, List, Optional, Union

    from dumpkit.target import Target
    from typing_extensions import TypeAlias

#: A wide string is shown up to so many characters, a narrow one up to so many; the engine's bounds.
WIDE_LIMIT = 1984
NARROW_LIMIT = 4096
#: Blocks this large are read at once when a record is shown.
BLOCK_LIMIT = 0x10000

_STRING_KINDS = frozenset(("char", "uchar", "wchar"))


class Reader:
    """Optional reads of one address space, with the block that is being shown at hand."""

    def __init__(
        self, memory: AddressSpace, place: Callable[[int], str], find: Optional[Callable[[str], Optional[int]]] = None
    ) -> None:
        self.memory = memory
        #: Names an address as the debugger does behind a function pointer: "nt!KiDispatchException+0".
        self.place = place
        #: The virtual address of a static member, by its full name: "SmStore::Count".
        self.find = find
        self._start = 0
        self._block = b""

    def hold(self, address: int, size: int) -> None:
        """Read a block at once; later reads inside it cost nothing."""
        self._start = address
        self._block = self.memory.read_prefix(address, min(size, BLOCK_LIMIT))

    def read(self, address: int, size: int) -> Optional[bytes]:
        """Exactly `size` bytes at a virtual address, or None."""
        address &= U64_MASK
        offset = address - self._start
        if offset >= 0 and offset + size <= len(self._block):
            return self._block[offset : offset + size]
        return self.memory.read_optional(address, size)

    def missing(self, address: int, size: int) -> int:
        """The first address of a range that cannot be read."""
        return (address + len(self.memory.read_prefix(address & U64_MASK, size))) & U64_MASK


class Value:
    """A type, and what is at its address; `address` None means the type alone."""

    __slots__ = ("_known", "_number", "address", "reader", "type")

    def __init__(self, reader: Reader, type: Type, address: Optional[int]) -> None:
        self.reader = reader
        self.type = type
        self.address = None if address is None else address & U64_MASK
        self._known = False
        self._number: Union[int, float, None] = None

    @property
    def number(self) -> Union[int, float, None]:
        """The number of a scalar, enumeration, bitfield or pointer; None where it cannot be read, and for others."""
        if not self._known:
            self._known = True
            self._number = self._decoded()
        return self._number

    def _decoded(self) -> Union[int, float, None]:
        type = self.type
        if self.address is None or not isinstance(type, (BaseType, EnumType, BitfieldType, PointerType)):
            return None
        data = self.reader.read(self.address, type.size)
        if data is None or not type.size:
            return None
        if isinstance(type, BaseType):
            if type.kind == "float":
                layout = FLOATS.get(type.size)
                return None if layout is None else float(layout.unpack(data)[0])
            return int.from_bytes(data, "little", signed=type.kind in SIGNED_KINDS)
        number = int.from_bytes(data, "little", signed=isinstance(type, EnumType) and type.signed)
        if isinstance(type, BitfieldType):
            return number >> type.position & (1 << type.length) - 1
        return number

    @property
    def enumerator(self) -> Optional[str]:
        """The name of an enumeration's value, of a bitfield's too; None where it has none."""
        type = self.type.base if isinstance(self.type, BitfieldType) else self.type
        number = self.number
        return type.name_of(int(number)) if isinstance(type, EnumType) and number is not None else None

    @property
    def target(self) -> Optional[Value]:
        """What a pointer points to; None for other types and for null."""
        if not isinstance(self.type, PointerType):
            return None
        number = self.number
        if self.address is not None and not number:
            return None
        return Value(self.reader, self.type.target, None if number is None else int(number))

    def element(self, index: int) -> Value:
        """An array's element."""
        assert isinstance(self.type, ArrayType)
        element = self.type.element
        address = None if self.address is None else self.address + index * element.size
        return Value(self.reader, element, address)

    @property
    def place(self) -> str:
        """The name of the address, for functions; "" without one."""
        return "" if self.address is None else self.reader.place(self.address)

    @property
    def string(self) -> Optional[str]:
        """The characters of a character array, or at a character's address; None for other types.

        Where they cannot be read, the words that the engine puts between the quotes.
        """
        type = self.type
        count: Optional[int] = None
        if isinstance(type, ArrayType):
            count = type.count
            type = type.element
        if self.address is None or not is_character(type):
            return None
        return read_string(self.reader, self.address, type.size, count)

    @property
    def summary(self) -> Optional[str]:
        """What the engine prints behind a record that it knows ("[ 0x… - 0x… ]" of a list entry), or None."""
        if not isinstance(self.type, RecordType) or self.address is None:
            return None
        summarise = SUMMARIES.get(self.type.name)
        return None if summarise is None else summarise(self.reader, self.type, self.address)

    def members(self, flatten: bool = True) -> Iterator[MemberValue]:
        """A record's members in order; those of base classes in their place unless `flatten` is off."""
        if isinstance(self.type, RecordType):
            for member in self.type.members:
                value = Value(self.reader, member.type, None if self.address is None else self.address + member.offset)
                if member.kind == "static":
                    yield self._static(member)
                    continue
                if member.kind == "base" and flatten:
                    for inner in value.members():
                        yield inner._replace(offset=inner.offset + member.offset)
                else:
                    yield MemberValue(member.name, member.offset, value, member)

    def _static(self, member: Member) -> MemberValue:
        find = self.reader.find
        address = None if find is None else find(f"{self.type.name}::{member.name}")
        value = Value(self.reader, member.type, None if self.address is None else address)
        return MemberValue(member.name, 0, value, member, address)

    def as_data(self, depth: int = 0) -> Any:
        """The value for JSON: numbers, strings, lists and dictionaries; records down to `depth` levels."""
        type = self.type
        if isinstance(type, RecordType):
            if depth < 0:
                return {"type": type.name, "summary": self.summary}
            return {member.name: member.value.as_data(depth - 1) for member in self.members()}
        if isinstance(type, ArrayType):
            text = self.string
            count = min(type.count, 256)
            return [self.element(index).as_data(depth) for index in range(count)] if text is None else text
        if isinstance(type, (EnumType, BitfieldType)) and self.enumerator is not None:
            return {"value": self.number, "name": self.enumerator}
        return self.number


class MemberValue(NamedTuple):
    """A member of a record and its value."""

    name: str
    #: Bytes from the start of the record that it is shown in.
    offset: int
    value: Value
    member: Member
    #: Of a static member: its virtual address, where it is known.
    place: Optional[int] = None


def is_character(type: Type) -> bool:
    """Whether arrays of the type are text. `signed char` is a number to the engine."""
    return isinstance(type, BaseType) and type.kind in _STRING_KINDS and type.name not in ("signed char", "int8_t")


def unreadable(address: int) -> str:
    """The engine's words in the place of a string."""
    return f"--- memory read error at address 0x{quoted(address)} ---"


def read_string(reader: Reader, address: int, size: int, count: Optional[int]) -> str:
    """Text at a virtual address in characters of `size` bytes, up to a NUL, `count` characters or the bound."""
    bound = WIDE_LIMIT if size == 2 else NARROW_LIMIT
    wanted = bound if count is None else min(count, bound)
    data = reader.read(address, wanted * size) or reader.memory.read_prefix(address & U64_MASK, wanted * size)
    if len(data) < size and wanted:
        return unreadable(address)
    data = data[: len(data) // size * size]
    # Half a surrogate pair is an oddity like others, and no reason to lose what comes before.
    text = data.decode("utf-16-le", "surrogatepass") if size == 2 else data.decode("latin-1")
    text = text.split("\0", 1)[0]
    cut = size == 2 and wanted == bound and len(text) >= bound
    return visible(text, size) + ("..." if cut else "")


def visible(text: str, size: int) -> str:
    """Text as the engine shows it: white space as dots, and "???" in the place of the first oddity and the rest."""
    shown: List[str] = []
    for character in text:
        if character in "\t\n\r":
            shown.append(".")
        elif is_visible(ord(character), size):
            shown.append(character)
        else:
            shown.append("???")
            break
    return "".join(shown)


def is_visible(code: int, size: int) -> bool:
    """Whether a character is shown as itself."""
    return 0x20 <= code < 0x7F or (size == 2 and 0xA0 <= code < 0x10000 and chr(code).isprintable())


Summary: TypeAlias = "Callable[[Reader, RecordType, int], Optional[str]]"


def _member_number(reader: Reader, type: RecordType, address: int, name: str) -> Optional[int]:
    found = type.find(name)
    if found is None:
        return None
    number = Value(reader, found[1], address + found[0]).number
    return None if number is None else int(number)


def _list_entry(reader: Reader, type: RecordType, address: int) -> Optional[str]:
    links = [_member_number(reader, type, address, name) for name in ("Flink", "Blink")]
    if None in links:
        return None
    return "[ " + " - ".join(f"0x{quoted(link)}" for link in links if link is not None) + " ]"


def _large_integer(reader: Reader, type: RecordType, address: int) -> Optional[str]:
    number = _member_number(reader, type, address, "QuadPart")
    return None if number is None else hexadecimal(number & U64_MASK)


def _counted_string(reader: Reader, type: RecordType, address: int) -> Optional[str]:
    length = _member_number(reader, type, address, "Length")
    buffer = _member_number(reader, type, address, "Buffer")
    if length is None or buffer is None:
        return ""
    if not buffer:
        return '""'
    found = type.find("Buffer")
    size = found[1].target.size if found is not None and isinstance(found[1], PointerType) else 2
    # A length of 0 is no bound: the engine then shows what the buffer holds.
    return f'"{read_string(reader, buffer, size, (length + size - 1) // size or None)}"'


def _guid(reader: Reader, type: RecordType, address: int) -> Optional[str]:
    data = reader.read(address, 16)
    if data is None:
        return unreadable(reader.missing(address, 16))
    first, second, third = (int.from_bytes(data[a:b], "little") for a, b in ((0, 4), (4, 6), (6, 8)))
    return f"{{{first:08x}-{second:04x}-{third:04x}-{data[8:10].hex()}-{data[10:].hex()}}}"


def _file_time(reader: Reader, type: RecordType, address: int) -> Optional[str]:
    data = reader.read(address, 8)
    if data is None:
        return None
    from dumpkit.clock import Zone, from_filetime

    when = from_filetime(int.from_bytes(data, "little"), Zone())
    # As of a Moment, but without the day of the week and the padding of the day.
    month, day, clock, year = str(when).split()[1:]
    return f"{month} {day} {clock} {year}"


def hexadecimal(number: int) -> str:
    """0x with a back-tick where there are more than 32 bits."""
    return f"0x{quoted(number)}" if number >> 32 else f"0x{number:x}"


#: Records that the engine summarises behind their name.
SUMMARIES: Dict[str, Summary] = {
    "_LIST_ENTRY": _list_entry,
    "_LARGE_INTEGER": _large_integer,
    "_ULARGE_INTEGER": _large_integer,
    "_UNICODE_STRING": _counted_string,
    "_STRING": _counted_string,
    "_ANSI_STRING": _counted_string,
    "_GUID": _guid,
    "_FILETIME": _file_time,
}


def reader_of(target: Target, module: Optional[str] = None) -> Reader:
    """A reader of a target's virtual memory that names functions by its symbols.

    `module` is where the static members of the types that are shown are looked for.
    """

    def place(address: int) -> str:
        location = target.symbols.nearest(address)
        if location is None:
            return f"+{address:x}"
        name = location.module.name if location.name is None else f"{location.module.name}!{location.name}"
        return f"{name}+{location.displacement:x}"

    def find(name: str) -> Optional[int]:
        try:
            return target.symbols.address_of(f"{module}!{name}")
        except SymbolError:
            return None

    return Reader(target.memory, place, None if module is None else find)
