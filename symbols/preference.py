"""Which of several names an address is called by: one rule for every kind of symbol file.

Linkers fold equal functions and give one address many names. The names that WinDbg is seen to print
on Windows kernels (`KiStartSystemThread` and not `KxStartSystemThread`, `KxRetireDpcList` and not
`KyRetireDpcList`, `memcpy` and not `memmove`, `ExFreePool` and not `ExFreePoolWithTag`) are the first
in the order of their characters; decorated C++ names and `$`-labels come behind plain ones.
"""

from __future__ import annotations

from typing import Iterable, Tuple


def is_string_literal(name: str) -> bool:
    """Whether `name` is the decorated name of a string constant, which is never shown as a place."""
    return name.startswith("??_C@")


def rank(name: str) -> Tuple[bool, str]:
    """The sort key of a name among the aliases of its address: the lowest is preferred."""
    return name[:1] in ("?", "$"), name


def preferred(names: Iterable[str]) -> str:
    """The name to show of one or more names at the same address."""
    return min(names, key=rank)
