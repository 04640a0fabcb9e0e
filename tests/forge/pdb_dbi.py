"""The DBI stream: modules, the pieces of sections they contributed, source files, and where everything else is.

Layout: NewDBIHdr, MODI, SC and OMFSegMap of github.com/microsoft/microsoft-pdb; LLVM's "The PDB DBI Stream".
"""

from __future__ import annotations

from struct import pack
from typing import Dict, List, NamedTuple, Sequence, Tuple

from tests.forge.pdb_hash import NameTable
from tests.forge.pdb_modules import Module

NONE = 0xFFFF
_VERSION, _CONTRIBUTIONS_VERSION = 19990903, 0xEFFE_0000 + 19970605
_STRIPPED = 2
_X64 = 0x8664
_BUILD = 0x8000 | 14 << 8 | 37


class SectionFacts(NamedTuple):
    """A section of the image; `size` in memory."""

    name: str
    rva: int
    size: int
    characteristics: int


class Streams(NamedTuple):
    """The numbers of the streams that the DBI stream refers to; `modules` has one for each module."""

    globals: int
    publics: int
    records: int
    section_headers: int
    modules: Sequence[int]


def build_dbi(
    age: int, stripped: bool, modules: Sequence[Module], sections: Sequence[SectionFacts], streams: Streams
) -> bytes:
    """The stream's bytes."""
    infos = b"".join(
        _module_info(module, number, stream, sections)
        for number, (module, stream) in enumerate(zip(modules, streams.modules))
    )
    parts = [infos, _contributions(modules, sections), _section_map(sections), _file_info(modules), b""]
    edit_and_continue = NameTable().build()
    debug_header = pack("<11H", *[NONE] * 5, streams.section_headers, *[NONE] * 5)
    numbers = (streams.globals, _BUILD, streams.publics, 0, streams.records, 0)
    head = pack("<iII6H", -1, _VERSION, age, *numbers)
    head += pack("<5iIii", *(len(part) for part in parts), 0, len(debug_header), len(edit_and_continue))
    head += pack("<HHI", _STRIPPED if stripped else 0, _X64, 0)
    return head + b"".join(parts) + edit_and_continue + debug_header


def _contribution(section: int, offset: int, size: int, characteristics: int, module: int) -> bytes:
    return pack("<HHiiIHHII", section, 0, offset, size, characteristics, module, 0, 0, 0)


def _module_info(module: Module, number: int, stream: int, sections: Sequence[SectionFacts]) -> bytes:
    if module.contributions:
        place, size = min(module.contributions)
        flags = sections[place.section - 1].characteristics
        first = _contribution(place.section, place.offset, size, flags, number)
    else:
        first = _contribution(NONE, 0, -1, 0, NONE)
    sizes = (module.symbols_size, 0, module.lines_size)
    data = pack("<I", 0) + first + pack("<HHIIIHHIII", 0, stream, *sizes, len(module.files), 0, 0, 0, 0)
    data += module.name.encode() + b"\0" + module.object_name.encode() + b"\0"
    return data + bytes(-len(data) % 4)


def _contributions(modules: Sequence[Module], sections: Sequence[SectionFacts]) -> bytes:
    rows: List[Tuple[int, int, int, int]] = []
    for number, module in enumerate(modules):
        rows += [(place.section, place.offset, size, number) for place, size in module.contributions if size]
    data = b"".join(
        _contribution(section, offset, size, sections[section - 1].characteristics, number)
        for section, offset, size, number in sorted(rows)
    )
    return pack("<I", _CONTRIBUTIONS_VERSION) + data


def _section_map(sections: Sequence[SectionFacts]) -> bytes:
    rows = b""
    for number, section in enumerate(sections, 1):
        # Readable, writable, executable, 32-bit offsets, and that the frame is a selector.
        flags = section.characteristics
        kind = (flags >> 30 & 1) | (flags >> 31 & 1) << 1 | (flags >> 29 & 1) << 2 | 0x108
        rows += pack("<6HII", kind, 0, 0, number, NONE, NONE, 0, section.size)
    # Symbols that are numbers and no addresses are in a section of their own behind the last.
    rows += pack("<6HII", 0x208, 0, 0, len(sections) + 1, NONE, NONE, 0, 0xFFFF_FFFF)
    return pack("<HH", len(sections) + 1, len(sections) + 1) + rows


def _file_info(modules: Sequence[Module]) -> bytes:
    names: Dict[str, int] = {}
    texts = b""
    offsets: List[int] = []
    firsts: List[int] = []
    for module in modules:
        firsts.append(len(offsets) & 0xFFFF)
        for path in module.files:
            if path not in names:
                names[path] = len(texts)
                texts += path.encode() + b"\0"
            offsets.append(names[path])
    counts = [len(module.files) for module in modules]
    data = pack("<HH", len(modules), len(names) & 0xFFFF)
    data += pack(f"<{len(firsts)}H", *firsts) + pack(f"<{len(counts)}H", *counts)
    data += pack(f"<{len(offsets)}I", *offsets) + texts
    return data + bytes(-len(data) % 4)
