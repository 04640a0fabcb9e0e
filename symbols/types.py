"""The type model: what a symbol file says of a layout, whichever format it came from.

Sizes and offsets are bytes, bit positions bits from the least significant one. References to other
types are followed when they are asked for, so that decoding `_EPROCESS` decodes nothing else.
"""

from __future__ import annotations

from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, List, Optional, Sequence, Tuple


class Type:
    """Any type: `name` as its file has it ("_KTHREAD", "unsigned long", "" where it has none) and its size."""

    __slots__ = ("name", "size")

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name or '<unnamed>'}, {self.size})"


class BaseType(Type):
    """A number, character or void.

    `kind` is one of "void", "int" (signed), "uint", "char", "uchar", "wchar", "bool", "float", "hresult".
    """

    __slots__ = ("kind",)

    def __init__(self, name: str, size: int, kind: str) -> None:
        super().__init__(name, size)
        self.kind = kind


class PointerType(Type):
    """A pointer; `target` is what it points to."""

    __slots__ = ("_follow",)

    def __init__(self, follow: Callable[[], Type], size: int = 8) -> None:
        super().__init__("", size)
        self._follow = follow

    @property
    def target(self) -> Type:
        return self._follow()


class ArrayType(Type):
    """`count` elements in a row; count 0 is a flexible array."""

    __slots__ = ("_follow", "count")

    def __init__(self, follow: Callable[[], Type], count: int, size: int) -> None:
        super().__init__("", size)
        self._follow = follow
        self.count = count

    @property
    def element(self) -> Type:
        return self._follow()


class BitfieldType(Type):
    """`length` bits of `base` from bit `position` on; `size` is that of `base`."""

    __slots__ = ("_follow", "length", "position")

    def __init__(self, follow: Callable[[], Type], position: int, length: int, size: int) -> None:
        super().__init__("", size)
        self._follow = follow
        self.position = position
        self.length = length

    @property
    def base(self) -> Type:
        return self._follow()


class EnumType(Type):
    """An enumeration over an integer type; `enumerators` in declaration order."""

    __slots__ = ("_enumerators", "_load", "signed")

    def __init__(self, name: str, size: int, signed: bool, load: Callable[[], Sequence[Tuple[str, int]]]) -> None:
        super().__init__(name, size)
        self.signed = signed
        self._load: Optional[Callable[[], Sequence[Tuple[str, int]]]] = load
        self._enumerators: Sequence[Tuple[str, int]] = ()

    @property
    def enumerators(self) -> Sequence[Tuple[str, int]]:
        if self._load is not None:
            self._enumerators = tuple(self._load())
            self._load = None
        return self._enumerators

    def name_of(self, value: int) -> Optional[str]:
        """The first enumerator of that value, or None."""
        # Compilers write -1 of a 32-bit enumeration as such or as 0xffffffff.
        mask = (1 << 8 * self.size) - 1
        value &= mask
        return next((name for name, known in self.enumerators if known & mask == value), None)


class FunctionType(Type):
    """A procedure: what it returns and takes."""

    __slots__ = ("_arguments", "_result")

    def __init__(self, result: Callable[[], Type], arguments: Callable[[], Sequence[Type]]) -> None:
        super().__init__("", 0)
        self._result = result
        self._arguments = arguments

    @property
    def result(self) -> Type:
        return self._result()

    @property
    def arguments(self) -> Sequence[Type]:
        return self._arguments()


class Member(NamedTuple):
    """A data member. `kind` is "member", "static" (offset 0), "base" or "vbase" (a base class), "vfptr"."""

    name: str
    #: Bytes from the start of the record; of a virtual base, where the pointer to the table of virtual bases is.
    offset: int
    #: Follow with `.type`.
    follow: Callable[[], Type]
    kind: str = "member"
    #: Of a virtual base: its place in the table of virtual bases, which holds how far it is from that pointer.
    slot: int = 0

    @property
    def type(self) -> Type:
        return self.follow()


class RecordType(Type):
    """A struct, union, class or interface (`kind`); members in declaration order, base classes first."""

    __slots__ = ("_by_name", "_load", "_members", "element_count", "kind")

    def __init__(
        self,
        name: str,
        size: int,
        kind: str,
        load: Callable[[], Sequence[Member]],
        element_count: Optional[int] = None,
    ) -> None:
        super().__init__(name, size)
        self.kind = kind
        #: How many entries the declaration has, methods and nested types too; None where the file does not say.
        self.element_count = element_count
        self._load: Optional[Callable[[], Sequence[Member]]] = load
        self._members: Sequence[Member] = ()
        self._by_name: Dict[str, Member] = {}

    @property
    def members(self) -> Sequence[Member]:
        if self._load is not None:
            self._members = tuple(self._load())
            self._load = None
            for member in reversed(self._members):
                self._by_name[member.name] = member
        return self._members

    def __contains__(self, name: object) -> bool:
        """Whether there is a member of that name, unnamed members' included."""
        return isinstance(name, str) and self.find(name) is not None

    def find(self, name: str) -> Optional[Tuple[int, Type]]:
        """(offset, type) of a member, looked for in unnamed struct and union members too; None where there is none."""
        members = self.members
        member = self._by_name.get(name)
        if member is not None:
            return member.offset, member.type
        for member in members:
            if member.kind == "base" or not member.name or member.name.startswith("<unnamed"):
                inner = member.type
                if isinstance(inner, RecordType):
                    found = inner.find(name)
                    if found is not None:
                        return member.offset + found[0], found[1]
        return None

    def path(self, dotted: str) -> Optional[Tuple[int, Type]]:
        """(offset, type) of `ApcState.Process`, through embedded records only; None where a part is missing."""
        offset = 0
        current: Type = self
        for name in dotted.split("."):
            if not isinstance(current, RecordType):
                return None
            found = current.find(name)
            if found is None:
                return None
            offset, current = offset + found[0], found[1]
        return offset, current


def flat_members(record: RecordType) -> List[Member]:
    """Every member with unnamed records dissolved into their own members, offsets from `record`'s start."""
    flat: List[Member] = []
    for member in record.members:
        inner = member.type if not member.name or member.name.startswith("<unnamed") else None
        if isinstance(inner, RecordType):
            flat.extend(deeper._replace(offset=deeper.offset + member.offset) for deeper in flat_members(inner))
        else:
            flat.append(member)
    return flat
