"""IRQLs that are known in part: a range of levels, or a level by what it was at a function's start."""

from __future__ import annotations

from dumpkit.kernel.irql import APC_LEVEL, DISPATCH_LEVEL, HIGH_LEVEL, PASSIVE_LEVEL, irql_name
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Optional


class Level(NamedTuple):
    """The levels that are possible, from `low` to `high`.

    A relative level is that of the function's start, `low` and `high` saying nothing; with `pops`, the one from
    before the last so many raises that were in force there: what a function leaves that releases its caller's lock.
    """

    low: int
    high: int
    is_relative: bool = False
    pops: int = 0

    def covers(self, other: Level) -> bool:
        """Whether every level of another range is possible; neither is relative."""
        return self.low <= other.low and other.high <= self.high

    @property
    def is_exact(self) -> bool:
        return self.low == self.high and not self.is_relative

    def __str__(self) -> str:
        if self.is_relative:
            return "as at its start" if not self.pops else "as before its caller's raise"
        if self.is_exact:
            return level_name(self.low)
        if self.low <= PASSIVE_LEVEL:
            return "unknown" if self.high >= HIGH_LEVEL else f"<= {level_name(self.high)}"
        return f">= {level_name(self.low)}" if self.high > DISPATCH_LEVEL else f"{level_name(self.low)} or above"


class Change(NamedTuple):
    """The instruction that a level is from: its virtual address, and the routine that it calls, or "mov cr8"."""

    address: int
    routine: str


class Way(NamedTuple):
    """One possibility for the level at a place, and the instruction that it is from, None for that of the start."""

    level: Level
    by: Optional[Change]
    #: Whether it takes for granted that a release restored what the last raise had found.
    is_assumed: bool = False
    #: The virtual address of a call before it that could not be followed, and is believed to have changed nothing;
    #: 0 where there is none.
    believed: int = 0


UNKNOWN = Level(PASSIVE_LEVEL, HIGH_LEVEL)
#: What it was at the function's start.
ENTRY = Level(PASSIVE_LEVEL, HIGH_LEVEL, True)
APC = Level(APC_LEVEL, APC_LEVEL)
DISPATCH = Level(DISPATCH_LEVEL, DISPATCH_LEVEL)
#: Devices' interrupts come above DISPATCH_LEVEL and below the clock's.
DEVICE = Level(DISPATCH_LEVEL + 1, 12)


def level_name(level: int) -> str:
    """A level as the reference calls it; the debugger calls PASSIVE_LEVEL by another name."""
    if level == PASSIVE_LEVEL:
        return "PASSIVE_LEVEL"
    name = irql_name(level).name
    return f"{name} ({level})" if name == "DIRQL" else name


def exactly(level: int) -> Level:
    """One level, and no other."""
    return Level(level, level)


def hull(levels: Iterable[Level]) -> Level:
    """The range that all of some levels lie in; unknown where there are none, or one is relative."""
    known = list(levels)
    if not known or any(level.is_relative for level in known):
        return UNKNOWN
    return Level(min(level.low for level in known), max(level.high for level in known))
