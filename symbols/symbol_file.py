"""What a symbol file gives, whichever format it has: names by address, addresses by name, types, lines.

Every address here is an RVA: bytes from the image's base.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.types import Type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Sequence


class Symbol(NamedTuple):
    """A name at an RVA. `size` is 0 where the file does not say; `is_function` None likewise."""

    rva: int
    name: str
    size: int = 0
    is_function: Optional[bool] = None
    #: The name that the linker knew, where it differs: "?Free@SC_ENV@@SAXPEAX@Z" for "SC_ENV::Free".
    linkage: str = ""


class Location(NamedTuple):
    """What the engine says of an RVA: a symbol, and how far behind it the RVA lies.

    `displacement` counts bytes as the compiler laid them out, which differs from the RVAs' distance where blocks
    of code were moved afterwards; it is negative before the first symbol of a module, in its section. It is None
    where the engine has a symbol for want of a better one, in another section, and prints
    `name <PERF> (module+0x1234)`.
    """

    symbol: Symbol
    displacement: Optional[int]


class Line(NamedTuple):
    """A source line and the RVA of its first instruction."""

    rva: int
    file: str
    number: int


class Inline(NamedTuple):
    """A function inlined at some RVA: `file` and `number` are the line inside the inlined function."""

    name: str
    rva: int
    file: Optional[str]
    number: int


class LocalVariable(NamedTuple):
    """A variable of a function, as it is at a place of its code.

    It lies at the address in `register` plus `offset`, or in the register where `offset` is None; where `register` is
    None, the symbols do not say where it is there.
    """

    name: str
    type: Type
    register: Optional[str]
    offset: Optional[int]
    is_parameter: bool


class SymbolFile(ABC):
    """One module's symbols."""

    #: Where it was read from.
    path: str
    #: "pdb", "isf" or "exports".
    kind: str

    @abstractmethod
    def find(self, name: str) -> Optional[Symbol]:
        """The symbol of exactly that name, or None."""

    @abstractmethod
    def nearest(self, rva: int) -> Optional[Symbol]:
        """The symbol that the engine would print for `rva`: the last one at or before it in the same section,
        string literals left out, the preferred one of several names at one place."""

    def locate(self, rva: int) -> Optional[Location]:
        """Where the engine places `rva`, string literals counted where the file has them; None without symbols."""
        symbol = self.nearest(rva)
        return Location(symbol, rva - symbol.rva) if symbol is not None else None

    def find_in_any_case(self, name: str) -> Optional[Symbol]:
        """The symbol of that name, upper and lower case taken as equal where none has exactly it; or None."""
        found = self.find(name)
        if found is None:
            folded = name.lower()
            found = next((symbol for symbol in self.symbols() if symbol.name.lower() == folded), None)
        return found

    def named(self, name: str) -> Sequence[Symbol]:
        """The symbols of that name, in any case where none has exactly it; it may stand for several places."""
        found = self.find_in_any_case(name)
        return () if found is None else (found,)

    def listed(self, name: str) -> Sequence[Symbol]:
        """Every symbol that is called so in any case, and every name of that kind at one place."""
        return self.named(name)

    def is_code(self, rva: int) -> Optional[bool]:
        """Whether an RVA lies in a section that is executed; None where the file does not know the sections."""
        return None

    def type_of(self, name: str) -> Optional[Type]:
        """The type of the variable or function of that name, or None where the file does not say."""
        return None

    @abstractmethod
    def symbols(self) -> Iterator[Symbol]:
        """Every symbol, ascending by RVA."""

    def type(self, name: str) -> Optional[Type]:
        """The type of that name, or None."""
        return None

    def type_names(self) -> Iterator[str]:
        """The name of every record and enumeration."""
        return iter(())

    def line(self, rva: int) -> Optional[Line]:
        """The source line that holds `rva`, or None."""
        return None

    def inlines(self, rva: int) -> Sequence[Inline]:
        """The functions inlined at `rva`, innermost first."""
        return ()

    def variables(self, rva: int) -> Sequence[LocalVariable]:
        """The parameters and variables of the function at `rva`, parameters first in the order of declaration."""
        return ()

    def close(self) -> None:  # noqa: B027 - most formats hold no file open
        """Let go of the file; reading afterwards is an error."""
