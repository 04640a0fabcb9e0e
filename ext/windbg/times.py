"""The two lines of `.time`, as numbers: pykd has them in whole seconds only, the engine prints thousandths.

A dump's header has both to 100 ns. Layout: DUMP_HEADER64, as Microsoft's ntdbg.h and `dumpkit.dump.header` have it.
"""

from __future__ import annotations

import re
from struct import unpack_from

from dumpkit.clock import MONTHS, filetime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

    from typing_extensions import TypeAlias


#: "Debug session time: Mon Dec  4 14:55:45.455 2023 (UTC - 8:00)"
_SESSION = re.compile(
    r"^Debug session time: \w+ (\w+) +(\d+) (\d+):(\d\d):(\d\d)\.(\d\d\d) (\d+) \(UTC ([+-]) (\d+):(\d\d)\)",
    re.MULTILINE,
)
#: "System Uptime: 0 days 0:07:30.911"
_UPTIME = re.compile(r"^System Uptime: (\d+) days (\d+):(\d\d):(\d\d)\.(\d\d\d)", re.MULTILINE)


def session_filetime(text: str) -> Optional[int]:
    """The FILETIME (UTC) of the session's time in a text, to the millisecond; None where it has none."""
    match = _SESSION.search(text)
    if match is None or match.group(1) not in MONTHS:
        return None
    day, hour, minute, second, millisecond, year = (int(match.group(number)) for number in range(2, 8))
    east = (int(match.group(9)) * 60 + int(match.group(10))) * (-1 if match.group(8) == "-" else 1)
    month = MONTHS.index(match.group(1)) + 1
    return filetime(year, month, day, hour, minute - east, second, millisecond)


def uptime_units(text: str) -> Optional[int]:
    """The system's uptime in a text, in 100 ns units; None where it has none."""
    match = _UPTIME.search(text)
    if match is None:
        return None
    days, hours, minutes, seconds, milliseconds = map(int, match.groups())
    return ((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 + milliseconds) * 10_000


_SIGNATURE = b"PAGEDU64"
_SYSTEM_TIME, _SYSTEM_UP_TIME = 0xFA8, 0x1030
_THOUSANDTH = 10_000

Times: TypeAlias = "Tuple[Optional[int], Optional[int]]"


def refined(path: Optional[str], time: Optional[int], uptime: Optional[int]) -> Times:
    """(FILETIME, uptime) of the engine with the digits that a dump's header adds; as they are where it does not agree.

    `path` is the dump's, which may be in an archive, or None for a live kernel.
    """
    if path is None:
        return time, uptime
    try:
        with open(path, "rb") as file:
            header = file.read(0x1040)
    except OSError:
        return time, uptime
    if not header.startswith(_SIGNATURE) or len(header) < 0x1040:
        return time, uptime
    return _finer(time, header, _SYSTEM_TIME), _finer(uptime, header, _SYSTEM_UP_TIME)


def _finer(value: Optional[int], header: bytes, offset: int) -> Optional[int]:
    exact: int = unpack_from("<Q", header, offset)[0]
    return exact if value is not None and 0 <= exact - value < _THOUSANDTH else value
