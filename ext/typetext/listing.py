"""The names that a pattern of `dt` matches: `dt nt!_KPR*`."""

from __future__ import annotations

import re

from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.symbol_file import SymbolFile
from dumpkit.typetext.request import TypeRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Sequence


class ListedName(NamedTuple):
    """A type, or a variable at a virtual address (0 for a type), and its size in bytes."""

    name: str
    size: int
    address: int = 0


class TypeListing(NamedTuple):
    """What a pattern matched in one module."""

    request: TypeRequest
    #: The module as the engine writes it here: the name of its file, without the ending.
    module: str
    names: Sequence[ListedName]

    def lines(self) -> Iterator[str]:
        """The engine's text, line by line."""
        if self.request.verbose:
            yield f"Enumerating symbols matching {self.request.name}"
            yield "Address   Size Symbol"
        for found in self.names:
            address = f"{found.address:016x}" if found.address else ""
            if self.request.verbose:
                yield f"{address:<8}   {found.size:03x} {self.module}!{found.name}"
            else:
                yield f"{address:<8}  {self.module}!{found.name}"


def matching_types(file: SymbolFile, request: TypeRequest) -> List[ListedName]:
    """The records and enumerations of a symbol file that a request's pattern matches, by name."""
    wanted = request.bare_name
    pattern = re.escape(wanted).replace(r"\*", ".*").replace(r"\?", ".") + (".*" if request.partial else "")
    matches = re.compile(pattern, re.IGNORECASE).fullmatch
    listed: List[ListedName] = []
    for name in sorted(set(file.type_names())):
        if matches(name) is not None:
            type = file.type(name)
            size = type.size if type is not None else 0
            if request.size is None or size == request.size:
                listed.append(ListedName(name, size))
    return listed
