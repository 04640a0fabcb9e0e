"""idt: vectors and the interrupts behind them; apc: queues of threads; cpuinfo, prcb: processors."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.errors import CommandError, MemoryReadError
from dumpkit.output import data

from tests.forge.structure import Structure
from tests.forged_session import drop_page
from tests.running import run, run_lines
from tests.session_machine import SessionLab, add_apc, add_interrupts

PCR = 0xFFFFF8022E5E1000


@pytest.fixture(params=(7601, 19041, 22000))
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> SessionLab:
    return SessionLab(request.param, tmp_path)


def test_vectors_are_shown_with_the_drivers_that_share_them(lab: SessionLab) -> None:
    first = add_interrupts(lab, PCR)
    second = lab.machine.u64(first.at("InterruptListEntry")) - lab.machine.layouts.offset(
        "_KINTERRUPT", "InterruptListEntry"
    )
    worker = lab.made.scene.places["test!Worker"].address
    thread = lab.made.scene.places["nt!KiSwapThread"].address
    assert run_lines(lab.session, "!idt") == [
        "",
        f"Dumping IDT: {PCR - 0x3000:016x}",
        "",
        f"37:\t{thread + 4:016x} nt!KiSwapThread+0x4",
        f"82:\t{worker:016x} test!Worker (KINTERRUPT {first.address:016x})",
        f"    \t{worker + 0x10:016x} test!Worker+0x10 (KINTERRUPT {second:016x})",
        "",
    ]


def test_all_vectors_are_shown_with_their_stacks(lab: SessionLab) -> None:
    add_interrupts(lab, PCR)
    lines = run_lines(lab.session, "idt -a")
    assert [line.split(":")[0] for line in lines if ":\t" in line] == ["00", "02", "37", "82"]
    assert lines[4].endswith(" nt!KiSwapThread\tStack = 0xFFFFF80077E91000")
    assert [vector["vector"] for vector in data(run(lab.session, "idt 2"))["vectors"]] == ["0x2"]


def test_interrupts_in_a_loop_end_and_are_named(lab: SessionLab) -> None:
    first = add_interrupts(lab, PCR)
    link = lab.machine.u64(first.at("InterruptListEntry"))
    lab.machine.put_u64(link, link)
    assert any(line.startswith("vector 82: the list loops") for line in run_lines(lab.session, "idt"))


def test_a_table_that_is_missing_is_one_line(lab: SessionLab) -> None:
    with pytest.raises(MemoryReadError):
        run(lab.session, "idt")


def test_a_threads_queues_are_shown_as_kdexts_does(lab: SessionLab) -> None:
    thread = lab.made.threads["user"]
    apc = add_apc(lab, "user", 1, "nt!KiSwapThread", "test!Worker")
    kernel, user = (thread.at(f"Tcb.ApcState.ApcListHead[{mode}]") for mode in range(2))
    assert run_lines(lab.session, f"!apc thre {thread.address:x}") == [
        f"Thread {thread.address:016x} ApcStateIndex 0 ApcListHead {kernel:016x} [KERNEL]",
        f"Thread {thread.address:016x} ApcStateIndex 0 ApcListHead {user:016x} [USER]",
        f"    KAPC @ {apc.address:016x}",
        "      Type           12",
        f"      KernelRoutine  {apc['KernelRoutine']:016x} nt!KiSwapThread+0",
        f"      NormalRoutine  {apc['NormalRoutine']:016x} test!Worker+0",
        "      NormalContext  0000000000001234",
    ]


def test_processes_are_shown_with_the_threads_that_have_apcs(lab: SessionLab) -> None:
    apc = add_apc(lab, "user", 0, "nt!KiSwapThread")
    lines = run_lines(lab.session, "!apc")
    assert lines[0] == "*** Enumerating APCs in all processes"
    assert lines[1] == f"Process {lab.made.scene.system.address:016x} System"
    assert lines[2] == f"Process {lab.program.address:016x} a_very_long_name.exe"
    assert lines[3].startswith(f"    Thread {lab.made.threads['user'].address:016x} ApcStateIndex 0 ApcListHead ")
    assert lines[4] == f"        KAPC @ {apc.address:016x}"
    assert run_lines(lab.session, "apc proc a_very_long_name.exe")[1:] == lines[3:]
    assert run_lines(lab.session, f"apc {apc.address:x}")[0] == f"KAPC @ {apc.address:016x}"


def test_a_queue_that_loops_ends_and_is_named(lab: SessionLab) -> None:
    apc: Structure = add_apc(lab, "user", 0, "nt!KiSwapThread")
    lab.machine.put_u64(apc.at("ApcListEntry"), apc.at("ApcListEntry"))
    lines = run_lines(lab.session, f"apc thre {lab.made.threads['user'].address:x}")
    assert any("the list loops" in line for line in lines)


def test_what_is_no_apc_is_refused(lab: SessionLab) -> None:
    with pytest.raises(CommandError, match="is no KAPC"):
        run(lab.session, f"apc {lab.made.threads['user'].address:x}")


def test_processors_are_described_by_their_prcbs(lab: SessionLab) -> None:
    prcb = lab.machine.view("_KPRCB", PCR + lab.machine.layouts.offset("_KPCR", "Prcb"))
    prcb.set({"UpdateSignature.QuadPart": 0xD600000000, "FeatureBits": 0x311B3DFF})
    assert run_lines(lab.session, "!cpuinfo") == [
        "CP  F/M/S Manufacturer  MHz PRCB Signature    MSR 8B Signature Features",
        " 0  6,140,1 GenuineIntel 2995 000000d600000000                   311b3dff",
        " 1  6,140,1 GenuineIntel 2995 0000000000000000                   00000000",
    ]
    assert [each["number"] for each in data(run(lab.session, "cpuinfo 1"))["processors"]] == [1]
    with pytest.raises(CommandError, match="2 is not a valid processor number"):
        run(lab.session, "cpuinfo 2")


def test_a_processor_that_is_missing_leaves_the_others(lab: SessionLab) -> None:
    drop_page(lab.machine, PCR + lab.machine.layouts.offset("_KPCR", "Prcb"))
    lines = run_lines(lab.session, "cpuinfo")
    assert lines[1].startswith(" 0  ?,?,? ")
    assert lines[2].startswith(" 1  6,140,1 GenuineIntel")
    assert lines[3].startswith("processor 0: ")


def test_a_processors_block_is_shown_with_its_threads_and_times(lab: SessionLab) -> None:
    prcb = lab.machine.view("_KPRCB", PCR + lab.machine.layouts.offset("_KPCR", "Prcb"))
    prcb.set({"InterruptCount": 0x14C3F, "DpcTime": 0x25, "InterruptTime": 9, "KernelTime": 0xA1B2, "UserTime": 0xFE3})
    runner = lab.made.threads["runner"]
    assert run_lines(lab.session, "!prcb") == [
        f"PRCB for Processor 0 at {prcb.address:016x}:",
        "Current IRQL -- 0",
        f"Threads--  Current {runner.address:016x} Next {0:016x} Idle {prcb['IdleThread']:016x}",
        "Processor Index 0 Number (0, 0) GroupSetMember 1",
        "Interrupt Count -- 00014c3f",
        "Times -- Dpc    00000025 Interrupt 00000009 ",
        "         Kernel 0000a1b2 User      00000fe3 ",
    ]
    assert data(run(lab.session, "prcb 1"))["next_thread"] == f"0x{lab.made.threads['standby'].address:x}"
    with pytest.raises(CommandError, match="2 is not a valid processor number"):
        run(lab.session, "prcb 2")
