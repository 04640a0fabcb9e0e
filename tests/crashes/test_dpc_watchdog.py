"""The watchdog of DPCs: which routine ran, how long, and what its profile has; blame where the stack has nobody."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest

from tests.crashes.crash_world import CrashWorld, analysed, shown
from tests.forge.layout import windows
from tests.forge.timers import add_dpc, queue_dpcs

BLOCK, PROFILE = 0xFFFFAB0161234000, 0xFFFFAB0161240000


def timed_out(build: int, *parameters: int, routine: str = "bad!Dpc", active: bool = True) -> CrashWorld:
    """The clock finds that a DPC, whose frames the stack no longer has, ran too long on processor 1 of two."""
    world = CrashWorld(build, processors=2)
    for name in ("bad!Dpc", "bad!Helper", "nt!KiExecuteAllDpcs", "nt!KeAccumulateTicks"):
        world.function(name)
    machine = world.open()
    machine.layouts = windows(build, "hardware")
    world.enter(["nt!KiIdleLoop", "nt!KiExecuteAllDpcs", "nt!KeAccumulateTicks"])
    world.die(0x133, *parameters, irql=13, processor=1)
    prcb = world.processors[1].prcb
    prcb["DpcRoutineActive"] = int(active)
    prcb["CurrentDpcRoutine"] = world.address(routine)
    prcb["DpcWatchdogCount"] = 0x1E01
    prcb["DpcWatchdogProfile"] = PROFILE
    queue_dpcs(world.processors[1], [add_dpc(machine, world.address("bad!Helper")) for _ in range(3)])
    offset = machine.layouts.offset("_KPRCB", "DpcWatchdogProfile")
    machine.put(BLOCK, pack("<IHHII", 0xAEBECEDE, 1, 16, offset, 0x60))
    addresses = [world.address("bad!Helper") + 4] * 3 + [world.address("nt!KiExecuteAllDpcs") + 8, 0x1234, 0]
    machine.put(PROFILE, pack("<6Q", *addresses) + bytes(0x100))
    return world


@pytest.mark.parametrize("build", [19041, 22000])
def test_a_single_dpc_is_named_with_its_time(build: int, tmp_path: Path) -> None:
    found = analysed(timed_out(build, 0, 501, 500, BLOCK), tmp_path)
    watchdog = found.watchdog
    assert watchdog is not None
    assert (watchdog.processor, watchdog.is_single, watchdog.ticks, watchdog.limit) == (1, True, 501, 500)
    assert (watchdog.symbol, watchdog.waiting) == ("bad!Dpc", 3)
    assert [(each.symbol, each.count) for each in watchdog.profile] == [("bad!Helper", 3), ("nt!KiExecuteAllDpcs", 1)]
    assert found.bucket == "0x133_DPC_bad!Dpc"
    assert found.evidence["culprit"] == "the DPC that ran on the processor"
    assert "processor 1" in found.evidence["dpc_routine"]


def test_the_lines_say_what_ran(tmp_path: Path) -> None:
    lines = shown(timed_out(19041, 1, 0x1E00, BLOCK), tmp_path, "analyze -v")
    assert "DPC: on processor 1 bad!Dpc runs; DISPATCH_LEVEL lasted for 7681 ticks of 7680 that it may" in lines
    assert "DPC: 3 more wait in the processor's queue" in lines
    assert "DPC: the watchdog's profile has addresses in bad!Helper (3), nt!KiExecuteAllDpcs (1)" in lines
    assert "FAILURE_BUCKET_ID:  0x133_ISR_bad!Dpc" in lines


def test_without_a_running_dpc_a_thread_or_an_interrupt_did_it(tmp_path: Path) -> None:
    found = analysed(timed_out(19041, 1, 0x1E00, 0, active=False), tmp_path)
    assert found.watchdog is not None
    assert (found.watchdog.routine, found.watchdog.profile) == (None, ())
    assert "runs no DPC" in found.unknown["dpc_routine"]
    assert found.culprit.module != "bad"


def test_a_dpc_of_the_kernel_s_is_not_blamed_for_having_run(tmp_path: Path) -> None:
    found = analysed(timed_out(19041, 0, 501, 500, BLOCK, routine="nt!KiExecuteAllDpcs"), tmp_path)
    assert found.watchdog is not None and found.watchdog.symbol == "nt!KiExecuteAllDpcs"
    assert found.evidence.get("culprit") != "the DPC that ran on the processor"


def test_a_block_that_is_none_is_said_to_be_none(tmp_path: Path) -> None:
    world = timed_out(19041, 0, 501, 500, BLOCK)
    world.machine.put(BLOCK, bytes(16))
    found = analysed(world, tmp_path)
    assert found.watchdog is not None and found.watchdog.profile == ()
    assert "is no DPC_WATCHDOG_GLOBAL_TRIAGE_BLOCK" in found.unknown["dpc_profile"]


def test_a_profile_without_its_page_is_left_out(tmp_path: Path) -> None:
    world = timed_out(19041, 0, 501, 500, 0xFFFFAB0171234000)
    found = analysed(world, tmp_path)
    assert found.watchdog is not None and found.watchdog.profile == ()
    assert found.unknown["dpc_profile"]


def test_without_symbols_the_arguments_still_tell_the_time(tmp_path: Path) -> None:
    found = analysed(timed_out(19041, 0, 501, 500, BLOCK), tmp_path, symbols=False)
    assert found.watchdog is not None
    assert (found.watchdog.ticks, found.watchdog.limit) == (501, 500)
