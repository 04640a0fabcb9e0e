"""Times and spans as the debugger prints them."""

from __future__ import annotations

import pytest
from dumpkit.clock import Zone, link_time, parse_zone, session_time, uptime
from dumpkit.errors import CommandError

FIRST_OF_2024 = 133_485_408_000_000_000


def test_a_filetime_is_shown_in_the_zone_with_its_offset() -> None:
    assert session_time(FIRST_OF_2024, Zone()) == "Mon Jan  1 00:00:00.000 2024 (UTC + 0:00)"
    assert session_time(FIRST_OF_2024, Zone(-480)) == "Sun Dec 31 16:00:00.000 2023 (UTC - 8:00)"
    assert session_time(FIRST_OF_2024 + 1_230_000, Zone(330)) == "Mon Jan  1 05:30:00.123 2024 (UTC + 5:30)"


def test_a_filetime_beyond_the_calendar_is_said_to_be_invalid() -> None:
    assert session_time((1 << 64) - 1, Zone()) == "***** Invalid FILETIME"


def test_uptime_counts_days_and_may_be_missing() -> None:
    assert uptime(4_509_110_000) == "0 days 0:07:30.911"
    assert uptime(433 * 864_000_000_000 + 12_345_678) == "433 days 0:00:01.234"
    assert uptime(None) == "not available"


def test_a_reproducible_builds_hash_is_no_time() -> None:
    assert link_time(0xB1068108, Zone()) == "***** Invalid (B1068108)"
    assert link_time(0x0D8333E6, Zone()) == "Tue Mar  8 20:51:50 1977 (0D8333E6)"
    assert link_time(0, Zone()) == "unavailable (00000000)"


@pytest.mark.parametrize(("text", "offset"), [("utc", 0), ("-8", -480), ("+5:30", 330), ("2", 120)])
def test_zones_are_hours_east_of_utc(text: str, offset: int) -> None:
    assert parse_zone(text).offset == offset


@pytest.mark.parametrize("text", ["CET", "25", "5:99", ""])
def test_other_zones_are_refused(text: str) -> None:
    with pytest.raises(CommandError, match="time zone"):
        parse_zone(text)


def test_the_calendar_agrees_with_the_standard_librarys() -> None:
    from datetime import datetime, timedelta

    from dumpkit.clock import moment

    for day in range(-170_000, 170_000, 97):
        expected = datetime(1970, 1, 1) + timedelta(days=day, seconds=day % 86400)
        assert str(moment(day * 86400 + day % 86400, Zone())) == expected.strftime("%a %b ") + (
            f"{expected.day:2d} {expected:%H:%M:%S} {expected.year}"
        )


def test_years_beyond_9999_have_a_date_too() -> None:
    assert session_time(0x45474150_45474150, Zone()) == "Sun Feb 13 02:34:57.897 17420 (UTC + 0:00)"
