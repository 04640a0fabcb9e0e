"""irpfind: IRPs by the pool's tag, all of them or those that fit a criterion."""

from __future__ import annotations

from typing import List

import pytest
from dumpkit.errors import CommandError
from dumpkit.output import data

from tests.forge.pool import NON_PAGED_NX
from tests.forge.structure import Structure
from tests.kernel.pool.lab import NONPAGED, HeapLab
from tests.running import run, run_lines, session_on

THREAD, DEVICE, EVENT = 0xFFFFA08F20001000, 0xFFFFA08F20002000, 0xFFFFA08F20003000


@pytest.fixture(params=(19041, 22000))
def lab(request: pytest.FixtureRequest) -> HeapLab:
    return HeapLab(request.param)


def irps(lab: HeapLab) -> List[Structure]:
    """Two active requests and a completed one, and a block of the tag that holds none."""
    segment = lab.pool.segment(NON_PAGED_NX, NONPAGED).vs(8)
    found = []
    for number, current in enumerate((1, 2, 3)):
        # Behind the pool header, which the block's address is that of.
        place = segment.allocate(0x1C0, "Irp ") + 0x10
        irp = lab.machine.place("_IRP", place)
        irp.set({"Type": 6, "Size": 0xD0 + 2 * 0x48, "StackCount": 2, "CurrentLocation": current})
        irp.set({"Tail.Overlay.Thread": THREAD + number, "UserEvent": EVENT + number})
        location = lab.machine.view("_IO_STACK_LOCATION", place + 0xD0 + 0x48 * (min(current, 2) - 1))
        location.set({"MajorFunction": 3 + number, "MinorFunction": 0})
        irp["Tail.Overlay.CurrentStackLocation"] = location
        found.append(irp)
    segment.allocate(0x100, "Irp ")
    return found


def test_irps_are_listed_by_address_with_their_current_locations(lab: HeapLab) -> None:
    first, second, complete = irps(lab)
    lines = run_lines(session_on(lab.target), "!irpfind")
    assert lines[0].startswith("Searching nonpaged pool (ffffa08000000000 : ffffa10000000000) for tag Irp?")
    head = "  Irp            [ Thread ]         irpStack: (Mj,Mn)   DevObj          [Driver]         MDL Process"
    start = lines.index(head)
    assert lines[start + 1].startswith(f"{first.address:016x} [{THREAD:016x}] irpStack: ( 3, 0)  {0:016x} [ ")
    assert lines[start + 2].startswith(f"{second.address:016x} [{THREAD + 1:016x}] irpStack: ( 4, 0)  ")
    assert lines[start + 3] == (
        f"{complete.address:016x} [{THREAD + 2:016x}] Irp is complete (CurrentLocation 3 > StackCount 2)"
    )


@pytest.mark.parametrize(
    "criterion",
    [f"thread {THREAD + 1:x}", f"userevent {EVENT + 1:x}", "fileobject 1234", "arg 77", f"device {DEVICE:x}"],
)
def test_a_criterion_leaves_only_what_fits(lab: HeapLab, criterion: str) -> None:
    second = irps(lab)[1]
    second["Tail.Overlay.OriginalFileObject"] = 0x1234
    location = lab.machine.view("_IO_STACK_LOCATION", second["Tail.Overlay.CurrentStackLocation"])
    location.set({"Parameters.Others.Argument2": 0x77, "DeviceObject": DEVICE})
    found = run(session_on(lab.target), f"irpfind 0 0 {criterion}")
    assert ([irp.address for irp in found.irps], found.left_out) == ([second.address], 2)


def test_the_search_begins_where_it_is_told_to(lab: HeapLab) -> None:
    found = irps(lab)
    result = data(run(session_on(lab.target), f"irpfind 0 {found[1].address:x}"))
    assert [irp["address"] for irp in result["irps"]] == [f"0x{irp.address:x}" for irp in found[1:]]


def test_what_is_not_there_is_said(lab: HeapLab) -> None:
    irps(lab)
    assert "No IRP was found." in run_lines(session_on(lab.target), "irpfind 1")
    assert "None of 3 IRPs fits." in run_lines(session_on(lab.target), "irpfind 0 0 thread 1")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [("4", "pool type 4"), ("0 0 what 1", "'what' is no criterion"), ("0 0 thread", "needs its value")],
)
def test_what_cannot_be_searched_is_refused(lab: HeapLab, arguments: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        run(session_on(lab.target), f"irpfind {arguments}")


def test_without_heaps_headers_are_searched_and_lines_say_so(lab: HeapLab) -> None:
    first = irps(lab)[0]
    lab.target.lose(lab.pool.state.at("PoolNode[0].Heaps[0]"))
    found = run(session_on(lab.target), "irpfind")
    assert found.irps[0].address == first.address
    assert found.irps[0].guessed
