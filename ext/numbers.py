"""Numbers as the debugger's users read them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional


def quoted(value: int) -> str:
    """A 64-bit number with the back-tick of the engine's output: fffff804`7ba00000."""
    return f"{value >> 32 & 0xFFFFFFFF:08x}`{value & 0xFFFFFFFF:08x}"


def signed(value: int) -> int:
    """A number from 0 to 2**64 - 1 as two's complement."""
    return value - (1 << 64) if value >> 63 else value


def pointer(value: int) -> str:
    """A number as kdexts prints pointers: without a back-tick, small ones with eight digits."""
    return f"{value:08x}"


def padded(value: Optional[int], width: int = 16) -> str:
    """A number with leading zeros, in hexadecimal; question marks for one that could not be read."""
    return "?" * width if value is None else f"{value:0{width}x}"
