"""Crashes of routines that returned at another IRQL than they were called at, and are on the stack no more."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import pytest

from tests.crashes.crash_world import SYSTEM_THREAD, CrashWorld, shown
from tests.forge.assembly import Code
from tests.forge.declarations import VOID, pointer, struct
from tests.forge.image_tables import Import, ImportedModule
from tests.forge.unwind import Alloc

#: With the routine where Windows 10 and 11 have it.
WORK_ITEM = struct("_IO_WORKITEM", 0x58, [("Routine", 0x20, pointer(VOID)), ("Context", 0x30, pointer(VOID))])


def worker(leaks: bool, by_item: bool) -> CrashWorld:
    """bad!Work acquires a spin lock and releases it, on one path at least; IopProcessWorkItem calls it `by_item`."""
    world = CrashWorld(19041)
    for name in ("KeAcquireSpinLockRaiseToDpc", "KeReleaseSpinLock", "IopProcessWorkItem"):
        world.function(f"nt!{name}")
    bad = world.scene.images["bad"]
    names = [Import(name) for name in ("KeAcquireSpinLockRaiseToDpc", "KeReleaseSpinLock")]
    bad.add_imports([ImportedModule("ntoskrnl.exe", names)], rva=0x20800, iat_rva=0x20400)
    code = Code().prologue(Alloc(0x28)).call_through("__imp_KeAcquireSpinLockRaiseToDpc")
    # mov dl,al; with a leak: test ecx,ecx; je behind the release
    code.hex("8ad0").hex("85c97406" if leaks else "")
    bad.function("Work", code.call_through("__imp_KeReleaseSpinLock").epilogue())
    world.scene.types.append(WORK_ITEM)
    machine = world.open()
    routine, item = bad.base + bad.rva_of("Work"), machine.allocate(WORK_ITEM.size)
    machine.put_u64(item + 0x20, routine)
    world.enter([*SYSTEM_THREAD, "nt!ExpWorkerThread"])
    world.die(0xE1, world.address("nt!IopProcessWorkItem") if by_item else routine, 2, item, item)
    return world


def verdict(lines: Sequence[str]) -> Sequence[str]:
    return lines[next(number for number, line in enumerate(lines) if line.startswith("IRQL: ")) :]


@pytest.mark.parametrize("by_item", [False, True])
@pytest.mark.parametrize("command", ["analyze", "irqlcheck"])
def test_what_a_work_item_raised_and_did_not_lower_is_found_in_its_code(
    command: str, by_item: bool, tmp_path: Path
) -> None:
    lines = verdict(shown(worker(True, by_item), tmp_path, command))
    assert lines[:2] == [
        "IRQL: DISPATCH_LEVEL (Arg2 of bugcheck E1); bad!Work returned at it, and was not called at it",
        "  raised by:  bad!Work+0x4 calls nt!KeAcquireSpinLockRaiseToDpc: DISPATCH_LEVEL",
    ]


def test_the_driver_whose_work_item_it_was_is_blamed_and_not_the_kernel_that_called_it(tmp_path: Path) -> None:
    lines = shown(worker(True, True), tmp_path, "analyze")
    assert "SYMBOL_NAME:  bad!Work+0" in lines
    assert "FAILURE_BUCKET_ID:  0xE1_bad!Work" in lines


def test_a_routine_whose_code_lowers_what_it_raised_is_not_said_to_have_raised_it(tmp_path: Path) -> None:
    lines = verdict(shown(worker(False, False), tmp_path, "analyze"))
    assert not any(line.startswith("  raised by:") for line in lines)


def test_the_level_that_was_not_expected_is_read_from_its_argument(tmp_path: Path) -> None:
    world = CrashWorld(19041)
    world.open()
    world.enter([*SYSTEM_THREAD, "nt!ExpWorkerThread"])
    world.die(0xC8, 0x20001, 0, 0, 0)
    assert verdict(shown(world, tmp_path, "analyze"))[0].startswith("IRQL: DISPATCH_LEVEL (Arg1 of bugcheck C8);")
