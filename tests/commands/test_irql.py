"""`irql` on the walkthrough's dump, forged machines and real dumps."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, Tuple

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import CommandError
from dumpkit.kernel.irql import bugcheck_irql, irql_name
from dumpkit.registers import ARM64, X64
from dumpkit.session import Session
from dumpkit.target import Bugcheck

from tests.forge.kernel_variables import add_debugger_data, set_bugcheck
from tests.forge.machine import Machine
from tests.forge.processor import context_record
from tests.forge.scene import Scene
from tests.forge.stack import KernelStack
from tests.forged_session import drop_page, session_for
from tests.made_target import MadeTarget
from tests.running import run, run_lines, session_of, session_on
from tests.shared import needs_shared

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fast-mutex-irql" / "MEMORY.DMP"
#: Where the KPCR of the crashed processor lies.
_PCR = 0xFFFFC78154A80000


@pytest.fixture
def walkthrough() -> Iterator[Session]:
    session = session_on(open_dump(str(EXAMPLE)))
    yield session


def two_processors() -> Tuple[Scene, Machine]:
    scene = Scene(19041, {"nt": ("ntoskrnl.exe", 0xFFFFF80370000000)})
    machine = scene.open()
    machine.crash_processor = 1
    stack = KernelStack(machine, 0xFFFFF58A12340000)
    registers = scene.bugcheck(stack, ["nt!KiStartSystemThread", "nt!PspSystemThreadStartup"])
    set_bugcheck(machine, 0xD1, 0xFFFF80091002AC08, 2, 1, 0)
    scene.idle_processor(0, 0xFFFFF8036EA00000, 0xFFFFF58A11000000)
    scene.processor(1, _PCR, registers, KernelStack(machine, 0xFFFFF58A11010000, mapped=0x1000), irql=12)
    add_debugger_data(machine)
    machine.header.update(processors=2, context=context_record(registers))
    return scene, machine


def test_the_text_for_one_processor_is_windbgs(walkthrough: Session) -> None:
    assert run_lines(walkthrough, "!irql 4") == ["Debugger saved IRQL for processor 0x4 -- 2 (DISPATCH_LEVEL)"]
    assert run_lines(walkthrough, "irql 0") == ["Debugger saved IRQL for processor 0x0 -- 0 (LOW_LEVEL)"]


def test_without_an_argument_every_processor_has_its_line(walkthrough: Session) -> None:
    lines = run_lines(walkthrough, "irql")
    assert len(lines) == 6
    assert lines[4] == "Debugger saved IRQL for processor 0x4 -- 2 (DISPATCH_LEVEL)"


def test_a_processor_that_the_machine_lacks_has_no_prcb(walkthrough: Session) -> None:
    for number in ("6", "40", "ffffffff`ffffffff"):
        with pytest.raises(CommandError, match="Cannot get PRCB address"):
            run(walkthrough, f"irql {number}")


def test_verbose_says_what_the_level_is_for(tmp_path: Path) -> None:
    scene, machine = two_processors()
    session = session_for(machine, scene.symbols(), tmp_path)
    assert run_lines(session, "irql -v 1") == [
        "Debugger saved IRQL for processor 0x1 -- 12 (SYNCH_LEVEL) [Synchronization level]"
    ]


def test_a_missing_prcb_page_is_named_and_the_bugcheck_still_tells(tmp_path: Path) -> None:
    scene, machine = two_processors()
    prcb = machine.layouts.offset("_KPCR", "Prcb")
    drop_page(machine, _PCR + prcb + machine.layouts.offset("_KPRCB", "DebuggerSavedIRQL"))
    session = session_for(machine, scene.symbols(), tmp_path)
    assert run_lines(session, "irql 0") == ["Debugger saved IRQL for processor 0x0 -- 0 (LOW_LEVEL)"]
    missing, told, *_ = run_lines(session, "irql 1")
    assert missing.startswith("Debugger saved IRQL for processor 0x1 -- not available: Memory read error")
    assert "not in the dump" in missing
    assert told == "Processor 0x1: 2 (DISPATCH_LEVEL) by Arg2 of bugcheck D1"
    assert run(session, "irql 1").processors[0].irql is None


def test_without_symbols_it_says_so_once_and_what_else_is_known(tmp_path: Path) -> None:
    _, machine = two_processors()
    lines = run_lines(session_for(machine, [], tmp_path), "irql")
    assert lines[0].startswith("Saved IRQL not available: _KPRCB is not known: nt has ")
    assert "Processor 0x1: 2 (DISPATCH_LEVEL) by Arg2 of bugcheck D1" in lines
    assert "Processor 0x1: 12 (SYNCH_LEVEL) by cr8 as saved when the processor was stopped" in lines


def test_a_target_that_tells_no_prcbs_says_so() -> None:
    lines = run_lines(session_on(MadeTarget()), "irql 4")
    assert lines[0] == (
        "Debugger saved IRQL for processor 0x4 -- not available:"
        " This target does not tell where the PRCB of processor 4 is"
    )
    assert lines[1] == "Processor 0x4: 2 (DISPATCH_LEVEL) by Arg2 of bugcheck D1"


@pytest.mark.parametrize(
    ("level", "x64", "arm64"),
    [
        (0, "LOW_LEVEL", "LOW_LEVEL"),
        (1, "APC_LEVEL", "APC_LEVEL"),
        (2, "DISPATCH_LEVEL", "DISPATCH_LEVEL"),
        (5, "CMCI_LEVEL", "DIRQL"),
        (9, "DIRQL", "DIRQL"),
        (12, "SYNCH_LEVEL", "SYNCH_LEVEL"),
        (13, "CLOCK_LEVEL", "CLOCK_LEVEL"),
        (14, "IPI_LEVEL", "IPI_LEVEL"),
        (15, "HIGH_LEVEL", "HIGH_LEVEL"),
        (16, "INVALID", "INVALID"),
        (0xFF, "INVALID", "INVALID"),
    ],
)
def test_levels_have_their_names(level: int, x64: str, arm64: str) -> None:
    assert irql_name(level, X64).name == x64
    assert irql_name(level, ARM64).name == arm64


def test_only_bugchecks_that_have_an_irql_among_their_parameters_tell_one() -> None:
    assert bugcheck_irql(Bugcheck(0x1000000A, (0, 0xFF, 0, 0))) == (0xFF, "Arg2 of bugcheck A")
    assert bugcheck_irql(Bugcheck(0x50, (0, 2, 0, 0))) is None
    assert bugcheck_irql(None) is None


@needs_shared
def test_a_real_dump_without_symbols_still_tells_the_level_of_its_bugcheck() -> None:
    lines = run_lines(session_of("rts_d1"), "irql")
    assert "Processor 0x9: 2 (DISPATCH_LEVEL) by Arg2 of bugcheck D1" in lines
    assert "Processor 0x9: 2 (DISPATCH_LEVEL) by cr8 as saved when the processor was stopped" in lines
    assert not any("HIGH_LEVEL" in line for line in lines)
