"""Verdicts on the stacks of forged drivers, and that real dumps get no false ones."""

from __future__ import annotations

from typing import Mapping, Optional, Sequence

import pytest
from dumpkit.dump import open_dump
from dumpkit.kernel.irql_evidence import StackReader
from dumpkit.kernel.irql_findings import (
    CERTAIN,
    DEPENDS,
    IF_UNCHANGED,
    SOME_PATH,
    TOO_HIGH,
    TOO_LOW,
    UNFOLLOWED,
    IrqlVerdict,
)
from dumpkit.kernel.irql_measured import Measured
from dumpkit.kernel.irql_module import module_terms
from dumpkit.kernel.irql_verdict import irql_verdict, stack_verdict
from dumpkit.kernel.stack import walk_stack
from dumpkit.registers import X64, Context

from tests.forge.assembly import Code
from tests.kernel.irql_driver import DRIVER, KERNEL, Driver, body, raised_by_macro
from tests.shared import DUMPS, SYMBOLS, needs_shared, needs_symbols

THREAD, DPC = "PspSystemThreadStartup", "KiRetireDpcList"


def verdict(
    driver: Driver,
    functions: Sequence[str],
    calls: Mapping[str, str],
    level: Optional[int] = None,
    hide: Sequence[int] = (),
) -> IrqlVerdict:
    """The verdict on a stack; `level` was measured at its innermost frame, images at `hide` are missing."""
    registers = driver.stack(functions, calls)
    driver._target = None
    target = driver.target
    frames = walk_stack(target, Context(X64, registers))
    if hide:
        driver.missing = [base + 0x1000 * page for base in hide for page in range(0x20)]
        driver._target = None
        target = driver.target
    measured = Measured(0, level, "a test") if level is not None else None
    return stack_verdict(StackReader(target), frames, measured)


def test_the_thread_that_raised_and_the_function_that_called_are_told_apart():
    driver = Driver()
    driver.function("Write", body().call_through("__imp_ZwCreateFile").call_through("__imp_ZwClose").epilogue())
    code = raised_by_macro().call("Write").call_through("__imp_ExAcquireFastMutex")
    driver.function("Thread", code.epilogue())
    calls = {"Thread": "Write", "Write": "ZwCreateFile"}
    found = verdict(driver, [THREAD, "Thread", "Write", "ZwCreateFile"], calls, 2)
    cause = found.cause
    assert cause is not None and cause.raised is not None
    assert (cause.module, cause.routine, cause.level) == ("bad", "nt!ZwCreateFile", "DISPATCH_LEVEL")
    assert (cause.needs, cause.kind, cause.certainty) == ("PASSIVE_LEVEL", TOO_HIGH, CERTAIN)
    assert cause.place == "bad!Write+0x4"
    assert (cause.raised.place, cause.raised.routine) == ("bad!Thread+0x6", "nt!KfRaiseIrql")
    assert [each.routine for each in found.ahead] == ["nt!ZwClose", "nt!ExAcquireFastMutex"]


def test_the_same_is_told_without_a_measured_level():
    driver = Driver()
    driver.function("Thread", raised_by_macro().call_through("__imp_ZwCreateFile").epilogue())
    found = verdict(driver, [THREAD, "Thread", "ZwCreateFile"], {"Thread": "ZwCreateFile"})
    assert found.cause is not None and found.cause.certainty == CERTAIN


def test_the_outermost_violation_is_the_cause():
    driver = Driver()
    driver.function("Inner", body().call_through("__imp_ZwClose").epilogue())
    driver.function("Thread", raised_by_macro().call("Inner").call_through("__imp_ZwCreateFile").epilogue())
    driver.function("Again", body().call("Thread").epilogue())
    stack = [THREAD, "Thread", "ZwCreateFile", "Inner", "ZwClose"]
    found = verdict(driver, stack, {"Thread": "ZwCreateFile", "Inner": "ZwClose"}, 2)
    assert found.cause is not None
    assert found.cause.routine == "nt!ZwCreateFile"


def test_a_balanced_driver_breaks_nothing():
    driver = Driver()
    code = raised_by_macro().hex("8a4c2420").call_through("__imp_KeLowerIrql").call_through("__imp_ZwCreateFile")
    driver.function("Thread", code.epilogue())
    found = verdict(driver, [THREAD, "Thread", "ZwCreateFile"], {"Thread": "ZwCreateFile"}, 0)
    assert found.cause is None
    assert found.possible == ()
    assert found.begins is not None and "PspSystemThreadStartup" in found.begins.place


