"""Disassembly backwards."""

from __future__ import annotations

from typing import List

from dumpkit.disassembly import disassembler
from dumpkit.disassembly.instruction import Instruction
from dumpkit.disassembly.previous import previous_instructions
from dumpkit.registers import ARM64, X64

from tests.flat_memory import FlatMemory

AT = 0xFFFF900010000000

#: push, sub, mov, xor, lea, mov, call, test, je, add, pop, ret
FUNCTION = [
    "4053",
    "4883ec20",
    "488bd9",
    "4533c0",
    "488d5108",
    "c744243001000000",
    "e8c6daffff",
    "85c0",
    "7405",
    "4883c420",
    "5b",
    "c3",
]


def before(code: bytes, address: int, count: int, **more: int) -> List[Instruction]:
    return previous_instructions(disassembler(X64), FlatMemory({AT: code}), address, count, **more)


def texts(found: List[Instruction]) -> List[str]:
    return [instruction.raw.hex() for instruction in found]


def test_the_instructions_before_an_address_end_exactly_there() -> None:
    code = b"\xcc" * 300 + bytes.fromhex("".join(FUNCTION))
    found = before(code, AT + len(code), 8)
    assert texts(found) == FUNCTION[-8:]
    assert found[-1].next_address == AT + len(code)


def test_the_functions_start_settles_where_to_begin() -> None:
    code = bytes.fromhex("48b8") + bytes.fromhex("".join(FUNCTION))
    start = AT + 2
    assert texts(before(code, AT + len(code), 5, function_start=start)) == FUNCTION[-5:]
    assert texts(before(code, AT + len(code), 12, function_start=start)) == FUNCTION


def test_the_listing_goes_on_above_the_functions_start() -> None:
    code = b"\x90" * 100 + bytes.fromhex("".join(FUNCTION))
    found = before(code, AT + len(code), 14, function_start=AT + 100)
    assert texts(found) == ["90", "90", *FUNCTION]


def test_a_start_from_which_the_address_is_not_met_is_not_used() -> None:
    code = b"\xcc" * 300 + bytes.fromhex("".join(FUNCTION))
    found = before(code, AT + len(code), 3, function_start=AT + len(code) - 6)
    assert texts(found) == FUNCTION[-3:]


def test_where_memory_holds_fewer_instructions_there_are_fewer() -> None:
    code = bytes.fromhex("488bc8cc33c0")
    assert texts(before(code, AT + 6, 8))[-1] == "33c0"
    assert len(before(code, AT + 6, 8)) < 8
    assert before(code, AT, 8) == []
    assert before(code, AT + 100, 8) == []
    assert before(code, AT + 6, 0) == []


def test_arm64_goes_back_word_by_word() -> None:
    words = bytes.fromhex("60020191 52c5fa97 283a00b0")
    found = previous_instructions(disassembler(ARM64), FlatMemory({AT: words}), AT + 12, 2)
    assert [instruction.mnemonic for instruction in found] == ["bl", "adrp"]
    assert [instruction.address for instruction in found] == [AT + 4, AT + 8]


def test_symbols_name_the_targets() -> None:
    memory = FlatMemory({AT: bytes.fromhex("e800000000")})
    found = previous_instructions(disassembler(X64), memory, AT + 5, 1, AT, lambda address: "nt!Next")
    assert found[0].operands == "nt!Next (ffff9000`10000005)"
