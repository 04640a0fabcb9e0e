"""The Kernel-Mode Driver Framework's function table, through which drivers call it.

A driver has a pointer to the table, WdfFunctions, which the loader of the framework (wdfldr.sys) fills in when it
binds the two. Names by index: `wdf_functions.tsv`.
"""

from __future__ import annotations

import os

from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Sequence

#: The debugger's name of the framework's image.
FRAMEWORK = "Wdf01000"

_TABLE = os.path.join(os.path.dirname(__file__), "wdf_functions.tsv")
_names: List[str] = []


def framework_function(offset: int) -> Optional[str]:
    """The name of the function whose pointer lies at an offset, in bytes, in the table; None beyond its end."""
    if not _names:
        with open(_TABLE, encoding="ascii") as file:
            _names.extend(line.rstrip("\n") for line in file if not line.startswith("#"))
    index, rest = divmod(offset, 8)
    return _names[index] if not rest and 0 <= index < len(_names) else None


def holds_function_table(target: Target, cell: int) -> bool:
    """Whether the pointer at a virtual address is a driver's pointer to the framework's function table.

    Symbols say so by its name; where there are none, a pointer into the framework's image that is no import says so.
    """
    place = target.symbols.nearest(cell)
    if place is not None and place.name is not None and not place.displacement:
        return place.name.startswith("WdfFunctions")
    value = target.memory.u64_optional(cell)
    module = target.module_at(value) if value else None
    return module is not None and module.name.lower() == FRAMEWORK.lower() and cell not in module


def framework_names() -> Sequence[str]:
    """The names of the table's functions, in its order."""
    framework_function(0)
    return tuple(_names)
