"""The clock's ticks: how many there have been, and how long one is.

KUSER_SHARED_DATA lies at the same virtual address in every Windows (ntddk.h: KI_USER_SHARED_DATA).
"""

from __future__ import annotations

from dumpkit.errors import SymbolError
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

KI_USER_SHARED_DATA = 0xFFFF_F780_0000_0000

#: TickCountMultiplier holds a tick's milliseconds with 24 binary places.
_MULTIPLIER_PLACES = 24
#: 100 ns units in a millisecond.
_MILLISECOND = 10_000
#: No clock ticks more seldom than once a second.
_LONGEST_TICK = 10_000_000


def tick_count(target: Target) -> Optional[int]:
    """The ticks since the machine was booted (TickCount), or None where the dump does not hold them."""
    try:
        count = target.type("_KUSER_SHARED_DATA").at(KI_USER_SHARED_DATA).get("TickCountQuad")
    except SymbolError:
        return None
    return None if count is None else int(count)


def tick_length(target: Target) -> Optional[int]:
    """A tick in 100 ns units (KeMaximumIncrement), or None where the dump does not tell."""
    try:
        data = target.memory.read_optional(target.symbols.address_of("nt!KeMaximumIncrement"), 4)
        length = int.from_bytes(data or b"", "little")
        if not 0 < length <= _LONGEST_TICK:
            shared = target.type("_KUSER_SHARED_DATA").at(KI_USER_SHARED_DATA)
            multiplier = shared.get("TickCountMultiplier") or 0
            length = (int(multiplier) * _MILLISECOND) >> _MULTIPLIER_PLACES
    except SymbolError:
        return None
    return length if 0 < length <= _LONGEST_TICK else None
