"""What a program consists of: functions, labels and variables, as its image and its PDB both need them.

RVAs are bytes from the image's base; offsets in a function are bytes from its start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional, Sequence, Tuple

from dumpkit.symbols.types import FunctionType, Type

from tests.forge.assembly import Code
from tests.forge.unwind import Unwind


class Local(NamedTuple):
    """A parameter or local variable that lies at [register+offset]."""

    name: str
    type: Type
    offset: int
    register: str = "rsp"


class InlineSite(NamedTuple):
    """A function inlined into another one: its code and lines are pieces of the outer function's."""

    name: str
    source: str
    #: The inlined function's first line.
    first_line: int
    #: (offset in the outer function, size, line in `source`), ascending.
    pieces: Sequence[Tuple[int, int, int]]
    #: None: it takes and returns nothing.
    type: Optional[FunctionType] = None
    #: Functions inlined into this one at the same place.
    inner: Sequence[InlineSite] = ()


@dataclass
class Function:
    """A function. Without an RVA the image places it where its section has room."""

    name: str
    code: Code
    rva: Optional[int] = None
    section: str = ".text"
    #: None takes what the code's prologue says; a leaf function has no prologue and no .pdata entry.
    unwind: Optional[Unwind] = None
    #: Where its UNWIND_INFO lies; None: where there is room.
    unwind_rva: Optional[int] = None
    #: The name that the linker knew, where it is another one; "" for none (a part of another function).
    public_name: Optional[str] = None
    #: Whether other compilands see it; a static function is a local procedure in a private PDB.
    is_global: bool = True
    #: Whether a private PDB has a procedure record for it: not for a part of another function.
    is_procedure: bool = True
    type: Optional[FunctionType] = None
    #: The object file that it comes from.
    compiland: str = ""
    #: Path of its source file, and (offset, line) for each line's first instruction.
    source: str = ""
    lines: Sequence[Tuple[int, int]] = ()
    #: Parameters first: debuggers take as many of these for parameters as the type has.
    locals: Sequence[Local] = ()
    inlines: Sequence[InlineSite] = ()

    @property
    def size(self) -> int:
        """Bytes of code."""
        return len(self.code)

    @property
    def linker_name(self) -> str:
        """The name of its public symbol."""
        return self.name if self.public_name is None else self.public_name


@dataclass
class Label:
    """A public name for an address: an entry point inside a function, or what lies outside everything built here."""

    name: str
    rva: int
    is_function: bool = True


@dataclass
class Variable:
    """A global or static variable; its bytes are zero unless given."""

    name: str
    type: Optional[Type] = None
    rva: Optional[int] = None
    data: bytes = b""
    size: int = 0
    section: str = ".data"
    is_global: bool = True
    compiland: str = ""

    @property
    def room(self) -> int:
        """Bytes that it takes."""
        return max(self.size, len(self.data), self.type.size if self.type is not None else 0)
