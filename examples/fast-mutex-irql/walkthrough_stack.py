"""The printed stack: addresses, symbols and stack words, and what they say of each function."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

#: The bases of the images; the kernel's and TestDriver's are printed, the others chosen below their functions.
BASES = {
    "nt": 0xFFFFF80204000000,
    "FLTMGR": 0xFFFFF80207540000,
    "WDFLDR": 0xFFFFF80207930000,
    "fileinfo": 0xFFFFF80208270000,
    "Ntfs": 0xFFFFF80208440000,
    "TestDriver": 0xFFFFF80225DA0000,
}


class Row(NamedTuple):
    """A line of the stack: Child-SP, return address, four words, and the symbol of where the frame's code goes on."""

    stack_pointer: int
    return_address: int
    arguments: Tuple[int, ...]
    module: str
    function: str
    offset: int


class OnStack(NamedTuple):
    """A function on the stack: its RVA, the bytes of its frame, and the offset behind each call with whom it calls."""

    rva: int
    frame: int
    returns: List[Tuple[int, str]]


def read_stack() -> List[Row]:
    """The rows of `stack.txt`, innermost first."""
    rows = []
    for line in (Path(__file__).parent / "stack.txt").read_text().splitlines():
        *numbers, symbol = line.split()
        values = [int(number, 16) for number in numbers]
        name, _, offset = symbol.partition("+")
        module, _, function = name.partition("!")
        rows.append(Row(values[0], values[1], tuple(values[2:]), module, function, int(offset or "0", 16)))
    return rows


def functions_of(module: str, rows: List[Row]) -> Dict[str, OnStack]:
    """The functions of a module on the stack, but the innermost one, of which only the start is known."""
    found: Dict[str, OnStack] = {}
    for index, row in enumerate(rows[1:], 1):
        if row.module != module:
            continue
        goes_on_at = rows[index - 1].return_address
        rva = goes_on_at - row.offset - BASES[module]
        following = rows[index + 1].stack_pointer if index + 1 < len(rows) else 0
        frame = following - row.stack_pointer - 8 if following else 0x28
        function = found.setdefault(row.function, OnStack(rva, frame, []))
        inner = rows[index - 1]
        target = inner.function if inner.module == module else ""
        if (row.offset, target) not in function.returns:
            function.returns.append((row.offset, target))
    for function in found.values():
        function.returns.sort()
    return found
