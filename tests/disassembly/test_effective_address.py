"""What `r` appends to the current instruction; the expected notes are the engine's."""

from __future__ import annotations

from typing import Dict, Optional

import pytest
from dumpkit.disassembly import disassembler
from dumpkit.disassembly.effective_address import effective_address_note
from dumpkit.registers import ARM64, X64, Context

from tests.flat_memory import FlatMemory

CODE = 0xFFFF900010000000
DATA = 0xFFFF900030000000
STACK = 0xFFFF900040000000
MODULE = 0xFFFFF8047BA00000

SELECTORS = {"cs": 0x10, "ss": 0x18, "ds": 0x2B, "es": 0x2B, "fs": 0x53, "gs": 0x2B}
REGISTERS = {
    "rdx": DATA + 0x100,
    "rsi": DATA + 0x40,
    "rdi": DATA + 0x60,
    "rax": 1,
    "rcx": 2,
    "rsp": STACK,
    "rbp": STACK + 8,
    "r15": MODULE + 0x1234,
    "efl": 0x246,
}


def names(address: int) -> Optional[str]:
    if MODULE <= address < MODULE + 0x100000:
        return f"nt+0x{address - MODULE:x}" if address > MODULE else "nt"
    return None


def memory() -> FlatMemory:
    data = bytearray(bytes(range(1, 256)) * 2)
    data[0x180:0x188] = MODULE.to_bytes(8, "little")
    data[0x188:0x190] = (MODULE + 0x1234).to_bytes(8, "little")
    return FlatMemory({DATA: bytes(data), STACK: bytes(range(1, 33))})


def line(code: str, registers: Optional[Dict[str, int]] = None) -> str:
    """The instruction with its note, without the address."""
    context = Context(X64, {**REGISTERS, **SELECTORS} if registers is None else registers)
    instruction = disassembler(X64).decode(bytes.fromhex(code), CODE, names)
    return (instruction.line() + effective_address_note(instruction, context, memory(), names))[18:]


@pytest.mark.parametrize(
    "expected",
    [
        "48894c2408      mov     qword ptr [rsp+8],rcx ss:0018:ffff9000`40000008=100f0e0d0c0b0a09",
        "488b4500        mov     rax,qword ptr [rbp] ss:0018:ffff9000`40000008=100f0e0d0c0b0a09",
        "8a02            mov     al,byte ptr [rdx] ds:002b:ffff9000`30000100=02",
        "488b00          mov     rax,qword ptr [rax] ds:002b:00000000`00000001=????????????????",
        "65488b042588010000 mov   rax,qword ptr gs:[188h] gs:002b:00000000`00000188=????????????????",
        "36488b02        mov     rax,qword ptr ss:[rdx] ss:0018:ffff9000`30000100=0908070605040302",
        "678b02          mov     eax,dword ptr [edx] ds:002b:00000000`30000100=????????",
        "a5              movs    dword ptr [rdi],dword ptr [rsi] ds:002b:ffff9000`30000060=64636261 "
        "ds:002b:ffff9000`30000040=44434241",
        "f3a5            rep movs dword ptr [rdi],dword ptr [rsi]",
        "488d4208        lea     rax,[rdx+8]",
        "480f1f4008      nop     qword ptr [rax+8]",
        "0f1002          movups  xmm0,xmmword ptr [rdx] ds:002b:ffff9000`30000100=11100f0e0d0c0b0a0908070605040302",
        "c5fe6f02        vmovdqu ymm0,ymmword ptr [rdx] ds:002b:ffff9000`30000100=02",
        "660fef02        pxor    xmm0,xmmword ptr [rdx] ds:002b:ffff9000`30000100=0302",
        "8c02            mov     word ptr [rdx],es ds:002b:ffff9000`30000100=05040302",
        "0fae02          fxsave  [rdx]    ds:002b:ffff9000`30000100=02",
        "db2a            fld     tbyte ptr [rdx] ds:002b:ffff9000`30000100=0b0a0908070605040302",
        "ff9280000000    call    qword ptr [rdx+80h] ds:002b:ffff9000`30000180={nt (fffff804`7ba00000)}",
        "ff9288000000    call    qword ptr [rdx+88h] ds:002b:ffff9000`30000188=fffff8047ba01234",
        "41ffd7          call    r15 {nt+0x1234 (fffff804`7ba01234)}",
        "ffe2            jmp     rdx {ffff9000`30000100}",
        "7410            je      ffff9000`10000012              [br=1]",
        "7510            jne     ffff9000`10000012              [br=0]",
        "e210            loop    ffff9000`10000012              [br=1]",
        "e010            loopne  ffff9000`10000012              [br=0]",
        "e310            jrcxz   ffff9000`10000012              [br=0]",
        "e810000000      call    ffff9000`10000015",
        "50              push    rax",
        "c3              ret",
    ],
)
def test_the_note_is_the_engines(expected: str) -> None:
    assert line(expected.split(" ")[0]) == expected


@pytest.mark.parametrize(
    ("code", "flag", "taken"),
    [
        (0x70, 0x800, 1),
        (0x71, 0x800, 0),
        (0x72, 0x1, 1),
        (0x73, 0x1, 0),
        (0x76, 0x40, 1),
        (0x77, 0x0, 1),
        (0x78, 0x80, 1),
        (0x79, 0x80, 0),
        (0x7A, 0x4, 1),
        (0x7B, 0x4, 0),
        (0x7C, 0x80, 1),
        (0x7C, 0x880, 0),
        (0x7D, 0x800, 0),
        (0x7E, 0x40, 1),
        (0x7F, 0x880, 1),
    ],
)
def test_a_conditional_branch_is_decided_by_the_flags(code: int, flag: int, taken: int) -> None:
    assert line(f"{code:02x}10", {"efl": flag}).endswith(f" [br={taken}]")


def test_a_trap_frame_has_no_data_selectors_and_its_missing_registers_count_as_zero() -> None:
    trap = {"cs": 0x10, "ss": 0x18, "rsp": STACK, "efl": 0x246}
    assert line("49894708", trap).endswith("[r15+8],rax ds:00000000`00000008=????????????????")
    assert line("48894c2408", trap).endswith(" ss:0018:ffff9000`40000008=100f0e0d0c0b0a09")


def test_arm64_has_no_notes() -> None:
    instruction = disassembler(ARM64).decode(bytes.fromhex("0b2145f9"), CODE)
    assert effective_address_note(instruction, Context(ARM64, {"x8": DATA}), memory()) == ""
