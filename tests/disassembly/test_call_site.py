"""Recognizing the call before a return address."""

from __future__ import annotations

from typing import Optional

import pytest
from dumpkit.disassembly import disassembler
from dumpkit.disassembly.call_site import CallSite, call_before, call_site
from dumpkit.registers import ARM64, X64
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.flat_memory import FlatMemory

RETURN = 0xFFFFF8047BD17E25


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("90909090e800010000", CallSite(5, RETURN + 0x100)),
        ("90909090e8fbfeffff", CallSite(5, RETURN - 0x105)),
        ("ff1510000000", CallSite(6, None, RETURN + 0x10)),
        ("90 48ff1510000000", CallSite(7, None, RETURN + 0x10)),
        ("90ffd0", CallSite(2)),
        ("41ffd2", CallSite(3)),
        ("ff5008", CallSite(3)),
        ("ff9008010000", CallSite(6)),
        ("ff542420", CallSite(4)),
        ("42ff94c800010000", CallSite(8)),
        ("65ff142510000000", CallSite(8)),
        ("4889c8", None),
        ("ffe0", None),
        ("ff35 10000000", None),
        ("", None),
        ("e8", None),
        ("ff", None),
    ],
)
def test_x64_calls_are_known_by_their_bytes(code: str, expected: Optional[CallSite]) -> None:
    assert call_site(X64, bytes.fromhex(code), RETURN) == expected


def test_a_register_call_is_preferred_to_a_direct_one_that_reaches_too_far() -> None:
    assert call_site(X64, bytes.fromhex("e81122ffd0"), RETURN) == CallSite(2)
    assert call_site(X64, bytes.fromhex("e811223370"), RETURN) == CallSite(5, RETURN + 0x70332211)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (0x94000004, CallSite(4, RETURN & ~3)),
        (0x97FFFFFF, None),
        (0xD63F0100, CallSite(4)),
        (0xD73F0A11, CallSite(4)),
        (0xD61F0100, None),
        (0xD65F03C0, None),
        (0x14000004, None),
    ],
)
def test_arm64_calls_are_known_by_their_word(word: int, expected: Optional[CallSite]) -> None:
    address = (RETURN & ~3) - 12
    found = call_site(ARM64, word.to_bytes(4, "little"), address)
    if word == 0x97FFFFFF:
        expected = CallSite(4, address - 8)
    assert found == expected


def test_an_unaligned_address_is_no_return_address_on_arm64() -> None:
    assert call_site(ARM64, (0xD63F0100).to_bytes(4, "little"), 0x1002) is None


def test_without_the_bytes_before_it_an_address_is_undecided() -> None:
    memory = FlatMemory({0x1000: bytes.fromhex("ffd0") + b"\x90" * 20})
    assert call_before(memory, 0x1002) is True
    assert call_before(memory, 0x1003) is None
    assert call_before(memory, 0x1010) is False
    assert call_before(memory, 0x5000) is None


@settings(max_examples=1500, deadline=None)
@given(before=st.binary(max_size=4), call=st.binary(min_size=1, max_size=7))
@example(before=b"", call=b"\x14\x25\x10\x00\x00\x00")
def test_what_capstone_reads_as_a_call_is_found(before: bytes, call: bytes) -> None:
    for code in (b"\xff" + call, b"\xe8" + call):
        decoded = disassembler(X64).decode(code, RETURN - len(code))
        if decoded.is_call and decoded.size == len(code) and "fword" not in decoded.operands:
            found = call_site(X64, before + code, RETURN)
            assert found is not None
            assert found.target in (decoded.target, None)


@settings(max_examples=1500, deadline=None)
@given(code=st.binary(min_size=9, max_size=9), kind=st.sampled_from([b"", b"\xff", b"\xe8"]), at=st.integers(1, 7))
def test_what_is_found_is_a_call_to_capstone(code: bytes, kind: bytes, at: int) -> None:
    code = code[: 9 - at] + kind + code[9 - at + len(kind) :]
    found = call_site(X64, code, RETURN)
    if found is not None:
        decoded = disassembler(X64).decode(code[-found.size :], RETURN - found.size)
        assert decoded.is_call
        assert decoded.size == found.size
        assert decoded.target == found.target
        if found.pointer is not None:
            assert decoded.memory[0].displacement == found.pointer
