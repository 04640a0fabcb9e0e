"""The d commands on memory with holes; what they print was seen on the engine."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest
from dumpkit.commands.display_formats import FORMATS
from dumpkit.dispatcher import parse_call
from dumpkit.dump import open_dump
from dumpkit.errors import CommandError, DumpkitError, ExpressionError
from dumpkit.output import data
from dumpkit.session import Session

from tests.forge.dump_files import full_dump
from tests.forge.memory import PhysicalPages
from tests.forge.triage import KERNEL_BASE, Block, Driver, TriageFile
from tests.running import failure_text, run, run_lines, session_of, session_on
from tests.shared import needs_shared

PLACE = 0xFFFF900000001000
DATA = bytes(range(0x20, 0x40)) + b"Text\0" + bytes(11) + "wide".encode("utf-16-le") + bytes(8)


def open_blocks(folder: Path, *blocks: Block) -> Session:
    path = folder / "forged.dmp"
    path.write_bytes(TriageFile(blocks=list(blocks)).build())
    return session_on(open_dump(str(path)))


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return open_blocks(tmp_path, Block(PLACE, DATA))


def test_bytes_have_a_dash_in_the_middle_and_their_characters_behind(session: Session) -> None:
    assert run_lines(session, f"db {PLACE:x} L12") == [
        "ffff9000`00001000  20 21 22 23 24 25 26 27-28 29 2a 2b 2c 2d 2e 2f   !\"#$%&'()*+,-./",
        "ffff9000`00001010  30 31                                            01",
    ]


def test_what_cannot_be_read_is_question_marks_up_to_the_first_byte(session: Session) -> None:
    assert run_lines(session, f"db {PLACE - 2:x} L6") == [
        'ffff9000`00000ffe  ?? ?? 20 21 22 23                                ?? !"#'
    ]
    assert run_lines(session, f"dd {PLACE - 6:x} L4") == ["ffff9000`00000ffa  ???????? ???????? 25242322 29282726"]
    assert run_lines(session, f"dps {PLACE - 4:x} L2")[0] == "ffff9000`00000ffc  ????????`????????"


def test_words_numbers_and_pointers_have_their_widths(session: Session) -> None:
    assert run_lines(session, f"dw {PLACE:x} L3") == ["ffff9000`00001000  2120 2322 2524"]
    assert run_lines(session, f"dq {PLACE:x} L3") == [
        "ffff9000`00001000  27262524`23222120 2f2e2d2c`2b2a2928",
        "ffff9000`00001010  37363534`33323130",
    ]
    assert run_lines(session, f"dc {PLACE:x} L2") == [
        "ffff9000`00001000  23222120 27262524                     !\"#$%&'"
    ]


def test_a_string_ends_at_its_zero(session: Session) -> None:
    assert run_lines(session, f"da {PLACE + 0x20:x}") == ['ffff9000`00001020  "Text"']
    assert run_lines(session, f"du {PLACE + 0x30:x}") == ['ffff9000`00001030  "wide"']
    assert run_lines(session, f"da {PLACE + 0x20:x} L2") == ['ffff9000`00001020  "Te"']


def test_a_width_is_set_by_slash_c(session: Session) -> None:
    assert run_lines(session, f"dd /c 1 {PLACE:x} L2") == [
        "ffff9000`00001000  23222120",
        "ffff9000`00001004  27262524",
    ]


def test_without_an_address_it_goes_on_where_the_last_one_ended(session: Session) -> None:
    run(session, f"db {PLACE:x} L8")
    assert run(session, "dw").rows[0].address == PLACE + 8
    run(session, f"dd {PLACE:x} L2")
    again = run(session, "d")
    assert (again.command, again.rows[0].address) == ("dd", PLACE + 8)


def test_pointers_are_followed_to_symbols_values_and_strings(tmp_path: Path) -> None:
    pointers = (KERNEL_BASE + 0x1000).to_bytes(8, "little") + (PLACE + 0x20).to_bytes(8, "little")
    session = open_blocks(tmp_path, Block(PLACE, DATA), Block(PLACE + 0x2000, pointers))
    place = str(session.dump.symbols.nearest(KERNEL_BASE + 0x1000))
    assert run_lines(session, f"dps {PLACE + 0x2000:x} L2") == [
        f"ffff9000`00003000  fffff800`10001000 {place}",
        "ffff9000`00003008  ffff9000`00001020",
    ]
    assert run_lines(session, f"dpa {PLACE + 0x2008:x} L1") == ['ffff9000`00003008  ffff9000`00001020 "Text"']
    assert run_lines(session, f"dpp {PLACE + 0x2008:x} L1") == [
        "ffff9000`00003008  ffff9000`00001020 00000000`74786554"
    ]


def test_a_range_may_end_at_an_address_which_is_shown_too(session: Session) -> None:
    assert run_lines(session, f"db {PLACE:x} {PLACE + 3:x}")[0].startswith("ffff9000`00001000  20 21 22 23  ")


@pytest.mark.parametrize("text", ["db nosuchname", "db 0 L", "db 5 2", "db 0 L99999999999", "dq 10 L2 3", "db )"])
def test_bad_ranges_are_refused_in_the_engines_words(session: Session, text: str) -> None:
    with pytest.raises(ExpressionError):
        run(session, text)


def test_the_last_page_of_the_address_space_is_shown_without_an_overflow(session: Session) -> None:
    assert run_lines(session, "db ffffffff`fffffff8 L10") == [
        "ffffffff`fffffff8  ?? ?? ?? ?? ?? ?? ?? ??-?? ?? ?? ?? ?? ?? ?? ??  ????????????????"
    ]


def test_floats_are_printed_as_the_engine_prints_them(session: Session) -> None:
    assert run_lines(session, f"df {PLACE:x} L1") == ["ffff9000`00001000    8.7890521e-018"]


def test_a_listing_that_would_never_end_is_refused(session: Session) -> None:
    with pytest.raises(CommandError, match="more than can be shown at once"):
        run(session, f"db {PLACE:x} L?{1 << 60:x}")


def test_nothing_is_shown_for_an_empty_range(session: Session) -> None:
    assert run_lines(session, f"db {PLACE:x} L0") == []


def test_a_target_without_registers_still_shows_memory(session: Session) -> None:
    try:
        rows = run(session, f"dq {PLACE:x} L1").rows
    except DumpkitError as error:
        pytest.fail(f"memory needs no registers: {error}")
    assert rows[0].values == (0x2726252423222120,)


def test_physical_memory_has_its_own_commands(tmp_path: Path) -> None:
    memory = PhysicalPages()
    page = memory.allocate()
    memory.write(page * 0x1000, DATA)
    path = tmp_path / "full.dmp"
    path.write_bytes(full_dump(memory, 0x1000))
    session = session_on(open_dump(str(path)))
    assert run_lines(session, f"!dd {page * 0x1000:x} L2") == [f"#{page * 0x1000:8x}  23222120 27262524"]
    assert run(session, "!db").rows[0].address == page * 0x1000 + 8
    assert run_lines(session, "!dq 123456000 L1") == ["#123456000  ????????`????????"]


def test_a_minidump_says_that_it_has_no_physical_memory(session: Session) -> None:
    with pytest.raises(CommandError, match="no physical memory in this triage dump"):
        run(session, "!db 1000")


def pointer(address: int, size: int = 8) -> bytes:
    return (address & ((1 << size * 8) - 1)).to_bytes(size, "little")


def test_a_value_that_is_pointed_to_has_its_symbol_behind_it(tmp_path: Path) -> None:
    session = open_blocks(tmp_path, Block(PLACE, pointer(PLACE + 8) + pointer(KERNEL_BASE + 0x1000)))
    place = str(session.dump.symbols.nearest(KERNEL_BASE + 0x1000))
    shown = f"ffff9000`00001000  ffff9000`00001008 fffff800`10001000 {place}"
    assert run_lines(session, f"dpp {PLACE:x} L1") == [shown]
    assert run_lines(session, f"dqp {PLACE:x} L1") == [shown]
    assert data(run(session, f"dpp {PLACE:x} L1"))["rows"][0]["followed"] == [
        {"value": "0xfffff80010001000", "symbol": place, "text": None}
    ]


@needs_shared
def test_pointers_of_a_real_dump_are_followed_as_the_engine_does() -> None:
    session = session_of("082325-12593-01")
    assert run_lines(session, "dpp /c 2 ffffa401d0ec7960 L4") == [
        "ffffa401`d0ec7960  fffff804`69344030 fffff804`693470a0 ibthfp+0x370a0 fffff804`69332651",
        "ffffa401`d0ec7970  00000000`00000000 ffff9100`d257c180",
    ]
    assert run_lines(session, "dps /c 2 ffffa401d0ec7960 L2") == [
        "ffffa401`d0ec7960  fffff804`69344030 ibthfp+0x34030 fffff804`69332651 ibthfp+0x22651"
    ]
    assert run_lines(session, "dpu ffffa401d0ec7948 L1") == ['ffffa401`d0ec7948  ffffa401`d0ec79b0 ""']


def test_pointers_to_strings_show_empty_ones_and_cut_long_ones_after_55_characters(tmp_path: Path) -> None:
    letters = bytes(0x41 + i % 26 for i in range(60))
    wide = letters.decode().encode("utf-16-le") + bytes(2)
    pointers = pointer(PLACE + 0x100) + pointer(PLACE + 0x200) + pointer(PLACE + 0xF0) + pointer(PLACE + 0x3FC)
    body = pointers.ljust(0x100, b"\0") + letters.ljust(0x100, b"\0") + wide.ljust(0x1FC, b"\0") + b"ABCD"
    session = open_blocks(tmp_path, Block(PLACE, body))
    text = letters[:55].decode()
    assert run_lines(session, f"dpa {PLACE:x} L1") == [f'ffff9000`00001000  ffff9000`00001100 "{text}"']
    assert run_lines(session, f"dpu {PLACE + 8:x} L1") == [f'ffff9000`00001008  ffff9000`00001200 "{text}"']
    assert [run_lines(session, f"{name} {PLACE + 16:x} L1")[0] for name in ("dpa", "dpu")] == [
        'ffff9000`00001010  ffff9000`000010f0 ""'
    ] * 2
    assert run_lines(session, f"dpa {PLACE + 24:x} L1")[0].endswith(f'"ABCD{"?" * 51}"')


def test_letters_of_latin_1_are_shown_in_utf_16_only(tmp_path: Path) -> None:
    text = 'h\u00e9\u4e2d\x01\x80\ud7ff\ud800x"\n\ty'.encode("utf-16-le", "surrogatepass")
    session = open_blocks(tmp_path, Block(PLACE, text + bytes(2) + b"hi\xe9\0"))
    assert run_lines(session, f"du {PLACE:x}") == ['ffff9000`00001000  "h\u00e9\u4e2d....x"..y"']
    assert run_lines(session, f"da {PLACE + len(text) + 2:x}")[0].endswith('"hi."')


def test_pointers_of_32_bits_are_extended_by_their_sign_and_followed_to_eight_bytes(tmp_path: Path) -> None:
    low = b"LOW text\0".ljust(16, b"\0") + bytes.fromhex("0010008044332211") + "wlow".encode("utf-16-le") + bytes(8)
    high = b"HIGH text\0".ljust(16, b"\0")
    pointers = b"".join(pointer(value, 4) for value in (0x410000, 0x90000000, 0x410018, 0xFFFFFFF0, 0x80001000))
    driver = Driver(0xFFFFFFFF80000000, 0x10000, "high.sys")
    path = tmp_path / "forged.dmp"
    blocks = [Block(0x410000, low), Block(PLACE, pointers), Block(0xFFFFFFFF90000000, high)]
    path.write_bytes(TriageFile(drivers=(*TriageFile().drivers, driver), blocks=blocks).build())
    session = session_on(open_dump(str(path)))
    assert run_lines(session, f"dda {PLACE:x} L4") == [
        'ffff9000`00001000  00410000 "LOW text"',
        'ffff9000`00001004  90000000 "HIGH text"',
        'ffff9000`00001008  00410018 "w"',
        "ffff9000`0000100c  fffffff0",
    ]
    assert run_lines(session, f"ddu {PLACE + 8:x} L1") == ['ffff9000`00001008  00410018 "wlow"']
    assert run_lines(session, f"ddp /c 2 {PLACE:x} L2") == [
        "ffff9000`00001000  00410000 74786574`20574f4c 90000000 78657420`48474948"
    ]
    assert run_lines(session, f"dds {PLACE + 16:x} L1") == ["ffff9000`00001010  80001000 high+0x1000"]


@pytest.mark.parametrize("name", ["du", "d", "da", "df", "dps", "dpp", "dds", "ext.da"])
def test_an_extension_of_the_name_does_not_run_the_command_for_virtual_memory(session: Session, name: str) -> None:
    with pytest.raises(CommandError, match=r"No such extension: !\w+; \w+ shows virtual memory, !db .* physical$"):
        run(session, f"!{name} {PLACE:x}")
    assert run(session, f"{name.split('.')[-1]} {PLACE:x} L1").rows


@pytest.mark.parametrize(
    ("text", "caret"), [("db /c 0 1000 L2", 7), ("db /c ffff 1000", 10), ("dd /c0 1000", 6), ("da /z /c 101 0", 12)]
)
def test_a_width_beyond_100_or_of_nothing_is_refused_as_the_engine_does(
    session: Session, text: str, caret: int
) -> None:
    with pytest.raises(ExpressionError) as caught:
        run(session, text)
    column = len(session.prompt) + caret
    assert failure_text(session, caught.value) == f"{' ' * column}^ Illegal column count in '{text}'"
    assert run(session, f"db /c 100 {PLACE:x} L2").rows


def test_an_unknown_option_is_named_and_passed_over(session: Session) -> None:
    assert run_lines(session, f"dd /z /c 1 {PLACE:x} L1") == ["Unknown option 'z'", "ffff9000`00001000  23222120"]
    assert run(session, f"dd /z/Q {PLACE:x} L1").unknown_options == ("z", "Q")


def test_floats_are_numbers_in_data_and_what_json_has_no_number_for_is_text(tmp_path: Path) -> None:
    floats = pack("<4f", 1.5, float("inf"), float("nan"), -2.0)
    session = open_blocks(tmp_path, Block(PLACE, floats + pack("<d", 0.1)))
    row = data(run(session, f"df {PLACE:x} L4"))["rows"][0]
    assert row["numbers"] == [1.5, "1.#INF", "1.#QNAN", -2.0]
    assert row["values"] == ["0x3fc00000", "0x7f800000", "0x7fc00000", "0xc0000000"]
    assert data(run(session, f"dD {PLACE + 16:x} L2"))["rows"][0]["numbers"] == [0.1, None]


def test_the_help_names_no_command_that_does_not_exist(session: Session) -> None:
    assert not [name for name in FORMATS if "`address" in parse_call(name).command.help]
