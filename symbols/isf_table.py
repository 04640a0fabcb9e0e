"""The packed form of an ISF table: arrays of 32-bit words that are searched where they lie.

dumpkit's own layout, private to the cache: a directory of (offset, size) pairs, then the sections, each
padded to four bytes. Words are in the machine's byte order (`isf_cache` refuses a foreign one). Names are
offsets into a blob of NUL-terminated UTF-8 strings. Type nodes refer only to nodes before them, so that
following them always ends.
"""

from __future__ import annotations

from bisect import bisect_right
from struct import Struct, error

from dumpkit.errors import SymbolError
from dumpkit.functions import cached_property
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Iterable, Iterator, List, Optional, Tuple

SECTIONS = (
    "facts",  # "key=value" lines in UTF-8
    "strings",
    "rva",  # of each symbol, ascending
    "name",  # of each symbol, as the linker knew it
    "by_name",  # symbol numbers in the order of their names' bytes
    "place_rva",  # one for each place that has a name to show, ascending
    "place_symbol",  # number of the symbol that names it
    "types",  # TYPE_WORDS words a type, in the order of the names' bytes
    "members",  # (name, offset, node) a member; (name, low word, high word) an enumerator
    "nodes",  # NODE_WORDS words a node
)
TYPE_WORDS = 5
MEMBER_WORDS = 3
NODE_WORDS = 4

# Kinds of node: (kind, a, b, size)
NODE_BASE = 0  # a: name, b: index in BASE_KINDS
NODE_POINTER = 1  # a: node
NODE_ARRAY = 2  # a: node, b: count
NODE_BITFIELD = 3  # a: node, b: position << 8 | length
NODE_NAMED = 4  # a: name of a record or enumeration, b: index in TYPE_KINDS
NODE_FUNCTION = 5

BASE_KINDS = ("void", "int", "uint", "char", "uchar", "wchar", "bool", "float", "hresult")
TYPE_KINDS = ("struct", "union", "class", "enum")
#: Added to the kind of an enumeration whose base type is signed.
ENUM_SIGNED = 0x100

DIRECTORY = Struct(f"={2 * len(SECTIONS)}I")


class TypeRow(NamedTuple):
    """A record or enumeration: `first` and `length` select its rows in `members`."""

    name: int
    #: Index in TYPE_KINDS, perhaps with ENUM_SIGNED.
    kind: int
    size: int
    first: int
    length: int


def _is_decorated(linkage: bytes) -> bool:
    """Whether a symbol is shown otherwise than linked, but for a leading underscore."""
    return linkage[:1] == b"?" or b"@" in linkage


