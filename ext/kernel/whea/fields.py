"""Reading the fields of an error record's section: little-endian, with the section's end in view."""

from __future__ import annotations

from dumpkit.output import Hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Sequence


class Fields:
    """The bytes of a section; a field that lies beyond them is None."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def number(self, offset: int, size: int) -> Optional[Hex]:
        """The unsigned number of `size` bytes at an offset."""
        data = self.data[offset : offset + size]
        return Hex(int.from_bytes(data, "little")) if len(data) == size else None

    def valid(self, bits: int, bit: int, offset: int, size: int) -> Optional[Hex]:
        """Likewise, None where its bit among the section's valid bits is clear."""
        return self.number(offset, size) if bits >> bit & 1 else None


def name_of(value: Optional[int], names: Sequence[Optional[str]]) -> Optional[str]:
    """The name of a number; None for None, a number in hexadecimal where it has no name."""
    if value is None:
        return None
    name = names[value] if 0 <= value < len(names) else None
    return name if name is not None else f"0x{value:x}"
