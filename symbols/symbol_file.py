"""What a symbol file gives, whichever format it has: names by address, addresses by name, types, lines.

Every address here is an RVA: bytes from the image's base.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Iterator, NamedTuple, Optional, Sequence

from dumpkit.symbols.types import Type


class Symbol(NamedTuple):
    """A name at an RVA. `size` is 0 where the file does not say; `is_function` None likewise."""

    rva: int
    name: str
    size: int = 0
    is_function: Optional[bool] = None


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

    def close(self) -> None:  # noqa: B027 - most formats hold no file open
        """Let go of the file; reading afterwards is an error."""
