"""`pool`: its text, on forged pools and on the example."""

from __future__ import annotations

import json
from pathlib import Path
from typing import List

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import CommandError, DumpkitError, SymbolError
from dumpkit.output import data
from dumpkit.session import Session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.forge.pool import (
    NON_PAGED_NX,
    PAGED,
    PAGED_TYPE,
    SPECIAL_NODE,
    Block,
    classic_page,
    set_tag_counts,
    special_page,
)
from tests.kernel.pool.lab import (
    NONPAGED,
    OTHER,
    PAGED_AREA,
    SPECIAL_AREA,
    TAG_COUNTS,
    ClassicLab,
    HeapLab,
    mapped_pages,
)
from tests.running import run, run_lines, session_of, session_on
from tests.shared import needs_shared, needs_symbols

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "pool-0x13a"
UNKNOWN = "\t\tOwning component : Unknown (update pooltag.txt)"


@pytest.fixture(params=(19041, 22621))
def lab(request) -> HeapLab:
    return HeapLab(request.param)


@pytest.fixture(scope="module")
def example() -> Session:
    return session_on(open_dump(str(EXAMPLE / "MEMORY.DMP"), symbol_path=str(EXAMPLE / "symbols")))


def lines(lab, text: str) -> List[str]:
    return run_lines(session_on(lab.target), text)


# --- The texts of public transcripts ----------------------------------------------------


def test_prototype_ptes_are_shown_as_in_the_transcript(example):
    assert run_lines(example, "!pool ffffe2809abee000") == [
        "Pool page ffffe2809abee000 region is Paged pool",
        "*ffffe2809abee000 size:  880 previous size:    0  (Allocated) *MmSt",
        "\t\tPooltag MmSt : Mm section object prototype ptes, Binary : nt!mm",
        ' ffffe2809abee880 size:  760 previous size:    0  (Free)       .r."',
    ]


def test_an_allocation_of_pages_is_shown_as_in_the_transcript(example):
    assert run_lines(example, "!pool ffffc986cb6f2000") == [
        "Pool page ffffc986cb6f2000 region is Paged pool",
        "*ffffc986cb6f2000 : large page allocation, tag is V2lg, size is 0x4000 bytes",
        UNKNOWN,
    ]


def test_special_pool_is_shown_as_in_the_transcript(example):
    assert run_lines(example, "!pool ffffb98851f06b10") == [
        "Pool page ffffb98851f06b10 region is Special pool",
        "*ffffb98851f06000 size:  4f0 data: ffffb98851f06b10 (NonPaged) *Scbf",
        "\t\tPooltag Scbf : Mass storage driver tags",
    ]


@pytest.mark.parametrize("make", [HeapLab, ClassicLab])
def test_what_is_no_pool_is_shown_as_in_the_walkthrough(make):
    assert lines(make(), "!pool ffff80091002ac08") == [
        "Pool page ffff80091002ac08 region is Unknown",
        "ffff80091002a000 is not a valid large pool allocation, checking large session pool...",
        "Unable to read large session pool table (Session data is not present in mini and kernel-only dumps)",
        "ffff80091002a000 is not valid pool. Checking for freed (or corrupt) pool",
        "Address ffff80091002a000 could not be read. It may be a freed, invalid or paged out page",
    ]


def test_a_free_chunk_of_many_pages_is_shown_as_in_the_transcript(lab):
    vs = lab.pool.segment(PAGED, PAGED_AREA).vs(16)
    vs.allocate(0x100, "Aaaa")
    vs.fill()
    free = vs.free(0x8020)
    tag = lab.machine.read(free + 4, 4)
    shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in tag)
    assert lines(lab, f"pool {free + 0x3456:x}")[1:3] == [
        f"*{free:016x} size: 8020 previous size:    0  (Free)      *{shown}",
        UNKNOWN,
    ]


def test_a_full_dump_has_its_session_pools_elsewhere():
    lab = HeapLab()
    lab.target.kind = "full memory dump"
    assert not any("large session pool table" in line for line in lines(lab, f"pool {OTHER:x}"))


# --- Flags --------------------------------------------------------------------------------


