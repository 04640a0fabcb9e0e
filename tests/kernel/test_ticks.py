"""The clock's ticks, by the kernel's variable and by the page that every process shares."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.kernel.ticks import tick_count, tick_length

from tests.forge.machine import Machine
from tests.kernel.thread_machines import Lab, lab
from tests.made_target import MadeTarget
from tests.thread_machine import TICKS


def with_increment(folder: Path, increment: int, multiplier: int) -> Lab:
    """A machine with another KeMaximumIncrement, and another multiplier in KUSER_SHARED_DATA."""
    here = lab(19041, folder)
    machine: Machine = here.machine
    machine.put(here.target.symbols.address_of("nt!KeMaximumIncrement"), increment.to_bytes(4, "little"))
    machine.view("_KUSER_SHARED_DATA", 0xFFFFF78000000000)["TickCountMultiplier"] = multiplier
    return Lab(here.made, folder)


@pytest.mark.parametrize("build", [19041, 22000])
def test_the_kernels_variable_says_how_long_a_tick_is(build: int, tmp_path: Path) -> None:
    target = lab(build, tmp_path).target
    assert (tick_count(target), tick_length(target)) == (TICKS, 156250)


def test_without_it_the_shared_multiplier_does(tmp_path: Path) -> None:
    # 15.625 ms in 24 binary places: what Windows sets on a PC.
    assert tick_length(with_increment(tmp_path, 0, 0x0FA00000).target) == 156250


def test_a_tick_that_no_clock_has_is_not_believed(tmp_path: Path) -> None:
    assert tick_length(with_increment(tmp_path, 10_000_001, 0x0FA00000).target) == 156250
    assert tick_length(with_increment(tmp_path, 0, 0).target) is None


def test_without_symbols_nothing_is_known_of_ticks() -> None:
    assert (tick_count(MadeTarget()), tick_length(MadeTarget())) == (None, None)
