"""The text of mex's `!ddt`: what `dt` shows, with numbers in both radixes and remarks on what values mean.

Layout: transcripts of mex 3.0 in github.com/DebugPrivilege/InsightEngineering.
"""

from __future__ import annotations

from dumpkit.clock import YEAR_10000
from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.types import BaseType, BitfieldType, PointerType, RecordType, Type
from dumpkit.typetext.dump import TypeDump, TypeText
from dumpkit.typetext.scalar import base_text, bitfield_text
from dumpkit.typetext.value_text import Scope
from dumpkit.typetext.values import MemberValue, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator, Optional

    from typing_extensions import TypeAlias

NAME_WIDTH = 20
RULE = "=" * 82
#: Behind a pointer to nobody knows what: the commands that mex offers for it.
UNKNOWN_POINTER = "    [ !ndao dps dc !handle ln ? ]"

#: Says what a pointer leads to: (address, type pointed to) -> "  PoolTag: Ntff", " (System)", or None.
Remark: TypeAlias = "Callable[[int, Type], Optional[str]]"


class DdtDump(NamedTuple):
    """What `ddt` found: the words of the command, what `dt` found for them, and who remarks on pointers."""

    arguments: str
    dump: TypeDump
    remark: Optional[Remark] = None

    def lines(self) -> Iterator[str]:
        """The text, line by line."""
        yield ""
        yield f"dt {self.arguments} () Recursive: [ -r1 -r2 -r ] Verbose Normal dt"
        yield RULE
        for line in _DdtText(self.dump, self.remark).lines(self.dump.value):
            yield line.rstrip() if line.lstrip().startswith("+0x") else line


class _DdtText(TypeText):
    """The text of `dt` with mex's remarks."""

    def __init__(self, dump: TypeDump, remark: Optional[Remark]) -> None:
        super().__init__(dump.request)
        self.width = NAME_WIDTH
        self.remark = remark

    def text(self, value: Value, at: Scope) -> str:
        type, number = value.type, value.number
        if isinstance(type, BaseType) and isinstance(number, int) and type.kind in ("int", "uint"):
            return _in_both_radixes(number, type)
        if isinstance(type, BitfieldType) and number is not None and 1 < type.length < 5:
            return f"{bitfield_text(value)} (0n{number})"
        if isinstance(type, PointerType) and value.target is not None:
            return self._pointer(value, at)
        return super().text(value, at)

    def field_text(self, member: MemberValue, value: Value, at: Scope) -> str:
        text = super().field_text(member, value, at)
        type, number = value.type, value.number
        if value.address is None:
            return text
        if isinstance(type, RecordType):
            return _record(member.name, text, value)
        if value.string is not None and not isinstance(type, PointerType):
            return text.replace('  "', ' "', 1)
        if isinstance(type, BaseType) and number and member.name.endswith("Status"):
            return f"{text} !error"
        return text

    def _pointer(self, value: Value, at: Scope) -> str:
        target = value.target
        text = super().text(value, at)
        if target is None or target.address is None or self.request.block:
            return text
        remark = None if self.remark is None else self.remark(target.address, target.type)
        if remark is None and isinstance(target.type, BaseType) and target.type.kind == "void":
            remark = UNKNOWN_POINTER
        return text if remark is None else text + remark


def _in_both_radixes(number: int, type: BaseType) -> str:
    text = base_text(number, type)
    if type.kind == "int":
        mask = (1 << 8 * type.size) - 1
        return text if 0 <= number < 10 else f"{text} (0x{number & mask:x})"
    # mex reads what has a back-tick as a signed number.
    signed = number - (1 << 64) if number >> 63 else number
    return text if number < 10 else f"{text} (0n{signed})"


def _record(name: str, text: str, value: Value) -> str:
    summary = value.summary
    if summary is None:
        return text
    if summary.startswith('"'):
        return f"{text[: -len(summary)]} {summary}"
    if value.type.name == "_LIST_ENTRY":
        return text + _list_remark(value)
    if value.type.name in ("_LARGE_INTEGER", "_ULARGE_INTEGER"):
        return text + _quad_remark(name, value)
    return text


def _member(value: Value, name: str) -> Optional[int]:
    for member in value.members():
        if member.name == name:
            number = member.value.number
            return None if number is None else int(number)
    return None


def _list_remark(value: Value) -> str:
    forward, backward = _member(value, "Flink"), _member(value, "Blink")
    if not forward or not backward:
        return " [INVALID]"
    return " [EMPTY OR 1 ELEMENT]" if forward == backward else ""


def _quad_remark(name: str, value: Value) -> str:
    number = _member(value, "QuadPart")
    if number is None:
        return ""
    if name.endswith("Time") and 0 <= number < YEAR_10000:
        from dumpkit.clock import Zone, from_filetime

        when = from_filetime(number, Zone())
        clock = f"{when.hour:02d}:{when.minute:02d}:{when.second:02d}"
        return f" ({when.month:02d}/{when.day:02d}/{when.year:04d} {clock} UTC)"
    return "" if 0 <= number < 10 else f" (0n{number})"
