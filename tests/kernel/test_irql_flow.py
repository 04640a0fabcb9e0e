"""The IRQL along the code of forged drivers: every way in which drivers raise and lower it."""

from __future__ import annotations

import pytest
from dumpkit.kernel.framework import framework_function, framework_names
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.forge.assembly import Code
from tests.forge.program import Variable
from tests.kernel.irql_driver import Driver, body, raised_by_macro

AT_START = "as at its start"
#: jz over the next instruction, a call through a slot.
SKIP_CALL = "85c9 7406"


def levels(code: Code, routine: str = "ZwClose", **others: Code) -> list:
    """The levels at the calls of a routine in a function of this code."""
    driver = Driver()
    for name, each in others.items():
        driver.function(name, each.epilogue())
    driver.function("Function", code.epilogue())
    return driver.levels_at("Function", routine)


def test_a_function_that_does_nothing_keeps_the_level_of_its_start():
    assert levels(body().call_through("__imp_ZwClose")) == [AT_START]


@pytest.mark.parametrize("load", ["b102", "b902000000", "6690 b102", "33d2 8d4a02"])
def test_a_raise_takes_its_level_from_cl(load: str):
    code = body().hex(load).call_through("__imp_KfRaiseIrql").call_through("__imp_ZwClose")
    assert levels(code) == ["DISPATCH_LEVEL"]


def test_a_raise_to_an_unknown_level_makes_the_level_unknown():
    code = body().hex("8a0a").call_through("__imp_KfRaiseIrql").call_through("__imp_ZwClose")
    assert levels(code) == ["unknown"]


@pytest.mark.parametrize(
    "name",
    [
        "KeRaiseIrqlToDpcLevel",
        "KeAcquireSpinLockRaiseToDpc",
        "KeAcquireInStackQueuedSpinLock",
        "IoAcquireCancelSpinLock",
    ],
)
def test_spin_locks_raise_to_dispatch_level(name: str):
    assert levels(body().call_through(f"__imp_{name}").call_through("__imp_ZwClose")) == ["DISPATCH_LEVEL"]


def test_a_fast_mutex_raises_to_apc_level_and_its_release_restores():
    code = body().call_through("__imp_ExAcquireFastMutex").call_through("__imp_ZwClose")
    assert levels(code) == ["APC_LEVEL"]
    code = body().call_through("__imp_ExAcquireFastMutex").call_through("__imp_ExReleaseFastMutex")
    assert levels(code.call_through("__imp_ZwClose")) == [AT_START]


def test_a_balanced_raise_and_lower_by_the_saved_level_leaves_nothing():
    code = raised_by_macro().hex("8a4c2420").call_through("__imp_KeLowerIrql").call_through("__imp_ZwClose")
    assert levels(code) == [AT_START]


def test_a_level_kept_in_a_register_is_restored_by_it():
    code = body().call_through("__imp_KeRaiseIrqlToDpcLevel").hex("8ad8").call_through("__imp_KeSetEvent")
    code.hex("8acb").call_through("__imp_KeLowerIrql").call_through("__imp_ZwClose")
    assert levels(code) == [AT_START]


def test_a_spin_lock_region_is_at_dispatch_level_within_and_back_behind_it():
    code = body().call_through("__imp_KeAcquireSpinLockRaiseToDpc").hex("8ad8").call_through("__imp_KeSetEvent")
    code.hex("8ad3").call_through("__imp_KeReleaseSpinLock").call_through("__imp_ZwClose")
    driver = Driver()
    driver.function("Function", code.epilogue())
    assert driver.levels_at("Function", "KeSetEvent") == ["DISPATCH_LEVEL"]
    assert driver.levels_at("Function", "ZwClose") == [AT_START]


def test_a_release_by_a_level_that_is_not_known_is_taken_to_restore():
    code = body().call_through("__imp_KeAcquireSpinLockRaiseToDpc").hex("8a5310 8ad3")
    code.call_through("__imp_KeReleaseSpinLock").call_through("__imp_ZwClose")
    driver = Driver()
    driver.function("Function", code.epilogue())
    flow = driver.flow("Function")
    call = next(each for each in flow.calls.values() if each.routine is not None and each.routine.name == "ZwClose")
    assert [(str(way.level), way.is_assumed) for way in flow.ways(call.address)] == [(AT_START, True)]


def test_a_cancel_spin_lock_stores_the_old_level_where_it_was_told():
    code = body().hex("488d4c2420").call_through("__imp_IoAcquireCancelSpinLock").hex("8a4c2420")
    code.call_through("__imp_IoReleaseCancelSpinLock").call_through("__imp_ZwClose")
    assert levels(code) == [AT_START]


def test_cr8_is_written_and_restored():
    raised = body().hex("440f20c3 b902000000 440f22c1").call_through("__imp_ZwClose")
    assert levels(raised) == ["DISPATCH_LEVEL"]
    restored = body().hex("440f20c3 b902000000 440f22c1 440f22c3").call_through("__imp_ZwClose")
    assert levels(restored) == [AT_START]


