"""ARM64 text; every expected line is what the engine prints for these words."""

from __future__ import annotations

from typing import Optional

import pytest
from dumpkit.disassembly import disassembler
from dumpkit.disassembly.instruction import Instruction, MemoryOperand
from dumpkit.registers import ARM64, Context
from hypothesis import given, settings
from hypothesis import strategies as st

AT = 0xFFFF900010000000


def decode(word: int, address: int = AT) -> Instruction:
    return disassembler(ARM64).decode(word.to_bytes(4, "little"), address, names)


def names(address: int) -> Optional[str]:
    base = 0xFFFFF803F2E00000
    return f"nt+0x{address - base:x}" if base <= address < base + 0x100000 else None


LINES = """
91010260 add         x0,x19,#0x40
f945210b ldr         x11,[x8,#0xA40]
b9401bf3 ldr         w19,[sp,#0x18]
a9be7bfd stp         fp,lr,[sp,#-0x20]!
f84407f3 ldr         x19,[sp],#0x40
385ff52a ldrb        w10,[x9],#-1
f8387a7f str         xzr,[x19,x24 lsl #3]
38614900 ldrb        w0,[x8,w1 uxtw #0]
8b040ca5 add         x5,x5,x4 lsl #3
d1400631 sub         xip1,xip1,#1 lsl #0xC
52800015 mov         w21,#0
52b80009 mov         w9,#0xC0000000
92f00017 mov         x23,#0x7FFFFFFFFFFFFFFF
b2407fe8 mov         x8,#0xFFFFFFFF
b201f3e9 movi        x9,#-0x5555555555555556
927df10a and         x10,x8,#-8
910003fd mov         fp,sp
9100010b mov         x11,x8
aa1003e0 mov         x0,xip0
37f800e8 tbnz        x8,#0x1F,ffff9000`1000001c
54000041 bne         ffff9000`10000008
b500032b cbnz        x11,ffff9000`10000064
14000003 b           ffff9000`1000000c
b0003a28 adrp        x8,ffff9000`10745000
58001388 ldr         x8,ffff9000`10000270
d65f03c0 ret         lr
d63f0200 blr         xip0
9a880120 cseleq      x0,x9,x8
1a9f17e0 cseteq      w0
7a410820 ccmpeq      w1,#1,#0
1e6e1000 fmov        d0,#1
1e602208 fcmp        d16,#0
0f08a400 sxtl        v0.8h,v0.8b
d3401c16 uxtb        x22,w0
4e183c0e umov        x14,v0.d[1]
f9800140 prfm        PLDL1KEEP,[x10]
d5033f5f clrex       #0xF
d53e8000 mrs         x0,#0x7400
d538d080 mrs         x0,tpidr_el1
d5033fdf isb         sy
d43e0060 brk         #0xF003
"""


@pytest.mark.parametrize("line", LINES.strip().splitlines())
def test_a_word_is_spelled_as_the_engine_spells_it(line: str) -> None:
    assert decode(int(line[:8], 16)).line() == f"ffff9000`10000000 {line}"


def test_targets_within_a_module_have_its_name() -> None:
    inside = 0xFFFFF803F2E01000
    assert decode(0x94000004, inside).operands == "nt+0x1010 (fffff803`f2e01010)"
    assert decode(0xB0000008, inside).operands == "x8,nt+0x2000 (fffff803`f2e02000)"


def test_newer_instructions_than_the_engine_knows_keep_their_names() -> None:
    assert decode(0xC8E2FC01).mnemonic == "casal"
    assert decode(0xD503237F).mnemonic == "pacibsp"


def test_memory_that_cannot_be_read_has_no_bytes() -> None:
    for code in (b"", b"\x1f\x20\x03"):
        found = disassembler(ARM64).decode(code, AT)
        assert found.line() == "ffff9000`10000000 ?? ???"
        assert found.size == 0


@pytest.mark.parametrize(
    ("word", "flow", "target", "register"),
    [
        (0x94000004, "call", AT + 16, ""),
        (0xD63F0200, "call", None, "x16"),
        (0x14000003, "jump", AT + 12, ""),
        (0xD61F03C0, "jump", None, "lr"),
        (0x54000041, "conditional", AT + 8, ""),
        (0x37F800E8, "conditional", AT + 0x1C, ""),
        (0xD65F03C0, "return", None, ""),
        (0xB0003A28, "", None, ""),
    ],
)
def test_what_an_instruction_does_to_control_flow(word: int, flow: str, target: Optional[int], register: str) -> None:
    found = decode(word)
    assert (found.flow, found.target, found.target_register) == (flow, target, register)


@pytest.mark.parametrize(
    ("word", "operand", "address"),
    [
        (0xF945210B, MemoryOperand("", "x8", "", 1, 0xA40, 8), 0x8A40),
        (0xB9401BF3, MemoryOperand("", "sp", "", 1, 0x18, 4), 0x9018),
        (0x3940A928, MemoryOperand("", "x9", "", 1, 0x2A, 1), 0x92A),
        (0xA9BE7BFD, MemoryOperand("", "sp", "", 1, -0x20, 16), 0x8FE0),
        (0x28AF4BB3, MemoryOperand("", "fp", "", 1, 0, 8), 0x7000),
        (0xF84407F3, MemoryOperand("", "sp", "", 1, 0, 8), 0x9000),
        (0xF86C790B, MemoryOperand("", "x8", "x12", 8, 0, 8), 0x8000 + 8 * 0xFFFFFFFC),
        (0xB8AEDAEF, MemoryOperand("", "x23", "w14", 4, 0, 4, 64, "sxtw"), 0x8000 - 16),
        (0x58001388, MemoryOperand("", "", "", 1, AT + 0x270, 8), AT + 0x270),
    ],
)
def test_the_parts_and_the_address_of_a_memory_operand(word: int, operand: MemoryOperand, address: int) -> None:
    context = Context(
        ARM64,
        {"x8": 0x8000, "x9": 0x900, "sp": 0x9000, "fp": 0x7000, "x12": 0xFFFFFFFC, "x14": 0xFFFFFFFC, "x23": 0x8000},
    )
    assert decode(word).memory == (operand,)
    assert operand.address(context) == address


@settings(max_examples=1000, deadline=None)
@given(word=st.integers(0, 2**32 - 1))
def test_any_word_gives_an_instruction_of_four_bytes(word: int) -> None:
    found = decode(word)
    assert found.raw == word.to_bytes(4, "little")
    assert found.text.startswith(f"{word:08x} ")
