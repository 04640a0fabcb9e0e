"""Crashes at a level that is too high, where not everything is there: who raised, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import pytest

from tests.crashes.crash_world import SYSTEM_THREAD, CrashWorld, shown
from tests.forge.assembly import Code
from tests.forge.image_tables import Import, ImportedModule
from tests.forge.scene import Place
from tests.forge.unwind import Alloc


def closing_under_a_lock(
    raising: str = "KeAcquireSpinLockRaiseToDpc", outer: Sequence[str] = SYSTEM_THREAD, irql: int = 2
) -> CrashWorld:
    """bad!Worker acquires a spin lock and calls ZwClose, in which the kernel faults at DISPATCH_LEVEL."""
    world = CrashWorld(19041)
    names = ["KeAcquireSpinLockRaiseToDpc", "ZwClose"]
    for name in (*names, "MiFault", *(each[3:] for each in outer if each not in world.scene.places)):
        world.function(f"nt!{name}")
    bad = world.scene.images["bad"]
    bad.add_imports([ImportedModule("ntoskrnl.exe", [Import(name) for name in names])], rva=0x20800, iat_rva=0x20400)
    code = Code().prologue(Alloc(0x48))
    code = code.call_through_returning_at(0x20, f"__imp_{raising}") if raising else code
    bad.function("Worker", code.call_through_returning_at(0x40, "__imp_ZwClose").epilogue())
    world.scene.places["bad!Worker"] = Place(bad.base + bad.rva_of("Worker"), 0x48, 0x40)
    world.open()
    world.enter([*outer, "bad!Worker", "nt!ZwClose", "nt!MiFault"])
    instruction = world.address("nt!MiFault") + 4
    world.trap("nt!KiPageFault", instruction)
    world.enter(["nt!KiBugCheckDispatch"])
    world.die(0xA, 0x10, irql, 0, instruction, irql=irql)
    return world


def verdict(world: CrashWorld, folder: Path, dump_type: int = 6) -> Sequence[str]:
    lines = shown(world, folder, "analyze", dump_type)
    return lines[next(number for number, line in enumerate(lines) if line.startswith("IRQL: ")) :]


def test_the_cause_and_who_raised_are_told_where_the_code_is_there(tmp_path: Path) -> None:
    lines = verdict(closing_under_a_lock(), tmp_path)
    assert lines[0] == "IRQL: bad called nt!ZwClose at DISPATCH_LEVEL, which needs PASSIVE_LEVEL"
    assert lines[1] == "  raised by:  bad!Worker+0x1a calls nt!KeAcquireSpinLockRaiseToDpc: DISPATCH_LEVEL"


def test_a_minidump_without_code_says_whose_call_may_be_the_cause(tmp_path: Path) -> None:
    lines = verdict(closing_under_a_lock(), tmp_path, dump_type=4)
    assert lines[0].endswith("no call on the stack is known to break an IRQL contract")
    assert any(
        line.startswith("  may be:     bad+0x103a calls nt!ZwClose at ")
        and line.endswith("needs PASSIVE_LEVEL (if nothing it called raised)")
        for line in lines
    )


def test_without_the_drivers_image_who_raised_is_said_not_to_be_known(tmp_path: Path) -> None:
    world = closing_under_a_lock()
    for page in range(world.scene.images["bad"].base, world.scene.images["bad"].base + 0x25000, 0x1000):
        world.machine.set_pte(page, 0)
    lines = verdict(world, tmp_path)
    assert lines[1] == "  raised by:  not known: the code of bad: neither the dump nor the symbol path has it"
    assert lines[2].startswith("  cause:      bad+0x1040 (return address) calls nt!ZwClose")


def test_a_level_that_nothing_on_the_stack_raised_to_is_said_to_be_unexplained(tmp_path: Path) -> None:
    lines = verdict(closing_under_a_lock(raising=""), tmp_path)
    assert lines[1] == "  raised by:  not known: no code of the functions on the stack raises to it"


@pytest.mark.parametrize(
    ("function", "calls"), [("IoCancelIrp", "cancel routines"), ("KiProcessExpiredTimerList", "DPCs")]
)
def test_the_kernel_calls_some_routines_at_dispatch_level(function: str, calls: str, tmp_path: Path) -> None:
    lines = verdict(closing_under_a_lock("", (*SYSTEM_THREAD, f"nt!{function}")), tmp_path)
    assert lines[0] == "IRQL: bad called nt!ZwClose at DISPATCH_LEVEL, which needs PASSIVE_LEVEL"
    assert lines[1] == f"  raised by:  nt!{function}+0x40 calls {calls} at DISPATCH_LEVEL"


@pytest.mark.parametrize("depth", [1, 8])
def test_a_driver_is_not_accused_of_what_its_callee_raised_to(depth: int, tmp_path: Path) -> None:
    """Under ZwClose the kernel takes a lock by functions that call each other, deeper than they are followed."""
    world = CrashWorld(19041)
    for name in ("nt!NtDeviceIoControlFile", "nt!MiFault", "nt!ZwClose"):
        world.function(name)
    world.trap_handler("nt!KiSystemServiceUser")
    kernel, bad = world.scene.images["nt"], world.scene.images["bad"]
    # mov eax,2; mov cr8,rax; ret
    kernel.function("Lock0", Code().hex("b802000000 440f22c0").ret())
    for number in range(1, depth):
        kernel.function(f"Lock{number}", Code().prologue(Alloc(0x28)).call(f"Lock{number - 1}").epilogue())
    locking = Code().prologue(Alloc(0x48)).call(f"Lock{depth - 1}").nop_to(0x3E).hex("ffd0").nop(8)
    kernel.function("ObpClose", locking.epilogue())
    world.scene.places["nt!ObpClose"] = Place(kernel.base + kernel.rva_of("ObpClose"), 0x48, 0x40)
    bad.add_imports([ImportedModule("ntoskrnl.exe", [Import("ZwClose")])], rva=0x20800, iat_rva=0x20400)
    code = Code().prologue(Alloc(0x48)).call_through_returning_at(0x40, "__imp_ZwClose")
    bad.function("Ioctl", code.epilogue())
    world.scene.places["bad!Ioctl"] = Place(bad.base + bad.rva_of("Ioctl"), 0x48, 0x40)
    world.open()
    user = {"SegCs": 0x33, "SegSs": 0x2B, "Rsp": 0x000000A0B0C0D0E0}
    world.trap("nt!KiSystemServiceUser", 0x00007FF8AABBCCDD, **user)
    world.enter(["nt!NtDeviceIoControlFile", "bad!Ioctl", "nt!ZwClose", "nt!ObpClose", "nt!MiFault"])
    instruction = world.address("nt!MiFault") + 4
    world.trap("nt!KiPageFault", instruction)
    world.enter(["nt!KiBugCheckDispatch"])
    world.die(0xA, 0x10, 2, 0, instruction)
    lines = verdict(world, tmp_path)
    assert lines[0].endswith("no call on the stack is known to break an IRQL contract")
    assert not any("may be:" in line for line in lines)
    followed = "  raised by:  nt!Lock0+0x5 writes cr8: DISPATCH_LEVEL"
    unfollowed = (
        "  raised by:  perhaps nt!ObpClose+0x4, which calls what could not be followed: DISPATCH_LEVEL behind it"
    )
    assert lines[1] == (followed if depth == 1 else unfollowed)


def test_a_threaded_dpc_is_not_taken_to_run_at_dispatch_level(tmp_path: Path) -> None:
    outer = (*SYSTEM_THREAD, "nt!KiExecuteDpc", "nt!KiExecuteAllDpcs")
    lines = shown(closing_under_a_lock("", outer, irql=0), tmp_path, "irqlcheck")
    assert not any("too high" in line for line in lines)
    assert "  begins:     nt!KiExecuteAllDpcs+0x40 calls threaded DPCs at <= DISPATCH_LEVEL" in lines