class Table:
    """A packed table in `data` from byte `start` on. Raises SymbolError where its directory does not hold together."""

    def __init__(self, data: bytes, start: int = 0) -> None:
        try:
            directory = DIRECTORY.unpack_from(data, start)
        except error:
            raise SymbolError("packed symbol table is shorter than its directory") from None
        whole = memoryview(data)[start:]
        views: List[memoryview] = []
        for offset, size in zip(directory[::2], directory[1::2]):
            if offset + size > len(whole) or (len(views) > 1 and size % 4):
                raise SymbolError("packed symbol table has a section outside itself")
            views.append(whole[offset : offset + size])
        self.facts = bytes(views[0])
        # The strings stay where they are: a copy of a kernel's takes as long as all that is read of them.
        self._data = data
        self._strings_at = start + directory[2]
        self._strings_end = self._strings_at + directory[3]
        words = [view.cast("I") for view in views[2:]]
        self.rva, self.name, self.by_name = words[:3]
        self.place_rva, self.place_symbol, self.types, self.members, self.nodes = words[3:]
        pairs = ((self.rva, self.name), (self.rva, self.by_name), (self.place_rva, self.place_symbol))
        if any(len(left) != len(right) for left, right in pairs):
            raise SymbolError("packed symbol table has sections of unequal length")

    def string_bytes(self, offset: int) -> bytes:
        """The string at `offset` of the blob, undecoded."""
        begin, limit = self._strings_at + offset, self._strings_end
        end = self._data.find(b"\0", begin, limit)
        return self._data[begin : end if end >= 0 else limit]

    def string(self, offset: int) -> str:
        """The string at `offset` of the blob."""
        return self.string_bytes(offset).decode("utf-8", "replace")

    def strings_at(self, offsets: Iterable[int]) -> List[str]:
        """The strings at several offsets: a record may have hundreds of members."""
        data, limit = self._data, self._strings_end
        begins = [self._strings_at + offset for offset in offsets]
        return [data[begin : data.find(b"\0", begin, limit)].decode("utf-8", "replace") for begin in begins]

    def symbol_named(self, name: str) -> Optional[int]:
        """The number of the symbol of that linkage name, or None."""
        by_name, names = self.by_name, self.name
        at = self._search(name.encode("utf-8", "replace"), len(by_name), lambda index: names[by_name[index]])
        return None if at is None else int(by_name[at])

    def symbol_in_any_case(self, name: str) -> Optional[int]:
        """As `symbol_named`, upper and lower case taken as equal."""
        wanted = b"\0" + name.encode("utf-8", "replace").lower() + b"\0"
        at = self._folded.find(wanted)
        while at >= 0:
            number = self._numbers.get(at + 1)
            if number is not None:
                return number
            # Its last NUL may be the first of the next.
            at = self._folded.find(wanted, at + len(wanted) - 1)
        return None

    @cached_property
    def _folded(self) -> bytes:
        """The strings in lower case."""
        return self._data[self._strings_at : self._strings_end].lower()

    @cached_property
    def _numbers(self) -> Dict[int, int]:
        """Offset of a name in the blob -> number of the symbol."""
        return {offset: number for number, offset in enumerate(self.name)}

    def decorated_with(self, part: str) -> List[int]:
        """Of `decorated`, ascending, those whose linkage name has `part` in it, in any case."""
        wanted = part.encode("utf-8", "replace").lower()
        folded = self._folded
        found: List[int] = []
        at = folded.find(wanted)
        while at >= 0:
            start = folded.rfind(b"\0", 0, at) + 1
            end = folded.find(b"\0", at)
            end = len(folded) if end < 0 else end
            if _is_decorated(folded[start:end]):
                number = self._numbers.get(start)
                if number is not None:
                    found.append(number)
            at = folded.find(wanted, end)
        return sorted(found)

    def decorated(self) -> Iterator[int]:
        """The numbers of the symbols that are shown otherwise than linked, but for a leading underscore."""
        for number, offset in enumerate(self.name):
            raw = self.string_bytes(offset)
            if _is_decorated(raw):
                yield number

    def symbol_near(self, rva: int) -> Optional[int]:
        """The number of the symbol that names the last place at or before `rva`; None before the first."""
        at = bisect_right(self.place_rva, rva) - 1
        return int(self.place_symbol[at]) if at >= 0 else None

    def type_named(self, name: str) -> Optional[TypeRow]:
        """The row of the record or enumeration of that name, or None."""
        types = self.types
        at = self._search(name.encode("utf-8", "replace"), len(types) // TYPE_WORDS, lambda i: types[TYPE_WORDS * i])
        return None if at is None else TypeRow(*types[TYPE_WORDS * at : TYPE_WORDS * (at + 1)])

    def type_names(self) -> Iterator[str]:
        """The names of every record and enumeration, in the order of their bytes."""
        return map(self.string, self.types[::TYPE_WORDS])

    def member_rows(self, row: TypeRow) -> Iterator[Tuple[int, int, int]]:
        """The rows of a type's members or enumerators."""
        words = self.members[MEMBER_WORDS * row.first : MEMBER_WORDS * (row.first + row.length)]
        return zip(words[::MEMBER_WORDS], words[1::MEMBER_WORDS], words[2::MEMBER_WORDS])

    def node(self, index: int) -> Tuple[int, int, int, int]:
        """The words of a node. Raises SymbolError where it does not exist or refers onwards."""
        words = self.nodes[NODE_WORDS * index : NODE_WORDS * (index + 1)]
        if len(words) != NODE_WORDS:
            raise SymbolError("packed symbol table refers to a type that it does not hold")
        kind, a, b, size = words
        if kind in (NODE_POINTER, NODE_ARRAY, NODE_BITFIELD) and a >= index:
            raise SymbolError("packed symbol table holds a type that is made of itself")
        return kind, a, b, size

    def _search(self, wanted: bytes, count: int, name_at: Callable[[int], int]) -> Optional[int]:
        low, high = 0, count
        while low < high:
            middle = (low + high) // 2
            try:
                found = self.string_bytes(name_at(middle))
            except IndexError:
                raise SymbolError("packed symbol table refers to a symbol that it does not hold") from None
            if found == wanted:
                return middle
            if found < wanted:
                low = middle + 1
            else:
                high = middle
        return None


def pack_sections(sections: List[bytes]) -> bytes:
    """The bytes of a table, from its sections in the order of SECTIONS."""
    offset = DIRECTORY.size
    directory: List[int] = []
    parts: List[bytes] = []
    for section in sections:
        directory += offset, len(section)
        padded = section + bytes(-len(section) % 4)
        parts.append(padded)
        offset += len(padded)
    return DIRECTORY.pack(*directory) + b"".join(parts)
