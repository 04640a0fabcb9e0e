"""What could not be read, collected for the end of an answer."""

from __future__ import annotations

from dumpkit.errors import DumpkitError, MemoryReadError
from dumpkit.gaps import Gaps


def failing() -> int:
    raise DumpkitError("it is not there")


def test_what_can_be_read_is_given_and_leaves_no_gap() -> None:
    gaps = Gaps()
    assert gaps.read("its number", lambda: 5) == 5
    assert not gaps and gaps.lines() == ()


def test_what_cannot_be_read_is_its_default_and_a_line() -> None:
    gaps = Gaps()
    assert gaps.read("its number", failing, 7) == 7
    assert gaps and gaps.lines() == ("its number: it is not there",)


def test_the_same_gap_is_a_line_with_a_count() -> None:
    gaps = Gaps()
    for _ in range(3):
        gaps.add("its number", "gone")
    gaps.add("its name", None)
    assert gaps.lines() == ("its number: gone (3 times)",)


def test_bytes_missing_in_one_page_are_one_gap() -> None:
    gaps = Gaps()
    for address in (0x12345008, 0x12345010):
        gaps.add("a record", MemoryReadError(address, "not present at PTE", "virtual"))
    assert gaps.lines() == ("a record: 0000000012345000: not present at PTE (2 times)",)


def test_more_gaps_than_a_person_reads_are_counted() -> None:
    gaps = Gaps()
    for number in range(13):
        gaps.add(f"record {number}", "gone")
    *lines, last = gaps.lines()
    assert lines == [f"record {number}: gone" for number in range(12)]
    assert last == "… and 1 more that could not be read"
