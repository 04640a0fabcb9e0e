"""Section:offset pairs, as PDB records name places, and the RVAs they stand for.

Layout: IMAGE_SECTION_HEADER in winnt.h.
"""

from __future__ import annotations

import struct
from bisect import bisect_right

from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.omap import Omap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Sequence, Tuple

_HEADER = struct.Struct("<8s6I2HI")

#: IMAGE_SCN_MEM_EXECUTE
SECTION_EXECUTE = 0x2000_0000


class Section(NamedTuple):
    """A section of the image: `rva` and `size` (in memory) in bytes."""

    name: str
    rva: int
    size: int
    characteristics: int

    @property
    def end(self) -> int:
        """First RVA behind the section."""
        return self.rva + self.size


def parse_sections(data: bytes) -> List[Section]:
    """Decode a row of section headers; a cut-off last one is left out."""
    found = []
    for name, virtual_size, rva, raw_size, _, _, _, _, _, flags in _HEADER.iter_unpack(
        data[: len(data) // _HEADER.size * _HEADER.size]
    ):
        text = name.rstrip(b"\0").decode("utf-8", "replace")
        found.append(Section(text, rva, virtual_size or raw_size, flags))
    return found


class SectionMap:
    """Translates between section:offset (sections counted from 1) and RVA, through OMAP tables where there are any.

    `sections` are those that the PDB's records count in: the original ones where the image was rearranged
    afterwards; `from_source` and `to_source` are the OMAP tables between the two layouts.
    """

    def __init__(
        self, sections: Sequence[Section], from_source: Optional[Omap] = None, to_source: Optional[Omap] = None
    ) -> None:
        self.sections = sections
        self._from_source = from_source
        self._to_source = to_source
        self._rvas = [section.rva for section in sections]
        ordered = sorted((section.rva, index + 1) for index, section in enumerate(sections))
        self._starts = [rva for rva, _ in ordered]
        self._numbers = [number for _, number in ordered]

    def rva(self, section: int, offset: int) -> Optional[int]:
        """The RVA of section:offset; None where the section is not there or its code was removed."""
        if not 0 < section <= len(self._rvas):
            return None
        rva = self._rvas[section - 1] + offset
        return rva if self._from_source is None else self._from_source.translate(rva)

    @property
    def bases(self) -> Optional[Sequence[int]]:
        """The RVA of each section, where its number less one is the index; None where OMAP tables rearrange them."""
        return self._rvas if self._from_source is None else None

    def place(self, rva: int) -> Optional[Tuple[int, int]]:
        """(section, offset) of an RVA; None before the first section.

        Addresses behind a section's end count to it up to the next section, as slack of the last page does.
        """
        if self._to_source is not None:
            source = self._to_source.translate(rva, over_gaps=True)
            if source is None:
                return None
            rva = source
        index = bisect_right(self._starts, rva) - 1
        if index < 0:
            return None
        return self._numbers[index], rva - self._starts[index]