def test_flag_1_shows_contents_as_the_documentation_does():
    lab = HeapLab()
    vs = lab.pool.segment(PAGED, PAGED_AREA).vs(4)
    header = vs.allocate(0x40, "MmDT", PAGED_TYPE)
    lab.machine.put(header + 0x10, bytes(range(0x20)))
    assert lines(lab, f"pool {header:x} 1")[1:6] == [
        f"*{header:016x} size:   40 previous size:    0  (Allocated) *MmDT",
        UNKNOWN,
        f" {header + 0x10:016x}  03020100 07060504 0b0a0908 0f0e0d0c",
        f"    {header + 0x20:016x}  13121110 17161514 1b1a1918 1f1e1d1c",
        "",
    ]


def test_contents_that_are_not_there_are_question_marks():
    lab = HeapLab()
    vs = lab.pool.segment(PAGED, PAGED_AREA).vs(4)
    vs.fill(0x20)
    header = vs.allocate(0x40, "Cros", PAGED_TYPE)
    lab.target.lose(header + 0x10)
    shown = lines(lab, f"pool {header:x} 1")
    assert f" {header + 0x10:016x}  ???????? ???????? ???????? ????????" in shown


def test_flag_2_shows_only_the_block_that_was_asked_for(example):
    assert run_lines(example, "pool ffffe2809abee010 2") == [
        "Pool page ffffe2809abee010 region is Paged pool",
        "*ffffe2809abee000 size:  880 previous size:    0  (Allocated) *MmSt",
        "\t\tPooltag MmSt : Mm section object prototype ptes, Binary : nt!mm",
    ]


def test_flag_80000000_describes_neither_region_nor_tag(example):
    assert run_lines(example, "pool ffffe2809abee000 80000002") == [
        "*ffffe2809abee000 size:  880 previous size:    0  (Allocated) *MmSt"
    ]


# --- Blocks ---------------------------------------------------------------------------------


def test_quota_and_protection_stand_behind_the_tag(lab):
    vs = lab.pool.segment(PAGED, PAGED_AREA).vs(4)
    header = vs.allocate(0x100, "Obj\xf4", PAGED_TYPE, process=0xFFFFA08F31337080)
    assert lines(lab, f"pool {header:x} 2")[1] == (
        f"*{header:016x} size:  100 previous size:    0  (Allocated) *Objt Process: ffffa08f31337080 (Protected)"
    )


def test_the_damaged_header_of_the_example_is_named(example):
    chunk = 0xFFFFA08F24002360
    assert run_lines(example, f"pool {chunk:x}")[3:6] == [
        f"*{chunk:016x} size:  310 previous size:    0  (Corrupt)   *....",
        f"    {chunk:016x}: its header is damaged; the next header confirms its size",
        ' ffffa08f24002670 size:   60 previous size:    0  (Free)       .0."',
    ]


def test_free_memory_of_a_heap_is_told(lab):
    lab.pool.segment(NON_PAGED_NX, NONPAGED).vs(4)
    heap = lab.pool.heap(NON_PAGED_NX).address
    shown = lines(lab, f"pool {NONPAGED + 0x80000:x}")
    assert shown[4] == f"{NONPAGED + 0x80000:016x} is free memory of the NonPagedNx pool's heap {heap:016x}"


def test_a_block_in_a_lookaside_list_is_told(lab):
    vs = lab.pool.segment(NON_PAGED_NX, NONPAGED).vs(4)
    data_address = vs.allocate(0x400, "Kept") + 0x10
    lab.pool.keep([data_address])
    assert lines(lab, f"pool {data_address:x}")[-1] == (
        f"{data_address:016x} was freed: a lookaside list keeps its block"
    )


def test_freed_special_pool_is_told(lab):
    page = SPECIAL_AREA & -0x100000
    lab.pool.segment(NON_PAGED_NX, page, node=SPECIAL_NODE).range(1, 3)
    assert lines(lab, f"pool {page + 0x9123:x}")[:3] == [
        f"Pool page {page + 0x9123:016x} region is Special pool",
        f"{page + 0x9000:016x}: Unable to get contents of special pool block",
        f"{page + 0x9000:016x} is freed special pool",
    ]


