"""The text of `dt`, as the debugger's engine prints it: a type alone, or a type over memory.

Formats: taken from the output of dbgeng (10.0.15063) for the same types and bytes. Known differences,
all on purpose: an empty counted string at the top ends its line; `-l` over a LIST_ENTRY shows the last
element too; `*` may stand anywhere in a field's pattern; a dot follows pointers as `->` does; an unnamed
value of an enumeration in a bitfield is shown without the whole unit; a number of which only some bytes
are there is missing, and not filled up with zeros; a function pointer into the middle of a function has its
displacement, and not +0.
"""

from __future__ import annotations

from dumpkit.named_tuple import NamedTuple
from dumpkit.numbers import quoted
from dumpkit.symbols.types import (
    ArrayType,
    EnumType,
    PointerType,
    RecordType,
    Type,
)
from dumpkit.typetext.names import described, described_enum, lead
from dumpkit.typetext.request import DEFAULT_COUNT, FieldPath, TypeRequest
from dumpkit.typetext.scalar import enumerator_text
from dumpkit.typetext.value_text import NONE_EXCUSED, TOP, Scope, ValueText
from dumpkit.typetext.values import MemberValue, Value
from dumpkit.typetext.walk import element_of, following, indexed, matches, pointed, record_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Sequence, Set, Tuple

#: `-l` ends after so many elements.
LIST_LIMIT = 100_000
#: Elements of an array that `-b` shows.
ELEMENT_LIMIT = 10_000

NOTHING_FOUND = "Cannot find specified field members."
_RULE = "-" * 45
_NAME_WIDTH = 16


class TypeDump(NamedTuple):
    """What `dt` found: a value (or a type alone, where its address is None), and how it is to be shown."""

    request: TypeRequest
    value: Value

    def lines(self) -> Iterator[str]:
        """The engine's text, line by line."""
        return TypeText(self.request).lines(self.value)


