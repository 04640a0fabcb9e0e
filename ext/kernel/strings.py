"""Readable text in memory: runs of printable ASCII characters, and of the same as UTF-16.

The rules are those by which mex's `strings` shows what it shows: tab, line feed and carriage return are part of
a run, which is at least five characters long. One run is shorter: the signature RSDS of the record that names
an image's PDB.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Callable, Iterable, Iterator, List, Match, Optional, Tuple

from dumpkit.memory import AddressSpace
from dumpkit.named_tuple import NamedTuple
from dumpkit.output import Hex
from dumpkit.target import Module, Target

if TYPE_CHECKING:
    from dumpkit.symbols.module_image import ModuleImage

#: Characters, where nothing else is asked for.
SHORTEST = 5
#: Bytes that are read and searched at once.
_CHUNK = 1 << 18
_NOTHING = bytes(_CHUNK)
#: Longer strings are shown in pieces.
_LONGEST = 1 << 16

_SIGNATURE = b"RSDS"
#: Classes of bytes: what no string holds, the upper half of a UTF-16 character, and characters.
_OTHER, _ZERO, _CHARACTER = b"\1", b"\0", b"\2"


def _classes() -> bytes:
    classes = bytearray(_OTHER * 256)
    classes[0] = 0
    for character in b"\t\n\r" + bytes(range(0x20, 0x7F)):
        classes[character] = _CHARACTER[0]
    return bytes(classes)


#: A piece of memory: its virtual address and its bytes.
Piece = Tuple[int, bytes]
#: Virtual address and text.
Place = Tuple[int, str]


class FoundString(NamedTuple):
    """A string at a virtual address; `encoding` is "ascii" or "utf-16"."""

    address: Hex
    text: str
    encoding: str


class Part(NamedTuple):
    """The strings of one part of memory: those in ASCII as runs of its text, not looked at yet."""

    #: Virtual address of the text's first character.
    base: int
    text: str
    runs: Iterator[Match[bytes]]
    #: Runs that are shown although they are short, and strings in UTF-16.
    signatures: List[Place]
    wide: List[Place]

    def narrow(self) -> List[Place]:
        """The strings in ASCII, ascending; only once."""
        base, text = self.base, self.text
        found = [(base + run.start(), text[run.start() : run.end()]) for run in self.runs]
        return sorted(found + self.signatures) if self.signatures else found

    def places(self) -> List[Place]:
        """All strings, ascending; only once."""
        return sorted(self.narrow() + self.wide) if self.wide else self.narrow()


class StringSearch:
    """The strings of pieces of memory, found while they are asked for.

    `pieces` gives the pieces, ascending, each time it is called; those that follow one another without a gap are
    searched as one. `minimum` is in characters.
    """

    def __init__(
        self, pieces: Callable[[], Iterable[Piece]], minimum: int = SHORTEST, ascii: bool = True, wide: bool = True
    ) -> None:
        self._pieces = pieces
        self._minimum = minimum
        self._ascii = re.compile(_CHARACTER * minimum + _CHARACTER + b"*") if ascii else None
        pair = _CHARACTER + _ZERO
        self._first_pairs = pair * minimum
        self._wide = re.compile(b"(?:" + pair + b")*") if wide else None

    def __iter__(self) -> Iterator[FoundString]:
        for part in self.parts():
            found = [FoundString(Hex(address), text, "ascii") for address, text in part.narrow()]
            yield from sorted(found + [FoundString(Hex(address), text, "utf-16") for address, text in part.wide])

    def parts(self) -> Iterator[Part]:
        """The strings of one part of memory after the other: for those who have many to show."""
        classes = _classes()
        rest_at, rest = 0, b""
        for address, data in self._pieces():
            if rest and rest_at + len(rest) == address:
                address, data = rest_at, rest + data
            elif rest:
                yield self._search(rest_at, rest, rest.translate(classes), len(rest))
            if data == _NOTHING:
                rest = b""
                continue
            marks = data.translate(classes)
            end = _last_break(marks)
            yield self._search(address, data, marks, end)
            rest_at, rest = address + end, data[end:]
        if rest:
            yield self._search(rest_at, rest, rest.translate(classes), len(rest))

    def _search(self, base: int, data: bytes, marks: bytes, end: int) -> Part:
        """The strings in the first `end` bytes of `data`, whose classes are `marks`."""
        signatures: List[Place] = []
        runs: Iterator[Match[bytes]] = iter(())
        if self._ascii is not None:
            runs = self._ascii.finditer(marks, 0, end)
            if self._minimum == SHORTEST:
                signatures = self._signatures(base, data, marks, end)
        wide = self._wide_strings(base, data, marks, end) if self._wide is not None else []
        return Part(base, data.decode("latin-1"), runs, signatures, wide)

    @staticmethod
    def _signatures(base: int, data: bytes, marks: bytes, end: int) -> List[Place]:
        found: List[Place] = []
        at = data.find(_SIGNATURE, 0, end)
        while at >= 0:
            behind = at + len(_SIGNATURE)
            if marks[behind : behind + 1] != _CHARACTER and (not at or marks[at - 1 : at] != _CHARACTER):
                found.append((base + at, _SIGNATURE.decode()))
            at = data.find(_SIGNATURE, at + 1, end)
        return found

    def _wide_strings(self, base: int, data: bytes, marks: bytes, limit: int) -> List[Place]:
        found: List[Place] = []
        assert self._wide is not None
        at = marks.find(self._first_pairs, 0, limit)
        while at >= 0:
            run = self._wide.match(marks, at, limit)
            end = run.end() if run is not None else at + len(self._first_pairs)
            found.append((base + at, data[at:end:2].decode("latin-1")))
            at = marks.find(self._first_pairs, end, limit)
        return found


def _last_break(marks: bytes) -> int:
    """Where to part the classes of bytes, so that no string is parted that is not too long."""
    start = max(len(marks) - _LONGEST, 0)
    # A byte that is no character, or a second zero, ends either kind of string.
    found = max(marks.rfind(_OTHER, start), marks.rfind(_ZERO * 2, start))
    return found + 1 if found >= 0 else len(marks) if start else 0


def memory_pieces(memory: AddressSpace, start: int, size: int) -> Iterator[Piece]:
    """What there is of `size` bytes from a virtual address on."""
    address, limit = start, start + size
    while address < limit:
        found = memory.next_readable(address, limit)
        if found is None:
            return
        data = memory.read_prefix(found, min(_CHUNK, limit - found))
        if not data:
            return
        yield found, data
        address = found + len(data)


def module_pieces(target: Target, module: Module) -> Iterator[Piece]:
    """What memory holds of a module's image, and the rest of its file where the symbol path leads to it."""
    image = target.image(module)
    address = module.base
    for start, data in memory_pieces(target.memory, module.base, module.size):
        yield from _file_pieces(image, address - module.base, start - module.base)
        yield start, data
        address = start + len(data)
    yield from _file_pieces(image, address - module.base, module.size)


def _file_pieces(image: ModuleImage, rva: int, end: int) -> Iterator[Piece]:
    file = image.file if rva < end else None
    while file is not None and rva < end:
        data = file.read(rva, min(_CHUNK, end - rva))
        if data:
            yield image.base + rva, data
        # A hole in a file is between two sections: those are aligned to pages.
        rva = rva + len(data) if data else (rva | 0xFFF) + 1


def unread(target: Target, start: int, size: int) -> Optional[str]:
    """Why nothing of a range can be read, or None where something can."""
    memory = target.memory
    return None if memory.next_readable(start, start + size) is not None else memory.explain(start)
