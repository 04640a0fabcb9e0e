"""KPRCBs and what they lead to, over memory of which parts are missing."""

from __future__ import annotations

from struct import pack, pack_into
from typing import Dict

import pytest
from dumpkit.errors import DumpkitError, MemoryReadError
from dumpkit.kernel.debugger_data import DebuggerData
from dumpkit.kernel.processors import MOST_PROCESSORS, Processors, build_lab, service_pack
from dumpkit.registers import ARM64, X64, Context

from tests.flat_memory import FlatMemory
from tests.forge.debugger_data import LAYOUT, build_debugger_data
from tests.forge.triage import build_context

ARRAY, PRCB, THREAD, PROCESS, CONTEXT = 0xA000, 0xB000, 0xC000, 0xD000, 0xE000


def memory_parts() -> Dict[int, bytes]:
    prcb, thread = bytearray(LAYOUT["SizePrcb"]), bytearray(LAYOUT["SizeEThread"])
    pack_into("<Q", prcb, LAYOUT["OffsetPrcbCurrentThread"], THREAD)
    pack_into("<I", prcb, LAYOUT["OffsetPrcbNumber"], 1)
    pack_into("<Q", prcb, LAYOUT["OffsetPrcbContext"], CONTEXT)
    special = LAYOUT["OffsetPrcbProcStateSpecialReg"]
    pack_into("<QQQQ", prcb, special, 0x80050033, 0x1234, 0x1AD000, 0x370678)
    pack_into("<HQ", prcb, special + 0x56, 0x57, 0xFFFFF80000001FB0)
    pack_into("<H", prcb, special + 0x70, 0x40)
    state = LAYOUT["OffsetPrcbProcStateContext"]
    prcb[state : state + 0x4D0] = build_context(instruction=0x5555)
    pack_into("<Q", prcb, LAYOUT["OffsetPrcbContext"], CONTEXT)
    pack_into("<Q", thread, LAYOUT["OffsetKThreadApcProcess"], PROCESS)
    return {ARRAY: pack("<QQ", 0, PRCB), PRCB: bytes(prcb), THREAD: bytes(thread), CONTEXT: build_context(stack=0x7777)}


def processors(parts: Dict[int, bytes], count: int = 2) -> Processors:
    return Processors(FlatMemory(parts), DebuggerData(build_debugger_data(KiProcessorBlock=ARRAY)), X64, count)


def test_a_processor_leads_to_its_thread_and_process() -> None:
    found = processors(memory_parts())
    assert found.prcb(1) == PRCB
    assert found.number(PRCB) == 1
    assert found.thread(PRCB) == THREAD
    assert found.process(THREAD) == PROCESS


def test_a_processor_that_was_never_started_is_named() -> None:
    with pytest.raises(DumpkitError, match="processor 0 was not started"):
        processors(memory_parts()).prcb(0)


def test_registers_come_from_where_the_prcb_points() -> None:
    context = processors(memory_parts()).context(PRCB)
    assert context["rsp"] == 0x7777
    assert (context["cr3"], context["cr2"], context["gdtr"], context["gdtl"]) == (
        0x1AD000,
        0x1234,
        0xFFFFF80000001FB0,
        0x57,
    )
    assert context["tr"] == 0x40


def test_registers_come_from_the_prcb_itself_where_its_pointer_leads_nowhere() -> None:
    parts = memory_parts()
    del parts[CONTEXT]
    assert processors(parts).context(PRCB)["rip"] == 0x5555


def test_a_prcb_that_is_not_in_the_dump_is_a_read_error() -> None:
    parts = memory_parts()
    del parts[PRCB]
    with pytest.raises(MemoryReadError):
        processors(parts).context(PRCB)
    context = Context(X64, {"rip": 1})
    assert processors(parts).with_special_registers(context, PRCB) is context


def test_arm64_has_no_special_registers_here() -> None:
    context = Context(ARM64, {"pc": 1})
    data = DebuggerData(build_debugger_data())
    assert Processors(FlatMemory(memory_parts()), data, ARM64, 1).with_special_registers(context, PRCB) is context


def test_the_processor_with_a_stack_pointer_is_found() -> None:
    assert processors(memory_parts()).find(0x7777) == 1
    assert processors(memory_parts()).find(0x7778) is None


def test_an_impossible_number_of_processors_is_bounded() -> None:
    found = processors(memory_parts(), count=0xFFFFFFFF)
    assert found.count == MOST_PROCESSORS
    assert found.find(0x1) is None


def test_the_build_lab_is_text_up_to_its_end() -> None:
    data = DebuggerData(build_debugger_data(NtBuildLab=0x1000))
    assert (
        build_lab(FlatMemory({0x1000: b"22621.1.amd64fre.ni_release\0garbage"}), data) == "22621.1.amd64fre.ni_release"
    )
    assert build_lab(FlatMemory({0x1000: b"\0"}), data) is None
    assert build_lab(FlatMemory({0x1000: b"22621\xff"}), data) is None
    assert build_lab(FlatMemory({}), data) is None


def test_the_service_pack_is_zero_where_it_is_not_known() -> None:
    data = DebuggerData(build_debugger_data(CmNtCSDVersion=0x1000))
    assert service_pack(FlatMemory({0x1000: pack("<I", 0x100)}), data) == 0x100
    assert service_pack(FlatMemory({}), data) == 0
    assert service_pack(FlatMemory({}), DebuggerData(build_debugger_data())) == 0
