"""Trap frames, contexts and exception records found on a stack by their form."""

from __future__ import annotations

from struct import pack_into
from typing import Dict, List

import pytest
from dumpkit.kernel.analysis.stack_search import StackWords
from dumpkit.registers import ARM64, X64, Architecture

from tests.flat_memory import FlatMemory
from tests.made_target import NT, MadeTarget

STACK, SIZE = 0xFFFFE00012340000, 0x2000
HERE = NT.base + 0x1234
AT = 0x800


def target(architecture: Architecture, words: Dict[int, int]) -> MadeTarget:
    """A target whose stack holds 64-bit words at offsets."""
    made = MadeTarget()
    made.architecture = architecture
    stack = bytearray(SIZE)
    for offset, word in words.items():
        pack_into("<Q", stack, offset, word)
    made.memory = FlatMemory({STACK: bytes(stack)})
    return made


def x64_trap(
    at: int, rip: int = HERE, cs: int = 0x10, ss: int = 0x18, rsp: int = STACK + SIZE - 0x10
) -> Dict[int, int]:
    return {at + 0x168: rip, at + 0x170: cs, at + 0x178: 0x10246, at + 0x180: rsp, at + 0x188: ss}


def found(made: MadeTarget, what: str, *arguments: int) -> List[int]:
    words = StackWords(made, STACK)
    return [address - STACK for address in getattr(words, what)(*arguments)]


def test_a_trap_frame_is_told_by_its_selectors_and_its_instruction() -> None:
    made = target(X64, {**x64_trap(AT), **x64_trap(0x1000, rip=HERE + 8), **x64_trap(0x1800, cs=0x23)})
    assert found(made, "trap_frames", HERE) == [AT]
    assert found(made, "trap_frames") == [AT, 0x1000]


def test_a_trap_frame_whose_stack_lies_below_it_is_none() -> None:
    assert found(target(X64, x64_trap(AT, rsp=STACK)), "trap_frames", HERE) == []


def test_a_trap_outside_every_module_is_found_by_its_instruction_only() -> None:
    made = target(X64, x64_trap(AT, rip=0xFFFFC00000000010))
    assert found(made, "trap_frames", 0xFFFFC00000000010) == [AT]
    assert found(made, "trap_frames") == []


def test_trap_frames_of_arm64_are_found_by_their_instruction() -> None:
    made = target(ARM64, {AT + 0x148: HERE, AT + 0x98: STACK + SIZE - 0x10})
    assert found(made, "trap_frames", HERE) == [AT]
    assert found(made, "trap_frames") == []


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        (X64, {AT + 0xF8: HERE, AT + 0x30: 0x10001F, AT + 0x38: 0x10}),
        (ARM64, {AT + 0x108: HERE, AT: 0x40000F}),
    ],
)
def test_a_context_is_told_by_its_flags(architecture: Architecture, words: Dict[int, int]) -> None:
    assert found(target(architecture, words), "contexts", HERE) == [AT]
    assert found(target(architecture, {AT + 0xF8: HERE, AT + 0x108: HERE}), "contexts", HERE) == []


def test_a_record_is_told_by_code_and_address() -> None:
    made = target(X64, {AT: 0xC0000005, AT + 0x10: HERE, 0x1000: 0xC000001D, 0x1010: HERE})
    assert found(made, "records", 0xC0000005, HERE) == [AT]
    # The code is sign-extended among a bugcheck's arguments.
    assert found(made, "records", 0xFFFFFFFFC0000005, HERE) == [AT]


def test_exception_pointers_lead_to_record_and_context_on_the_stack() -> None:
    record, context = STACK + AT, STACK + 0x1000
    made = target(X64, {0x40: record, 0x48: context, AT: 0xC0000005, AT + 0x10: HERE})
    assert StackWords(made, STACK).exception_pointers(0xC0000005, HERE) == (STACK + 0x40, record, context)
    assert StackWords(made, STACK).exception_pointers(0xC000001D, HERE) is None


def test_a_stack_that_is_not_there_has_no_words() -> None:
    words = StackWords(target(X64, {}), STACK - 0x10000)
    assert words.start == words.end
    assert list(words.trap_frames()) == []