def test_a_raise_on_one_path_is_a_possibility_where_no_level_was_measured():
    driver = Driver()
    code = body().hex("85c9 7406").call_through("__imp_KeRaiseIrqlToDpcLevel").call_through("__imp_ZwCreateFile")
    driver.function("Thread", code.epilogue())
    stack, calls = [THREAD, "Thread", "ZwCreateFile"], {"Thread": "ZwCreateFile"}
    found = verdict(driver, stack, calls)
    assert found.cause is None
    assert [each.certainty for each in found.possible] == [SOME_PATH]


def test_a_dpc_that_calls_what_needs_passive_level_is_found():
    driver = Driver()
    driver.function("Dpc", body().call_through("__imp_ZwCreateFile").epilogue())
    found = verdict(driver, [DPC, "Dpc", "ZwCreateFile"], {"Dpc": "ZwCreateFile"}, 2)
    cause = found.cause
    assert cause is not None and cause.raised is not None
    assert cause.raised.is_root
    assert (cause.raised.routine, cause.raised.level) == ("DPCs", "DISPATCH_LEVEL")


def test_a_wait_at_dispatch_level_depends_on_its_timeout():
    driver = Driver()
    driver.function("Dpc", body().call_through("__imp_KeWaitForSingleObject").epilogue())
    found = verdict(driver, [DPC, "Dpc", "KeWaitForSingleObject"], {"Dpc": "KeWaitForSingleObject"}, 2)
    assert found.cause is None
    assert [(each.routine, each.certainty) for each in found.possible] == [("nt!KeWaitForSingleObject", DEPENDS)]


@pytest.mark.parametrize("store", ["4883642420 00", "48c7442420 00000000", "33c0 4889442420"])
def test_a_wait_without_a_timeout_at_dispatch_level_is_a_violation(store: str):
    driver = Driver()
    driver.function("Dpc", body().hex(store).call_through("__imp_KeWaitForSingleObject").epilogue())
    found = verdict(driver, [DPC, "Dpc", "KeWaitForSingleObject"], {"Dpc": "KeWaitForSingleObject"}, 2)
    assert found.cause is not None
    assert found.cause.needs == "<= APC_LEVEL as its Timeout is NULL"


@pytest.mark.parametrize(
    ("load", "routine", "certainty"),
    [
        ("4533c0", "KeSetEvent", None),
        ("41b001", "KeSetEvent", CERTAIN),
        ("90", "KeSetEvent", DEPENDS),
        ("b901000000", "ExAllocatePoolWithTag", CERTAIN),
        ("b900020000", "ExAllocatePoolWithTag", None),
        ("90", "ExAllocatePoolWithTag", DEPENDS),
    ],
)
def test_an_argument_decides_what_depends_on_it(load: str, routine: str, certainty: Optional[str]):
    driver = Driver()
    driver.function("Dpc", body().hex(load).call_through(f"__imp_{routine}").epilogue())
    found = verdict(driver, [DPC, "Dpc", routine], {"Dpc": routine}, 2)
    findings = [*found.possible, *([found.cause] if found.cause is not None else [])]
    assert [each.certainty for each in findings] == ([certainty] if certainty is not None else [])


def test_a_routine_that_needs_dispatch_level_is_called_too_low():
    driver = Driver()
    driver.function("Thread", body().call_through("__imp_KeReleaseSpinLockFromDpcLevel").epilogue())
    name = "KeReleaseSpinLockFromDpcLevel"
    found = verdict(driver, [THREAD, "Thread", name], {"Thread": name}, 0)
    assert found.cause is not None
    assert (found.cause.kind, found.cause.needs) == (TOO_LOW, "DISPATCH_LEVEL")


def test_allowed_calls_are_ok():
    driver = Driver()
    code = body().call_through("__imp_KeAcquireSpinLockRaiseToDpc").call_through("__imp_KeSetEvent")
    driver.function("Thread", code.epilogue())
    found = verdict(driver, [THREAD, "Thread", "KeSetEvent"], {"Thread": "KeSetEvent"}, 2)
    assert found.cause is None


def test_without_the_drivers_image_the_measured_level_tells_the_cause_and_not_who_raised_it():
    driver = Driver()
    driver.function("Thread", raised_by_macro().call_through("__imp_ZwCreateFile").epilogue())
    stack, calls = [THREAD, "Thread", "ZwCreateFile"], {"Thread": "ZwCreateFile"}
    found = verdict(driver, stack, calls, 2, hide=[DRIVER])
    assert found.cause is not None
    assert (found.cause.routine, found.cause.raised) == ("nt!ZwCreateFile", None)


def test_without_any_image_what_is_missing_is_said():
    driver = Driver()
    driver.function("Thread", raised_by_macro().call_through("__imp_ZwCreateFile").epilogue())
    stack, calls = [THREAD, "Thread", "ZwCreateFile"], {"Thread": "ZwCreateFile"}
    found = verdict(driver, stack, calls, 2, hide=[DRIVER, KERNEL])
    assert found.cause is None
    assert found.unknown is not None and "the code of bad:" in found.unknown


