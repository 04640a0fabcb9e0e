"""Numbers, columns and the front of an instruction."""

from __future__ import annotations

import pytest
from dumpkit.disassembly import masm


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (9, "9"), (10, "0Ah"), (0x10, "10h"), (0xE8, "0E8h"), (0x7FFFFFFF, "7FFFFFFFh")]
)
def test_a_number_is_bare_below_ten_and_never_begins_with_a_letter(value: int, text: str) -> None:
    assert masm.number(value) == text


def test_long_bytes_push_the_mnemonic_which_gives_up_its_padding() -> None:
    assert masm.columns(b"\x90", "mov", "x") == "90              mov     x"
    assert masm.columns(b"\x90" * 8, "mov", "x") == "9090909090909090 mov     x"
    assert masm.columns(b"\x90" * 9, "mov", "x") == "909090909090909090 mov   x"
    assert masm.columns(b"\x90" * 11, "mov", "x") == "9090909090909090909090 mov x"
    assert masm.columns(b"\x90", "punpcklqdq", "x") == "90              punpcklqdq x"


def test_the_front_of_an_instruction_is_taken_apart() -> None:
    rex = masm.Encoding(bytes.fromhex("f3480fb8c0"))
    assert (rex.prefixes, rex.wide, rex.opcode, rex.second) == (b"\xf3", True, 0x0F, 0xB8)
    short_vex = masm.Encoding(bytes.fromhex("c5fe6f02"))
    assert (short_vex.opcode, short_vex.second, short_vex.wide) == (0xC5, 0x6F, False)
    long_vex = masm.Encoding(bytes.fromhex("c441f97efd"))
    assert (long_vex.opcode, long_vex.second, long_vex.wide) == (0xC4, 0x7E, True)


@pytest.mark.parametrize(("name", "word"), [("ecx", "cx"), ("rdi", "di"), ("r9d", "r9w"), ("r12", "r12w")])
def test_the_low_word_of_a_register(name: str, word: str) -> None:
    assert masm.word_register(name) == word
