"""The functions of MASM expressions: $vvalid, $iment, $scmp, $sicmp and $spat."""

from __future__ import annotations

import re

from dumpkit.memory import AddressSpace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

#: Functions of numbers, and how many they take.
ARGUMENTS = {"$vvalid": 2, "$iment": 1, "$fnsucc": 3}

#: Functions of two strings.
COMPARISONS = frozenset(("$scmp", "$sicmp", "$spat"))

#: Longest range that $vvalid looks at, in bytes.
VALID_LIMIT = 1 << 32

_PIECE = 0x10000


def is_readable(memory: AddressSpace, address: int, length: int) -> bool:
    """$vvalid: whether all bytes of a range can be read."""
    while length > 0:
        piece = min(length, _PIECE)
        if memory.read_optional(address, piece) is None:
            return False
        address, length = address + piece, length - piece
    return True


def entry_point(memory: AddressSpace, base: int) -> Optional[int]:
    """$iment: the address of the entry point of the image at `base`; None where no image is.

    AddressOfEntryPoint in the optional header (winnt.h). Raises MemoryReadError.
    """
    header = base + memory.u32(base + 0x3C)
    if memory.u16(base) != 0x5A4D or memory.u32(header) != 0x4550:
        return None
    return base + memory.u32(header + 0x28)


def read_strings(text: str, position: int) -> Optional[Tuple[str, str, int]]:
    """The two strings of ("...", "...") at a place, and the place behind them; None where there is no such thing.

    A backslash stands for the character behind it.
    """
    # Compiled here, not at import: few expressions compare strings.
    pattern = re.compile(r'\s*\(\s*"((?:[^"\\]|\\.)*)"\s*,\s*"((?:[^"\\]|\\.)*)"\s*\)')
    match = pattern.match(text, position)
    if match is None:
        return None
    first, second = (re.sub(r"\\(.)", r"\1", string) for string in match.groups())
    return first, second, match.end()


def compare(function: str, first: str, second: str) -> int:
    """$scmp: -1, 0 or 1; $sicmp: the same in any case, as the distance of the first characters that differ;
    $spat: 1 where `second` is a pattern that `first` fits, else 0."""
    if function == "$spat":
        from dumpkit.wildcards import matches

        return int(matches(first, second))
    if function == "$sicmp":
        for left, right in zip(first.lower() + "\0", second.lower() + "\0"):
            if left != right:
                return ord(left) - ord(right)
    return (first > second) - (first < second) if function == "$scmp" else 0
