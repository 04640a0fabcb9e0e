"""What a status in the arguments says: of the disk, of the failure bucket, of who ended."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.kernel.bugchecks import describe

from tests.crashes.crash_world import SYSTEM_THREAD, CrashWorld, shown


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
