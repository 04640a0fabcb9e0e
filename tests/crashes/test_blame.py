"""Crashes whose stack names the wrong one at first sight, or nobody: who is blamed, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest

from tests.crashes.crash_world import SYSTEM_THREAD, CrashWorld, analysed, shown
from tests.forge.assembly import Code
from tests.forge.io import StackLocation, add_device, add_driver, add_irp
from tests.forge.processor import context_record
from tests.forge.scene import Place
from tests.forge.stack import KernelStack
from tests.forge.sync import add_event
from tests.forge.thread import add_thread, run, wait
from tests.forge.unwind import Alloc, Push, SetFrame

RECURSE_FRAME = 0x188


def overrun_stack(left: int = 0) -> CrashWorld:
    """bad!Recurse calls itself until less than a frame and `left` bytes are left, and one call more faults."""
    world = CrashWorld(19041)
    world.function("bad!Recurse", "e8f4ffffff", RECURSE_FRAME)
    machine = world.open(size=0x6000)
    world.enter(SYSTEM_THREAD)
    while world.stack.rsp - RECURSE_FRAME - 8 > world.stack.limit + left:
        world.enter(["bad!Recurse"])
    thread_stack = world.stack
    pointer = thread_stack.rsp - 8 - RECURSE_FRAME
    world.call()
    world.stack = KernelStack(machine, 0xFFFFF8022E5F0000)
    instruction = world.address("bad!Recurse") + 7
    frame = world.trap("nt!KiDoubleFaultAbort", instruction, Rsp=pointer)
    world.enter(["nt!KiBugCheckDispatch"])
    world.die(0x7F, 8, frame.address, pointer, instruction, irql=0, stack=thread_stack)
    return world


def test_a_full_stack_is_told_from_other_double_faults(tmp_path: Path) -> None:
    world = overrun_stack()
    found = analysed(world, tmp_path)
    assert found.exhausted_stack == world.thread["Tcb.StackLimit"]
    assert "at the limit" in found.evidence["stack_overflow"]
    assert found.culprit.symbol == "bad!Recurse"
    assert found.failing is not None
    assert len(found.failing.frames) > 50


def test_a_double_fault_with_room_on_the_stack_is_no_overflow(tmp_path: Path) -> None:
    found = analysed(overrun_stack(left=0x1000), tmp_path)
    assert found.exhausted_stack is None
    assert "with room left" in found.unknown["stack_overflow"]


def test_the_limit_of_a_full_stack_is_shown(tmp_path: Path) -> None:
    lines = shown(overrun_stack(), tmp_path, "analyze -v")
    assert "STACK_OVERFLOW: Stack Limit: fffffe801233a000. Use (kf) to investigate stack usage." in lines


@pytest.mark.parametrize("counted", [False, True])
def test_who_leaks_pool_is_named_by_the_verifiers_argument(counted: bool, tmp_path: Path) -> None:
    world = CrashWorld(19041)
    for name in ("nt!VerifierBugCheckIfAppropriate", "nt!VfPoolCheckForLeaks"):
        world.function(name)
    machine = world.open()
    name = machine.allocate(0x40)
    machine.put(name, machine.counted_string("bad.sys") if counted else "bad.sys\0".encode("utf-16-le"))
    world.enter([*SYSTEM_THREAD, "nt!ExpWorkerThread", "nt!VfPoolCheckForLeaks", "nt!VerifierBugCheckIfAppropriate"])
    world.die(0xC4, 0x62, name, 0, 3, irql=0)
    found = analysed(world, tmp_path)
    assert found.culprit.module == "bad"
    assert "argument 2" in found.evidence["culprit"]


def test_no_code_is_blamed_for_an_error_of_the_hardware(tmp_path: Path) -> None:
    world = CrashWorld(22000, processors=4)
    for name in ("nt!HalpMceHandler", "nt!HalBugCheckSystem"):
        world.function(name)
    world.trap_handler("nt!KiMcheckAbort")
    machine = world.open()
    world.enter(["nt!KiIdleLoop", "nt!PoIdle"])
    world.trap("nt!KiMcheckAbort", world.address("nt!PoIdle") + 8)
    world.enter(["nt!HalpMceHandler", "nt!HalBugCheckSystem"])
    world.die(0x124, 0, machine.allocate(0x400), 0xBA000000, 0x400, irql=15, processor=2)
    found = analysed(world, tmp_path)
    assert found.culprit.module is None
    assert found.unknown["culprit"]
    assert found.failing is not None
    assert len(found.failing.frames) == 6


def test_a_dpc_that_the_clock_interrupts_is_blamed_and_not_the_thread_below_it(tmp_path: Path) -> None:
    world = CrashWorld(19041, ["bad", "innocent"])
    world.trap_handler("nt!KiDpcInterrupt")
    for name in ("innocent!Thread", "bad!Dpc", "nt!KiExecuteAllDpcs", "nt!KeClockInterruptNotify"):
        world.function(name)
    image = world.scene.images["nt"]
    switching = Code().prologue(Push("rbp"), Alloc(0x20), SetFrame("rbp")).hex("488be1").nop_to(0x3E).hex("ffd0")
    image.function("KxRetireDpcList", switching.nop(8).epilogue())
    world.scene.places["nt!KxRetireDpcList"] = Place(image.base + image.rva_of("KxRetireDpcList"), 0x28, 0x40)
    machine = world.open()
    world.enter([*SYSTEM_THREAD, "innocent!Thread"])
    world.trap("nt!KiDpcInterrupt", world.address("innocent!Thread") + 8)
    world.enter(["nt!KxRetireDpcList"])
    thread_stack, frame = world.stack, world.stack.rsp
    machine.put_u64(frame + 0x20, 0)
    world.stack = KernelStack(machine, 0xFFFFF8022E700000)
    world.enter(["nt!KiExecuteAllDpcs", "bad!Dpc"])
    world.trap("nt!KiInterruptDispatchNoLockNoEtw", world.address("bad!Dpc") + 4, Rbp=frame)
    machine.put_u64(world.stack.rsp + 0x160, frame)
    world.enter(["nt!KeClockInterruptNotify"])
    world.die(0x133, 0, 0x501, 0x500, 0, irql=13, stack=thread_stack)
    found = analysed(world, tmp_path)
    assert found.failing is not None
    owners = [frame.instruction_pointer >> 24 for frame in found.failing.frames]
    assert world.address("innocent!Thread") >> 24 in owners
    assert {frame.found_by for frame in found.failing.frames[1:]} == {"unwound"}
    assert found.bucket == "0x133_DPC_bad!Dpc"


def test_the_processor_that_hangs_is_looked_at_not_the_one_that_noticed(tmp_path: Path) -> None:
    world = CrashWorld(22000, processors=4)
    for name in ("nt!KeAccumulateTicks", "bad!Spin"):
        world.function(name)
    machine = world.open()
    world.enter(["nt!KiIdleLoop", "nt!PoIdle"])
    world.trap("nt!KiInterruptDispatchNoLockNoEtw", world.address("nt!PoIdle") + 8)
    world.enter(["nt!KeAccumulateTicks"])
    world.die(0x101, 0xC, 0, 0, 2, irql=13)
    spinning = KernelStack(machine, 0xFFFFFE8033000000)
    world.scene.enter(spinning, [*SYSTEM_THREAD, "bad!Spin"])
    record = context_record({"rip": world.address("bad!Spin") + 4, "rsp": spinning.rsp})
    world.processors[2].prcb["ProcessorState.ContextFrame"] = record
    run(add_thread(machine, world.scene.system, 0x777, spinning, None, world.scene.objects), world.processors[2])
    found = analysed(world, tmp_path)
    assert found.failing is not None
    assert (found.failing.kind, found.failing.address) == ("processor", 2)
    assert found.bucket == "0x101_bad!Spin"


def test_the_thread_that_blocks_plug_and_play_is_looked_at_not_the_watchdogs(tmp_path: Path) -> None:
    world = CrashWorld(22000, processors=2)
    for name in ("nt!PnpBugcheckPowerTimeout", "bad!HandleRemove"):
        world.function(name)
    machine = world.open()
    blocked = world.scene.waiting_thread(0x8C4, 0xFFFFFE8013000000, ["nt!ExpWorkerThread", "bad!HandleRemove"])
    wait(blocked, 0, [add_event(machine)])
    world.enter([*SYSTEM_THREAD, "nt!ExpWorkerThread", "nt!PnpBugcheckPowerTimeout"])
    world.die(0x9F, 4, 0x12C, blocked.address, 0)
    found = analysed(world, tmp_path)
    assert found.failing is not None
    assert (found.failing.kind, found.failing.address) == ("thread", blocked.address)
    assert found.bucket == "0x9F_4_bad!HandleRemove"


def test_a_culprit_that_a_scan_found_is_said_to_be_uncertain(tmp_path: Path) -> None:
    world = CrashWorld(19041)
    for name in ("bad!Worker", "nt!ExFreePoolWithTag"):
        # jmp rax: where the code goes on cannot be told.
        world.function(name, behind="ffe0")
    world.open()
    world.enter([*SYSTEM_THREAD, "bad!Worker", "nt!ExFreePoolWithTag"])
    world.die(0x19, 0x22, 0, 0, 0, irql=0)
    lines = shown(world, tmp_path, "analyze", dump_type=4)
    assert any(line.startswith("SYMBOL_NAME:  bad") for line in lines)
    assert any(line.startswith("Not certain: SYMBOL_NAME: a scan") for line in lines)


def test_a_request_that_is_completed_is_said_to_be_with_nobody(tmp_path: Path) -> None:
    world = CrashWorld(22000)
    for name in ("nt!IofCompleteRequest", "nt!IopInvalidDeviceRequest", "bad!Complete"):
        world.function(name)
    machine = world.open()
    image, objects = world.scene.images["bad"], world.scene.objects
    default = world.address("nt!IopInvalidDeviceRequest")
    driver = add_driver(machine, objects, "\\Driver\\bad", image.base, image.size, {}, default)
    request = add_irp(machine, None, [StackLocation(3, add_device(machine, objects, driver, 0x22, "Bad"))], 2)
    world.enter([*SYSTEM_THREAD, "bad!Complete", "nt!IofCompleteRequest"])
    world.die(0x44, request.address, 0x1D68)
    lines = shown(world, tmp_path, "analyze")
    assert f"Request: {request.address:016x} is at none of its stack locations: completed, or not sent" in lines
    assert "FAILURE_BUCKET_ID:  0x44_bad!Complete" in lines


def test_who_was_interrupted_by_the_key_that_asked_for_the_crash_is_not_blamed(tmp_path: Path) -> None:
    world = CrashWorld(19041, ["innocent", "i8042prt"])
    for name in ("innocent!Thread", "i8042prt!I8xProcessCrashDump"):
        world.function(name)
    world.open()
    world.enter([*SYSTEM_THREAD, "innocent!Thread"])
    world.trap("nt!KiInterruptDispatchNoLockNoEtw", world.address("innocent!Thread") + 4)
    world.enter(["i8042prt!I8xProcessCrashDump"])
    world.die(0xE2, 0, 0, 0, 0, irql=8)
    lines = shown(world, tmp_path, "analyze")
    assert "MODULE_NAME: i8042prt" in lines
    assert lines[-1] == "Next: analyze -hang shows the threads that block others"


def test_the_thread_below_a_dpc_interrupt_is_not_blamed_for_what_the_kernel_does_in_it(tmp_path: Path) -> None:
    world = CrashWorld(19041, ["innocent"])
    world.trap_handler("nt!KiDpcInterrupt")
    for name in ("innocent!Thread", "nt!KiProcessExpiredTimerList"):
        world.function(name)
    world.open()
    world.enter([*SYSTEM_THREAD, "innocent!Thread"])
    world.trap("nt!KiDpcInterrupt", world.address("innocent!Thread") + 8)
    instruction = world.address("nt!KiProcessExpiredTimerList") + 4
    world.enter(["nt!KiProcessExpiredTimerList"])
    world.trap("nt!KiPageFault", instruction)
    world.enter(["nt!KiBugCheckDispatch"])
    world.die(0xA, 0x10, 2, 0, instruction)
    found = analysed(world, tmp_path)
    assert found.culprit.symbol == "nt!KiProcessExpiredTimerList"
    assert "an interrupt came there" in found.evidence["interrupted"]


@pytest.mark.parametrize("helper", ["__report_gsfailure", "memcpy"])
def test_the_caller_of_what_compilers_put_into_a_driver_is_blamed(helper: str, tmp_path: Path) -> None:
    world = CrashWorld(19041)
    for name in ("bad!Overrun", f"bad!{helper}"):
        world.function(name)
    world.open()
    world.enter([*SYSTEM_THREAD, "bad!Overrun", f"bad!{helper}"])
    world.trap("nt!KiRaiseSecurityCheckFailure", world.address(f"bad!{helper}") + 4)
    world.enter(["nt!KiFastFailDispatch", "nt!KiBugCheckDispatch"])
    world.die(0x139, 2, 0, 0, 0, irql=0)
    found = analysed(world, tmp_path)
    assert found.bucket == "0x139_2_STACK_COOKIE_CHECK_FAILURE_bad!Overrun"


@pytest.mark.parametrize(("address", "next_line"), [(0xFFFFA08F11112220, "Next: object ffffa08f11112220"), (0, None)])
def test_the_object_that_a_bugcheck_is_about_is_looked_at_next(
    address: int, next_line: Optional[str], tmp_path: Path
) -> None:
    world = CrashWorld(19041)
    for name in ("bad!Release", "nt!ObfDereferenceObjectWithTag"):
        world.function(name)
    world.open()
    world.enter([*SYSTEM_THREAD, "bad!Release", "nt!ObfDereferenceObjectWithTag"])
    world.die(0x18, 0, address, 2, 0xFFFFFFFFFFFFFFFF, irql=0)
    lines = shown(world, tmp_path, "analyze")
    assert [line for line in lines if line.startswith("Next: ")] == (
        [f"{next_line} shows the object and its counts"] if next_line is not None else []
    )
