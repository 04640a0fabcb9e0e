"""Crashes where no instruction is at the instruction pointer: calls of null, freed, foreign and paged-out addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from tests.crashes.crash_world import SYSTEM_THREAD, CrashWorld, analysed, shown
from tests.forge.assembly import Code
from tests.forge.image_sections import PAGE
from tests.forge.image_tables import Import, ImportedModule
from tests.forge.modules import Unloaded, add_unloaded_modules
from tests.forge.scene import Place
from tests.forge.unwind import Alloc

FREED = 0xFFFFA08F99990010
GONE = 0xFFFFF80250001230


def calling(target: int, build: int = 19041, processors: int = 1) -> CrashWorld:
    """bad!Call calls a pointer that leads to `target`, and a page fault comes there."""
    world = CrashWorld(build, ["bad"], processors)
    world.function("bad!Worker")
    world.function("bad!Call", "ffd0")
    add_gone = target == GONE
    machine = world.open()
    if add_gone:
        add_unloaded_modules(machine, [Unloaded(GONE & ~0xFFFF, (GONE & ~0xFFFF) + 0x8000, "gone.sys")])
    world.enter([*SYSTEM_THREAD, "bad!Worker", "bad!Call"])
    world.call(world.address("bad!Call") + 6)
    world.trap("nt!KiPageFault", target or 0, Rax=target)
    return world


def at_once(target: int, code: int, *parameters: int) -> CrashWorld:
    """The page fault ends in a bugcheck without an exception."""
    world = calling(target)
    world.enter(["nt!KiBugCheckDispatch"])
    world.die(code, *parameters)
    return world


def null_at_high_irql() -> CrashWorld:
    return at_once(0, 0xD1, 0, 2, 8, 0)


def null_in_a_system_thread() -> CrashWorld:
    world = calling(0, build=22000, processors=4)
    _, record, context = world.dispatch(0xC0000005, 0, 8, 0)
    world.die(0x7E, 0xFFFFFFFFC0000005, 0, record, context, irql=0, processor=3)
    return world


def freed_memory() -> CrashWorld:
    return at_once(FREED, 0x50, FREED, 0x10, FREED, 2)


def data_of_the_stack() -> CrashWorld:
    place = 0xFFFFFE801233F4F0
    return at_once(place, 0xFC, place, 0x8000000012345963, 0, 2)


@pytest.mark.parametrize("dump_type", [1, 4, 5, 6])
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (null_at_high_irql, "trap frame"),
        (null_in_a_system_thread, "context record"),
        (freed_memory, "trap frame"),
        (data_of_the_stack, "trap frame"),
    ],
)
def test_who_called_the_pointer_is_blamed(
    make: Callable[[], CrashWorld], kind: str, dump_type: int, tmp_path: Path
) -> None:
    found = analysed(make(), tmp_path, dump_type)
    assert found.failing is not None
    assert found.failing.kind == kind
    assert found.failing.is_fault
    assert found.culprit.module == "bad"
    assert found.bucket.endswith("bad!Call" if dump_type != 4 else "bad!unknown_function")
    assert found.access is not None
    assert found.access.operation == "Execute"
    assert found.access.instruction == found.access.address == found.failing.context.instruction_pointer
    callers = [frame.instruction_pointer for frame in found.failing.frames[found.failing.fault + 1 :]]
    assert len(callers) == 4


def test_a_null_call_in_a_dump_without_symbols_is_found_by_its_trap_frame(tmp_path: Path) -> None:
    found = analysed(null_at_high_irql(), tmp_path, 4, symbols=False)
    assert found.failing is not None
    assert found.failing.kind == "trap frame"
    assert found.failing.context.instruction_pointer == 0
    assert found.culprit.symbol == "bad"


def test_the_frame_at_address_0_is_in_the_stack_as_the_engine_names_it(tmp_path: Path) -> None:
    lines = shown(null_at_high_irql(), tmp_path, "k")
    assert [line.split()[-1] for line in lines[3:6]] == ["nt!KiPageFault+0x40", "0x0", "bad!Call+0x6"]
    assert not any("scan" in line for line in lines)


def test_a_frame_in_an_unloaded_image_is_named_by_it(tmp_path: Path) -> None:
    lines = shown(at_once(GONE, 0xCE, GONE, 0x10, GONE, 0), tmp_path, "k")
    assert lines[4].endswith(" <Unloaded_gone.sys>+0x1230")
    assert lines[5].endswith(" bad!Call+0x6")


def test_an_instruction_is_shown_as_failed_only_where_it_is_the_one(tmp_path: Path) -> None:
    lines = shown(null_in_a_system_thread(), tmp_path, "analyze -v")
    at = lines.index("FAILED_INSTRUCTION_ADDRESS: ")
    assert lines[at + 1].startswith("00000000`00000000 ??")


def pageable_under_a_lock() -> CrashWorld:
    """bad!Worker takes a spin lock and calls a function in a pageable section that is not in memory."""
    world = CrashWorld(22000)
    world.function("nt!KeAcquireSpinLockRaiseToDpc")
    bad = world.scene.images["bad"]
    bad.section("PAGE", PAGE, 0x26000, 0x1000)
    bad.function("Paged", Code().nop(8).ret(), 0x26000)
    names = [Import("KeAcquireSpinLockRaiseToDpc")]
    bad.add_imports([ImportedModule("ntoskrnl.exe", names)], rva=0x20800, iat_rva=0x20400)
    code = Code().prologue(Alloc(0x48)).call_through_returning_at(0x20, "__imp_KeAcquireSpinLockRaiseToDpc")
    bad.function("Worker", code.call_returning_at(0x40, "Paged").epilogue())
    worker = bad.base + bad.rva_of("Worker")
    world.scene.places["bad!Worker"] = Place(worker, 0x48, 0x40)
    world.open()
    world.enter([*SYSTEM_THREAD, "bad!Worker"])
    world.call()
    paged = bad.base + 0x26000
    world.trap("nt!KiPageFault", paged)
    world.enter(["nt!KiBugCheckDispatch"])
    world.die(0xD1, paged, 2, 8, paged)
    return world


def test_pageable_code_that_is_called_under_a_spin_lock_breaks_its_contract(tmp_path: Path) -> None:
    lines = shown(pageable_under_a_lock(), tmp_path, "analyze")
    needs = "<= APC_LEVEL as it is in section PAGE, which is pageable"
    at = lines.index(f"IRQL: bad called bad!Paged at DISPATCH_LEVEL, which needs {needs}")
    assert lines[at + 1] == "  raised by:  bad!Worker+0x1a calls nt!KeAcquireSpinLockRaiseToDpc: DISPATCH_LEVEL"
    assert lines[at + 2].startswith("  cause:      bad!Worker+0x3b calls bad!Paged at DISPATCH_LEVEL")
    assert "FAILURE_BUCKET_ID:  AV_CODE_AV_PAGED_IP_bad!Paged" in lines
