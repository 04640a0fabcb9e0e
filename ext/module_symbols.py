"""The symbols of one module: which file they are from, how it was found, and what else was tried."""

from __future__ import annotations

from abc import ABC, abstractmethod

from dumpkit.errors import SymbolError
from dumpkit.memory import AddressSpace
from dumpkit.module import Module
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator, List, Mapping, Optional, Sequence, TypeVar

    from dumpkit.symbols.pe import CodeView, PEImage, Section
    from dumpkit.symbols.search import SymbolSearch
    from dumpkit.symbols.symbol_file import SymbolFile

    Answer = TypeVar("Answer")


#: What the engine does not say of a module whose symbols nobody asked for yet.
DEFERRED = "deferred"
NO_SYMBOLS = "no symbols"
#: Where a pattern of names for a PDB ends: paths that linkers write have either separator.
_SEPARATORS = "\\/"


class Source(NamedTuple):
    """A symbol file that may serve a module; `note` says how it was matched where no id says that it is the one."""

    file: SymbolFile
    note: str = ""


class Sources(ABC):
    """The symbol files of one module, the best first; each is looked for when the one before did not serve."""

    def __init__(self, memory: AddressSpace, module: Module) -> None:
        #: What may hold the image.
        self.memory = memory
        self.module = module
        #: Why what was tried did not serve, a line each.
        self.problems: List[str] = []
        #: The path of the image's file, where one was found.
        self.image: Optional[str] = None
        #: The image's sections, where its header was found.
        self.sections: Sequence[Section] = ()
        #: Whether nothing says that the image is the one that the module list names.
        self.unverified = False

    @abstractmethod
    def __iter__(self) -> Iterator[Source]:
        """Each file, opened."""

    def mapped_image(self) -> Optional[PEImage]:
        """The image as memory holds it, or None where its headers are not there."""
        from dumpkit.symbols.pe import MappedImage

        try:
            mapped = MappedImage(self.memory, self.module.base)
        except SymbolError:
            # A dump may hold no more than the start of a header: the image's file is then looked for.
            return None
        self.sections = mapped.sections
        return mapped

    def opened(self, find: Callable[[], str], kind: str) -> Optional[Source]:
        """The file whose path `find` gives, or None, with the problem, where there is none or it cannot be read."""
        try:
            return Source(_open(find(), kind))
        except SymbolError as error:
            self.problems.append(str(error))
            return None

    def exports(self, mapped: Optional[PEImage]) -> Iterator[Source]:
        """The image's exports: of its file, or of what the target holds of it."""
        from_file = self.image
        if mapped is None and from_file is None:
            return
        from dumpkit.symbols.exports import ExportSymbols

        try:
            if from_file is not None:
                yield Source(ExportSymbols.from_file(from_file))
            elif mapped is not None:
                yield Source(ExportSymbols(mapped))
        except SymbolError as error:
            self.problems.append(str(error))


class SymbolSources(Sources):
    """Finds a module's symbol files along a symbol path.

    `known` are RVAs of kernel variables, for a kernel without an id.
    """

    def __init__(
        self, memory: AddressSpace, module: Module, search: SymbolSearch, known: Mapping[str, int], trusting: bool
    ) -> None:
        super().__init__(memory, module)
        self.search = search
        self.known = known
        #: Whether a PDB of the right name is taken whatever its id (`.reload /i`).
        self.trusting = trusting

    def __iter__(self) -> Iterator[Source]:
        has_header = self.memory.read_prefix(self.module.base, 2) == b"MZ"
        # Most minidumps hold a header and no table behind it: nothing is then imported to read one.
        is_useful = self.search.has_places or exports_are_there(self.memory, self.module.base)
        mapped = self.mapped_image() if has_header and is_useful else None
        codeview = mapped.codeview() if mapped is not None else None
        if self.search.has_places:
            if codeview is None:
                codeview = self._codeview_of_file()
            if codeview is not None:
                yield from self._by_id(codeview)
            elif self.known:
                yield from self._by_variables()
            if self.trusting:
                yield from self._by_name()
        self.unverified = self.image is None and (mapped is None if is_useful else not has_header)
        yield from self.exports(mapped)

    def _codeview_of_file(self) -> Optional[CodeView]:
        """The id in the image's file, by its time stamp and size."""
        if not self.module.timestamp:
            self.problems.append(f"the dump has neither the header of {self.module.image_name} nor its time stamp")
            return None
        from dumpkit.symbols.pe import ImageFile

        try:
            path = self.search.finder.find_image(self.module.image_name, self.module.timestamp, self.module.size)
            with ImageFile(path) as image:
                self.image = path
                self.sections = image.sections
                return image.codeview()
        except SymbolError as error:
            self.problems.append(str(error))
            return None

    def _by_id(self, codeview: CodeView) -> Iterator[Source]:
        name = codeview.pdb_name[max(codeview.pdb_name.rfind(separator) for separator in _SEPARATORS) + 1 :]
        finder = self.search.finder
        for find, kind in ((finder.find_pdb, "pdb"), (finder.find_isf, "isf")):
            source = self.opened(lambda find=find: find(name, codeview.guid, codeview.age), kind)  # type: ignore[misc]
            if source is not None:
                yield source

    def _by_variables(self) -> Iterator[Source]:
        """The kernel's symbols where the dump has no id: those whose variables lie where the dump has them."""
        from dumpkit.symbols.kernel_match import agreement

        candidates = self.search.finder.candidates(self.module.name)
        for path, kind in candidates:
            source = self.opened(lambda path=path: path, kind)  # type: ignore[misc]
            if source is None:
                continue
            try:
                found = agreement(source.file, self.known)
            except SymbolError as error:
                self.problems.append(str(error))
                source.file.close()
                continue
            if found.holds:
                yield Source(source.file, f"no PDB id in the dump: matched by {', '.join(found.names)}")
            else:
                self.problems.append(f"{path}: {found.reason}")
                source.file.close()
        if not candidates:
            self.problems.append(f"no symbol file of {self.module.name} in the folders of the symbol path")

    def _by_name(self) -> Iterator[Source]:
        for path, kind in self.search.finder.candidates(self.module.name):
            source = self.opened(lambda path=path: path, kind)  # type: ignore[misc]
            if source is not None:
                yield Source(source.file, "mismatched: taken by its name alone, as /i asks for")


