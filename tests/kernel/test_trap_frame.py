"""Trap frames and context records: which registers they hold."""

from __future__ import annotations

from struct import pack_into

import pytest
from dumpkit.errors import MemoryReadError, RegisterError
from dumpkit.kernel.context_record import context_record
from dumpkit.kernel.trap_frame import is_trap_frame, trap_frame
from dumpkit.registers import ARM64

from tests.flat_memory import FlatMemory
from tests.made_target import NT, MadeTarget

PLACE = 0xFFFFA10000000000


def target_with(data: bytes) -> MadeTarget:
    target = MadeTarget()
    target.memory = FlatMemory({PLACE: data})
    return target


def x64_frame(cs: int = 0x10, ss: int = 0x18, rip: int = NT.base + 0x90) -> bytearray:
    """A frame whose words hold their own offsets, but for those that tell it from other data."""
    frame = bytearray(0x190)
    for offset in range(0, 0x190, 8):
        pack_into("<Q", frame, offset, offset)
    pack_into("<Q", frame, 0x168, rip)
    pack_into("<H", frame, 0x170, cs)
    pack_into("<Q", frame, 0x180, PLACE + 0x600)
    pack_into("<H", frame, 0x188, ss)
    return frame


def test_the_registers_that_a_trap_frame_saves_are_taken_from_it():
    context = trap_frame(target_with(bytes(x64_frame())), PLACE)
    names = ("rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "rbp", "efl")
    assert [context[name] for name in names] == [0x30, 0x38, 0x40, 0x48, 0x50, 0x58, 0x60, 0x158, 0x178]
    assert context.instruction_pointer == NT.base + 0x90
    assert context.values["xmm1"] == 0x88 << 64 | 0x80


def test_the_registers_that_a_trap_frame_does_not_save_are_zero_and_known_to_be_guesses():
    context = trap_frame(target_with(bytes(x64_frame())), PLACE)
    for name in ("rbx", "rsi", "rdi", "r12", "r13", "r14", "r15", "ds"):
        assert context[name] == 0
        assert name not in context.values
    assert context["bl"] == 0
    with pytest.raises(RegisterError):
        context["cr3"]


def test_a_trap_frame_that_is_cut_off_is_refused():
    with pytest.raises(MemoryReadError):
        trap_frame(target_with(bytes(x64_frame()[:0x180])), PLACE)


def test_an_arm64_frame_holds_the_registers_up_to_x18():
    frame = bytearray(0x150)
    for offset in range(0, 0x150, 8):
        pack_into("<Q", frame, offset, offset)
    target = target_with(bytes(frame))
    target.architecture = ARM64
    context = trap_frame(target, PLACE)
    assert [context[name] for name in ("x0", "x18", "lr", "fp", "pc", "sp")] == [0xA0, 0x130, 0x138, 0x140, 0x148, 0x98]
    assert context["x19"] == 0
    assert "x19" not in context.values


@pytest.mark.parametrize(
    ("cs", "ss", "rip", "expected"),
    [
        (0x10, 0x18, NT.base + 0x90, True),
        (0x33, 0x2B, 0x7FF612340000, True),
        (0x33, 0x2B, NT.base, False),
        (0x10, 0x18, 0xFFFF800000000000, False),
        (0x11, 0x18, NT.base + 0x90, False),
    ],
)
def test_a_trap_frame_is_told_by_its_selectors_and_its_rip(cs: int, ss: int, rip: int, expected: bool):
    assert is_trap_frame(target_with(bytes(x64_frame(cs, ss, rip))), PLACE) is expected


def test_no_trap_frame_is_where_nothing_can_be_read():
    assert not is_trap_frame(target_with(b""), PLACE)


def test_a_context_record_is_read_in_the_layout_of_its_architecture():
    record = bytearray(0x4D0)
    pack_into("<Q", record, 0xF8, NT.base)
    assert context_record(target_with(bytes(record)), PLACE).instruction_pointer == NT.base
    with pytest.raises(MemoryReadError):
        context_record(target_with(bytes(record[:-1])), PLACE)
