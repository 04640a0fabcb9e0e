"""The image of a loaded module: what memory holds of it, and its file for the rest."""

from __future__ import annotations

from dumpkit.errors import SymbolError
from dumpkit.memory import AddressSpace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional, Tuple

    from dumpkit.symbols.pe import ImageFile, PEImage


class ModuleImage:
    """An image by RVA. Its bytes come from memory; the file is looked for when memory lacks one of them.

    `base` is the module's virtual address, `size` its SizeOfImage in bytes. `find` gives the path of the file
    or raises SymbolError; None says that there is nowhere to look. A file is as the linker wrote it: what the
    loader relocates or binds differs, code and unwind data do not.
    """

    def __init__(
        self, memory: AddressSpace, base: int, size: int, name: str, find: Optional[Callable[[], str]] = None
    ) -> None:
        self.base = base
        self.size = size
        #: The file's name, for error messages.
        self.name = name
        self._memory = memory
        self._find = find
        self._file: Optional[ImageFile] = None
        self._problem = "" if find is not None else "there is no symbol path"

    def read(self, rva: int, size: int) -> bytes:
        """The bytes at an RVA, up to `size` or the first that neither memory nor the file has."""
        size = min(size, self.size - rva)
        if rva < 0 or size <= 0:
            return b""
        data = self._memory.read_prefix(self.base + rva, size)
        if len(data) == size or self.file is None:
            return data
        return data + self.file.read(rva + len(data), size - len(data))

    def directory(self, index: int) -> Tuple[int, int]:
        """(RVA, size in bytes) of a data directory (IMAGE_DIRECTORY_ENTRY_*); (0, 0) where the image has none.

        Raises SymbolError as `header` does.
        """
        return self.header().directory(index)

    def header(self) -> PEImage:
        """The image's headers, of memory or of its file.

        Raises SymbolError where neither has them.
        """
        if self._memory.read_prefix(self.base, 2) == b"MZ":
            from dumpkit.symbols.pe import MappedImage

            try:
                return MappedImage(self._memory, self.base, self.name)
            except SymbolError as error:
                if self.file is None:
                    raise SymbolError(f"{error}; {self._problem}") from error
        if self.file is None:
            raise SymbolError(self.missing)
        return self.file

    @property
    def has_header(self) -> bool:
        """Whether memory has the begin of a header, or there is a file."""
        return self._memory.read_prefix(self.base, 2) == b"MZ" or self.file is not None

    @property
    def missing(self) -> str:
        """Why the image is not there, where it is not."""
        return f"the dump does not hold the image of {self.name}, and {self._problem}"

    @property
    def missing_part(self) -> str:
        """Why a part of the image is not there that memory has not got."""
        return f"the dump does not hold that part of {self.name}, and {self._problem}"

    @property
    def file(self) -> Optional[ImageFile]:
        """The image's file, looked for at the first use; None where it was not found."""
        if self._file is None and self._find is not None:
            from dumpkit.symbols.pe import ImageFile

            try:
                self._file = ImageFile(self._find())
            except SymbolError as error:
                self._problem = str(error)
            self._find = None
        return self._file

    def close(self) -> None:
        """Let go of the file; it is not looked for again."""
        self._find = None
        if self._file is not None:
            self._file.close()
            self._file = None
