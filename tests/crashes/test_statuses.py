"""What a status in the arguments says: of the disk, of the failure bucket, of who ended."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.kernel.bugchecks import describe

from tests.crashes.crash_world import SYSTEM_THREAD, CrashWorld, analysed, shown
from tests.forge.process import add_process

MESSAGE = 0xFFFFAB0161234000


def paging_failed(status: int, code: int = 0x7A) -> CrashWorld:
    world = CrashWorld(22000)
    for name in ("nt!MiWaitForInPageComplete", "bad!Touch"):
        world.function(name)
    world.open()
    world.enter([*SYSTEM_THREAD, "bad!Touch", "nt!MiWaitForInPageComplete"])
    world.die(code, 0x20, 0xFFFFFFFF00000000 | status, 0, 0xFFFFA08F99990000)
    return world


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0xC000009C, "STATUS_DEVICE_DATA_ERROR"),
        (0xC000000E, "A device which does not exist was specified."),
    ],
)
def test_the_disk_s_errors_are_told_as_such(status: int, text: str, tmp_path: Path) -> None:
    lines = shown(paging_failed(status), tmp_path, "analyze -v")
    assert lines[lines.index(f"ERROR_CODE: (NTSTATUS) 0x{status:x} - {text}") + 2] == (
        "DISK_HARDWARE_ERROR: There was error with disk hardware"
    )
    assert f"FAILURE_BUCKET_ID:  0x7a_{status:x}_bad!Touch" in lines


def test_other_errors_of_paging_are_none_of_the_disk(tmp_path: Path) -> None:
    assert not [line for line in shown(paging_failed(0xC000009A), tmp_path, "analyze -v") if "DISK_HARDWARE" in line]


def test_a_kernel_stack_s_page_has_a_status_or_a_wrong_signature(tmp_path: Path) -> None:
    assert describe(0x77, (0xC000009C, 0xC000009C, 0, 0)).rule("status") == [["2"]]
    known = describe(0x77, (1, 0x1234, 0, 0xFFFFAB0150000000))
    assert known.rule("status") == []
    assert known.labels[3] == "Address of the signature"


def critical_process(code: int, status: int, *parameters: int, ended_by: bool = False) -> CrashWorld:
    """smss.exe, which is critical, has ended; argument 1 of EF, or 2 of F4, is its process."""
    world = CrashWorld(22000)
    for name in ("nt!PspCatchCriticalBreak", "nt!NtTerminateProcess"):
        world.function(name)
    machine = world.open()
    system = world.scene.system
    world.enter([*SYSTEM_THREAD, "nt!NtTerminateProcess", "nt!PspCatchCriticalBreak"])
    process = add_process(machine, "smss.exe", 0x1A4, objects=world.scene.objects)
    process["ExitStatus"] = status
    arguments = [process.address if each < 0 else each for each in parameters]
    world.die(code, *[system.address if each == 1 << 64 else each for each in arguments], irql=0)
    return world


def test_a_critical_process_has_its_exit_status(tmp_path: Path) -> None:
    lines = shown(critical_process(0xEF, 0xC0000005, -1, 0, 1 << 64, 0), tmp_path, "analyze")
    (line,) = [line for line in lines if "ended with" in line]
    assert "(smss.exe) ended with c0000005 - The instruction at" in line
    assert "Process: System ended it" in lines


def test_a_process_that_has_not_ended_has_no_status_yet(tmp_path: Path) -> None:
    world = critical_process(0xF4, 0x103, 3, -1, 0, 0)
    found = analysed(world, tmp_path)
    assert found.subject is not None
    assert (found.subject.name, found.subject.exit_status, found.subject.ended_by) == ("smss.exe", 0x103, None)
    assert "ExitStatus" in found.evidence["exit_status"]


def test_the_message_of_a_terminated_object_is_shown(tmp_path: Path) -> None:
    world = critical_process(0xF4, 0xC0000006, 3, -1, 0, MESSAGE)
    world.machine.put(MESSAGE, b"Terminating critical process 0x%p (%s)\n\0")
    lines = shown(world, tmp_path, "analyze -v")
    assert any("ended with c0000006 - The instruction at" in line for line in lines)
    assert any(line.startswith("Message: Terminating critical process") for line in lines)