#: Places in the headers of a PE32+ image (Microsoft's PE format): where the offset of the NT headers stands, and in
#: those the RVA of the export directory, which is an IMAGE_EXPORT_DIRECTORY.
_NT_HEADERS, _EXPORTS, _EXPORT_DIRECTORY_SIZE = 0x3C, 0x88, 40


def exports_are_there(memory: AddressSpace, base: int) -> bool:
    """Whether the export directory of an image at a virtual address can be read."""
    word = memory.read_optional(base + _NT_HEADERS, 4)
    if word is not None:
        word = memory.read_optional(base + int.from_bytes(word, "little") + _EXPORTS, 4)
    rva = int.from_bytes(word, "little") if word is not None else 0
    return rva != 0 and memory.read_optional(base + rva, _EXPORT_DIRECTORY_SIZE) is not None


def _open(path: str, kind: str) -> SymbolFile:
    if kind == "pdb":
        from dumpkit.symbols.pdb import PdbFile

        return PdbFile(path)
    from dumpkit.symbols.isf import IsfFile

    return IsfFile(path)


class ModuleSymbols:
    """A module's symbols, looked for when this is made.

    A file that turns out to be damaged gives way to the next one.
    """

    def __init__(self, sources: Sources) -> None:
        self.module = sources.module
        self.sources = sources
        self._waiting = iter(sources)
        self.file: Optional[SymbolFile] = None
        self.note = ""
        self._advance()

    def _advance(self) -> None:
        source = next(self._waiting, None)
        self.file, self.note = source if source is not None else (None, "")

    def ask(self, question: Callable[[SymbolFile], Answer]) -> Optional[Answer]:
        """The answer of the module's symbol file; None where there is none, or none that is not damaged."""
        while self.file is not None:
            try:
                return question(self.file)
            except SymbolError as error:
                self.sources.problems.append(str(error))
                self.file.close()
                self._advance()
        return None

    def is_code(self, rva: int) -> Optional[bool]:
        """Whether an RVA is in a section that is executed; None where nothing tells."""
        section = next((each for each in self.sources.sections if each.rva <= rva < each.end), None)
        if section is not None:
            return section.is_code
        return self.ask(lambda file: file.is_code(rva))

    @property
    def state(self) -> str:
        """The words that `lm` shows in brackets."""
        file = self.file
        if file is None:
            return NO_SYMBOLS
        if file.kind == "exports":
            return "export symbols"
        info = getattr(file, "image_info", None)
        private = info is not None and not info.stripped
        return f"private {file.kind} symbols" if private else f"{file.kind} symbols"

    @property
    def flag(self) -> str:
        """The engine's letter before them: M for symbols that may not be the image's, T for an unverified image."""
        if self.note.startswith("mismatched"):
            return "M"
        return "T" if self.sources.unverified and self.file is None else ""

    @property
    def problem(self) -> str:
        """Where symbols were looked for and what was wrong there, as one line; empty where nothing was tried."""
        return "; ".join(dict.fromkeys(self.sources.problems))

    def close(self) -> None:
        """Let go of the file."""
        if self.file is not None:
            self.file.close()
