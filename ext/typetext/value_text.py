"""What `dt` shows for a value, behind the colon of a field: its number, its text, and what a pointer leads to."""

from __future__ import annotations

from dumpkit.named_tuple import NamedTuple
from dumpkit.numbers import quoted
from dumpkit.symbols.types import (
    ArrayType,
    BaseType,
    BitfieldType,
    EnumType,
    PointerType,
    RecordType,
)
from dumpkit.typetext.names import described, described_enum, result_name, type_text
from dumpkit.typetext.scalar import base_text, bitfield_text, enumeration_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Sequence

    from dumpkit.typetext.request import FieldPath, TypeRequest
    from dumpkit.typetext.values import Value

#: In `Scope.excused`: whatever cannot be read is told in the last line.
NONE_EXCUSED = -1


class Scope(NamedTuple):
    """Where the text stands: how deep, which fields were asked for, and whose missing bytes are told at the end."""

    level: int
    paths: Sequence[FieldPath]
    #: An address that is not told; None where none is.
    excused: Optional[int]


#: Of the object as a whole.
TOP = Scope(-1, (), NONE_EXCUSED)
_ELSEWHERE = Scope(-1, (), None)


class ValueText:
    """Texts of values; `failed` is the last part of the object itself that could not be read."""

    def __init__(self, request: TypeRequest) -> None:
        self.request = request
        self.verbose = request.verbose
        self.failed: Optional[int] = None

    def indent(self, level: int) -> str:
        """The blanks before a line of that depth."""
        return "" if self.request.flat or self.request.compact else "   " * (level + 1)

    def text(self, value: Value, at: Scope) -> str:
        """What stands behind the colon for a value; in verbose texts of more than one line."""
        if value.address is None:
            return type_text(value.type, self.verbose, self.request.block, self.indent(at.level))
        type = value.type
        if isinstance(type, BitfieldType):
            return ("Bitfield " if self.verbose else "") + (
                bitfield_text(value) if self.has(value, _ELSEWHERE) else "??"
            )
        if isinstance(type, BaseType):
            return base_text(value.number, type) if self.has(value, at) else "??"
        if isinstance(type, EnumType):
            head = f"{described_enum(type)}\n" if self.verbose else ""
            return head + (enumeration_text(value) if self.has(value, at) else "??")
        if isinstance(type, PointerType):
            head = self.pointer_head(value, at)
            target = value.target
            return head if target is None or target.address is None else head + self.pointee(target, at.level)
        if isinstance(type, ArrayType):
            head = "" if self.request.block else f"[{type.count}] "
            text = value.string
            return head + (f' "{text}"' if text is not None else self.text(value.element(0), at))
        if isinstance(type, RecordType):
            summary = value.summary
            gap = "\n " if self.verbose else " "
            return (described(type) if self.verbose else type.name) + ("" if summary is None else gap + summary)
        return f"{self.indent(at.level)} {result_name(type)}  {value.place}"

    def has(self, value: Value, at: Scope) -> bool:
        """Whether a scalar could be read; a missing part of the object itself is remembered."""
        if value.number is not None:
            return True
        if value.address is not None:
            self.blame(value.address, at)
        return False

    def blame(self, address: int, at: Scope) -> None:
        """Remember a missing part of the object, unless it is excused."""
        if at.excused is not None and address != at.excused:
            self.failed = address

    def pointer_head(self, value: Value, at: Scope) -> str:
        """A pointer's number, or what stands for it."""
        if value.address is None:
            return f"Ptr{8 * value.type.size} "
        if not self.has(value, at):
            return "???? "
        return f"0x{quoted(int(value.number or 0))} " if value.number else "(null) "

    def pointee(self, target: Value, level: int) -> str:
        """What stands behind a pointer's number."""
        type = target.type
        text = target.string
        if text is not None and not isinstance(type, ArrayType):
            return f' "{text}"'
        if self.request.block:
            return ""
        if isinstance(type, BaseType) and type.kind == "void":
            return "Void"
        unnamed = isinstance(type, EnumType) and target.number is not None and target.enumerator is None
        if isinstance(type, (BaseType, PointerType)) or unnamed:
            return f" -> {self.text(target, _ELSEWHERE._replace(level=level))}"
        if isinstance(type, ArrayType) and text is None:
            return f"[{type.count}] {self.pointee(target.element(0), level)}"
        return self.text(target, _ELSEWHERE._replace(level=level))
