"""`k` on real dumps without any symbol or image, and on forged stacks."""

from __future__ import annotations

from typing import List

import pytest

from tests.running import run, run_lines, session_of
from tests.shared import REFERENCE, SYMBOLS, needs_shared, needs_symbols


def true_frames() -> List[int]:
    lines = (REFERENCE / "triage_x64.frames.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return [int(row[1], 16) for row in rows if int(row[1], 16)]


def is_subsequence(wanted: List[int], found: List[int]) -> bool:
    walk = iter(found)
    return all(address in walk for address in wanted)


@needs_shared
def test_every_true_frame_is_found_in_order_and_half_of_the_printed_ones_are_true() -> None:
    frames = run(session_of("triage_x64"), "k").frames
    found = [int(frame.instruction) for frame in frames]
    truth = true_frames()
    assert len(truth) == 36
    assert is_subsequence(truth, found)
    assert 2 * len(truth) >= len(found), f"{len(found)} frames printed"


@needs_shared
def test_each_frame_says_how_it_was_found_and_the_marks_are_explained() -> None:
    session = session_of("triage_x64")
    frames = run(session, "k").frames
    assert frames[0].found_by == "context"
    assert {frame.found_by for frame in frames[1:]} == {"code", "scan"}
    lines = run_lines(session, "k")
    for frame, line in zip(frames[1:], lines[2:]):
        assert line.endswith(f"({frame.found_by})")
    assert lines[-2].startswith("(code): ") and lines[-1].startswith("(scan): ")


@needs_shared
@needs_symbols
def test_with_some_images_and_symbols_few_leftovers_are_among_the_true_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_NT_SYMBOL_PATH", f"{SYMBOLS / 'isf'};{SYMBOLS / 'store'}")
    session = session_of("triage_x64")
    frames = run(session, "k").frames
    truth = true_frames()
    assert is_subsequence(truth, [int(frame.instruction) for frame in frames])
    assert len(frames) <= len(truth) + 4
    # The kernel's image is missing, those of the two drivers are there: their frames lead to the next without a mark.
    drivers = [at for at, frame in enumerate(frames) if frame.module in ("amdppm", "Wdf01000")]
    assert len(drivers) == 16
    assert {frames[at + 1].found_by for at in drivers} == {"unwound"}
    lines = run_lines(session, "k")
    assert lines[1 + drivers[1]].endswith("amdppm!WriteGenAddrEx+0x6b")


@needs_shared
def test_a_count_shows_that_many_frames() -> None:
    session = session_of("triage_x64")
    assert [frame.number for frame in run(session, "k 5").frames] == [0, 1, 2, 3, 4]
    assert len(run(session, "kn10").frames) == 0x10
    assert run(session, "k 5").frames == run(session, "k").frames[:5]


@needs_shared
@pytest.mark.parametrize(
    ("text", "heading"),
    [
        ("k", "Child-SP          RetAddr               Call Site"),
        ("kn", " # Child-SP          RetAddr               Call Site"),
        ("kc", "Call Site"),
        ("kf", "  Memory  Child-SP          RetAddr               Call Site"),
        ("kb", f"RetAddr               : {'Args to Child':<71} : Call Site"),
        ("kv", f"Child-SP          RetAddr               : {'Args to Child':<71} : Call Site"),
    ],
)
def test_each_form_has_its_columns(text: str, heading: str) -> None:
    lines = run_lines(session_of("triage_x64"), f"{text} 3")
    assert lines[0] == heading
    assert len(lines) >= 4


@needs_shared
def test_the_arguments_of_a_frame_are_the_home_space_of_its_caller() -> None:
    frame = run(session_of("triage_x64"), "kb").frames[0]
    assert frame.arguments[0] == 0x7E


@needs_shared
@pytest.mark.parametrize(
    "name",
    "011620-8250-01 082325-12593-01 100623-6156-01 111417-58375-01 rts_116_0 rts_13a rts_3b_0 rts_7e_1 rts_9f rts_d1 "
    "triage_arm64 triage_x64".split(),
)
def test_every_real_dump_has_a_stack_that_starts_at_its_context(name: str) -> None:
    session = session_of(name)
    frames = run(session, "k").frames
    assert frames[0].instruction == session.context.instruction_pointer
    for before, after in zip(frames, frames[1:]):
        assert before.return_address == after.instruction
        assert before.child_sp <= after.child_sp
