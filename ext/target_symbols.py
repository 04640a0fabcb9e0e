"""What a target's symbols answer: the names, types and lines of its modules, whichever backend has them."""

from __future__ import annotations

from abc import ABC, abstractmethod

from dumpkit.errors import SymbolError
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Sequence, Tuple

    from dumpkit.module import Module
    from dumpkit.symbols.search import SymbolSearch
    from dumpkit.symbols.symbol_file import LocalVariable, SymbolFile
    from dumpkit.symbols.types import Type


class SymbolLocation(NamedTuple):
    """A place named by the symbol before it: `module!name+displacement`; `module+displacement` where `name` is None."""

    module: Module
    name: Optional[str]
    displacement: int

    def __str__(self) -> str:
        place = f"{self.module.name}!{self.name}" if self.name is not None else self.module.name
        return f"{place}+0x{self.displacement:x}" if self.displacement else place


class SourceLine(NamedTuple):
    """A line of source; `displacement` is the distance in bytes from the line's first instruction."""

    file: str
    line: int
    displacement: int


class FoundSymbol(NamedTuple):
    """A symbol of a module at a virtual address; `size` is 0 and `is_function` None where its file does not say."""

    module: Module
    name: str
    address: int
    size: int = 0
    is_function: Optional[bool] = None

    def __str__(self) -> str:
        return f"{self.module.name}!{self.name}"


class Neighbours(NamedTuple):
    """The symbols around a virtual address.

    `displacement` is how far behind `before` the address lies, negative in front of the first symbol of a section;
    None where `before` is in another section, for want of a better one. `exact` are all that lie at the address.
    """

    before: FoundSymbol
    displacement: Optional[int]
    after: Optional[FoundSymbol]
    exact: Sequence[FoundSymbol]


class InlinedFunction(NamedTuple):
    """A function inlined at some virtual address: where its code begins, and the line of it that is there."""

    module: Module
    name: str
    address: int
    file: Optional[str]
    line: int


class Symbols(ABC):
    """Names, types and lines of a target's modules."""

    #: Where symbol files are looked for; None where that is not dumpkit's business (inside WinDbg).
    search: Optional[SymbolSearch] = None

    @abstractmethod
    def nearest(self, address: int) -> Optional[SymbolLocation]:
        """The symbol at or before a virtual address, in its module; None outside every module."""

    @abstractmethod
    def address_of(self, name: str) -> int:
        """The virtual address of `module!name` or `name`. Raises SymbolError, saying where it was looked for."""

    @abstractmethod
    def type(self, name: str, module: Optional[str] = None) -> Type:
        """A type by name, from `module` (the kernel where None). Raises SymbolError."""

    def source_line(self, address: int) -> Optional[SourceLine]:
        """The source line of a virtual address, or None where no symbols give one."""
        return None

    def state(self, module: Module) -> str:
        """The words that `lm` shows in brackets: "deferred", "no symbols", "pdb symbols" …"""
        return "deferred"

    def symbol_file(self, module: Module) -> Optional[str]:
        """The file that a module's symbols were read from, or None where none is loaded."""
        return None

    def flag(self, module: Module) -> str:
        """The letter that `lm` shows before the state: M for mismatched symbols, T for an unverified image, or ""."""
        return ""

    def remark(self, module: Module) -> str:
        """How a module's symbols were matched, or why it has none; empty where there is nothing to say."""
        return ""

    def image_file(self, module: Module) -> Optional[str]:
        """The file of a module's image, where looking for its symbols has found one."""
        return None

    def around(self, address: int) -> Optional[Neighbours]:
        """The symbols around a virtual address, as `ln` shows them; None where there are none."""
        return None

    def matching(self, pattern: str) -> Iterator[FoundSymbol]:
        """The symbols that `module!name` matches, either of them with `*`, `?` or `[]`, by module and address.

        Raises SymbolError where no module is called so.
        """
        return iter(())

    def modules_like(self, pattern: str) -> Sequence[Module]:
        """The modules whose debugger names match a pattern. Raises SymbolError for a plain name that none has."""
        return ()

    def file(self, module: Module) -> Optional[SymbolFile]:
        """A module's symbol file, looked for if it was not yet; None where there is none."""
        return None

    def type_in(self, name: str, module: Optional[str] = None) -> Tuple[Module, Type]:
        """As `type`, with the module that has it. Raises SymbolError."""
        raise SymbolError(f"{name} is not known: no symbols are loaded")

    def type_of(self, symbol: FoundSymbol) -> Optional[Type]:
        """The type of a variable or function, or None where the symbols do not say."""
        return None

    def inlined(self, address: int) -> Sequence[InlinedFunction]:
        """The functions inlined at a virtual address, innermost first."""
        return ()

    def variables(self, address: int) -> Sequence[LocalVariable]:
        """The parameters and variables of the function at a virtual address, as far as private symbols tell."""
        return ()

    def load(self, module: Module, trusting: bool = False) -> object:
        """Look for a module's symbols, if they were not yet; `trusting` takes mismatched ones too."""
        return None

    def forget(self, module: Optional[Module] = None) -> None:  # noqa: B027 - a target may keep nothing
        """Forget a module's symbols, or all of them: the next question looks for them anew."""

    def close(self) -> None:  # noqa: B027 - a target may hold no file open
        """Let go of every symbol file."""

    def completions(self, prefix: str) -> Iterator[str]:
        """Names that begin with `prefix` (`nt!Ke`), for the prompt; none where symbols are not loaded."""
        return iter(())

    def type_completions(self, prefix: str) -> Iterator[str]:
        """Names of types that begin with `prefix` (`nt!_EPR`, `_EPR`), as `completions`."""
        return iter(())
