"""Crashes by Driver Verifier: an IRQL rule is broken, and its own routines stand between driver and kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crashes.crash_world import SYSTEM_THREAD, CrashWorld, analysed, shown
from tests.forge.assembly import Code
from tests.forge.image_tables import Import, ImportedModule
from tests.forge.scene import Place
from tests.forge.unwind import Alloc

RULE = "ExAcquireFastMutex should only be called at IRQL <= APC_LEVEL."


def fast_mutex_under_a_lock(rule: int, *parameters: int, text: str = "") -> CrashWorld:
    """bad!Worker raises to DISPATCH_LEVEL and acquires a fast mutex; both calls go to the verifier's routines."""
    world = CrashWorld(19041)
    routines = ("VerifierKeRaiseIrqlToDpcLevel", "VerifierExAcquireFastMutex", "VerifierBugCheckIfAppropriate")
    for name in routines:
        world.function(f"nt!{name}")
    bad = world.scene.images["bad"]
    bound = [Import(name[len("Verifier") :], world.address(f"nt!{name}")) for name in routines[:2]]
    bad.add_imports([ImportedModule("ntoskrnl.exe", bound)], rva=0x20800, iat_rva=0x20400)
    code = Code().prologue(Alloc(0x48)).call_through_returning_at(0x20, "__imp_KeRaiseIrqlToDpcLevel")
    bad.function("Worker", code.call_through_returning_at(0x40, "__imp_ExAcquireFastMutex").epilogue())
    world.scene.places["bad!Worker"] = Place(bad.base + bad.rva_of("Worker"), 0x48, 0x40)
    machine = world.open()
    # The section that import tables lie in is discarded once a driver has started.
    machine.put(bad.base + 0x20800, bytes(0x100))
    if text:
        place = machine.allocate(0x80)
        machine.put(place, text.encode() + b"\0")
        parameters = (place, *parameters[1:])
    world.enter([*SYSTEM_THREAD, "bad!Worker", *(f"nt!{name}" for name in routines[1:])])
    world.die(0xC4, rule, *parameters)
    return world


def test_the_verifiers_routine_has_the_contract_of_the_one_that_it_stands_in_for(tmp_path: Path) -> None:
    lines = shown(fast_mutex_under_a_lock(0x33, 2, 0x1000, 0), tmp_path, "analyze")
    at = lines.index("IRQL: bad called nt!VerifierExAcquireFastMutex at DISPATCH_LEVEL, which needs <= APC_LEVEL")
    assert lines[at + 1] == "  raised by:  bad!Worker+0x1a calls nt!VerifierKeRaiseIrqlToDpcLevel: DISPATCH_LEVEL"
    assert "FAILURE_BUCKET_ID:  0xc4_33_bad!Worker" in lines
    assert "Arg1: 0000000000000033, A fast mutex is acquired above APC_LEVEL" in lines


def test_the_level_that_the_verifier_gives_is_the_measured_one(tmp_path: Path) -> None:
    lines = shown(fast_mutex_under_a_lock(0x33, 2, 0x1000, 0), tmp_path, "irqlcheck")
    assert any(" DISPATCH_LEVEL measured nt!KeBugCheckEx" in line for line in lines)


def test_the_rule_that_was_broken_is_shown_as_the_verifier_words_it(tmp_path: Path) -> None:
    lines = shown(fast_mutex_under_a_lock(0x20005, 0, 0, 0, text=RULE), tmp_path, "analyze")
    assert f"Message: {RULE}" in lines
    assert "Arg1: 0000000000020005, A rule of DDI compliance checking is broken" in lines


@pytest.mark.parametrize("text", ["", "\1\2\3"])
def test_a_message_that_is_none_is_said_to_be_missing(text: str, tmp_path: Path) -> None:
    found = analysed(fast_mutex_under_a_lock(0x20005, 0x10, 0, 0, text=text), tmp_path)
    assert found.message is None
    assert "argument 2" in found.unknown["message"]
