"""The times that the engine prints, and the digits that a dump's header adds."""

from __future__ import annotations

from pathlib import Path
from struct import pack_into

import pytest
from dumpkit.clock import Zone, from_filetime, session_time
from hypothesis import given
from hypothesis import strategies as st

from tests.windbg.fake_pykd import FakePykd

TEXT = "Debug session time: Mon Dec  4 06:55:45.455 2023 (UTC - 8:00)\nSystem Uptime: 1 days 0:07:30.911\n"


def test_the_sessions_time_is_read_in_its_zone(pykd: FakePykd) -> None:
    from dumpkit.windbg.times import session_filetime

    time = session_filetime(TEXT)
    assert time is not None
    assert from_filetime(time, Zone()).iso() == "2023-12-04T14:55:45.455Z"


def test_what_is_printed_is_read_back(pykd: FakePykd) -> None:
    from dumpkit.windbg.times import session_filetime

    @given(st.integers(10_000_000_000, 2_600_000_000_000), st.integers(-14 * 60, 14 * 60))
    def holds(thousands: int, offset: int) -> None:
        time = thousands * 10_000 * 100
        assert session_filetime(f"Debug session time: {session_time(time, Zone(offset))}") == time

    holds()


def test_the_uptime_is_read(pykd: FakePykd) -> None:
    from dumpkit.windbg.times import uptime_units

    assert uptime_units(TEXT) == (86_400 + 450) * 10_000_000 + 9_110_000


@pytest.mark.parametrize("text", ["", "Debug session time: ***** Invalid FILETIME\nSystem Uptime: not available\n"])
def test_what_is_not_said_is_none(pykd: FakePykd, text: str) -> None:
    from dumpkit.windbg.times import session_filetime, uptime_units

    assert (session_filetime(text), uptime_units(text)) == (None, None)


def test_the_header_adds_digits_and_never_changes_others(pykd: FakePykd, tmp_path: Path) -> None:
    from dumpkit.windbg.times import refined

    header = bytearray(0x2000)
    header[:8] = b"PAGEDU64"
    pack_into("<Q", header, 0xFA8, 123_456_789)
    pack_into("<Q", header, 0x1030, 999)
    path = tmp_path / "dump.dmp"
    path.write_bytes(header)
    assert refined(str(path), 123_450_000, 10_000) == (123_456_789, 10_000)
    assert refined(str(path), None, 0) == (None, 999)
    assert refined(str(tmp_path / "gone.dmp"), 1, 2) == (1, 2)
    path.write_bytes(b"MSCF")
    assert refined(str(path), 1, 2) == (1, 2)
    assert refined(None, 1, 2) == (1, 2)