def test_a_raise_on_one_path_leaves_both_levels():
    code = body().hex(SKIP_CALL).call_through("__imp_KeRaiseIrqlToDpcLevel").call_through("__imp_ZwClose")
    assert levels(code) == ["DISPATCH_LEVEL", AT_START]


def test_a_path_that_a_known_level_excludes_is_not_taken():
    # if (KeGetCurrentIrql() < DISPATCH_LEVEL) ZwClose(); at DISPATCH_LEVEL
    code = body().call_through("__imp_KeRaiseIrqlToDpcLevel").call_through("__imp_KeGetCurrentIrql")
    code.hex("3c02 7306").call_through("__imp_ZwClose").nop(1)
    driver = Driver()
    driver.function("Function", code.epilogue())
    assert not any(call.routine.name == "ZwClose" for call in driver.flow("Function").calls.values() if call.routine)


def test_a_loop_that_raises_and_lowers_ends():
    code = body().call_through("__imp_KeRaiseIrqlToDpcLevel").hex("8ac8").call_through("__imp_KeLowerIrql")
    code.call_through("__imp_ZwClose").hex("ffcb")
    assert levels(code.hex("75").raw(bytes([(4 - len(code) - 1) & 0xFF]))) == [AT_START]


def test_a_loop_that_only_raises_ends():
    code = body().call_through("__imp_KeRaiseIrqlToDpcLevel").call_through("__imp_ZwClose").hex("ffcb")
    found = levels(code.hex("75").raw(bytes([(4 - len(code) - 1) & 0xFF])))
    assert found == ["DISPATCH_LEVEL"]


def test_a_wrapper_raises_on_its_callers_behalf():
    wrapper = body().call_through("__imp_KeRaiseIrqlToDpcLevel")
    assert levels(body().call("Lock").call_through("__imp_ZwClose"), Lock=wrapper) == ["DISPATCH_LEVEL"]


def test_wrappers_that_take_and_release_a_lock_are_balanced():
    lock = body().call_through("__imp_KeAcquireInStackQueuedSpinLock")
    unlock = body().call_through("__imp_KeReleaseInStackQueuedSpinLock")
    code = body().call("Lock").call_through("__imp_KeSetEvent").call("Unlock").call_through("__imp_ZwClose")
    assert levels(code, Lock=lock, Unlock=unlock) == [AT_START]


def test_a_function_that_returns_at_different_levels_makes_the_level_unknown():
    wrapper = body().hex(SKIP_CALL).call_through("__imp_KeRaiseIrqlToDpcLevel").nop(1)
    assert levels(body().call("Lock").call_through("__imp_ZwClose"), Lock=wrapper) == ["unknown"]


def test_an_import_called_through_a_register_is_recognised():
    driver = Driver()
    code = body()._relative(bytes([0x48, 0x8B, 0x1D]), "__imp_KeRaiseIrqlToDpcLevel")
    driver.function("Function", code.hex("ffd3").call_through("__imp_ZwClose").epilogue())
    assert driver.levels_at("Function", "ZwClose") == ["DISPATCH_LEVEL"]


@pytest.mark.parametrize(
    ("load", "dispatcher"),
    [(b"\x48\x8b\x05", "_guard_dispatch_icall"), (b"\x4c\x8b\x15", "_guard_retpoline_import_r10")],
)
def test_an_import_called_through_a_dispatcher_is_recognised(load: bytes, dispatcher: str):
    driver = Driver()
    driver.function(dispatcher, Code().hex("c3"))
    code = body()._relative(load, "__imp_KeRaiseIrqlToDpcLevel").call(dispatcher).call_through("__imp_ZwClose")
    driver.function("Function", code.epilogue())
    assert driver.levels_at("Function", "ZwClose") == ["DISPATCH_LEVEL"]


def test_a_raise_below_the_level_that_is_there_changes_nothing():
    code = raised_by_macro().call_through("__imp_ExAcquireFastMutex").call_through("__imp_ZwClose")
    assert levels(code) == ["DISPATCH_LEVEL"]


def test_a_function_that_calls_itself_ends():
    driver = Driver()
    driver.function("Function", body().call("Function").call_through("__imp_ZwClose").epilogue())
    assert driver.levels_at("Function", "ZwClose") == [AT_START]


def test_a_jump_out_of_the_function_is_a_call_that_returns_to_its_caller():
    driver = Driver()
    driver.function("Raise", body().call_through("__imp_KeRaiseIrqlToDpcLevel").epilogue())
    driver.function("Tail", Code().hex("4883ec28 4883c428").jump("Raise"))
    assert [str(each.level) for each in driver.flow("Tail").exits] == ["DISPATCH_LEVEL"]


def test_missing_code_is_said_with_its_address():
    driver = Driver()
    driver.function("Function", body().nop_to(0x1000).call_through("__imp_ZwClose").epilogue())
    page = driver.address("Function", 0x1000) & ~0xFFF
    driver.missing = [page]
    assert f"{page:016x}" in driver.flow("Function").problem


