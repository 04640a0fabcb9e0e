"""The tables of a triage dump: modules, memory pieces, the crashed processor; and what damage to them costs."""

from __future__ import annotations

from struct import pack_into
from typing import List

import pytest
from dumpkit.dump.header import HEADER_SIZE, parse_header
from dumpkit.dump.triage import PRCB_ADDRESS, TABLES_END, TriageDump

from tests.forge.triage import DEBUGGER_DATA, KERNEL_BASE, PROCESS, STACK, THREAD, Block, Driver, TriageFile, Unloaded

DRIVERS = (
    Driver(KERNEL_BASE, 0x1000000, "\\SystemRoot\\system32\\ntoskrnl.exe", 0x11111111, 0xA1),
    Driver(KERNEL_BASE + 0x2000000, 0x7000, "\\SystemRoot\\System32\\drivers\\storport.sys", 0x22222222, 0xB2),
)


def triage_of(data: bytes) -> TriageDump:
    return TriageDump(parse_header(data), data)


def patched(data: bytes, place: int, value: int) -> bytes:
    """The dump with another 32-bit word in its triage tables."""
    changed = bytearray(data)
    pack_into("<I", changed, HEADER_SIZE + place, value)
    return bytes(changed)


def test_the_drivers_come_in_the_order_of_the_file() -> None:
    images = triage_of(TriageFile(drivers=DRIVERS).build()).drivers()
    assert [(i.base, i.size, i.path, i.timestamp, i.checksum) for i in images] == list(DRIVERS)


def test_unloaded_drivers_have_names_of_twelve_characters_at_most() -> None:
    unloaded = (Unloaded(0x1000, 0x2000, "short.sys"), Unloaded(0x3000, 0x5000, "dump_storport.sys"))
    modules = triage_of(TriageFile(unloaded=unloaded).build()).unloaded_modules()
    assert [(m.base, m.end, m.name) for m in modules] == [
        (0x1000, 0x2000, "short.sys"),
        (0x3000, 0x5000, "dump_storpor"),
    ]


def test_what_stands_behind_an_unloaded_name_is_no_part_of_it() -> None:
    data = bytearray(TriageFile(unloaded=(Unloaded(0x1000, 0x2000, "monitor.sys"),)).build())
    place = data.index("monitor.sys".encode("utf-16-le")) + 22
    data[place : place + 2] = b"\x04\0"
    assert triage_of(bytes(data)).unloaded_modules()[0].name == "monitor.sys"


def test_the_crashed_processor_tells_its_number_thread_and_process() -> None:
    triage = triage_of(TriageFile(processors=8, processor=5).build())
    assert (triage.processor, triage.thread, triage.process) == (5, THREAD, PROCESS)


def test_every_area_is_a_piece_of_memory_where_the_engine_shows_it() -> None:
    triage = triage_of(TriageFile(blocks=(Block(0xFFFF900000000003, b"abc"),)).build())
    starts = [start for start, _, _ in triage.extents()]
    assert starts == [DEBUGGER_DATA, THREAD, PROCESS, PRCB_ADDRESS, 0xFFFF900000000003, STACK]


def test_a_data_page_counts_only_where_the_header_announces_it() -> None:
    page = Block(0xFFFF910000000000, b"p" * 0x1000)
    data = TriageFile(data_page=page).build()
    assert page.address in [start for start, _, _ in triage_of(data).extents()]
    silent = TriageFile(data_page=page, header={"mini_dump_fields": 0xDFF}).build()
    assert page.address not in [start for start, _, _ in triage_of(silent).extents()]


def test_data_blocks_count_only_where_the_header_announces_them() -> None:
    data = TriageFile(blocks=(Block(0xFFFF900000000000, b"abc"),), header={"mini_dump_fields": 0x5FF}).build()
    assert triage_of(data).data_blocks() == []
    assert triage_of(data).lost_blocks() == 0


def test_a_block_that_the_file_cuts_keeps_its_beginning_and_is_counted_as_lost() -> None:
    data = bytearray(TriageFile(blocks=(Block(0xFFFF900000000000, b"0123456789"), Block(0x1000, b"x"))).build())
    triage = triage_of(bytes(data))
    table = triage.tables.data_blocks_offset
    pack_into("<II", data, table + 8, len(data) - 4, 10)
    pack_into("<II", data, table + 0x18, len(data) + 5, 10)
    triage = triage_of(bytes(data))
    assert [(start, end) for start, end, _ in triage.data_blocks()] == [(0xFFFF900000000000, 0xFFFF900000000004)]
    assert triage.lost_blocks() == 2


def test_a_block_ends_where_the_address_space_ends() -> None:
    data = TriageFile(blocks=(Block(0xFFFFFFFFFFFFFFFE, b"abcdef"),)).build()
    assert triage_of(data).data_blocks()[0][1] == 1 << 64


@pytest.mark.parametrize("place", [0x34, 0x7C])
def test_an_impossible_count_is_bounded_by_the_file(place: int) -> None:
    triage = triage_of(patched(TriageFile(drivers=DRIVERS, blocks=(Block(0x1000, b"x"),)).build(), place, 0xFFFFFFFF))
    assert len(triage.drivers()) < 1000
    assert len(triage.data_blocks()) < 1000
    if place == 0x34:
        assert any("of 4294967295 loaded modules" in note for note in triage.notes)
    else:
        assert triage.lost_blocks() > 1_000_000


def test_a_name_outside_the_file_is_noted_and_the_driver_kept() -> None:
    data = bytearray(TriageFile(drivers=DRIVERS).build())
    pack_into("<I", data, triage_of(bytes(data)).tables.driver_list_offset + 0x90, 0xFFFFFF00)
    triage = triage_of(bytes(data))
    assert [image.path for image in triage.drivers()] == [DRIVERS[0].name, ""]
    assert triage.notes == ["The names of 1 of 2 loaded modules are missing."]


def test_a_truncated_file_says_how_many_bytes_are_missing() -> None:
    whole = TriageFile(drivers=DRIVERS).build()
    triage = triage_of(whole[:-100])
    assert triage.notes[0] == (
        f"The dump file is truncated: {len(whole) - 100} of its {len(whole)} bytes are there (100 bytes are missing)."
    )


def test_a_file_that_ends_within_the_tables_still_gives_a_dump() -> None:
    triage = triage_of(TriageFile().build()[: TABLES_END - 8])
    assert triage.drivers() == []
    assert triage.extents() == []
    assert "within the tables" in triage.notes[0]


def test_a_missing_end_mark_is_noted() -> None:
    data = TriageFile().build().replace(b"TRGD", b"\0\0\0\0")
    assert any("TRGD" in note for note in triage_of(data).notes)


@pytest.mark.parametrize("tag", [b"\0\0\0\0", b"\x9a\x11\x7e\x02"])
def test_lost_debugger_data_is_noted_and_costs_what_needs_it(tag: bytes) -> None:
    triage = triage_of(TriageFile(drivers=DRIVERS).build().replace(b"KDBG", tag))
    assert triage.debugger_data is None
    assert triage.processor is None
    assert [start for start, _, _ in triage.extents()] == [STACK]
    assert len(triage.drivers()) == 2
    assert any("debugger data block" in note for note in triage.notes)


def test_a_dump_without_debugger_data_says_what_cannot_be_told() -> None:
    notes: List[str] = triage_of(TriageFile(debugger_data=None).build()).notes
    assert notes == ["The dump has no debugger data block: processor, thread and process cannot be told."]
