"""Crashes whose stack leaves the usual way: through user mode, other stacks, inlined functions, code of no module."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.dump import open_dump

from tests.crashes.crash_world import SYSTEM_THREAD, CrashWorld, analysed, shown
from tests.forge.declarations import VOID, function, pointer
from tests.forge.pdb import Pdb
from tests.forge.process import add_process
from tests.forge.program import InlineSite
from tests.forge.stack import KernelStack
from tests.running import run, run_lines, session_of, session_on
from tests.shared import needs_shared


def system_call() -> CrashWorld:
    """A program's request faults in bad!Ioctl; user mode is below all kernel addresses."""
    world = CrashWorld(22000, processors=2)
    world.trap_handler("nt!KiSystemServiceUser")
    world.function("nt!NtDeviceIoControlFile")
    world.function("bad!Ioctl", "488911")
    machine = world.open()
    program = add_process(machine, "program.exe", 0x9AC, None, world.scene.objects)
    user = {"SegCs": 0x33, "SegSs": 0x2B, "Rsp": 0x000000A0B0C0D0E0}
    world.trap("nt!KiSystemServiceUser", 0x00007FF8AABBCCDD, **user)
    world.enter(["nt!NtDeviceIoControlFile", "bad!Ioctl"])
    instruction = world.address("bad!Ioctl") + 4
    world.trap("nt!KiPageFault", instruction, Rcx=0xFFFFA08F99990010)
    world.die(0x50, 0xFFFFA08F99990010, 2, instruction, 2, irql=0, process=program)
    return world


def test_user_mode_stands_outermost_and_not_among_the_handlers(tmp_path: Path) -> None:
    found = analysed(system_call(), tmp_path)
    assert found.failing is not None
    places = [frame.instruction_pointer for frame in found.failing.frames]
    assert len(places) == len(set(places)) == 6
    assert places[-1] == 0x00007FF8AABBCCDD
    assert found.failing.fault == 2
    assert (found.culprit.symbol, found.process) == ("bad!Ioctl", "program.exe")


def wild_stack_pointer(handlers: int) -> CrashWorld:
    """bad!Pivot loads a wild stack pointer; the double fault's handler runs on a stack of its own."""
    world = CrashWorld(19041)
    world.function("bad!Pivot", "488be1")
    machine = world.open()
    world.enter([*SYSTEM_THREAD, "bad!Pivot"])
    thread_stack = world.stack
    world.stack = KernelStack(machine, handlers)
    instruction, pointer = world.address("bad!Pivot") + 7, 0x4141414141414141
    frame = world.trap("nt!KiDoubleFaultAbort", instruction, Rsp=pointer)
    world.enter(["nt!KiBugCheckDispatch"])
    world.die(0x7F, 8, frame.address, pointer, instruction, irql=0, stack=thread_stack)
    return world


def test_a_wild_stack_pointer_ends_the_stack_and_is_named(tmp_path: Path) -> None:
    found = analysed(wild_stack_pointer(0xFFFFF8022E5F0000), tmp_path)
    assert found.failing is not None
    assert [frame.stack_pointer for frame in found.failing.frames[3:]] == [0x4141414141414141]
    assert found.culprit.symbol == "bad!Pivot"
    assert "outside the thread's stack" in found.unknown["stack_overflow"]


def test_code_of_no_module_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    world = CrashWorld(19041)
    world.function("bad!Worker")
    world.function("nt!RtlCopyMemory", "488b01")
    machine = world.open()
    world.enter([*SYSTEM_THREAD, "bad!Worker"])
    foreign = machine.allocate(0x1000, 0x1000)
    # sub rsp,28h; nops; call rax; add rsp,28h; ret
    machine.put(foreign, bytes.fromhex("4883ec28") + b"\x90" * 0x10 + bytes.fromhex("ffd04883c428c3"))
    world.call()
    world.stack.rsp -= 0x28
    world.call(foreign + 0x16)
    world.stack.rsp -= 0x48
    instruction = world.address("nt!RtlCopyMemory") + 4
    world.trap("nt!KiPageFault", instruction, Rcx=0x10)
    world.enter(["nt!KiBugCheckDispatch"])
    world.die(0xD1, 0x10, 2, 0, instruction)
    found = analysed(world, tmp_path)
    assert found.culprit.symbol == "bad!Worker"
    assert found.unknown["foreign_code"] == f"{foreign + 0x16:016x} (frame 4) is in no module; its caller is blamed"


