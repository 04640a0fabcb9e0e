"""`di`, plain and verbose."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dumpkit.clock import Zone
from dumpkit.commands.di import _share_path
from dumpkit.dump import open_dump
from dumpkit.output import data
from dumpkit.session import Session

from tests.forge.kernel_variables import add_debugger_data
from tests.forge.scene import Scene
from tests.forged_session import session_for
from tests.made_target import MadeTarget
from tests.running import run, run_lines, session_of, session_on
from tests.shared import needs_shared

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fast-mutex-irql" / "MEMORY.DMP"
BREAK = "   ExceptionCode: 80000003 (Break instruction exception)"


@pytest.fixture
def walkthrough() -> Session:
    session = session_on(open_dump(str(EXAMPLE)))
    session.zone = Zone(-8 * 60)
    return session


def test_verbose_adds_path_times_file_and_exception(walkthrough: Session) -> None:
    plain, lines = run_lines(walkthrough, "!mex.di"), run_lines(walkthrough, "!mex.di -v")
    assert lines[: len(plain)] == plain
    size = os.stat(EXAMPLE).st_size
    more = lines[len(plain) :]
    assert more[:14] == [
        f"KernelMode Dump Path: {EXAMPLE}",
        "Verbose mode",
        "",
        "Event        Times (UTC - 8:00)",
        "============ ==========================",
        "System Start 12/04/2023 06:48:14.544 AM",
        "Dump Start   12/04/2023 06:55:45.455 AM",
        "",
        "Stat          Duration",
        "============= =========",
        "System Uptime 7m:30.911",
        "",
        "",
        f"File size {size:,}",
    ]
    assert more[14].startswith("File date ") and len(more[14]) == len("File date 08/13/2023 04:54:47")
    assert more[15:] == [
        "ExceptionAddress: fffff802044168d0 (nt!KeBugCheckEx)",
        BREAK,
        "  ExceptionFlags: 00000000",
        "NumberParameters: 0",
    ]


def test_verbose_as_data_has_the_numbers(walkthrough: Session) -> None:
    details = data(run(walkthrough, "di -v"))["details"]
    assert details["file_size"] == os.stat(EXAMPLE).st_size
    assert details["kind"] == "kernel memory dump with a page bitmap"
    assert details["exception"]["code"] == "0x80000003"
    assert data(run(walkthrough, "di"))["details"] is None


def test_afternoons_and_midnight_are_written_in_twelve_hours(walkthrough: Session) -> None:
    walkthrough.zone = Zone(0)
    assert "Dump Start   12/04/2023 02:55:45.455 PM" in run_lines(walkthrough, "di -v")
    walkthrough.zone = Zone(9 * 60 + 30)
    assert "Dump Start   12/05/2023 12:25:45.455 AM" in run_lines(walkthrough, "di -v")


def test_the_driver_that_crashes_machines_on_purpose_is_named(tmp_path: Path) -> None:
    images = {"nt": ("ntoskrnl.exe", 0xFFFFF80370000000), "myfault": ("myfault.sys", 0xFFFFF80381A00000)}
    scene = Scene(19041, images)
    machine = scene.open()
    add_debugger_data(machine)
    lines = run_lines(session_for(machine, [], tmp_path, 5), "di -v")
    assert "Bugcheck: This is a myfault.sys dump." in lines
    assert f"KernelMode Full Memory Dump Path: {tmp_path / 'type5.dmp'}" in lines


def test_what_a_target_does_not_say_is_left_out_or_said_to_be_missing() -> None:
    lines = run_lines(session_on(MadeTarget()), "di -v")
    assert lines[-1] == "The dump has no exception record of its own"
    assert not any(line.startswith("File ") for line in lines)


def test_a_path_of_windows_has_one_on_its_computers_shares() -> None:
    assert _share_path("C:\\Windows\\MEMORY.DMP", "HOST") == "\\\\HOST\\ADMIN$\\MEMORY.DMP"
    assert _share_path("d:\\dumps\\a.dmp", "HOST") == "\\\\HOST\\D$\\dumps\\a.dmp"
    assert _share_path("/dumps/a.dmp", "HOST") is None
    assert _share_path("C:\\Windows\\MEMORY.DMP", None) is None


@needs_shared
@pytest.mark.parametrize("name", ["triage_x64", "triage_arm64", "rts_9f", "082325-12593-01", "011620-8250-01"])
def test_real_dumps_have_their_start_and_their_exception(name: str) -> None:
    lines = run_lines(session_of(name), "di -v")
    assert next(line for line in lines if line.startswith("System Start "))[-1] == "M"
    assert BREAK in lines
