"""Crashes on addresses that cannot be: what the fault says of them, and what the registers tell."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest

from tests.crashes.crash_world import SYSTEM_THREAD, CrashWorld, shown
from tests.forge.processor import context_record


@pytest.mark.parametrize(
    ("pointer", "touched"),
    [(0xFEEEFEEEFEEEFEEE, "feeefeeefeeefeee"), (0x0000800000000000, "0000800000000000"), (0xFFFFA08F99990010, None)],
)
def test_a_pointer_that_is_not_canonical_is_named_where_the_fault_says_all_ones(
    pointer: int, touched: Optional[str], tmp_path: Path
) -> None:
    world = CrashWorld(19041)
    # mov rax,[rcx]
    world.function("bad!Use", "488b01")
    machine = world.open()
    world.enter([*SYSTEM_THREAD, "bad!Use"])
    instruction, stack = world.address("bad!Use") + 4, world.stack.rsp
    world.trap("nt!KiPageFault", instruction, Rcx=pointer)
    _, record, context = world.dispatch(0xC0000005, instruction, 0, 0xFFFFFFFFFFFFFFFF)
    machine.put(context, context_record({"rip": instruction, "rsp": stack, "rcx": pointer}))
    world.die(0x7E, 0xFFFFFFFFC0000005, instruction, record, context, irql=0)
    lines = shown(world, tmp_path, "analyze")
    said = [line for line in lines if line.startswith("Address: ")]
    assert said == (
        [f"Address: {touched} was touched: it is not canonical, no memory can be there"] if touched is not None else []
    )
