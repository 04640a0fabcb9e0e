"""Which of several names an address is called by: one rule for every kind of symbol file.

Linkers fold equal functions and give one address many names. dbgeng shows the first in the order of the
bytes of the names that the linker knew, which is the order of a PDB's address map: `memcpy` and not
`memmove`, `ExFreePool` and not `ExFreePoolWithTag`, but also `$$0` and not `KiInterruptThunk`, and
`?SmFreeWrapper@@YAXPEAX0@Z` (shown as `SmFreeWrapper`) and not `CmpFreePool`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable


def is_string_literal(name: str) -> bool:
    """Whether `name` is the decorated name of a string constant, which is never shown as a place."""
    return name.startswith("??_C@")


def rank(linkage: str) -> bytes:
    """The sort key of a name, as it was linked, among the aliases of its address: the lowest is preferred."""
    return linkage.encode("utf-8", "replace")


def preferred(names: Iterable[str]) -> str:
    """The name to show of one or more names at the same address."""
    return min(names, key=rank)
