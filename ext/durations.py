"""Spans of time as the extensions print them: mex's `1m:53.953`, kdexts' `0:00:04:42.656`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Tuple

#: 100 ns units in a millisecond.
_MILLISECOND = 10_000


def _parts(milliseconds: int) -> Tuple[int, int, int, int, int]:
    """(days, hours, minutes, seconds, milliseconds)"""
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return days, hours, minutes, seconds, milliseconds


def short_duration(milliseconds: int) -> str:
    """As mex prints it: `0`, `15ms`, `3s.218`, `1m:53.953`, `1h:14:19.897`, `1d:02:05:09.000`."""
    days, hours, minutes, seconds, rest = _parts(milliseconds)
    if days:
        return f"{days}d:{hours:02d}:{minutes:02d}:{seconds:02d}.{rest:03d}"
    if hours:
        return f"{hours}h:{minutes:02d}:{seconds:02d}.{rest:03d}"
    if minutes:
        return f"{minutes}m:{seconds:02d}.{rest:03d}"
    if seconds:
        return f"{seconds}s.{rest:03d}"
    return f"{rest}ms" if rest else "0"


def long_duration(milliseconds: int) -> str:
    """As kdexts prints a thread's times: `00:00:01.046`, a day's hours counted on."""
    days, hours, minutes, seconds, rest = _parts(milliseconds)
    return f"{24 * days + hours:02d}:{minutes:02d}:{seconds:02d}.{rest:03d}"


def day_duration(milliseconds: int) -> str:
    """As kdexts prints how long a thread has waited: `0:00:04:42.656`, the days first."""
    days, hours, minutes, seconds, rest = _parts(milliseconds)
    return f"{days}:{hours:02d}:{minutes:02d}:{seconds:02d}.{rest:03d}"


def truncated_milliseconds(ticks: int, tick_length: int) -> int:
    """The whole milliseconds of so many ticks of `tick_length` 100 ns units, as waits are shown."""
    return ticks * tick_length // _MILLISECOND


def rounded_milliseconds(ticks: int, tick_length: int) -> int:
    """The nearest millisecond, as mex shows processor time."""
    return (ticks * tick_length + _MILLISECOND // 2) // _MILLISECOND
