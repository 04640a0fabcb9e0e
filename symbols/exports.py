"""An image's export table as a symbol file: what there is where no PDB is."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from dumpkit.errors import SymbolError
from dumpkit.symbols.pe import ImageFile, PEImage
from dumpkit.symbols.preference import rank
from dumpkit.symbols.symbol_file import Symbol, SymbolFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional, Tuple


class ExportSymbols(SymbolFile):
    """The exported names of one image.

    As the engine does, a name loses one leading underscore, and an export without a name is called
    `Ordinal20`. Forwarders name nothing in this image and are left out.
    """

    kind = "exports"

    def __init__(self, image: PEImage) -> None:
        """Reads the table at once. Raises SymbolError where the image exports nothing or its table is damaged."""
        self.path = image.name
        self._sections = image.sections
        table = image.exports()
        if table is None:
            raise SymbolError(f"{image.name}: no symbols: it exports nothing")
        #: Names and addresses that could not be read.
        self.missing = table.missing
        self._by_name: Dict[str, Symbol] = {}
        symbols: List[Tuple[Tuple[int, bool, bytes], Symbol]] = []
        for export in table.exports:
            if export.forwarder is not None:
                continue
            section = image.section_at(export.rva)
            raw = export.name if export.name is not None else f"Ordinal{export.ordinal}"
            name = raw[1:] if raw[:1] == "_" and len(raw) > 1 else raw
            symbol = Symbol(export.rva, name, 0, section is not None and section.is_code)
            symbols.append(((export.rva, export.name is None, rank(name)), symbol))
            self._by_name.setdefault(name, symbol)
            self._by_name[raw] = symbol
        # Several names at one address: the preferred one first.
        self._symbols = [symbol for _, symbol in sorted(symbols)]
        self._rvas = [symbol.rva for symbol in self._symbols]

    @classmethod
    def from_file(cls, path: str) -> ExportSymbols:
        """The exports of an image file. Raises SymbolError as the constructor does, and where it is no image."""
        with ImageFile(path) as image:
            return cls(image)

    def find(self, name: str) -> Optional[Symbol]:
        """The export of that name, with or without its leading underscore."""
        return self._by_name.get(name)

    def nearest(self, rva: int) -> Optional[Symbol]:
        """The last export at or before an RVA in the section that holds it; None outside every section."""
        index = bisect_right(self._rvas, rva) - 1
        if index < 0:
            return None
        symbol = self._symbols[bisect_left(self._rvas, self._rvas[index])]
        section = next((section for section in self._sections if section.rva <= rva < section.end), None)
        return symbol if section is not None and symbol.rva >= section.rva else None

    def symbols(self) -> Iterator[Symbol]:
        return iter(self._symbols)
