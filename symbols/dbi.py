"""The DBI stream (3): which modules the image was linked from, and which streams hold the rest.

Layout: NewDBIHdr, DbgDataHdr, MODI and SC of github.com/microsoft/microsoft-pdb; LLVM's "The PDB DBI Stream".
"""

from __future__ import annotations

import struct
from bisect import bisect_left

from dumpkit.errors import SymbolError
from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.container import Container
from dumpkit.symbols.omap import Omap
from dumpkit.symbols.sections import SectionMap, parse_sections

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

    from typing_extensions import TypeAlias

DBI_STREAM = 3
#: "No such stream" in a 16-bit stream number.
NIL_STREAM = 0xFFFF
_HEADER = struct.Struct("<iIIHHHHHHiiiiiIiiHHI")
_MODULE = struct.Struct("<4xHxxiiIHxxIIHHIIIHxxIII")
#: Places in the debug header (DBGTYPE).
_OMAP_TO_SOURCE, _OMAP_FROM_SOURCE, _SECTION_HEADERS, _ORIGINAL_HEADERS = 3, 4, 5, 10
_CONTRIBUTIONS_V60 = 0xEFFE0000 + 19970605
_CONTRIBUTIONS_V2 = 0xEFFE0000 + 20140516


class Module(NamedTuple):
    """A compiland: an object file, or an import. Sizes are bytes in `stream`, which is None for one without symbols."""

    name: str
    object_name: str
    stream: Optional[int]
    symbols_size: int
    c11_size: int
    c13_size: int


class Contribution(NamedTuple):
    """A piece of a section and the module (an index) that it comes from."""

    section: int
    offset: int
    size: int
    module: int


#: The fields of a Contribution.
_Row: TypeAlias = "Tuple[int, int, int, int]"


class Dbi:
    """The DBI stream. Its header is read at once, its parts when they are asked for."""

    def __init__(self, container: Container) -> None:
        self._container = container
        header = container.read(DBI_STREAM, 0, _HEADER.size)
        if len(header) < _HEADER.size:
            raise SymbolError(f"{container.path}: the PDB holds no debug information (DBI stream)")
        (
            signature,
            self.version,
            self.age,
            self.globals_stream,
            _build,
            self.publics_stream,
            _dll_version,
            self.records_stream,
            _dll_build,
            modules,
            contributions,
            section_map,
            files,
            type_servers,
            _mfc,
            debug_header,
            edit_and_continue,
            self.flags,
            self.machine,
            _,
        ) = _HEADER.unpack(header)
        if signature != -1:
            raise SymbolError(f"{container.path}: the PDB's DBI stream has a header of before Visual C++ 5")
        sizes = (modules, contributions, section_map, files, type_servers, edit_and_continue, debug_header)
        if min(sizes) < 0:
            raise SymbolError(f"{container.path}: the PDB is damaged: a part of its DBI stream has a negative size")
        start = _HEADER.size
        self._modules_at = start, modules
        self._contributions_at = start + modules, contributions
        self._debug_header_at = start + sum(sizes[:6]), debug_header
        self._modules: Optional[List[Module]] = None
        self._contributions: Optional[List[_Row]] = None

    @property
    def stripped(self) -> bool:
        """Whether private symbols were left out (a public PDB)."""
        return bool(self.flags & 2)

    def _debug_stream(self, index: int) -> bytes:
        start, size = self._debug_header_at
        if index * 2 + 2 > size:
            return b""
        number = self._container.read(DBI_STREAM, start + index * 2, 2)
        stream = int.from_bytes(number, "little") if len(number) == 2 else NIL_STREAM
        return self._container.read(stream) if stream != NIL_STREAM else b""

    def section_map(self) -> SectionMap:
        """The image's sections and OMAP tables."""
        headers = parse_sections(self._debug_stream(_SECTION_HEADERS))
        from_source = self._debug_stream(_OMAP_FROM_SOURCE)
        if not from_source:
            return SectionMap(headers)
        original = parse_sections(self._debug_stream(_ORIGINAL_HEADERS))
        return SectionMap(original or headers, Omap(from_source), Omap(self._debug_stream(_OMAP_TO_SOURCE)))

    @property
    def modules(self) -> List[Module]:
        """The modules in the order of their indices; the list ends where a damaged one begins."""
        if self._modules is None:
            start, size = self._modules_at
            self._modules = _parse_modules(self._container.read(DBI_STREAM, start, size))
        return self._modules

    def _placed_contributions(self) -> List[_Row]:
        if self._contributions is None:
            start, size = self._contributions_at
            self._contributions = _parse_contributions(self._container.read(DBI_STREAM, start, size))
        return self._contributions

    def contribution(self, section: int, offset: int) -> Optional[Contribution]:
        """The contribution that holds section:offset, or None."""
        entry = next(self.contributions_before(section, offset), None)
        return entry if entry is not None and offset < entry.offset + entry.size else None

    def contributions_before(self, section: int, offset: int) -> Iterator[Contribution]:
        """The contributions to a section that begin at or before an offset, last one first."""
        rows = self._placed_contributions()
        for index in range(bisect_left(rows, (section, offset + 1, 0, 0)) - 1, -1, -1):
            if rows[index][0] != section:
                return
            yield Contribution(*rows[index])


def _parse_modules(data: bytes) -> List[Module]:
    modules = []
    offset = 0
    while offset + _MODULE.size <= len(data):
        fields = _MODULE.unpack_from(data, offset)
        stream, symbols, c11, c13 = fields[8], fields[9], fields[10], fields[11]
        name_end = data.find(b"\0", offset + _MODULE.size)
        object_end = data.find(b"\0", name_end + 1)
        if name_end < 0 or object_end < 0:
            break
        modules.append(
            Module(
                data[offset + _MODULE.size : name_end].decode("utf-8", "replace"),
                data[name_end + 1 : object_end].decode("utf-8", "replace"),
                None if stream == NIL_STREAM else stream,
                symbols,
                c11,
                c13,
            )
        )
        offset = (object_end + 4) & ~3
    return modules


def _parse_contributions(data: bytes) -> List[_Row]:
    """Ascending. A kernel has tens of thousands, of which a stack asks for a few: those alone become objects."""
    version = int.from_bytes(data[:4], "little")
    if version == _CONTRIBUTIONS_V60:
        record = struct.Struct("<HxxiiIHxxII")
    elif version == _CONTRIBUTIONS_V2:
        record = struct.Struct("<HxxiiIHxxIII")
    else:
        return []
    rows = record.iter_unpack(data[4 : 4 + (len(data) - 4) // record.size * record.size])
    return sorted([(section, offset, size, module) for section, offset, size, _, module, *_ in rows])
