"""`u` and `ub`: where they begin, what heads them, and how they fail."""

from __future__ import annotations

import json
from typing import List

import pytest
from dumpkit.dispatcher import Dispatcher
from dumpkit.errors import CommandError
from dumpkit.session import Session

from tests.running import run, run_lines, session_of, shown
from tests.shared import needs_shared

IP = 0xFFFFF8047BDF5A80


def addresses(session: Session, text: str) -> List[int]:
    return [int(line.address) for line in run(session, text).lines]


@needs_shared
def test_ub_without_an_address_goes_back_from_the_place_of_u_and_leaves_it() -> None:
    session = session_of("triage_x64")
    first, _, third = (run(session, "u").lines for _ in range(3))
    end = int(third[-1].address) + len(third[-1].bytes)
    for _ in range(2):
        lines = run(session, "ub").lines
        assert (len(lines), int(lines[-1].address) + len(lines[-1].bytes)) == (8, end)
        end = int(lines[0].address)
    assert int(first[0].address) < end < int(third[0].address)
    further = addresses(session, "u")
    assert further[0] == int(third[-1].address) + len(third[-1].bytes)


@needs_shared
def test_ub_at_first_shows_what_precedes_the_current_instruction() -> None:
    session = session_of("triage_x64")
    shown_before = run(session, "ub").lines
    assert int(shown_before[-1].address) + len(shown_before[-1].bytes) == IP
    assert addresses(session, "u")[0] == IP


@needs_shared
def test_ub_with_an_address_lets_u_go_on_there() -> None:
    session = session_of("triage_x64")
    run(session, "ub @rip+5 L1")
    assert addresses(session, "u")[0] == IP + 5


@needs_shared
@pytest.mark.parametrize("text", ["u @rip L0", "ub @rip L0"])
def test_no_instruction_is_shown_where_none_is_asked_for(text: str) -> None:
    assert run_lines(session_of("triage_x64"), text) == []


@needs_shared
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ub 0", "nothing is below address 0"),
        ("ub 0 L3", "nothing is below address 0"),
        ("ub fffff80479d30010", "fffff804`79d3000f: not in this triage dump"),
    ],
)
def test_ub_says_why_there_is_no_instruction_before_an_address(text: str, reason: str) -> None:
    with pytest.raises(CommandError) as failure:
        run(session_of("triage_x64"), text)
    assert str(failure.value) == f"Unable to find valid previous instruction for '{text}': {reason}"


@needs_shared
@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("u 0", ["00000000`00000000 ??              ???"]),
        (
            "u fffff80479d30010",
            ["<Unloaded_WdBoot.sys>+0x10:", "fffff804`79d30010 ??              ???"],
        ),
        ("u fffff80479d30000", ["<Unloaded_WdBoot.sys>:", "fffff804`79d30000 ??              ???"]),
        ("u fffff8048b5baff8 L20", ["amdppm+0x3aff8:", "fffff804`8b5baff8 ??              ???"]),
    ],
)
def test_u_shows_where_it_stands_and_fails_where_nothing_can_be_read(text: str, lines: List[str]) -> None:
    session = session_of("triage_x64")
    with pytest.raises(CommandError) as failure:
        Dispatcher(session).run(text)
    session.output.flush()
    assert shown(session) == lines
    place = lines[-1].split()[0]
    assert str(failure.value) == f"Memory access error in '{text}' at {place}: not in this triage dump"


@needs_shared
def test_as_data_a_listing_carries_its_failure() -> None:
    session = session_of("triage_x64")
    session.json = True
    Dispatcher(session).run("u 0")
    session.output.flush()
    (record,) = map(json.loads, shown(session))
    assert record["data"]["failure"].startswith("Memory access error in 'u 0'")
    assert [line["mnemonic"] for line in record["data"]["lines"]] == ["???"]


@needs_shared
def test_a_listing_that_breaks_off_ends_with_its_reason() -> None:
    session = session_of("triage_x64")
    # The code around the crash is a piece of memory with an end.
    start = IP
    while session.dump.memory.read_prefix(start + 0x100, 1):
        start += 0x100
    lines = run_lines(session, f"u {start:x} L200")
    assert lines[-2].endswith("???")
    assert lines[-1].startswith(f"Memory access error in 'u {start:x} L200' at ")