class TypeText(ValueText):
    """The text for one request."""

    def __init__(self, request: TypeRequest) -> None:
        super().__init__(request)
        #: Whether a field that was asked for is there.
        self.found = False
        self.width = max((len(path.text) for path in request.fields), default=_NAME_WIDTH)

    # -- whole objects

    def lines(self, value: Value) -> Iterator[str]:
        """Every line of the request: of the object, of each element, or of each record of the list."""
        if value.address is None:
            yield from self.one(value)
        elif self.request.list_field is not None:
            yield from self.list(value)
        elif self.request.elements is not None:
            yield from self.elements(value)
        else:
            yield from self.one(value)
        if self.request.fields and not self.found and isinstance(record_of(value.type), RecordType):
            yield NOTHING_FOUND

    def one(self, value: Value) -> Iterator[str]:
        """An object, and behind it the part of it that could not be read."""
        self.failed = None
        if value.address is not None:
            value.reader.hold(value.address, value.type.size)
            if value.reader.read(value.address, 1) is None:
                self.failed = value.address
        if self.request.compact:
            summary = value.summary
            head = f" {summary}" if summary else ""
            yield from (head + "".join(self.compact(value, self.request.fields, 0))).split("\n")
        else:
            yield from self.top(value)
        if self.failed is not None:
            yield f"Memory read error {self.failed:016x}"

    def top(self, value: Value) -> Iterator[str]:
        """The members of an object, or what a pointer, an enumeration or a scalar is."""
        type = value.type
        fields = self.request.fields
        if isinstance(type, RecordType):
            if self.verbose:
                yield described(type)
            summary = value.summary
            if summary:
                yield f" {summary}"
            yield from self.fields(value, Scope(0, fields, NONE_EXCUSED))
        elif isinstance(type, EnumType) and value.address is None:
            if self.verbose:
                yield described_enum(type)
            yield from self.enumerators(type, 0, fields)
        elif isinstance(type, PointerType) and isinstance(record_of(type), RecordType):
            target = pointed(value)
            head = self.text(value, TOP) if self.verbose else self.pointer_head(value, TOP)
            yield from head.split("\n")
            if target is not None:
                yield from self.fields(target, Scope(0, fields, _excused(target)))
        else:
            yield from self.text(value, TOP).split("\n")

    def list(self, value: Value) -> Iterator[str]:
        """-l: the records that a link leads through, up to the first one that was shown before."""
        assert self.request.list_field is not None
        seen: Set[int] = set()
        current: Optional[Value] = value
        while current is not None and current.address is not None:
            if seen:
                yield ""
            seen.add(current.address)
            yield f"{self.request.list_field} at 0x{quoted(current.address)}"
            yield _RULE
            yield from self.one(current)
            current = following(current, self.request.list_field)
            if current is not None and (current.address in seen or len(seen) >= LIST_LIMIT):
                return

    def elements(self, value: Value) -> Iterator[str]:
        """-a: the elements of an array, each under its index and address."""
        type = value.type
        assert value.address is not None
        count = self.request.elements or 0
        if isinstance(type, ArrayType):
            element, declared = type.element, type.count
        else:
            element, declared = type, DEFAULT_COUNT
        for index in range(declared if count < 0 else count):
            inner = Value(value.reader, element, value.address + index * element.size)
            assert inner.address is not None
            yield f"[{index}] @ {quoted(inner.address)} "
            yield _RULE
            yield from self.one(inner)
            if self.failed is not None:
                return
            yield ""

    # -- members

    def fields(self, value: Value, at: Scope) -> Iterator[str]:
        """The lines of the members, base classes expanded."""
        if value.address is not None and value.reader.read(value.address, 1) is None:
            self.blame(value.address, at)
        for member in value.members(flatten=not self.verbose):
            if member.member.kind == "base":
                yield from self.base_class(member, at)
            elif member.member.kind != "vbase":
                yield from self.field(member, at)

    def base_class(self, member: MemberValue, at: Scope) -> Iterator[str]:
        """The members of a base class, at their offsets in the whole."""
        type = member.value.type
        if isinstance(type, RecordType):
            yield f"{self.indent(at.level)}+0x{member.offset:03x} __BaseClass {described(type)}"
        for inner in member.value.members(flatten=False):
            shifted = inner._replace(offset=inner.offset + member.offset)
            if inner.member.kind == "base":
                yield from self.base_class(shifted, at)
            else:
                yield from self.field(shifted, at)

    def field(self, member: MemberValue, at: Scope) -> Iterator[str]:
        """A member, where the fields that were asked for name it or lead through it."""
        if not at.paths:
            yield from self.whole_field(member, at, ())
            return
        deeper: List[FieldPath] = []
        final: List[FieldPath] = []
        indexes: Tuple[int, ...] = ()
        for path in at.paths:
            step = path.steps[0]
            last = len(path.steps) == 1
            # What a dot ends is a beginning, and what has no members is shown as it is.
            if matches(step, member.name, (path.partial or path.all_members) and last):
                opens = not last or (path.all_members and isinstance(record_of(member.value.type), RecordType))
                (deeper if opens else final).append(path)
                indexes = step.indexes or indexes
        if final:
            self.found = self.found or not all(path.all_members for path in final)
            yield from self.whole_field(member, at._replace(paths=final), indexes)
        elif deeper:
            yield from self.opened_field(member, at._replace(paths=deeper), indexes)

    def whole_field(self, member: MemberValue, at: Scope, indexes: Sequence[int]) -> Iterator[str]:
        """The line of a member, and what stands below it."""
        value, head = indexed(member.value, indexes)
        type = value.type
        expands = self.request.block or at.level < self.request.depth
        named = element_of(type) if self.request.block else record_of(type)
        if value.address is None and isinstance(named, EnumType) and expands:
            yield self.prefix(member, at.level) + head + lead(type, self.verbose, self.request.block)
            yield from self.enumerators(named, at.level + 1, ())
            return
        if self.request.block and isinstance(type, ArrayType) and value.address is not None:
            text = value.string
            yield self.prefix(member, at.level) + head + (f' "{text}"' if text is not None else "")
            yield from self.array_elements(value, at)
            return
        if member.member.kind == "vfptr":
            yield self.prefix(member, at.level) + self.pointer_head(value, at)
            return
        yield from (self.prefix(member, at.level) + head + self.field_text(member, value, at)).split("\n")
        if expands:
            yield from self.inside(value, at)

    def opened_field(self, member: MemberValue, at: Scope, indexes: Sequence[int]) -> Iterator[str]:
        """A field on the way of a path: its name, and what the path leads to."""
        value, head = indexed(member.value, indexes)
        if isinstance(value.type, ArrayType):
            value = value.element(0)
        through_pointer = isinstance(value.type, PointerType)
        target = pointed(value) if through_pointer else value
        summary = value.summary
        lines = self.prefix(member, at.level) + head + (f" {summary}" if summary is not None else "")
        everything = any(path.all_members and len(path.steps) == 1 for path in at.paths)
        rest: List[FieldPath] = [] if everything else [path._replace(steps=path.steps[1:]) for path in at.paths]
        yield lines
        if target is not None and isinstance(target.type, RecordType):
            self.found = self.found or everything
            excused = _excused(target) if through_pointer else at.excused
            yield from self.fields(target, Scope(at.level + 1, rest, excused))

    def inside(self, value: Value, at: Scope) -> Iterator[str]:
        """The members of what a line showed, one level deeper."""
        type = value.type
        if isinstance(type, ArrayType):
            yield from self.inside(value.element(0), at)
        elif isinstance(type, RecordType):
            yield from self.fields(value, at._replace(level=at.level + 1))
        elif isinstance(type, PointerType) and not self.request.block:
            target = pointed(value)
            if target is not None:
                yield from self.inside(target, at._replace(excused=_excused(target)))

    def array_elements(self, value: Value, at: Scope) -> Iterator[str]:
        """-b: every element of an array, up to a bound."""
        type = value.type
        assert isinstance(type, ArrayType)
        for index in range(min(type.count, ELEMENT_LIMIT)):
            element = value.element(index)
            head = f"{self.indent(at.level)} [{index:02d}] "
            if isinstance(element.type, ArrayType):
                text = element.string
                yield head + (f' "{text}"' if text is not None else "")
                yield from self.array_elements(element, at)
                continue
            text = self.text(element, at)
            if index and isinstance(element.type, RecordType):
                summary = element.summary
                text = "" if summary is None else f" {summary}"
            yield from (head + text).split("\n")
            yield from self.inside(element, at)
        if type.count > ELEMENT_LIMIT:
            yield f"{self.indent(at.level)} ... {type.count - ELEMENT_LIMIT} more elements"

    def enumerators(self, type: Type, level: int, paths: Sequence[FieldPath]) -> Iterator[str]:
        """The names of an enumeration that were asked for, with their values."""
        assert isinstance(type, EnumType)
        for name, number in type.enumerators:
            if not paths or any(matches(path.steps[0], name, path.partial) for path in paths):
                self.found = True
                yield f"{self.indent(level)}{name} = {enumerator_text(number, type.size)}"

    def prefix(self, member: MemberValue, level: int) -> str:
        """The start of a field's line, up to its value."""
        kind = member.member.kind
        offset = f"={quoted(member.place or 0)} " if kind == "static" else f"+0x{member.offset:03x} "
        if self.request.without_offsets:
            offset = ""
        if kind == "vfptr":
            return f"{self.indent(level)}{offset}__VFN_table : "
        return f"{self.indent(level)}{offset}{member.name:<{self.width}} : "

    def field_text(self, member: MemberValue, value: Value, at: Scope) -> str:
        """What stands behind the colon of a field: its value, or an element of it."""
        return self.text(value, at)

    def compact(self, value: Value, paths: Sequence[FieldPath], level: int) -> Iterator[str]:
        """-c: the pieces of one long line; only records inside records break it."""
        if not isinstance(value.type, RecordType):
            yield self.text(value, TOP)
            return
        for member in value.members():
            if paths and not any(matches(path.steps[0], member.name, path.partial) for path in paths):
                continue
            self.found = True
            offset = "" if self.request.without_offsets else f"+0x{member.offset:03x} "
            text = self.text(member.value, TOP)
            inner = record_of(member.value.type)
            if isinstance(inner, RecordType) and inner.name in text:
                name, gap, rest = text.partition(inner.name)
                text = f"{name}{gap} {rest}"
            elif isinstance(inner, EnumType) or member.value.string is not None:
                text += "\n"
            yield f"{offset}{member.name} {text}"
            target = pointed(member.value)
            if level < self.request.depth and target is not None and isinstance(target.type, RecordType):
                yield "\n"
                yield from self.compact(target, (), level + 1)
            yield "  "


def _excused(target: Value) -> Optional[int]:
    """Of what a pointer leads to, the engine tells missing bytes behind a start that is missing already."""
    if target.address is None or target.reader.read(target.address, 1) is not None:
        return None
    return target.address
