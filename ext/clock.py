"""Times as the debugger prints them: FILETIMEs, durations and link timestamps, in the host's zone."""

from __future__ import annotations

import time

from dumpkit.errors import CommandError
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

#: 100 ns units between 1601 and 1970.
_EPOCH = 116_444_736_000_000_000
_UNITS = 10_000_000

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: The first FILETIME of the year 10000, 100 ns units since 1601.
YEAR_10000 = 0x2BCA_2875_F437_4000


class Zone(NamedTuple):
    """The zone that times are shown in: minutes east of UTC."""

    offset: int = 0

    def __str__(self) -> str:
        """As the debugger writes it behind a time: `UTC - 8:00`."""
        hours, minutes = divmod(abs(self.offset), 60)
        return f"UTC {'-' if self.offset < 0 else '+'} {hours}:{minutes:02d}"


def local_zone() -> Zone:
    """The host's zone as it is now: the debugger uses today's offset for every date."""
    return Zone((time.localtime().tm_gmtoff or 0) // 60)


def parse_zone(text: str) -> Zone:
    """`local`, `utc`, `-8`, `+5:30`. Raises CommandError for anything else."""
    word = text.strip().lower()
    if word == "local":
        return local_zone()
    if word in ("utc", "z", "0"):
        return Zone()
    sign = -1 if word.startswith("-") else 1
    hours, _, minutes = word.lstrip("+-").partition(":")
    if hours.isdigit() and int(hours) <= 14 and (minutes or "0").isdigit() and int(minutes or 0) < 60:
        return Zone(sign * (int(hours) * 60 + int(minutes or 0)))
    raise CommandError(f"time zone '{text}' is none of local, utc, or hours east of UTC such as -8 or +5:30")


class Moment(NamedTuple):
    """A date of the proleptic Gregorian calendar and a time of day. `weekday` counts from Monday."""

    year: int
    month: int
    day: int
    weekday: int
    hour: int
    minute: int
    second: int
    millisecond: int = 0

    def __str__(self) -> str:
        """`Sun Feb 21 01:38:22 2021`, in English whatever the host's language."""
        return self.text("")

    def iso(self) -> str:
        """`2021-02-21T01:38:22.987Z`, for a moment in UTC."""
        day = f"{self.year:04d}-{self.month:02d}-{self.day:02d}"
        return f"{day}T{self.hour:02d}:{self.minute:02d}:{self.second:02d}.{self.millisecond:03d}Z"

    def text(self, thousandths: str) -> str:
        """As `str`, with something behind the seconds."""
        clock = f"{self.hour:02d}:{self.minute:02d}:{self.second:02d}{thousandths}"
        return f"{_DAYS[self.weekday]} {MONTHS[self.month - 1]} {self.day:2d} {clock} {self.year}"


def moment(seconds: int, zone: Zone, millisecond: int = 0) -> Moment:
    """The moment in a zone that is so many seconds after (or before) the start of 1970 in UTC.

    The standard library's `datetime` is not used: it ends at the year 9999, which FILETIMEs do not, and
    importing it costs more than this.
    """
    days, rest = divmod(seconds + 60 * zone.offset, 86400)
    # Years begin in March here, so that the leap day is a year's last; 719468 days lie between 0000-03-01 and 1970.
    era, day_of_era = divmod(days + 719468, 146097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year = year_of_era + 400 * era + (1 if month <= 2 else 0)
    return Moment(year, month, day, (days + 3) % 7, rest // 3600, rest // 60 % 60, rest % 60, millisecond)


def filetime(year: int, month: int, day: int, hour: int, minute: int, second: int, millisecond: int = 0) -> int:
    """The FILETIME of a moment in UTC; hours, minutes and seconds may lie outside their usual ranges."""
    # As in `moment`, the other way round.
    year -= month <= 2
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    days = era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second
    return seconds * _UNITS + millisecond * 10_000 + _EPOCH


def from_filetime(filetime: int, zone: Zone) -> Moment:
    """A FILETIME (100 ns units since 1601, UTC) in a zone."""
    seconds, units = divmod(filetime - _EPOCH, _UNITS)
    return moment(seconds, zone, units // 10_000)


def session_time(filetime: int, zone: Zone) -> str:
    """A FILETIME as `.time` shows it: `Sun Feb 21 01:38:22.987 2021 (UTC + 0:00)`."""
    if filetime >> 63:
        return "***** Invalid FILETIME"
    when = from_filetime(filetime, zone)
    return f"{when.text(f'.{when.millisecond:03d}')} ({zone})"


def uptime(units: Optional[int]) -> str:
    """A span in 100 ns units as the debugger shows it: `0 days 0:07:30.911`."""
    if units is None:
        return "not available"
    milliseconds = units // 10_000
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} days {hours}:{minutes:02d}:{seconds:02d}.{milliseconds:03d}"


def link_time(timestamp: int, zone: Zone) -> str:
    """A PE TimeDateStamp as `lmv` shows it: the time and the number, or that it is no time.

    Stamps from 2038 on are what reproducible builds put there, a hash; the engine calls them invalid.
    """
    if timestamp == 0:
        return "unavailable (00000000)"
    if timestamp >= 0x80000000:
        return f"***** Invalid ({timestamp:08X})"
    return f"{moment(timestamp, zone)} ({timestamp:08X})"
