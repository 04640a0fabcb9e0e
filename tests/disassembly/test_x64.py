"""x64 text; every expected line is what the engine prints for these bytes."""

from __future__ import annotations

from typing import List, Optional

import pytest
from dumpkit.disassembly import disassembler
from dumpkit.disassembly.instruction import Instruction, MemoryOperand
from dumpkit.numbers import quoted
from dumpkit.registers import X64
from hypothesis import given, settings
from hypothesis import strategies as st

AT = 0xFFFF900010000000


def decode(code: str, address: int = AT) -> Instruction:
    return disassembler(X64).decode(bytes.fromhex(code.replace(" ", "")), address, names)


def names(address: int) -> Optional[str]:
    """One module of 1 MB, without symbols."""
    base = 0xFFFFF8047BA00000
    if base <= address < base + 0x100000:
        return f"nt+0x{address - base:x}" if address > base else "nt"
    return None


LINES = """
48894c2408      mov     qword ptr [rsp+8],rcx
4c8b8424e8000000 mov     r8,qword ptr [rsp+0E8h]
65488b0c2520000000 mov   rcx,qword ptr gs:[20h]
c78424c800000001000000 mov dword ptr [rsp+0C8h],1
48b8cdcccccccccccccc mov rax,0CCCCCCCCCCCCCCCDh
440fb684243c010000 movzx r8d,byte ptr [rsp+13Ch]
cd29            int     29h
cc              int     3
c3              ret
f3c3            rep ret
90              nop
6690            xchg    ax,ax
660f1f840000000000 nop   word ptr [rax+rax]
0fa310          bt      dword ptr [rax],edx
8a910b010000    mov     dl,byte ptr [rcx+10Bh]
4983e0f0        and     r8,0FFFFFFFFFFFFFFF0h
83feff          cmp     esi,0FFFFFFFFh
6ab7            push    0FFFFFFFFFFFFFFB7h
c81100b7        enter   11h,0B7h
49f7e0          mul     rax,r8
f7e9            imul    ecx
f6fc            idiv    ah
f7f1            div     eax,ecx
93              xchg    eax,ebx
498784f100290100 xchg    rax,qword ptr [r9+rsi*8+12900h]
66480f7ec0      movd    rax,xmm0
f30f7e0d00000000 movq    xmm1,mmword ptr [ffff9000`10000008]
f20f104930      movsd   xmm1,mmword ptr [rcx+30h]
660f2f02        comisd  xmm0,mmword ptr [rdx]
0f1330          movlps  qword ptr [rax],xmm6
0f1000          movups  xmm0,xmmword ptr [rax]
f0490fc708      lock cmpxchg16b oword ptr [r8]
f0480fb131      lock cmpxchg qword ptr [rcx],rsi
f3a4            rep movs byte ptr [rdi],byte ptr [rsi]
f348ab          rep stos qword ptr [rdi]
f3a6            repe cmps byte ptr [rsi],byte ptr [rdi]
f2ae            repne scas byte ptr [rdi]
d7              xlat    byte ptr [rbx]
0f0112          lgdt    tbyte ptr [rdx]
0f013a          invlpg  [rdx]
0f0d0a          prefetchw [rdx]
0fae8100010000  fxsave  [rcx+100h]
ff2c13          jmp     fword ptr [rbx+rdx]
0f01c8          monitor rax,rcx,rdx
3e7425          ht je   ffff9000`10000028
f27423          bnd je  ffff9000`10000026
f3430900        xrelease or dword ptr [r8],eax
8ecf            mov     cs,di
d8c7            fadd    st,st(7)
dec4            faddp   st(4),st
d012            rcl     byte ptr [rdx],1
488b0422        mov     rax,qword ptr [rdx]
488b0c6510000000 mov     rcx,qword ptr [10h]
8b048510000080  mov     eax,dword ptr [rax*4-7FFFFFF0h]
488b042500000080 mov     rax,qword ptr [0FFFFFFFF80000000h]
6548a18801000000000000 mov rax,qword ptr gs:[0000000000000188h]
48a11400000080f7ffff mov rax,qword ptr [FFFFF78000000014h]
c4e27d580a      vpbroadcastd ymm1,dword ptr [rdx]
c441f97efd      vmovd   r13,xmm15
c4627d5956c0    vpbroadcastq ymm10,mmword ptr [rsi-40h]
48b83412a07b04f8ffff mov rax,offset nt+0x1234 (fffff804`7ba01234)
48a13412a07b04f8ffff mov rax,qword ptr [nt+0x1234 (fffff804`7ba01234)]
b80000fe7f      mov     eax,offset SharedUserData (00000000`7ffe0000)
8b04251400fe7f  mov     eax,dword ptr [SharedUserData+0x14 (00000000`7ffe0014)]
8b880000fe7f    mov     ecx,dword ptr SharedUserData (00000000`7ffe0000)[rax]
ea              ???
"""


