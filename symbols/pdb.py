"""A PDB as a symbol file.

Opening reads the info stream and the head of the DBI stream; every other stream waits until something in it is
asked for. What the engine prints was read off dbgeng itself, on public, private and rearranged PDBs.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import chain

from dumpkit.functions import cached_property
from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.container import open_container
from dumpkit.symbols.dbi import NIL_STREAM, Dbi
from dumpkit.symbols.info import read_info
from dumpkit.symbols.publics import Public, Publics, symbol_hash
from dumpkit.symbols.sections import SECTION_EXECUTE, SectionMap
from dumpkit.symbols.symbol_file import Inline, Line, LocalVariable, Location, Symbol, SymbolFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Union

    from dumpkit.symbols.ipi import IdTable
    from dumpkit.symbols.module_stream import Private
    from dumpkit.symbols.privates import LoadedModule, Privates
    from dumpkit.symbols.tpi import TypeTable
    from dumpkit.symbols.types import Type
    from typing_extensions import TypeAlias

Place: TypeAlias = "Tuple[int, int]"

#: How names begin that are shown otherwise than linked; those with an `@` are too.
_DECORATIONS = frozenset("?_.")


class ImageInfo(NamedTuple):
    """The image that a PDB belongs to."""

    #: IMAGE_FILE_MACHINE_* (0x8664, 0xAA64).
    machine: int
    #: As debuggers look a PDB up: GUID in 32 upper-case hexadecimal digits, and the age of the DBI stream.
    guid: str
    age: int
    #: Whether private symbols were left out.
    stripped: bool


class PdbFile(SymbolFile):
    """A PDB 7.00 file. Raises SymbolError, with one line that says why, where it cannot be read.

    `own_container` picks the reader of the container (see `open_container`); both give the same.
    """

    kind = "pdb"

    def __init__(self, path: str, own_container: Optional[bool] = None) -> None:
        self.path = path
        self._container = open_container(path, own_container)
        try:
            self._info = read_info(self._container)
            self._dbi = Dbi(self._container)
        except BaseException:
            self._container.close()
            raise
        self.guid = self._info.guid
        self.age = self._dbi.age
        self.image_info = ImageInfo(self._dbi.machine, self.guid, self.age, self._dbi.stripped)

    def close(self) -> None:
        self._container.close()

    @cached_property
    def sections(self) -> SectionMap:
        """The image's sections, and what translates places of records into RVAs."""
        return self._dbi.section_map()

    @cached_property
    def publics(self) -> Publics:
        """The public symbols as they are recorded: decorated, by section:offset."""
        return Publics(self._stream(self._dbi.publics_stream), self._records)

    @cached_property
    def _records(self) -> bytes:
        return self._stream(self._dbi.records_stream)

    @cached_property
    def _privates(self) -> Optional[Privates]:
        """The private symbols; None without any: every function and variable is referred to among the globals."""
        stream = self._stream(self._dbi.globals_stream)
        global_symbols = symbol_hash(stream, lambda: self._records, publics=False)
        if not len(global_symbols):
            return None
        from dumpkit.symbols.privates import Privates

        names = self._info.named_streams.get("/names", NIL_STREAM)
        return Privates(self._container, self._dbi, global_symbols, lambda: self._records, lambda: self._stream(names))

    @cached_property
    def types(self) -> TypeTable:
        """The types by index and name."""
        from dumpkit.symbols.tpi import TypeTable
        from dumpkit.symbols.type_records import TPI_STREAM, TypeRecords

        return TypeTable(TypeRecords(self._container, TPI_STREAM), self.path)

    def _stream(self, number: int) -> bytes:
        return self._container.read(number) if number != NIL_STREAM else b""

    # Names

    def find(self, name: str) -> Optional[Symbol]:
        """The symbol that is shown as `name`, or that the linker knew as `name`."""
        return next(self._matches(name, any_case=False), None)

    def find_in_any_case(self, name: str) -> Optional[Symbol]:
        return self.find(name) or next(self._matches(name, any_case=True), None)

    def named(self, name: str) -> Sequence[Symbol]:
        found = list(self._matches(name, any_case=False)) or list(self._matches(name, any_case=True))
        folded = name.lower()
        # What is shown otherwise is meant only where nothing is shown so: "_f" by "_f", but not "_f" and "f" by "f".
        shown = [symbol for symbol in found if symbol.name.lower() == folded] or found
        # The first of those at one place: private symbols come before public ones.
        return list({symbol.rva: symbol for symbol in reversed(shown)}.values())[::-1]

    def listed(self, name: str) -> Sequence[Symbol]:
        found = list(dict.fromkeys(self._matches(name, any_case=True)))
        return [symbol for symbol in found if symbol.name.lower() == name.lower()] or found

    def _matches(self, name: str, any_case: bool) -> Iterator[Symbol]:
        """The symbols that are shown or linked as `name`; one may come twice."""
        raw = name.encode("utf-8", "replace")
        for private in self._privates.named(raw, any_case) if self._privates is not None else ():
            symbol = self._placed(private)
            if symbol is not None:
                yield symbol
        for linkage in (raw, b"_" + raw):
            for public in self.publics.named(linkage, any_case):
                symbol = self._placed(public)
                if symbol is not None:
                    yield symbol
        shown = self._folded_shown if any_case else self._shown
        for offset in shown.get(name.lower() if any_case else name, ()):
            found = self.publics.at(offset)
            symbol = self._placed(found) if found is not None else None
            if symbol is not None:
                yield symbol

    @cached_property
    def _shown(self) -> Dict[str, List[int]]:
        """Offsets of the publics that are shown otherwise than linked, which no hash finds, by the name shown."""
        shown: Dict[str, List[int]] = {}
        for offset, public in self.publics.decorated():
            shown.setdefault(_shown_name(public.name.decode("utf-8", "replace")), []).append(offset)
        return shown

    @cached_property
    def _folded_shown(self) -> Dict[str, List[int]]:
        folded: Dict[str, List[int]] = {}
        for name, offsets in self._shown.items():
            folded.setdefault(name.lower(), []).extend(offsets)
        return folded

    def symbols(self) -> Iterator[Symbol]:
        """Every symbol that has a name of its own, ascending by RVA: a public one where no private one is in its place.

        String literals are among them, under the name that the engine gives them.
        """
        return iter(self._ordered)

    @cached_property
    def _ordered(self) -> List[Symbol]:
        """Every symbol, ascending by RVA; of those at one RVA the one that is shown comes first."""
        import gc

        # Tens of thousands of tuples and no cycle among them: looking for some would take a fifth of the time.
        collecting = gc.isenabled()
        gc.disable()
        try:
            return self._in_order()
        finally:
            if collecting:
                gc.enable()

    def _in_order(self) -> List[Symbol]:
        from dumpkit.symbols.undecorate import shown_name

        found: List[Symbol] = []
        hidden = set()
        for private in self._privates or ():
            symbol = self._placed(private)
            if symbol is not None:
                found.append(symbol)
                hidden.add((private.section, private.offset))
        from operator import itemgetter

        place_to_rva, bases = self.sections.rva, self.sections.bases or ()
        for section, offset, raw, function in self.publics.rows():
            if hidden and (section, offset) in hidden:
                continue
            rva = bases[section - 1] + offset if 0 < section <= len(bases) else place_to_rva(section, offset)
            if rva is not None:
                linkage = raw.decode("utf-8", "replace")
                name = shown_name(linkage) if linkage[:1] in _DECORATIONS or "@" in linkage else linkage
                found.append(Symbol(rva, name, 0, function, "" if name == linkage else linkage))
        found.sort(key=itemgetter(0))
        return found

    def _placed(self, found: Union[Public, Private]) -> Optional[Symbol]:
        """A symbol as it is shown; None for one that is not in the image."""
        rva = self.sections.rva(found.section, found.offset)
        return self._symbol(found, rva) if rva is not None else None

    def _symbol(self, found: Union[Public, Private], rva: int) -> Symbol:
        linkage = found.name.decode("utf-8", "replace")
        if not isinstance(found, Public):
            return Symbol(rva, linkage, found.size, found.is_function)
        name = _shown_name(linkage) if linkage[:1] in _DECORATIONS or "@" in linkage else linkage
        return Symbol(rva, name, 0, found.function, "" if name == linkage else linkage)

    # Addresses

    def nearest(self, rva: int) -> Optional[Symbol]:
        place = self.sections.place(rva)
        found = self._before(place, rva, literals=False) if place is not None else None
        return found.symbol if found is not None else None

    def locate(self, rva: int) -> Optional[Location]:
        place = self.sections.place(rva)
        found = self._before(place, rva, literals=True) if place is not None else None
        return found if found is not None else self._out_of_section(place)

    def _before(self, place: Place, rva: int, literals: bool) -> Optional[Location]:
        """The symbol at or before a place in its section; private ones are preferred to public ones there."""
        section, offset = place
        public = self.publics.before(section, offset, literals)
        private = None
        if self._privates is not None:
            private = self._privates.before(section, offset, public.offset if public is not None else 0)
        start = private or public
        if start is None:
            return None
        displacement = offset - start.offset
        # A symbol whose own bytes were removed is still named, by what remains of it.
        own = self.sections.rva(section, start.offset)
        if own is None:
            own = rva - displacement
        return Location(self._symbol(start, own), displacement)

    def _out_of_section(self, place: Optional[Place]) -> Optional[Location]:
        """What the engine makes of a place with no symbol before it in its section: the last one of the sections
        before; in front of the very first symbol that one, at a negative displacement within its section."""
        places = self._places
        index = max(bisect_left(places, place) - 1 if place is not None else -1, 0)
        if not places:
            return None
        section, offset = places[index]
        found = self._before((section, offset), self.sections.rva(section, offset) or 0, literals=True)
        if found is None:
            return None
        inside = place is not None and place[0] == section
        return Location(found.symbol, place[1] - offset if inside and place is not None else None)

    @cached_property
    def _places(self) -> List[Place]:
        """The places of all symbols in the image's sections, ascending."""
        count = len(self.sections.sections)
        symbols: Iterator[Union[Public, Private]] = chain(self.publics, self._privates or ())
        return sorted({(symbol.section, symbol.offset) for symbol in symbols if 0 < symbol.section <= count})

    def is_code(self, rva: int) -> Optional[bool]:
        place = self.sections.place(rva)
        return place is not None and bool(self.sections.sections[place[0] - 1].characteristics & SECTION_EXECUTE)

    def function(self, rva: int) -> Optional[Symbol]:
        """The private function whose code holds `rva`, with its size; None where the PDB keeps no bounds there."""
        place = self.sections.place(rva)
        found = self._privates.function_at(*place) if place is not None and self._privates is not None else None
        return self._placed(found) if found is not None else None

    # Source

    def line(self, rva: int) -> Optional[Line]:
        place = self.sections.place(rva)
        module = self._module(place)
        if place is None or module is None:
            return None
        entry = module.lines.entry_at(*place)
        if entry is None or entry.is_hidden:
            return None
        start = self.sections.rva(entry.section, entry.offset)
        return Line(start if start is not None else rva, module.lines.file_name(entry.file), entry.number)

    def lines(self) -> Iterator[Line]:
        """Every source line of the image, module by module, ascending by place in each."""
        privates = self._privates
        for index in range(len(self._dbi.modules) if privates is not None else 0):
            module = privates.module(index) if privates is not None else None
            if module is None:
                continue
            for block in module.lines.blocks:
                for entry in block.entries:
                    start = self.sections.rva(entry.section, entry.offset)
                    if start is not None and not entry.is_hidden:
                        yield Line(start, module.lines.file_name(entry.file), entry.number)

    def _module(self, place: Optional[Place]) -> Optional[LoadedModule]:
        return self._privates.module_at(*place) if place is not None and self._privates is not None else None

    def inlines(self, rva: int) -> Sequence[Inline]:
        place = self.sections.place(rva)
        module = self._module(place)
        if place is None or module is None or self._privates is None:
            return ()
        function = self._privates.function_at(*place)
        if function is None:
            return ()
        from dumpkit.symbols.inlines import decode_annotations

        code = place[1] - function.offset
        found: List[Inline] = []
        for site in module.symbols.inline_sites(function):
            start = module.lines.inlinees.get(site.inlinee)
            rows = decode_annotations(site.annotations, start.file if start else 0, start.line if start else 0)
            row = next((row for row in rows if row.start <= code < row.end), None)
            if row is not None:
                begin = self.sections.rva(function.section, function.offset + min(each.start for each in rows))
                file = module.lines.file_name(row.file) if start is not None else ""
                name = self._ids.name(site.inlinee)
                found.append(Inline(name, begin if begin is not None else rva, file or None, row.number))
        return found[::-1]

    def variables(self, rva: int) -> Sequence[LocalVariable]:
        place = self.sections.place(rva)
        module = self._module(place)
        if place is None or module is None or self._privates is None:
            return ()
        function = self._privates.function_at(*place)
        if function is None:
            return ()
        from dumpkit.symbols.types import FunctionType

        index = self._ids.function_type(function.type_index) if function.type_is_id else function.type_index
        type = self.types.at(index) if index else None
        parameters = len(type.arguments) if isinstance(type, FunctionType) else 0
        found: List[LocalVariable] = []
        for each in module.symbols.variables(function, place[1]):
            is_parameter = each.is_parameter if each.is_parameter is not None else len(found) < parameters
            name = each.name.decode("utf-8", "replace")
            found.append(LocalVariable(name, self.types.at(each.type_index), each.register, each.offset, is_parameter))
        return found

    # Types

    @cached_property
    def _ids(self) -> IdTable:
        from dumpkit.symbols.ipi import IdTable
        from dumpkit.symbols.type_records import IPI_STREAM, TypeRecords

        return IdTable(TypeRecords(self._container, IPI_STREAM), self.types)

    def type(self, name: str) -> Optional[Type]:
        found = self.types.named(name)
        if found is None and self._privates is not None:
            index = self._privates.typedef(name.encode("utf-8", "replace"))
            found = self.types.at(index) if index is not None else None
        return found

    def type_names(self) -> Iterator[str]:
        return self.types.names()

    def type_of(self, name: str) -> Optional[Type]:
        for private in self._privates.named(name.encode("utf-8", "replace")) if self._privates is not None else ():
            index: Optional[int] = private.type_index
            if private.type_is_id:
                index = self._ids.function_type(private.type_index)
            if index:
                return self.types.at(index)
        return None


def _shown_name(linkage: str) -> str:
    from dumpkit.symbols.undecorate import shown_name

    return shown_name(linkage)