def test_the_kernels_own_calls_are_no_violations():
    driver = Driver()
    driver.function("Dpc", body().call_through("__imp_KeSetEvent").epilogue())
    found = verdict(driver, [DPC, "Dpc", "KeSetEvent", "ZwCreateFile", "KeBugCheckEx"], {"Dpc": "KeSetEvent"}, 2)
    assert found.cause is None


def test_a_registered_dpc_routine_is_checked_at_dispatch_level():
    driver = Driver()
    driver.function("Helper", body().call_through("__imp_ZwClose").epilogue())
    driver.function("Dpc", body().call("Helper").call_through("__imp_ExAcquireFastMutex").epilogue())
    driver.function("Entry", body().load_address("rdx", "Dpc").call_through("__imp_KeInitializeDpc").epilogue())
    module = driver.target.module_named("bad")
    assert module is not None
    found = {call.routine: call for call in module_terms(driver.target, module).calls}
    mutex, close = found["nt!ExAcquireFastMutex"], found["nt!ZwClose"]
    assert (mutex.verdict, mutex.because) == ("too high", "DPC routine of bad!Entry+0xb")
    assert (close.verdict, close.because) == ("too high", "called by bad!Dpc+0x4")


@needs_shared
@needs_symbols
@pytest.mark.slow
@pytest.mark.parametrize("name", ["amdppm", "Wdf01000"])
def test_drivers_that_windows_ships_break_no_contract_for_certain(name: str):
    path = f"{SYMBOLS / 'store'};{SYMBOLS / 'isf'}"
    target = open_dump(str(DUMPS / "triage_x64.dmp"), symbol_path=path, offline=True)
    module = target.module_called(name)
    assert module is not None
    found = module_terms(target, module)
    assert len(found.calls) > 300
    broken = [call for call in found.calls if (call.verdict or "").startswith("too")]
    assert [call for call in broken if not (call.verdict or "").endswith("path")] == []
    assert len(broken) < len(found.calls) / 100


@needs_shared
@pytest.mark.parametrize("name", sorted(path.stem for path in DUMPS.glob("*.dmp")))
def test_no_real_dump_has_a_false_verdict(name: str):
    target = open_dump(str(DUMPS / f"{name}.dmp"), symbol_path="", offline=True)
    found = irql_verdict(target)
    if found is not None:
        assert found.cause is None
        assert found.unknown is not None or found.begins is not None
    if target.bugcheck is not None and target.bugcheck.code == 0xD1:
        assert found is not None and found.measured == "DISPATCH_LEVEL (Arg2 of bugcheck D1)"


@needs_shared
@needs_symbols
@pytest.mark.parametrize("name", ["triage_x64", "100623-6156-01"])
def test_a_stack_at_passive_level_has_levels_and_no_violation(name: str):
    path = f"{SYMBOLS / 'store'};{SYMBOLS / 'isf'}"
    target = open_dump(str(DUMPS / f"{name}.dmp"), symbol_path=path, offline=True)
    assert irql_verdict(target) is None
    frames = walk_stack(target, target.context(target.current_processor))
    found = stack_verdict(StackReader(target), frames, Measured(0, 0, "cr8"))
    assert found.cause is None and found.possible == ()
    assert [frame.highest for frame in found.frames[:-1]] == [0] * (len(frames) - 1)


def test_a_measured_level_is_sure_no_further_out_than_every_call_was_followed():
    driver = Driver()
    driver.kernel.function("Opaque", body().hex("ffd0").call("KiReturn").epilogue())
    driver.function("Thread", raised_by_macro().call_through("__imp_ZwCreateFile").epilogue())
    registers = driver.stack([THREAD, "Thread", "ZwCreateFile", "Opaque"], {"Thread": "ZwCreateFile"})
    registers["rip"] = driver.address("Opaque", 4 + 2 + 5)
    driver.missing = [DRIVER + 0x1000 * page for page in range(0x20)]
    driver._target = None
    frames = walk_stack(driver.target, Context(X64, registers))
    found = stack_verdict(StackReader(driver.target), frames, Measured(0, 2, "a test"))
    assert found.cause is None
    assert [(each.routine, each.certainty) for each in found.possible] == [("nt!ZwCreateFile", IF_UNCHANGED)]
    assert [frame.known_by for frame in found.frames[:3]] == ["measured", "believed", "believed"]


