"""Spans of time as mex and kdexts print them."""

from __future__ import annotations

import pytest
from dumpkit.durations import (
    day_duration,
    long_duration,
    rounded_milliseconds,
    short_duration,
    truncated_milliseconds,
)

TICK = 156250


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0"),
        (15, "15ms"),
        (3218, "3s.218"),
        (113953, "1m:53.953"),
        (4459897, "1h:14:19.897"),
        (73975657, "20h:32:55.657"),
        (93909000, "1d:02:05:09.000"),
    ],
)
def test_mex_drops_what_is_zero_in_front(milliseconds: int, text: str) -> None:
    assert short_duration(milliseconds) == text


def test_kdexts_shows_every_part() -> None:
    assert long_duration(1046) == "00:00:01.046"
    assert long_duration(93909000) == "26:05:09.000"
    assert day_duration(282656) == "0:00:04:42.656"
    assert day_duration(93909000) == "1:02:05:09.000"


def test_processor_time_is_rounded_and_waiting_time_is_cut() -> None:
    assert [rounded_milliseconds(ticks, TICK) for ticks in (0, 1, 14, 38, 675)] == [0, 16, 219, 594, 10547]
    assert [truncated_milliseconds(ticks, TICK) for ticks in (0, 1, 14, 42)] == [0, 15, 218, 656]
