"""verifier: Driver Verifier's settings, counts and drivers."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.errors import CommandError, MemoryReadError
from dumpkit.output import data

from tests.forged_session import drop_page
from tests.running import run, run_lines
from tests.session_machine import SessionLab, add_verifier


@pytest.fixture(params=(19041, 22000))
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> SessionLab:
    return SessionLab(request.param, tmp_path)


def test_settings_and_counts_are_shown(lab: SessionLab) -> None:
    add_verifier(lab, 0x209BB)
    lines = run_lines(lab.session, "!verifier")
    assert lines[1] == "Verify Flags Level 0x000209bb"
    assert "    [X] (0x00000001) Special pool" in lines
    assert "    [ ] (0x00000004) Randomized low resources simulation" in lines
    assert "    [X] (0x00020000) DDI compliance checking" in lines
    assert "AcquireSpinLocks                       0x362" in lines
    assert "Pool Allocations Attempted             0x7b058" in lines
    assert "Current paged pool allocations         0x1a for 00000950 bytes" in lines
    assert "Driver Verification List" not in lines


def test_the_drivers_are_listed_with_1(lab: SessionLab) -> None:
    first, second = add_verifier(lab, 0x1)
    lines = run_lines(lab.session, "verifier 1")
    assert f"{first.address:016x} Loaded   00000001 00000000 testdrv.sys" in lines
    assert f"{second.address:016x} Unloaded 00000001 00000001 other.sys" in lines
    found = data(run(lab.session, "verifier 1 OTHER.sys"))
    assert [driver["name"] for driver in found["drivers"]] == ["other.sys"]
    assert found["enabled"] == ["Special pool"]


def test_bits_without_a_name_are_shown(lab: SessionLab) -> None:
    add_verifier(lab, 0x80000000)
    assert "    [X] (0x80000000) Unknown" in run_lines(lab.session, "verifier")


def test_a_list_of_drivers_that_loops_ends_and_is_named(lab: SessionLab) -> None:
    first, _ = add_verifier(lab, 1)
    lab.machine.put_u64(first.at("Links"), first.at("Links"))
    assert any("the list loops" in line for line in run_lines(lab.session, "verifier 1"))


def test_logs_are_refused_and_missing_memory_is_one_line(lab: SessionLab) -> None:
    add_verifier(lab, 1)
    drop_page(lab.machine, lab.machine.address("MmVerifierData"))
    with pytest.raises(CommandError, match="logs"):
        run(lab.session, "verifier 8")
    with pytest.raises(MemoryReadError):
        run(lab.session, "verifier")
