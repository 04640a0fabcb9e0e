"""`irqlcheck` on the walkthrough's crash, and on what it cannot check."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.commands.irqlcheck import verdict_lines
from dumpkit.dump import open_dump
from dumpkit.errors import CommandError
from dumpkit.kernel.irql_verdict import irql_verdict
from dumpkit.output import plain
from dumpkit.session import Session

from tests.running import run, run_lines, session_of, session_on
from tests.shared import needs_shared

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fast-mutex-irql"
VERDICT = """\
IRQL: TestDriver called nt!ZwCreateFile at DISPATCH_LEVEL, which needs PASSIVE_LEVEL
  raised by:  TestDriver!FileCreationThread+0x3a calls nt!KzRaiseIrql: DISPATCH_LEVEL
  cause:      TestDriver!LogCurrentIrql+0x8c calls nt!ZwCreateFile at DISPATCH_LEVEL; needs PASSIVE_LEVEL
  next:       TestDriver!LogCurrentIrql+0x12a calls nt!ZwWriteFile at DISPATCH_LEVEL; needs PASSIVE_LEVEL
  next:       TestDriver!FileCreationThread+0x6a calls nt!ExAcquireFastMutex at DISPATCH_LEVEL; needs <= APC_LEVEL
              and 2 more: irqlcheck TestDriver
  bystanders: FLTMGR, fileinfo, Ntfs ran at the level that they were called at"""


@pytest.fixture
def session() -> Session:
    return session_on(open_dump(str(EXAMPLE / "MEMORY.DMP"), symbol_path=str(EXAMPLE / "symbols"), offline=True))


def test_the_walkthroughs_crash_ends_in_its_authors_conclusion(session: Session):
    verdict = irql_verdict(session.dump)
    assert verdict is not None
    assert "\n".join(map(plain, verdict_lines(verdict))) == VERDICT


def test_the_stack_has_a_line_for_each_frame_and_the_verdict_below(session: Session):
    lines = run_lines(session, "irqlcheck")
    assert "\n".join(lines[-7:]) == VERDICT
    frames = [line for line in lines if line[:2].strip() and line[2:6] == " fff"]
    assert len(frames) == 36
    row = next(line for line in frames if "TestDriver!LogCurrentIrql" in line)
    assert (
        row.split()[2:]
        == "DISPATCH_LEVEL code TestDriver!LogCurrentIrql+0x92 nt!ZwCreateFile PASSIVE_LEVEL too high".split()
    )


def test_the_data_has_the_evidence(session: Session):
    stack = run(session, "irqlcheck").stack
    assert stack.measured == "DISPATCH_LEVEL (Arg2 of bugcheck D1)"
    assert stack.cause.raised.address == 0xFFFFF80225DA112A
    assert stack.cause.address == 0xFFFFF80225DA14AC
    assert stack.cause.source == "Microsoft's DDI reference"
    assert stack.bystanders == ("FLTMGR", "fileinfo", "Ntfs")


def test_a_thread_by_its_address_is_the_stack_that_it_ran_on(session: Session):
    lines = run_lines(session, "irqlcheck ffffb507729e3040")
    assert lines[0] == "IRQL contracts of thread ffffb507729e3040"
    assert "\n".join(lines[-7:]) == VERDICT


def test_a_driver_is_checked_call_by_call(session: Session):
    result = run(session, "irqlcheck testdriver").module
    broken = {call.place: (call.routine, call.verdict) for call in result.calls if call.verdict not in (None, "ok")}
    assert broken["TestDriver!FileCreationThread+0x6a"] == ("nt!ExAcquireFastMutex", "too high")
    assert broken["TestDriver!FileMoveThread+0x11a"] == ("nt!ZwSetInformationFile", "too high")
    assert broken["TestDriver!LogCurrentIrql+0x8c"] == ("nt!ZwCreateFile", "too high")
    mutex = next(each for each in result.imports if each.routine == "nt!ExAcquireFastMutex")
    assert (mutex.needs, mutex.calls) == ("<= APC_LEVEL", 2)


def test_only_broken_calls_are_listed_on_demand(session: Session):
    lines = run_lines(session, "irqlcheck -b TestDriver")
    assert not any("nt!IoCreateDevice" in line for line in lines)
    assert any("nt!ExAcquireFastMutex" in line and "too high" in line for line in lines)
    assert lines[-1] == "10 functions followed, 13 calls of routines with a contract: 6 broken, 0 on some path"


def test_an_address_in_a_driver_stands_for_it(session: Session):
    assert run_lines(session, "irqlcheck TestDriver!LogCurrentIrql+4")[0] == "IRQL contracts of module TestDriver"


@pytest.mark.parametrize("what", ["ffffb507729e3048", "0", "ffffed0ee77dcd48"])
def test_what_is_neither_a_module_nor_a_thread_is_refused_in_one_line(session: Session, what: str):
    with pytest.raises(CommandError, match="neither a module nor a thread"):
        run(session, f"irqlcheck {what}")


def test_idle_threads_break_nothing(session: Session):
    for processor in (0, 1, 2, 3, 5):
        thread = session.dump.thread_address(processor)
        stack = run(session, f"irqlcheck {thread:x}").stack
        assert stack.cause is None and stack.possible == ()


@needs_shared
def test_a_dump_without_images_says_which_is_missing():
    lines = run_lines(session_of("rts_d1"), "irqlcheck")
    assert lines[-2].startswith("IRQL: DISPATCH_LEVEL (Arg2 of bugcheck D1)")
    assert lines[-1] == "  not known:  the code of ksthunk, ks: neither the dump nor the symbol path has it"


@needs_shared
def test_arm64_has_the_stack_alone():
    session = session_of("triage_arm64")
    assert run_lines(session, "irqlcheck")[-1].startswith("IRQL: not in the dump")
    result = run(session, "irqlcheck nt").module
    assert "the code of this architecture is not followed" in result.problems
