"""What is known along one way through a function: what merging, writing and calling leave of it."""

from __future__ import annotations

import pytest
from dumpkit.kernel.irql_level import UNKNOWN, Change, exactly
from dumpkit.kernel.irql_state import Place, State

APC, DISPATCH = exactly(1), exactly(2)


def state(**registers: object) -> State:
    made = State()
    made.registers.update(registers)  # type: ignore[arg-type]
    return made


def test_merging_keeps_what_both_ways_know_alike() -> None:
    one, other = state(rbx=APC, rsi=DISPATCH, rdi=APC), state(rbx=APC, rsi=APC)
    one.cells = {"rsp + 0x20": APC, "rsp + 0x28": APC}
    other.cells = {"rsp + 0x20": APC, "rsp + 0x28": DISPATCH}
    assert one.merge(other)
    assert one.registers == {"rbx": APC}
    assert one.cells == {"rsp + 0x20": APC}


def test_merging_what_knows_more_loses_nothing() -> None:
    one, other = state(rbx=APC), state(rbx=APC, rsi=APC)
    assert not one.merge(other)
    assert one.registers == {"rbx": APC}


def test_merging_another_comparison_forgets_it() -> None:
    one, other = State(), State()
    one.compared, other.compared = (APC, 1), (APC, 2)
    assert one.merge(other) and one.compared is None


def test_an_assumption_of_one_way_is_one_of_both() -> None:
    one, other = State(), State()
    other.is_assumed = True
    assert one.merge(other) and one.is_assumed
    assert not one.merge(other)


def test_a_copy_goes_its_own_way() -> None:
    one = state(rbx=APC)
    other = one.copy()
    other.set("rbx", None)
    other.keep("rsp + 0x20", APC)
    assert one.registers == {"rbx": APC} and one.cells == {}


def test_a_call_keeps_what_a_callee_must_keep() -> None:
    one = state(rax=APC, rcx=APC, rdx=APC, r8=APC, r9=APC, r10=APC, r11=APC, rbx=APC, r12=APC)
    one.compared = (APC, 1)
    one.return_from_call()
    assert sorted(one.registers) == ["r12", "rbx"] and one.compared is None


def test_a_call_may_change_the_variable_whose_address_it_was_given() -> None:
    one = state(rdx=Place("rsp + 0x20"), rsi=Place("rsp + 0x28"))
    one.cells = {"rsp + 0x20": APC, "rsp + 0x28": DISPATCH}
    one.return_from_call()
    assert one.cells == {"rsp + 0x28": DISPATCH}


def test_cells_by_a_register_are_others_once_it_changes() -> None:
    one = State()
    one.cells = {"rbx + 0x10": APC, "rsi + 0x10": DISPATCH}
    one.set("rbx", None)
    assert one.cells == {"rsi + 0x10": DISPATCH}


def test_variables_are_others_once_the_stack_pointer_moves() -> None:
    one = state(rcx=Place("rsp + 0x20"), rdx=Place("rbx + 8"))
    one.cells = {"rsp + 0x20": APC}
    one.set("rsp", None)
    assert one.cells == {} and one.registers == {"rdx": Place("rbx + 8")}


@pytest.mark.parametrize("cell", ["rax + 8", "rcx"])
def test_cells_by_registers_that_always_change_are_not_kept(cell: str) -> None:
    one = State()
    one.keep(cell, APC)
    assert one.cells == {}


def test_a_number_is_read_behind_the_address_of_a_variable_only() -> None:
    one = state(rdx=Place("rsp + 0x20"), rcx=Place("rbx + 8"))
    one.cells = {"rsp + 0x20": DISPATCH, "rbx + 8": DISPATCH}
    assert (one.number_behind("rdx"), one.number_behind("rcx"), one.number_behind("r8")) == (2, None, None)


def test_only_an_irql_is_a_level() -> None:
    one = state(rax=exactly(15), rbx=exactly(16), rcx=UNKNOWN)
    assert one.level_in("rax") == exactly(15)
    assert one.level_in("rbx") is None


def test_ways_differ_by_their_level_and_by_what_it_is_from() -> None:
    one, other = State(APC), State(APC)
    assert one.key == other.key
    other.by = Change(0x1000, "KfRaiseIrql")
    assert one.key != other.key