def test_a_measured_level_that_no_code_explains_is_believed_before_the_code():
    """The driver calls a pointer that leads nowhere known, then what needs PASSIVE_LEVEL."""
    driver = Driver()
    driver.function("Thread", body().hex("ffd0").call_through("__imp_ZwCreateFile").epilogue())
    stack, calls = [THREAD, "Thread", "ZwCreateFile"], {"Thread": "ZwCreateFile"}
    found = verdict(driver, stack, calls, 2)
    assert found.cause is not None and found.cause.raised is not None
    assert (found.cause.level, found.cause.certainty) == ("DISPATCH_LEVEL", CERTAIN)
    assert (found.cause.raised.place, found.cause.raised.routine) == ("bad!Thread+0x4", UNFOLLOWED)


def test_a_measured_level_tells_which_path_was_taken():
    driver = Driver()
    code = body().hex("85c9 7406").call_through("__imp_KeRaiseIrqlToDpcLevel").call_through("__imp_ZwCreateFile")
    driver.function("Thread", code.epilogue())
    stack, calls = [THREAD, "Thread", "ZwCreateFile"], {"Thread": "ZwCreateFile"}
    found = verdict(driver, stack, calls, 2)
    assert found.cause is not None and found.cause.raised is not None
    assert found.cause.raised.routine == "nt!KeRaiseIrqlToDpcLevel"


def test_who_raised_is_named_where_no_contract_was_broken():
    driver = Driver()
    driver.function("Inner", body().call_through("__imp_KeGetCurrentIrql").epilogue())
    driver.function("Thread", raised_by_macro().call("Inner").nop(4).epilogue())
    found = verdict(
        driver, [THREAD, "Thread", "Inner", "KeGetCurrentIrql"], {"Thread": "Inner", "Inner": "KeGetCurrentIrql"}, 2
    )
    assert found.cause is None and found.raised is not None
    assert found.raised.place == "bad!Thread+0x6"


@pytest.mark.parametrize(
    ("timeout", "certainty"), [("48c744243000000000", None), ("48c7442430f0d8ffff", CERTAIN), ("", DEPENDS)]
)
def test_the_time_that_a_wait_may_take_is_read_from_the_callers_variable(timeout: str, certainty: Optional[str]):
    driver = Driver()
    code = body().hex(timeout).hex("488d442430 4889442420").call_through("__imp_KeWaitForSingleObject")
    driver.function("Dpc", code.epilogue())
    found = verdict(driver, [DPC, "Dpc", "KeWaitForSingleObject"], {"Dpc": "KeWaitForSingleObject"}, 2)
    findings = [*found.possible, *([found.cause] if found.cause is not None else [])]
    assert [each.certainty for each in findings] == ([certainty] if certainty is not None else [])
    if certainty == DEPENDS:
        assert findings[0].needs == "<= DISPATCH_LEVEL, and <= APC_LEVEL unless its Timeout is 0"


def test_a_pointer_to_a_raise_is_followed_through_a_stack_slot():
    driver = Driver()
    code = body().load_from("rax", "__imp_KeRaiseIrqlToDpcLevel").store("rax", "rsp", 0x20).hex("ff542420")
    driver.function("Thread", code.call_through("__imp_ZwCreateFile").epilogue())
    found = verdict(driver, [THREAD, "Thread", "ZwCreateFile"], {"Thread": "ZwCreateFile"})
    assert found.cause is not None and found.cause.raised is not None
    assert found.cause.raised.routine == "nt!KeRaiseIrqlToDpcLevel"


@pytest.mark.parametrize(
    ("between", "certainty"),
    # Nothing; the register has another address by then; the stack pointer has moved by then.
    [("", CERTAIN), ("488b03", DEPENDS), ("50", DEPENDS)],
)
def test_a_variable_that_is_set_through_its_address_is_known(between: str, certainty: str):
    driver = Driver()
    # lea rax,[rsp+30h]; …; mov qword ptr [rax],-10000; mov [rsp+20h],rax
    code = body().hex("488d442430").hex(between).hex("48c700f0d8ffff 4889442420")
    driver.function("Dpc", code.call_through("__imp_KeWaitForSingleObject").epilogue())
    found = verdict(driver, [DPC, "Dpc", "KeWaitForSingleObject"], {"Dpc": "KeWaitForSingleObject"}, 2)
    findings = [*found.possible, *([found.cause] if found.cause is not None else [])]
    assert [each.certainty for each in findings] == [certainty]


def test_a_function_that_raises_by_its_argument_is_named_and_not_where_the_stack_begins():
    driver = Driver()
    # mov cr8,rcx; ret
    driver.function("SetLevel", Code().hex("440f22c1").ret())
    code = body().hex("b902000000").call("SetLevel").call_through("__imp_ZwCreateFile")
    driver.function("Thread", code.epilogue())
    found = verdict(driver, [THREAD, "Thread", "ZwCreateFile"], {"Thread": "ZwCreateFile"}, 2)
    assert found.cause is not None and found.cause.raised is not None
    assert (found.cause.raised.place, found.cause.raised.routine) == ("bad!Thread+0x9", "bad!SetLevel")
