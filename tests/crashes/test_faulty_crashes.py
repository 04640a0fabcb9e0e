"""Crashes whose arguments lead to structures of their own, on faulty memory: the analysis gives what there is."""

from __future__ import annotations

from typing import Callable, Dict, Iterator

import pytest
from dumpkit.dump import open_dump
from dumpkit.target import Target

from tests.crashes import test_dpc_watchdog as dpc
from tests.crashes import test_hardware as hardware
from tests.crashes import test_power as power
from tests.crashes import test_statuses as statuses
from tests.crashes.crash_world import CrashWorld
from tests.faulty_target import GARBAGE, Faults, Garbage, Missing, Random
from tests.running import run_lines, session_on

STATUS = 0xBE00000000800400
SEEDS = range(15)


def held_up() -> CrashWorld:
    crash = power.PowerCrash()
    device = crash.device()
    request = crash.request(device)
    triage = crash.triage([request], [device])
    return crash.die(0x9F, 3, device.address, triage.address, request.address)


CRASHES: Dict[str, Callable[[], CrashWorld]] = {
    "hardware": lambda: hardware.world_of(hardware.processor_record(STATUS, 1, 8), 0, STATUS),
    "watchdog": lambda: dpc.timed_out(19041, 0, 501, 500, dpc.BLOCK),
    "power": held_up,
    "process": lambda: statuses.critical_process(0xEF, 0xC0000005, -1, 0, 1 << 64, 0),
}


@pytest.fixture(scope="module", params=sorted(CRASHES))
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    dump, store = CRASHES[request.param]().write(tmp_path_factory.mktemp(request.param))
    found = open_dump(str(dump), symbol_path=str(store), offline=True)
    yield found
    found.close()


def analyse(target: Target) -> None:
    lines = run_lines(session_on(target), "analyze -v")
    assert "---------" in lines


@pytest.mark.parametrize("seed", SEEDS)
def test_random_faults_leave_an_analysis(seed: int, target: Target) -> None:
    with Faults(target, Random(seed, words=25, pages=40)):
        analyse(target)


def test_a_fault_in_each_structure_leaves_an_analysis(target: Target) -> None:
    assert target.bugcheck is not None
    starts = [each for each in target.bugcheck.parameters if each >> 47]
    with Faults(target) as faults:
        analyse(target)
    near = sorted(
        (address, size) for address, size in faults.reads if any(start <= address < start + 0x400 for start in starts)
    )
    assert near
    for address, size in near[:40]:
        with Faults(target, Missing(address, size)):
            analyse(target)
        with Faults(target, Garbage(address, size, GARBAGE["not canonical"])):
            analyse(target)
