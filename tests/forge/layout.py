"""Layouts of kernel structures for the forge, as the type model of `dumpkit.symbols.types`.

They come from the tables in `layouts/` (what such a table holds: see `layouts/generate.py`). Offsets and sizes
are facts of the public symbols of each Windows; the forge lays structures out with them and its PDBs say them.
"""

from __future__ import annotations

import re
from functools import cache, partial
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from dumpkit.symbols.types import ArrayType, BaseType, BitfieldType, EnumType, Member, PointerType, RecordType, Type

#: Short name -> (name, size in bytes, kind).
BASE_TYPES: Dict[str, Tuple[str, int, str]] = {
    "u8": ("unsigned char", 1, "uchar"),
    "u16": ("unsigned short", 2, "uint"),
    "u32": ("unsigned long", 4, "uint"),
    "u64": ("unsigned long long", 8, "uint"),
    "char": ("char", 1, "char"),
    "i16": ("short", 2, "int"),
    "i32": ("long", 4, "int"),
    "int": ("int", 4, "int"),
    "i64": ("long long", 8, "int"),
    "wchar": ("wchar_t", 2, "wchar"),
    "void": ("void", 0, "void"),
    "f32": ("float", 4, "float"),
    "f64": ("double", 8, "float"),
    "bool": ("bool", 1, "bool"),
    "hresult": ("HRESULT", 4, "hresult"),
}

_FOLDER = Path(__file__).parent / "layouts"
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


class Row(NamedTuple):
    """A member as its table writes it: offset in bytes, name, type."""

    offset: int
    name: str
    type: str


class Paragraph(NamedTuple):
    """A type of a table: kind ("struct", "union", "enum"), size in bytes, and its members or enumerators."""

    kind: str
    size: int
    rows: List[Row]


class Place(NamedTuple):
    """A member in a record: its offset in bytes from the record's start, and its type."""

    offset: int
    type: Type


class Layouts:
    """The layouts of one Windows."""

    def __init__(self, build: int, paragraphs: Dict[str, Paragraph]) -> None:
        self.build = build
        self._paragraphs = paragraphs
        self._types: Dict[str, Type] = {}
        self._places: Dict[Tuple[str, str], Place] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._paragraphs

    def __iter__(self) -> Iterator[str]:
        """The names of the types, sorted."""
        return iter(sorted(self._paragraphs))

    def type(self, name: str) -> Type:
        """A type by its name; KeyError where the table has none."""
        found = self._types.get(name)
        if found is None:
            found = self._types[name] = self._make(name, self._paragraphs[name])
        return found

    def record(self, name: str) -> RecordType:
        """A structure or union; KeyError where the table has none."""
        found = self.type(name)
        if not isinstance(found, RecordType):
            raise KeyError(f"{name} is no structure")
        return found

    def size(self, name: str) -> int:
        """Size of a type in bytes."""
        return self.type(name).size

    def place(self, name: str, path: str) -> Place:
        """Where a member of a structure is: "Tcb.WaitBlock[1].Object", through embedded records and arrays only."""
        found = self._places.get((name, path))
        if found is None:
            found = self._places[name, path] = self._find(name, path)
        return found

    def offset(self, name: str, path: str) -> int:
        """Offset of a member in bytes."""
        return self.place(name, path).offset

    def has(self, name: str, path: str) -> bool:
        """Whether this Windows has a member: the rest of the forge leaves out what it lacks."""
        try:
            self.place(name, path)
        except KeyError:
            return False
        return True

    def _find(self, name: str, path: str) -> Place:
        offset, current = 0, self.type(name)
        for member, index in _STEP.findall(path):
            if member and isinstance(current, RecordType):
                found = current.find(member)
                if found is None:
                    raise KeyError(f"{name} of build {self.build} has no {path}")
                offset, current = offset + found[0], found[1]
            elif index and isinstance(current, ArrayType):
                current = current.element
                offset += int(index) * current.size
            else:
                raise KeyError(f"{name} of build {self.build} has no {path}")
        return Place(offset, current)

    def _make(self, name: str, paragraph: Paragraph) -> Type:
        kind, size, rows = paragraph
        if kind == "enum":
            values = [(row.name, row.offset) for row in rows]
            return EnumType(name, size, any(value < 0 for _, value in values), lambda: values)
        return RecordType(name, size, kind, lambda: [self._member(row) for row in rows])

    def _member(self, row: Row) -> Member:
        return Member(row.name, row.offset, partial(self.spelled, row.type))

    def spelled(self, text: str) -> Type:
        """The type that a table's words ("*_KTHREAD", "u64[4]", "u8:3:1") mean."""
        found = self._types.get(text)
        if found is None:
            found = self._types[text] = self._spell(text)
        return found

    def _spell(self, text: str) -> Type:
        follow: Callable[[], Type]
        if ":" in text:
            base, position, length = text.split(":")
            follow = partial(self.spelled, base)
            return BitfieldType(follow, int(position), int(length), follow().size)
        # "*T[3]" is three pointers: the array is the outermost part.
        if text.endswith("]"):
            inner, _, count = text[:-1].rpartition("[")
            follow = partial(self.spelled, inner)
            return ArrayType(follow, int(count), int(count) * follow().size)
        if text.startswith("*"):
            return PointerType(partial(self.spelled, text[1:]))
        if text in BASE_TYPES:
            return BaseType(*BASE_TYPES[text])
        if text in self._paragraphs:
            return self.type(text)
        return RecordType(text, 0, "struct", list)


def parse(text: str) -> Dict[str, Paragraph]:
    """The types of a table."""
    paragraphs: Dict[str, Paragraph] = {}
    rows: List[Row] = []
    for line in text.splitlines():
        if line.startswith("  "):
            for piece in line.strip().rstrip(";").split("; "):
                offset, name, *type = piece.split(" ")
                rows.append(Row(int(offset, 16), name, type[0] if type else ""))
        else:
            kind, name, size = line.split(" ")[:3]
            rows = []
            paragraphs[name] = Paragraph(kind, int(size, 16), rows)
    return paragraphs


@cache
def windows(build: int, *more: str) -> Layouts:
    """The layouts of Windows 7 (7601), of Windows 10 build 19041, of Windows 11 build 22000 or of 22621.

    `more` names further tables, whose structures take the place of those of the same name.
    """
    table = 22000 if build == 22621 else build
    paragraphs = parse((_FOLDER / f"windows_{table}.txt").read_text())
    for kind in more:
        paragraphs.update(parse((_FOLDER / f"{kind}_{table}.txt").read_text()))
    if build == 22621:
        _change_to_22621(paragraphs)
    return Layouts(build, paragraphs)


def _change_to_22621(paragraphs: Dict[str, Paragraph]) -> None:
    """What build 22621 moved and added, as `dt` output of that build in public analyses shows it."""
    _replace(
        paragraphs, "_KPROCESS", None, [Row(0x420, "CpuPartitionList", "_LIST_ENTRY"), Row(0x430, "EndPadding", "u64")]
    )
    _replace(paragraphs, "_ETHREAD", 0x910, [Row(0x8F0, "LastExpectedRunTime", "u32")])
    _replace(paragraphs, "_EPROCESS", None, [Row(0xB70, "MitigationFlags3", "u32")])


def _replace(paragraphs: Dict[str, Paragraph], name: str, size: Optional[int], rows: List[Row]) -> None:
    old = paragraphs[name]
    moved = {row.name for row in rows}
    kept = [row for row in old.rows if row.name not in moved]
    paragraphs[name] = Paragraph(
        old.kind, old.size if size is None else size, sorted([*kept, *rows], key=lambda row: row.offset)
    )