@pytest.mark.parametrize("line", LINES.strip().splitlines())
def test_an_instruction_is_spelled_as_the_engine_spells_it(line: str) -> None:
    assert decode(line.split(" ")[0]).line() == f"ffff9000`10000000 {line}"


def test_targets_within_a_module_have_its_name_and_others_only_their_address() -> None:
    inside = 0xFFFFF8047BA01000
    assert decode("e810000000", inside).operands == "nt+0x1015 (fffff804`7ba01015)"
    assert decode("ff15de0e0000", inside).operands == "qword ptr [nt+0x1ee4 (fffff804`7ba01ee4)]"
    assert decode("488d05f9efffff", inside).operands == "rax,[nt (fffff804`7ba00000)]"
    assert decode("e810000000").operands == "ffff9000`10000015"
    assert decode("ff15de0e0000").operands == "qword ptr [ffff9000`10000ee4]"


def test_a_newer_instruction_than_the_engine_knows_keeps_its_name() -> None:
    assert decode("62f17c48100a").mnemonic == "vmovups"
    assert decode("f30f1efa").mnemonic == "endbr64"


def test_bytes_that_are_no_instruction_are_shown_one_by_one() -> None:
    wrong = decode("60 4889")
    assert (wrong.raw, wrong.mnemonic, wrong.is_valid) == (b"\x60", "???", False)
    assert wrong.next_address == AT + 1


def test_an_instruction_that_memory_cuts_off_shows_all_its_bytes() -> None:
    assert decode("488b8424").line() == "ffff9000`10000000 488b8424        ???"


def test_memory_that_cannot_be_read_is_shown_as_question_marks() -> None:
    nothing = decode("")
    assert nothing.line() == "ffff9000`10000000 ??              ???"
    assert nothing.size == 0


@pytest.mark.parametrize(
    ("code", "flow", "target", "register"),
    [
        ("e810000000", "call", AT + 0x15, ""),
        ("ffd0", "call", None, "rax"),
        ("ff1510000000", "call", None, ""),
        ("eb10", "jump", AT + 0x12, ""),
        ("41ffe2", "jump", None, "r10"),
        ("7410", "conditional", AT + 0x12, ""),
        ("e2fe", "conditional", AT, ""),
        ("c3", "return", None, ""),
        ("48cf", "return", None, ""),
        ("90", "", None, ""),
        ("cc", "", None, ""),
    ],
)
def test_what_an_instruction_does_to_control_flow(code: str, flow: str, target: Optional[int], register: str) -> None:
    found = decode(code)
    assert (found.flow, found.target, found.target_register) == (flow, target, register)


@pytest.mark.parametrize(
    ("code", "operands"),
    [
        ("48894c2408", [MemoryOperand("", "rsp", "", 1, 8, 8)]),
        ("65488b0c2520000000", [MemoryOperand("gs", "", "", 1, 0x20, 8)]),
        ("4c8b84c8e8ffffff", [MemoryOperand("", "rax", "rcx", 8, -24, 8)]),
        ("488d4208", [MemoryOperand("", "rdx", "", 1, 8, 0)]),
        ("8b0510000000", [MemoryOperand("", "", "", 1, AT + 0x16, 4)]),
        ("678b00", [MemoryOperand("", "eax", "", 1, 0, 4, 32)]),
        ("c5fe6f02", [MemoryOperand("", "rdx", "", 1, 0, 32)]),
        ("a4", [MemoryOperand("", "rdi", "", 1, 0, 1), MemoryOperand("", "rsi", "", 1, 0, 1)]),
        ("4803c1", []),
    ],
)
def test_the_parts_of_memory_operands(code: str, operands: List[MemoryOperand]) -> None:
    assert list(decode(code).memory) == operands


@settings(max_examples=500, deadline=None)
@given(code=st.binary(max_size=18), address=st.integers(0, 2**64 - 1))
def test_any_bytes_give_an_instruction_of_their_beginning(code: bytes, address: int) -> None:
    found = disassembler(X64).decode(code, address, names)
    assert code.startswith(found.raw)
    assert found.size <= 15
    assert (found.size > 0) == bool(code)
    assert found.line().startswith(quoted(address))