def test_an_overrun_of_special_pool_is_told(lab):
    page = lab.pool.segment(NON_PAGED_NX, SPECIAL_AREA & -0x100000, node=SPECIAL_NODE).range(1, 3)
    place = special_page(lab.machine, page, 0x4E9, "Over")
    lab.machine.put(place + 0x4E9, b"X")
    assert lines(lab, f"pool {place:x}")[-1] == f"{page:016x}: bytes behind its data were overwritten"


def test_memory_that_only_looks_like_pool_is_called_possible():
    lab = HeapLab()
    vs = lab.pool.segment(NON_PAGED_NX, NONPAGED).vs(4)
    header = vs.allocate(0x180, "Good")
    for variable in ("RtlpHpHeapGlobals", "MiVisibleState"):
        lab.target.lose(lab.machine.address(variable))
    lab.target.lose(NONPAGED)
    lab.pool.track(NONPAGED, 0)
    assert lines(lab, f"pool {header + 0x50:x}")[-1] == (
        f"Possibly {header:016x} size:  180 Good (a POOL_HEADER that fits; nothing confirms it)"
    )


def test_what_another_part_of_the_kernel_has_is_said_to_be_its():
    example = session_on(open_dump(str(EXAMPLE / "MEMORY.DMP")))
    stack = example.context["rsp"]
    assert run_lines(example, f"pool {stack:x}")[-1] == f"{stack:016x} is in system address space of type KernelStacks"
    assert run_lines(example, "pool nt")[-1].endswith("is in the image of ntoskrnl.exe")


def test_memory_that_a_heap_keeps_for_itself_is_no_block(lab):
    place = lab.pool.segment(NON_PAGED_NX, NONPAGED).range(2, 0x7)
    assert f"{place:016x}: memory that the heap keeps for itself" in lines(lab, f"pool {place:x}")


def test_without_an_address_the_heaps_are_listed(lab):
    lab.pool.heap(NON_PAGED_NX)
    lab.pool.heap(PAGED, node=1)
    assert [line.split()[1:] for line in lines(lab, "pool")] == [["NonPagedNx", "node", "0"], ["Paged", "node", "1"]]
    with pytest.raises(CommandError, match="no segment heaps to list"):
        lines(ClassicLab(), "pool")


def test_a_kernel_without_symbols_is_one_line(lab):
    lab.target.symbols.without.add("_POOL_HEADER")
    with pytest.raises(SymbolError, match="_POOL_HEADER is not known"):
        lines(lab, f"pool {OTHER:x}")


def test_the_result_is_data(example):
    found = data(run(example, "pool ffffe2809abee020"))
    assert found["allocation"]["tag"] == "MmSt" and found["allocation"]["heap_kind"] == "MmSt"
    assert found["allocation"]["evidence"][0].startswith("_MI_VISIBLE_STATE.SystemVaType[")
    assert [block["size"] for block in found["blocks"]] == [0x880, 0x760]
    json.dumps(found)


# --- Classic pages ------------------------------------------------------------------------------


def test_a_classic_page_is_shown_as_the_documentation_does():
    lab = ClassicLab()
    blocks = [Block(0x40, "MmDT"), Block(0x100, "Mm  ", False), Block(0x7C0, "ObDi"), Block(0x700, "Symt")]
    places = classic_page(lab.machine, PAGED_AREA, blocks, PAGED_TYPE)
    assert lines(lab, f"pool {places[2] + 0x20:x}") == [
        f"Pool page {places[2] + 0x20:016x} region is Paged pool",
        f" {places[0]:016x} size:   40 previous size:    0  (Allocated)  MmDT",
        f" {places[1]:016x} size:  100 previous size:   40  (Free)       Mm  ",
        f"*{places[2]:016x} size:  7c0 previous size:  100  (Allocated) *ObDi",
        UNKNOWN,
        f" {places[3]:016x} size:  700 previous size:  7c0  (Allocated)  Symt",
    ]


