"""Readable text in memory: runs of printable ASCII characters, and of the same as UTF-16.

The rules are those by which mex's `strings` shows what it shows: tab, line feed and carriage return are part of
a run, which is at least five characters long. One run is shorter: the signature RSDS of the record that names
an image's PDB.
"""

from __future__ import annotations

import re
from functools import cache, partial
from itertools import accumulate, compress, count
from operator import add, sub

from dumpkit.memory import AddressSpace
from dumpkit.module import Module
from dumpkit.named_tuple import NamedTuple
from dumpkit.output import Hex
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable, Iterator, List, Optional, Tuple

    from dumpkit.symbols.module_image import ModuleImage
    from typing_extensions import TypeAlias

#: Characters, where nothing else is asked for.
SHORTEST = 5
#: Bytes that are read and searched at once.
_CHUNK = 1 << 16
_NOTHING = bytes(_CHUNK)
#: Bytes of a slice: as much as a process looks through at a time.
SLICE = 1 << 21
_PAGE = 0x1000
#: Longer strings are shown in pieces.
_LONGEST = 1 << 16
#: Bytes among which nearly always a string ends.
_NEAR = 0x100

_SIGNATURE = b"RSDS"
#: Classes of bytes: what no string holds, the upper half of a UTF-16 character, and characters.
_OTHER, _ZERO, _CHARACTER = b"\1", b"\0", b"\2"


@cache
def _classes() -> bytes:
    classes = bytearray(_OTHER * 256)
    classes[0] = 0
    for character in b"\t\n\r" + bytes(range(0x20, 0x7F)):
        classes[character] = _CHARACTER[0]
    return bytes(classes)


#: A piece of memory: its virtual address and its bytes.
Piece: TypeAlias = "Tuple[int, bytes]"
#: Virtual address and text.
Place: TypeAlias = "Tuple[int, str]"


class FoundString(NamedTuple):
    """A string at a virtual address; `encoding` is "ascii" or "utf-16"."""

    address: Hex
    text: str
    encoding: str


class Part(NamedTuple):
    """The strings of one part of memory: those in ASCII in columns, because there may be very many, ascending."""

    addresses: List[int]
    texts: List[str]
    wide: List[Place]

    def places(self) -> List[Place]:
        """All strings, ascending."""
        places = list(zip(self.addresses, self.texts))
        return sorted(places + self.wide) if self.wide else places


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
        self._ascii = ascii
        pair = _CHARACTER + _ZERO
        self._first_pairs = pair * minimum
        self._wide = re.compile(b"(?:" + pair + b")*") if wide else None

    def __iter__(self) -> Iterator[FoundString]:
        for part in self.parts():
            found = [FoundString(Hex(address), text, "ascii") for address, text in zip(part.addresses, part.texts)]
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
        addresses: List[int] = []
        texts: List[str] = []
        if self._ascii:
            starts, texts = self._runs(data[:end], marks[:end])
            addresses = [base + start for start in starts]
            signatures = self._signatures(base, data, marks, end) if self._minimum == SHORTEST else []
            if signatures:
                places = sorted([*zip(addresses, texts), *signatures])
                addresses, texts = [address for address, _ in places], [text for _, text in places]
        wide = self._wide_strings(base, data, marks, end) if self._wide is not None else []
        return Part(addresses, texts, wide)

    def _runs(self, data: bytes, marks: bytes) -> Tuple[List[int], List[str]]:
        """Offsets and texts of the strings in ASCII.

        Splitting at the shortest possible string finds where each begins several times faster than a regular
        expression does: a string is left over in empty pieces, but for those behind its last full length.
        """
        least = self._minimum
        pieces = marks.split(_CHARACTER * least)
        if len(pieces) == 1:
            return [], []
        behind = list(map(add, accumulate(map(len, pieces)), count(0, least)))
        # One begins behind each piece that is not empty, and behind the first in any case; the last piece ends one too.
        between = pieces[1:-1]
        starts = list(compress(behind, [_OTHER, *between]))
        rests = [len(piece.lstrip(_CHARACTER)) for piece in (*filter(None, between), pieces[-1])]
        ends = map(sub, compress(behind[1:], [*between, _OTHER]), rests)
        text = data.decode("latin-1")
        return starts, [text[start:end] for start, end in zip(starts, ends)]

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
    for size in (_NEAR, _LONGEST):
        start = max(len(marks) - size, 0)
        # A byte that is no character, or a second zero, ends either kind of string; two characters behind a zero
        # are none in UTF-16.
        found = max(marks.rfind(each, start) for each in (_OTHER, _ZERO * 2, _ZERO + _CHARACTER * 2))
        if found >= 0:
            return found + 1
    return len(marks) if start else 0


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


def module_pieces(target: Target, module: Module, start: int, size: int) -> Iterator[Piece]:
    """What memory holds of a part of a module, and the rest from its file where the symbol path leads to it."""
    image = target.image(module)
    address, base = start, module.base
    for found, data in memory_pieces(target.memory, start, size):
        yield from _file_pieces(image, address - base, found - base)
        yield found, data
        address = found + len(data)
    yield from _file_pieces(image, address - base, start + size - base)


def _file_pieces(image: ModuleImage, rva: int, end: int) -> Iterator[Piece]:
    file = image.file if rva < end else None
    while file is not None and rva < end:
        data = file.read(rva, min(_CHUNK, end - rva))
        if data:
            yield image.base + rva, data
        # A hole in a file is between two sections: those are aligned to pages.
        rva = rva + len(data) if data else (rva | 0xFFF) + 1


def slices(pieces: Callable[[int, int], Iterable[Piece]], start: int, size: int) -> List[Callable[[], Iterator[Piece]]]:
    """A range of addresses in slices, of which each has whole strings: together they give what one search gives.

    `pieces` gives the pieces of a part of the range, by its address and size.
    """
    begins = range(start, start + max(size, 1), SLICE)
    return [partial(_slice, pieces, start, begin, start + size) for begin in begins]


def _slice(pieces: Callable[[int, int], Iterable[Piece]], first: int, start: int, limit: int) -> Iterator[Piece]:
    # Where a slice ends is found out only when it is searched: by the process that does so.
    begin = _break_before(pieces, first, start) if start != first else first
    behind = _break_before(pieces, first, start + SLICE) if start + SLICE < limit else limit
    return iter(pieces(begin, behind - begin))


def _break_before(pieces: Callable[[int, int], Iterable[Piece]], first: int, end: int) -> int:
    """The last address up to `end` that no string of the range from `first` on goes across."""
    begin, data = end, b""
    start = max(end - _LONGEST - _PAGE, first)
    for address, more in pieces(start, end - start):
        begin, data = (begin, data + more) if begin + len(data) == address else (address, more)
    return begin + _last_break(data.translate(_classes())) if begin + len(data) == end else end


def unread(target: Target, start: int, size: int) -> Optional[str]:
    """Why nothing of a range can be read, or None where something can."""
    memory = target.memory
    return None if memory.next_readable(start, start + size) is not None else memory.explain(start)
