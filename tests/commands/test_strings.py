"""`strings` on the walkthrough's dump and on real dumps."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import CommandError, ExpressionError
from dumpkit.output import data
from dumpkit.session import Session

from tests.forge.scene import Scene
from tests.forged_session import drop_page, session_for
from tests.running import run, run_lines, session_of, session_on
from tests.shared import SYMBOLS, needs_shared, needs_symbols

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fast-mutex-irql" / "MEMORY.DMP"
TEXTS = "fffff802`25da2000"


@pytest.fixture
def walkthrough() -> Session:
    return session_on(open_dump(str(EXAMPLE)))


def test_a_carriage_return_is_shown_and_a_line_end_ends_the_line(walkthrough: Session) -> None:
    assert run_lines(walkthrough, "!mex.strings -m TestDriver")[:4] == [
        r"fffff80225da004d !This program cannot be run in DOS mode.\r",
        "",
        "$",
        "fffff80225da01f8 .text",
    ]


def test_ranges_are_those_of_the_d_commands(walkthrough: Session) -> None:
    first = ["fffff80225da2000 DISPATCH_LEVEL", "fffff80225da2020 UNKNOWN_LEVEL (%u)"]
    assert run_lines(walkthrough, f"strings {TEXTS} L50") == first
    assert run_lines(walkthrough, f"strings {TEXTS} fffff80225da204f") == first
    assert run_lines(walkthrough, f"strings {TEXTS}") == run_lines(walkthrough, f"strings {TEXTS} L1000")


def test_options_choose_the_length_and_the_encoding(walkthrough: Session) -> None:
    assert run_lines(walkthrough, f"strings -a {TEXTS} L100") == ["fffff80225da2050 Hello, World!"]
    assert len(run_lines(walkthrough, f"strings -u -n 15 {TEXTS} L100")) == 3
    assert run_lines(walkthrough, "strings -n 100 -m TestDriver")[0].startswith("fffff80225da3180 FxStubInitTypes: ")
    assert len(run_lines(walkthrough, "strings -n 4 -m fffff80225da1234")) > len(
        run_lines(walkthrough, "strings -m TestDriver")
    )


def test_the_result_as_data_has_every_string_with_its_address(walkthrough: Session) -> None:
    result = data(run(walkthrough, f"strings {TEXTS} L60"))
    assert result["strings"][2] == {"address": "0xfffff80225da2050", "text": "Hello, World!", "encoding": "ascii"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("strings", "strings: MODULE or a range is missing"),
        ("strings -a -u -m nt", "strings: -a and -u exclude each other"),
        ("strings -m nt 0", "strings: -m MODULE or a range, not both: '0'"),
        ("strings -n 0 -m nt", "strings: '0' is no number of characters from 1 to 4096"),
        ("strings -n five -m nt", "strings: 'five' is no number of characters from 1 to 4096"),
        ("strings -m 1000", "strings: 0000000000001000 is in no loaded module, and no image begins there"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(walkthrough: Session, text: str, problem: str) -> None:
    with pytest.raises(CommandError) as raised:
        run(walkthrough, text)
    assert str(raised.value) == problem


def test_an_unknown_module_and_a_backward_range_are_errors_of_the_expression(walkthrough: Session) -> None:
    for text in ("strings -m nosuch", "strings 2000 1000"):
        with pytest.raises(ExpressionError):
            run(walkthrough, text)


def test_memory_that_is_not_there_says_why(walkthrough: Session) -> None:
    assert run_lines(walkthrough, "strings 1000 L100") == ["Nothing of it can be read: not present at PXE"]


def test_pages_that_are_missing_in_between_are_passed_over(tmp_path: Path) -> None:
    scene = Scene(19041, {"nt": ("ntoskrnl.exe", 0xFFFFF80370000000)})
    machine = scene.open()
    place = 0xFFFFC00100000000
    for page in range(3):
        machine.put(place + page * 0x1000, f"page {page}!".encode().ljust(0x1000, b"\xff"))
    drop_page(machine, place + 0x1000)
    session = session_for(machine, [], tmp_path)
    assert run_lines(session, f"strings {place:x} L3000") == [f"{place:016x} page 0!", f"{place + 0x2000:016x} page 2!"]


@needs_shared
@pytest.mark.parametrize("name", ["triage_x64", "triage_arm64", "rts_7e_1", "011620-8250-01", "111417-58375-01"])
def test_real_kernels_have_strings_in_what_the_dump_holds_of_them(name: str) -> None:
    lines = run_lines(session_of(name), "strings -m nt")
    assert any(len(line) > 17 and line.startswith("ffff") for line in lines)


@needs_shared
@needs_symbols
def test_the_image_of_the_symbol_path_fills_what_the_dump_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    without = run_lines(session_of("triage_x64"), "strings -m amdppm")
    monkeypatch.setenv("_NT_SYMBOL_PATH", str(SYMBOLS / "store"))
    lines = run_lines(session_of("triage_x64"), "strings -m amdppm")
    assert len(lines) > len(without)
    assert any(line.endswith(" KeWaitForSingleObject") for line in lines)


@needs_shared
def test_a_module_of_which_the_dump_holds_nothing_says_so() -> None:
    (line,) = run_lines(session_of("rts_13a"), "strings -m ks")
    assert line.startswith("Nothing of it can be read: the dump does not hold the image of ks.sys")
