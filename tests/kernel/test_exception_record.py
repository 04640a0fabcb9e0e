"""Exception records: what the debugger says of them."""

from __future__ import annotations

from struct import pack

import pytest
from dumpkit.errors import MemoryReadError
from dumpkit.kernel.exception_record import exception_meaning, exception_record, fast_fail_name
from dumpkit.target import ExceptionRecord

from tests.flat_memory import FlatMemory
from tests.made_target import MadeTarget

PLACE = 0xFFFFA10000000000


def target_with(data: bytes) -> MadeTarget:
    target = MadeTarget()
    target.memory = FlatMemory({PLACE: data})
    return target


def record(code: int, *parameters: int, flags: int = 0, following: int = 0, count: int = -1) -> bytes:
    number = len(parameters) if count < 0 else count
    words = b"".join(pack("<Q", parameter) for parameter in parameters)
    return pack("<IIQQII", code, flags, following, 0x1234, number, 0) + words.ljust(120, b"\0")


def test_a_record_is_read_with_its_parameters():
    target = target_with(record(0xC0000005, 1, 0x1000, flags=1, following=0x99))
    assert exception_record(target, PLACE) == ExceptionRecord(0xC0000005, 1, 0x99, 0x1234, (1, 0x1000))


def test_no_more_than_fifteen_parameters_are_believed():
    target = target_with(record(0x80000003, *range(15), count=0x45474150))
    assert exception_record(target, PLACE).parameters == tuple(range(15))


def test_a_record_that_is_cut_off_is_refused():
    target = target_with(record(0x80000003)[:0x90])
    with pytest.raises(MemoryReadError):
        exception_record(target, PLACE)


@pytest.mark.parametrize(
    ("code", "parameters", "words"),
    [
        (0xC0000005, (0, 0x1000), "Attempt to read from address 0000000000001000"),
        (0xC0000005, (1, 0xFFFF800000000000), "Attempt to write to address ffff800000000000"),
        (0xC0000005, (8, 0x10), "Attempt to execute non-executable address 0000000000000010"),
        (0xC0000005, (1,), None),
        (
            0xC0000006,
            (0, 0x1000, 0xC000009A),
            "Inpage operation failed at 0000000000001000, due to I/O error 00000000c000009a",
        ),
        (0xC0000409, (0x1D,), "Subcode: 0x1d FAST_FAIL_INVALID_BALANCED_TREE"),
        (0xC0000409, (0xF,), "Subcode: 0xf (unknown subcode)"),
        (0xC0000409, (0,), None),
        (0xC0000194, (0x1234,), "Critical section at 0000000000001234"),
        (0x80000003, (1, 2, 3), None),
    ],
)
def test_parameters_are_explained_in_the_engines_words(code: int, parameters: tuple, words: str):
    assert exception_meaning(ExceptionRecord(code, 0, 0, 0, parameters)) == words


def test_fast_fails_that_no_header_names_have_no_name():
    assert fast_fail_name(0x2C) == "FAST_FAIL_GUARD_SS_FAILURE"
    assert fast_fail_name(0xF) is None
    assert fast_fail_name(-1) is None
