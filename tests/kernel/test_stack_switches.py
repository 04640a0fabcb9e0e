"""Stacks that change on the way: a DPC runs on its processor's own stack, called from the interrupted thread's."""

from __future__ import annotations

from pathlib import Path
from struct import pack, pack_into
from typing import Dict, List, Tuple

import pytest
from dumpkit.dump import open_dump
from dumpkit.kernel.stack import walk_stack
from dumpkit.registers import X64, Context

from tests.forge.assembly import Code, frame_code
from tests.forge.call_stack import CallStack
from tests.forge.image import Image
from tests.forge.image_sections import PDATA, RDATA, TEXT
from tests.forge.image_tables import CodeView
from tests.forge.pdb import Pdb
from tests.forge.rig import ask_engine, needs_rig, write_store
from tests.forge.triage import KERNEL_BASE, Block, Driver, TriageFile, build_context
from tests.forge.unwind import Alloc, MachineFrame, Push, SetFrame
from tests.kernel.unwinding import ImageTarget
from tests.running import run, session_on

BASE = 0xFFFFF80225DA0000
THREAD_TOP, DPC_TOP = 0xFFFFA00000F00008, 0xFFFF800000D00008
NAMES = ["Routine", "KiExecuteAllDpcs", "KxRetireDpcList", "KiDispatchInterruptContinue", "KiDpcInterrupt", "Thread"]


def made() -> Tuple[Image, Dict[int, int], Dict[str, int]]:
    """An image, the words of both stacks, and the registers in the DPC."""
    image = Image("dpc.sys", BASE)
    image.section(".text", TEXT, size=0x2000)
    image.section(".rdata", RDATA)
    image.section(".pdata", PDATA)
    image.set_codeview(CodeView("dpc.pdb", "F0D6E000000000000000000000000D9C"))
    functions = {
        "Thread": image.function("Thread", frame_code(0x48, size=0x60)),
        "KiDpcInterrupt": image.function(
            "KiDpcInterrupt", Code().prologue(MachineFrame(), Push("rbp"), Alloc(0x150)).nop_to(0x60).epilogue()
        ),
        "KiDispatchInterruptContinue": image.function("KiDispatchInterruptContinue", frame_code(0x28, size=0x60)),
        # Keeps its frame in rbp, then takes another stack: mov rsp,rcx.
        "KxRetireDpcList": image.function(
            "KxRetireDpcList",
            Code().prologue(Push("rbp"), Alloc(0x20), SetFrame("rbp")).hex("488be1").nop_to(0x60).epilogue(),
        ),
        "KiExecuteAllDpcs": image.function("KiExecuteAllDpcs", frame_code(0x68, size=0x60)),
        "Routine": image.function("Routine", frame_code(0x38, size=0x60)),
    }

    def at(name: str) -> int:
        rva = functions[name].rva
        assert rva is not None
        return image.base + rva + 0x30

    stack = CallStack(THREAD_TOP, {"rbp": 0x1234})
    stack.call(functions["Thread"])
    stack.trap(functions["KiDpcInterrupt"], at("Thread"))
    stack.call(functions["KiDispatchInterruptContinue"], at("KiDpcInterrupt"))
    stack.call(functions["KxRetireDpcList"], at("KiDispatchInterruptContinue"))
    other = CallStack(DPC_TOP, dict(stack.registers))
    other.call(functions["KiExecuteAllDpcs"], at("KxRetireDpcList"))
    other.call(functions["Routine"], at("KiExecuteAllDpcs"))
    registers = {**other.registers, "rip": at("Routine")}
    return image, {**stack.words, **other.words}, registers


def test_a_dpcs_stack_leads_back_to_the_thread_that_it_interrupted() -> None:
    image, words, registers = made()
    frames = walk_stack(ImageTarget([image], words), Context(X64, registers))
    assert len(frames) == len(NAMES)
    assert {frame.found_by for frame in frames[1:]} == {"unwound"}
    assert [DPC_TOP - 0x1000 < frame.stack_pointer <= DPC_TOP for frame in frames] == [True] * 3 + [False] * 3
    assert frames[5].is_interrupted
    assert frames[5].context["rbp"] == 0x1234


def dump_of(image: Image, words: Dict[int, int], registers: Dict[str, int]) -> bytes:
    context = bytearray(build_context(instruction=registers["rip"], stack=registers["rsp"]))
    pack_into("<Q", context, 0xA0, registers["rbp"])
    blocks = [Block(image.base + rva, page) for rva, page in image.pages()]
    blocks += [
        Block(top - 0x1000, b"".join(pack("<Q", words.get(at, 0)) for at in range(top - 0x1000, top + 0x40, 8)))
        for top in (THREAD_TOP, DPC_TOP)
    ]
    driver = Driver(image.base, image.size, f"\\??\\C:\\{image.name}", image.stamp, image.checksum)
    kernel = Driver(KERNEL_BASE, 0x1000000, "\\SystemRoot\\system32\\ntoskrnl.exe")
    return TriageFile(drivers=(kernel, driver), blocks=blocks, context=bytes(context)).build()


@pytest.mark.rig
@needs_rig
def test_the_engine_switches_stacks_at_the_same_frame(tmp_path: Path) -> None:
    image, words, registers = made()
    data = dump_of(image, words, registers)
    store = write_store(tmp_path / "store", [image, Pdb(image)])
    theirs: List[List[str]] = [
        [line.split()[0].replace("`", ""), line.split()[2]]
        for line in ask_engine(tmp_path, data, [".reload /f dpc.sys", "kL"], store)["kL"][1:]
    ]
    session = session_on(open_dump(str(tmp_path / "forged.dmp"), symbol_path=str(store)))
    ours = [[f"{frame.child_sp:016x}", frame.call_site] for frame in run(session, "kL").frames]
    assert ours == theirs
    assert [site.partition("!")[2].partition("+")[0] for _, site in ours] == NAMES