def test_a_jump_through_a_register_that_no_table_explains_is_said_not_to_be_followed():
    driver = Driver()
    driver.function("Function", body().hex("ffe1").nop(2).epilogue())
    assert "jump table" in driver.flow("Function").problem


def test_the_cases_of_a_jump_table_are_followed():
    driver = Driver()
    table = driver.image.place(bytes(12), ".rdata", None)
    code = body()._relative(b"\x48\x8d\x15", 0)  # lea rdx,[image]
    code.hex(f"8b8c82{table.to_bytes(4, 'little').hex()} 4803ca ffe1")
    first = len(code)
    code.call_through("__imp_KeRaiseIrqlToDpcLevel").call_through("__imp_ZwClose")
    second = len(code)
    code.call_through("__imp_KeSetEvent")
    driver.function("Function", code.epilogue())
    begin = driver.image.rva_of("Function")
    driver.image.patch(table, b"".join((begin + at).to_bytes(4, "little") for at in (first, second)))
    flow = driver.flow("Function")
    assert flow.problem == ""
    assert driver.levels_at("Function", "ZwClose") == ["DISPATCH_LEVEL"]
    assert driver.levels_at("Function", "KeSetEvent") == ["DISPATCH_LEVEL", AT_START]


def test_the_cases_of_a_table_of_distances_from_itself_are_followed():
    """As clang and rustc make them."""
    driver = Driver()
    table = driver.image.place(bytes(12), ".rdata", None)
    code = body().load_address("rcx", table).hex("48630481 4801c8 ffe0")
    first = len(code)
    code.call_through("__imp_KeRaiseIrqlToDpcLevel").call_through("__imp_ZwClose")
    second = len(code)
    code.call_through("__imp_KeSetEvent")
    driver.function("Function", code.epilogue())
    distance = driver.image.rva_of("Function") - table
    entries = (distance + at for at in (first, second))
    driver.image.patch(table, b"".join(entry.to_bytes(4, "little", signed=True) for entry in entries))
    assert driver.flow("Function").problem == ""
    assert driver.levels_at("Function", "ZwClose") == ["DISPATCH_LEVEL"]
    assert driver.levels_at("Function", "KeSetEvent") == ["DISPATCH_LEVEL", AT_START]


def test_an_import_without_a_name_makes_the_level_unknown():
    driver = Driver()
    within = driver.address("ZwClose", 1)
    driver.image.add_variable(Variable("Slot", data=within.to_bytes(8, "little"), section=".rdata"))
    driver.function("Function", body().call_through("Slot").call_through("__imp_ZwClose").epilogue())
    assert driver.levels_at("Function", "ZwClose") == ["unknown"]
    assert "has no name" in driver.flow("Function").problem


def test_a_pointer_to_a_function_is_believed_to_keep_the_level():
    driver = Driver()
    driver.function("Function", body().hex("ff5010").call_through("__imp_ZwClose").epilogue())
    assert driver.levels_at("Function", "ZwClose") == [AT_START]


@pytest.mark.parametrize("through_register", [True, False])
def test_a_framework_driver_calls_through_the_function_table(through_register: bool):
    driver = Driver()
    driver.image.add_variable(Variable("WdfFunctions_01031", size=8, section=".rdata"))
    driver.function("_guard_dispatch_icall", Code().hex("ffe0"))

    def call(code: Code, index: int) -> Code:
        code._relative(b"\x48\x8b\x05", "WdfFunctions_01031")
        offset = (8 * index).to_bytes(4, "little").hex()
        return (
            code.hex(f"488b80{offset}").call("_guard_dispatch_icall") if through_register else code.hex(f"ff90{offset}")
        )

    code = call(body(), 316).call_through("__imp_KeSetEvent")
    call(code, 229)
    call(code, 317).call_through("__imp_ZwClose")
    driver.function("Function", code.epilogue())
    assert driver.levels_at("Function", "KeSetEvent") == ["DISPATCH_LEVEL"]
    assert driver.levels_at("Function", "WdfRegistryOpenKey") == ["DISPATCH_LEVEL"]
    assert driver.levels_at("Function", "ZwClose") == [AT_START]


def test_the_frameworks_functions_are_in_the_order_of_its_table():
    known = {0: "WdfChildListCreate", 116: "WdfDriverCreate", 263: "WdfRequestComplete", 316: "WdfSpinLockAcquire"}
    assert {index: framework_function(8 * index) for index in known} == known
    assert len(set(framework_names())) == len(framework_names()) == 458
    assert [framework_function(offset) for offset in (-8, 4, 8 * 458)] == [None, None, None]


@given(st.binary(min_size=1, max_size=300))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_followed_to_an_end(data: bytes):
    driver = Driver()
    code = body().call_through("__imp_KeRaiseIrqlToDpcLevel").raw(data)
    driver.function("Function", code.call_through("__imp_ZwClose").epilogue())
    flow = driver.flow("Function")
    assert flow.begin in flow
    assert all(flow.ways(address) for address in flow.calls)
