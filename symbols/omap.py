"""OMAP: where each block of code went when the image was rearranged after linking.

Layout: OMAP in dbghelp.h: pairs of RVAs (from, to), ascending by the first; `to` 0 means removed.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from struct import unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Sequence


def words(data: bytes) -> Sequence[int]:
    """Little-endian 32-bit words, unsigned; a cut-off last one is left out."""
    whole = data[: len(data) & ~3]
    if sys.byteorder == "little":
        return memoryview(whole).cast("I")
    return unpack(f"<{len(whole) // 4}I", whole)


class Omap:
    """One OMAP table. Between two entries an address keeps its distance from the one before it."""

    def __init__(self, data: bytes) -> None:
        pairs = words(data[: len(data) & ~7])
        self._from = pairs[::2]
        self._to = pairs[1::2]

    def __len__(self) -> int:
        return len(self._from)

    def translate(self, rva: int, over_gaps: bool = False) -> Optional[int]:
        """Where `rva` is in the other layout; None before the first entry and in a block that was removed.

        `over_gaps` takes what has no counterpart (bytes that were put between blocks) for the end of the block before.
        """
        index = bisect_right(self._from, rva) - 1
        if over_gaps:
            while index >= 0 and not self._to[index]:
                index -= 1
        if index < 0:
            return None
        to = self._to[index]
        return to + rva - self._from[index] if to else None