def inlined_fault() -> CrashWorld:
    """The fault is in a function that was inlined twice over."""
    world = CrashWorld(22000)
    none = function(VOID, pointer(VOID))
    inner = InlineSite("Deref", "c:\\src\\list.h", 50, [(0x14, 8, 52)])
    outer = InlineSite("TouchList", "c:\\src\\list.h", 100, [(0x10, 0x20, 105)], none, [inner])
    lines = [(0, 10), (0x40, 15)]
    world.function("bad!Worker", source="c:\\src\\bad.c", lines=lines, compiland="bad.obj", inlines=[outer])
    world.open()
    world.enter([*SYSTEM_THREAD, "bad!Worker"])
    instruction = world.address("bad!Worker") + 0x16
    world.trap("nt!KiPageFault", instruction)
    _, record, context = world.dispatch(0xC0000005, instruction, 0, 0x18)
    world.die(0x7E, 0xFFFFFFFFC0000005, instruction, record, context, irql=0)
    return world


def test_the_source_line_is_that_of_the_innermost_inlined_function(tmp_path: Path) -> None:
    world = inlined_fault()
    dump, store = world.write(tmp_path)
    private = Pdb(world.scene.images["bad"], private=True)
    (store / private.name / private.store_key / private.name).write_bytes(private.file())
    target = open_dump(str(dump), symbol_path=str(store), offline=True)
    lines = run_lines(session_on(target), "analyze -v")
    target.close()
    assert "FAULTING_SOURCE_FILE:  c:\\src\\list.h" in lines
    assert "FAULTING_SOURCE_LINE_NUMBER:  52" in lines
    assert "FAILURE_BUCKET_ID:  AV_bad!Worker" in lines
    at = next(number for number, line in enumerate(lines) if line.startswith("STACK_TEXT"))
    assert [line.split(" : ")[-1].split(" ")[0] for line in lines[at + 1 : at + 4]] == [
        "bad!Deref+0x2",
        "bad!TouchList+0x6",
        "bad!Worker+0x16",
    ]


def test_the_rows_of_a_stack_through_user_mode_are_shown_once(tmp_path: Path) -> None:
    lines = shown(system_call(), tmp_path, "analyze -v")
    assert sum("0x00007ff8`aabbccdd" in line for line in lines) == 1


def test_what_a_trap_frame_keeps_of_earlier_calls_is_no_frame(tmp_path: Path) -> None:
    """A minidump without images: the stack is scanned, and a return address lies in the trap frame's gaps."""
    world = CrashWorld(19041)
    for name in ("bad!Worker", "bad!Touch", "bad!Earlier"):
        # jmp rax: where the code goes on cannot be told.
        world.function(name, "c7000000000090", behind="ffe0")
    machine = world.open()
    world.enter([*SYSTEM_THREAD, "bad!Worker", "bad!Touch"])
    instruction = world.address("bad!Touch") + 4
    trap = world.trap("nt!KiPageFault", instruction)
    machine.put_u64(trap.address + 0x78, world.scene.return_into("bad!Earlier"))
    world.enter(["nt!KiBugCheckDispatch"])
    world.die(0xD1, 0x10, 2, 1, instruction)
    lines = shown(world, tmp_path, "k", dump_type=4)
    earlier = f"bad+0x{world.scene.return_into('bad!Earlier') - world.scene.images['bad'].base:x}"
    touched = f"bad+0x{instruction - world.scene.images['bad'].base:x}"
    assert not any(f" {earlier} " in f"{line} " for line in lines)
    at = next(number for number, line in enumerate(lines) if f" {touched} " in f"{line} ")
    assert " nt!KiPageFault+0x40" in lines[at - 1]


@needs_shared
@pytest.mark.parametrize(
    ("name", "handler", "trapped"),
    [("rts_d1", "nt+0x40dd78", "ks+0x1ae9"), ("100623-6156-01", "nt+0x40b7d8", "0xffffe78f`90345f71")],
)
def test_a_scanned_stack_goes_from_the_handler_to_what_was_trapped(name: str, handler: str, trapped: str) -> None:
    sites = [frame.call_site for frame in run(session_of(name), "k").frames]
    assert sites[sites.index(handler) + 1] == trapped
