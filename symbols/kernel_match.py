"""Whether a symbol file is a kernel's: told by where the kernel's variables lie, where no id says so.

Triage dumps leave out the page with the PDB's id, but their header has the addresses of a few variables;
no two builds of a kernel have all of them at the same places.
"""

from __future__ import annotations

from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.symbol_file import SymbolFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Mapping, Optional, Tuple

#: So many variables must agree, at least.
LEAST = 2


class Agreement(NamedTuple):
    """The variables that a symbol file places where the kernel has them, and the first that it places elsewhere."""

    names: Tuple[str, ...]
    #: "PsLoadedModuleList is at 0x1234 there and at 0x5678 in the kernel", or None.
    contradiction: Optional[str] = None

    @property
    def holds(self) -> bool:
        """Whether the file is the kernel's."""
        return self.contradiction is None and len(self.names) >= LEAST

    @property
    def reason(self) -> str:
        """Why it is not the kernel's, as a clause."""
        if self.contradiction is not None:
            return self.contradiction
        return f"too few of the kernel's known variables are named in it ({', '.join(self.names) or 'none'})"


def agreement(file: SymbolFile, known: Mapping[str, int]) -> Agreement:
    """Hold the symbols of a file against `known`: the RVAs of kernel variables, by name.

    Raises SymbolError where the file is damaged.
    """
    agreeing: List[str] = []
    for name, rva in known.items():
        symbol = file.find(name)
        if symbol is None:
            continue
        if symbol.rva != rva:
            place = f"{name} is at 0x{symbol.rva:x} there and at 0x{rva:x} in the kernel"
            return Agreement(tuple(agreeing), place)
        agreeing.append(name)
    return Agreement(tuple(agreeing))
