"""Functions followed forward to their return, on hand-made code."""

from __future__ import annotations

from struct import pack
from typing import Dict, Optional

import pytest
from dumpkit.disassembly.capstone_library import decoder
from dumpkit.kernel.epilogue import Return, ReturnFinder, _has_epilogue

from tests.flat_memory import FlatMemory

CODE, STACK = 0xFFFFF80000001000, 0xFFFFA00000003000
CALLER = 0xFFFFF80000009ABC


def follow(code: str, stack: Dict[int, int], has_called: bool = True, **registers: int) -> Optional[Return]:
    """The return of hexadecimal code; `stack` maps offsets from the stack pointer to qwords."""
    memory = FlatMemory({CODE: bytes.fromhex(code), STACK: bytes(0x400)})
    for offset, value in stack.items():
        memory.put(STACK + offset, pack("<Q", value))
    finder = ReturnFinder(memory, decoder("x64"), lambda value: value >> 32 == CODE >> 32 or value == 0)
    found = finder.find({"rip": CODE, "rsp": STACK, **registers}, has_called)
    follow.refuted = finder.refuted  # type: ignore[attr-defined]
    return found


def test_a_frame_is_given_back_and_its_saved_registers_are_the_callers() -> None:
    # add rsp,28h; pop rbx; pop rdi; ret
    found = follow("4883c428 5b 5f c3", {0x28: 0x111, 0x30: 0x222, 0x38: CALLER}, rsi=5, rbx=9, rcx=7)
    assert found is not None and found.address == CALLER and found.stack_pointer == STACK + 0x40
    assert (found.registers["rbx"], found.registers["rdi"], found.registers["rsi"]) == (0x111, 0x222, 5)
    assert "rcx" not in found.registers


def test_a_register_saved_in_the_home_space_is_read_from_there() -> None:
    # mov rbx,[rsp+40h]; add rsp,30h; ret
    found = follow("488b5c2440 4883c430 c3", {0x30: CALLER, 0x40: 0x77})
    assert found is not None and found.registers["rbx"] == 0x77


def test_a_frame_addressed_through_another_register_is_given_back_through_it() -> None:
    # lea r11,[rsp+50h]; mov rbx,[r11+10h]; mov rsp,r11; pop rdi; ret
    found = follow("4c8d5c2450 498b5b10 498be3 5f c3", {0x50: 0x33, 0x58: CALLER, 0x60: 0x44})
    assert found is not None and found.registers["rdi"] == 0x33 and found.registers["rbx"] == 0x44


def test_a_frame_pointer_gives_the_frame_back_where_it_is_known() -> None:
    # lea rsp,[rbp+10h]; pop rbp; ret
    code = "488d6510 5d c3"
    assert follow(code, {0x20: 0x55, 0x28: CALLER}) is None
    found = follow(code, {0x20: 0x55, 0x28: CALLER}, rbp=STACK + 0x10)
    assert found is not None and found.registers["rbp"] == 0x55


def test_both_ways_of_a_conditional_branch_are_followed() -> None:
    # je +2; jmp far away (not in the dump); add rsp,8; ret
    found = follow("7405 e900100000 4883c408 c3", {8: CALLER})
    assert found is not None and found.stack_pointer == STACK + 0x10


def test_calls_keep_the_stack_and_forget_the_volatile_registers() -> None:
    # call +100h; lea rsp,[rax]; ret: what a callee returns is not known
    assert follow("e800010000 488d20 c3", {0: CALLER}, rax=STACK) is None


def test_a_tail_call_behind_the_epilogue_returns_to_the_caller() -> None:
    # add rsp,20h; jmp to code that is not in the dump
    found = follow("4883c420 e900200000", {0x20: CALLER})
    assert found is not None and found.address == CALLER


def test_a_jump_inside_a_function_is_no_tail_call() -> None:
    # jmp to code that is not in the dump, the frame still standing
    assert follow("e900200000", {0: CALLER}) is None


def test_an_interrupt_returns_through_its_machine_frame() -> None:
    # swapgs; iretq
    stack = {0: CALLER, 8: 0x10, 0x10: 0x40286, 0x18: STACK + 0x100, 0x20: 0x18}
    found = follow("0f01f8 48cf", stack, rcx=3)
    assert found is not None and found.is_machine_frame
    assert found.stack_pointer == STACK + 0x100 and found.registers["rcx"] == 3


@pytest.mark.parametrize("code", ["cc", "0f0b", "cd29", "90", "ebfe"])
def test_code_without_a_return_has_none_and_ends(code: str) -> None:
    assert follow(code, {0: CALLER}) is None
    assert not follow.refuted  # type: ignore[attr-defined]


def test_a_return_to_what_is_no_code_refutes_the_frame() -> None:
    assert follow("4883c408 c3", {8: 0x1234}) is None
    assert follow.refuted  # type: ignore[attr-defined]


def test_the_end_of_a_threads_stack_is_a_return_to_zero() -> None:
    found = follow("4883c408 c3", {8: 0})
    assert found is not None and found.address == 0


def test_what_a_function_wrote_before_is_read_back() -> None:
    # mov [rsp+8],rsi; mov rdi,[rsp+8]; add rsp,18h; ret
    found = follow("4889742408 488b7c2408 4883c418 c3", {8: 1, 0x18: CALLER}, rsi=0x99)
    assert found is not None and found.registers["rdi"] == 0x99


def test_a_function_that_called_does_not_return_without_giving_a_frame_back() -> None:
    assert follow("c3", {0: CALLER}) is None
    assert follow("488b05d1b28e00 c3", {0: CALLER}) is None
    leaf = follow("c3", {0: CALLER}, has_called=False)
    assert leaf is not None and leaf.stack_pointer == STACK + 8


_GIVE_BACK = ("48 83 c4 28", "48 81 c4 28 01 00 00", "5b", "5f", "49 8b e3", "48 8b e5", "c9")
_LEAVE = ("c3", "c2 08 00", "f3 c3", "e9 00 00 00 00", "eb 00", "ff e0", "48 ff e0", "ff 20", "48 ff 25 00 00 00 00")


@pytest.mark.parametrize("leaving", _LEAVE)
@pytest.mark.parametrize("giving_back", _GIVE_BACK)
def test_every_epilogue_is_known_for_one(giving_back: str, leaving: str) -> None:
    assert _has_epilogue(bytes.fromhex(f"90 33 c0 {giving_back} {leaving} cc"))
    assert not _has_epilogue(bytes.fromhex(f"90 33 c0 {giving_back}"))
    assert not _has_epilogue(bytes.fromhex(f"90 33 c0 {leaving}"))


def test_a_return_from_an_interrupt_is_an_epilogue_too() -> None:
    assert _has_epilogue(bytes.fromhex("90 48 cf"))