@pytest.mark.parametrize(
    "member, value, words",
    [
        ("PreviousSize", 0x41, "Bad previous allocation size @{:016x}, last size was 10"),
        ("BlockSize", 0, "Bad allocation size @{:016x}, zero is invalid"),
        ("BlockSize", 0xFF, "Bad allocation size @{:016x}, too large"),
    ],
)
def test_a_damaged_classic_page_says_so(member, value, words):
    lab = ClassicLab()
    blocks = [Block(0x100, "Aaaa"), Block(0x800, "Bbbb"), Block(0x700, "Cccc")]
    places = classic_page(lab.machine, PAGED_AREA, blocks)
    lab.machine.view("_POOL_HEADER", places[1])[member] = value
    shown = lines(lab, f"pool {places[0]:x}")
    assert words.format(places[1]) in shown
    assert f"*** Use !poolval {PAGED_AREA:016x} for more details." in shown
    assert f" {places[2]:016x} size:  700 previous size:  800  (Allocated)  Cccc" in shown


def test_a_page_of_zeros_is_corrupt_from_its_start():
    lab = ClassicLab()
    lab.machine.put(PAGED_AREA, bytes(0x1000))
    shown = lines(lab, f"pool {PAGED_AREA + 0x10:x}")
    assert shown[3:5] == [
        f"{PAGED_AREA:016x} is not valid pool. Checking for freed (or corrupt) pool",
        f"Bad allocation size @{PAGED_AREA:016x}, zero is invalid",
    ]


# --- Damage ------------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sets(st.integers(0, 99), max_size=30),
    st.lists(st.tuples(st.integers(0, 99), st.binary(max_size=64)), max_size=6),
)
def test_whatever_is_missing_or_damaged_every_command_ends_with_text_or_one_error(lost, junk):
    lab = HeapLab()
    vs = lab.pool.segment(NON_PAGED_NX, NONPAGED).vs(8)
    header = vs.allocate(0x300, "Good")
    places = lab.pool.segment(PAGED, PAGED_AREA).lfh(1, 0x60, ["CM31", None], PAGED_TYPE)
    lab.pool.large(PAGED, 0xFFFFD80120000000, 0x14000, "V2lg", PAGED_TYPE)
    special = lab.pool.segment(NON_PAGED_NX, SPECIAL_AREA & -0x100000, node=SPECIAL_NODE).range(1, 3)
    special_page(lab.machine, special, 0x4F0, "Scbf")
    set_tag_counts(lab.machine, TAG_COUNTS)
    pages = mapped_pages(lab)
    for number, data_bytes in junk:
        lab.machine.put(pages[number * len(pages) // 100] + number * 32, data_bytes)
    for number in lost:
        lab.target.lose(pages[number * len(pages) // 100])
    session = session_on(lab.target)
    addresses = [f"{place:x}" for place in (header, places[0], 0xFFFFD80120000000, special, OTHER)]
    commands = [f"{name} {place}" for name in ("pool", "poolval", "address") for place in addresses]
    for text in (*commands, "pool", "poolused", "poolfind * 0", "poolfind * 1", "poolfind * 2", "vm 21", "address"):
        try:
            assert run_lines(session, text)
        except DumpkitError as error:
            assert "\n" not in str(error)


# --- Real dumps --------------------------------------------------------------------------------------


@needs_shared
@needs_symbols
@pytest.mark.slow
def test_file_objects_of_a_real_minidump_are_found_by_their_headers():
    from tests.shared import SYMBOLS, dump

    session = session_on(open_dump(dump("100623-6156-01"), symbol_path=str(SYMBOLS / "isf")))
    found = run(session, "poolfind File")
    assert len(found.allocations) == 5 and {each.size for each in found.allocations} == {0x190}
    likely = run(session, f"pool {found.allocations[0].address + 0x60:x}").likely
    assert likely is not None and (likely.header, likely.tag) == (found.allocations[0].address, "File")


@needs_shared
@pytest.mark.parametrize("name", ["111417-58375-01", "011620-8250-01", "rts_13a", "triage_arm64"])
def test_real_dumps_without_symbols_say_so_in_one_line(name):
    with pytest.raises(SymbolError, match="_POOL_HEADER"):
        run_lines(session_of(name), "pool ffff800012345678")
