"""KDDEBUGGER_DATA64: its members by name, and blocks that are too short, encoded or damaged."""

from __future__ import annotations

import pytest
from dumpkit.errors import DumpFormatError, DumpkitError, MemoryReadError
from dumpkit.kernel.debugger_data import DebuggerData, members, read_debugger_data

from tests.flat_memory import FlatMemory
from tests.forge import debugger_data as forge

ADDRESS = 0xFFFFF80012300B20


def test_the_table_agrees_with_the_places_that_the_writer_knows() -> None:
    sizes = {"<H": 2, "<Q": 8}
    for name, (offset, layout) in forge.MEMBERS.items():
        assert members()[name] == (offset, sizes[layout])


def test_no_two_members_share_a_place() -> None:
    places = sorted(members().values())
    assert all(offset + size <= following for (offset, size), (following, _) in zip(places, places[1:]))


def test_members_are_read_by_their_names_in_the_header_file() -> None:
    data = DebuggerData(forge.build_debugger_data(KernBase=ADDRESS, OffsetPrcbNumber=0x24))
    assert data["KernBase"] == ADDRESS
    assert data["OffsetPrcbNumber"] == 0x24
    assert data.require("KernBase") == ADDRESS
    with pytest.raises(KeyError):
        data["NoSuchMember"]


def test_a_member_that_this_windows_does_not_have_is_none() -> None:
    data = DebuggerData(forge.build_debugger_data(size=0x338, KernBase=ADDRESS))
    assert data["PteBase"] is None
    assert data["EtwpDebuggerData"] == 0
    assert "PteBase" not in list(data)
    with pytest.raises(DumpkitError, match="PteBase"):
        data.require("PteBase")


def test_a_member_of_zero_is_not_enough_where_it_is_required() -> None:
    with pytest.raises(DumpkitError, match="NtBuildLab"):
        DebuggerData(forge.build_debugger_data()).require("NtBuildLab")


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (b"", "0 bytes"),
        (bytes(0x17), "23 bytes"),
        (forge.build_debugger_data(tag=b"\x12\x34\x56\x78"), "no 'KDBG' tag"),
        (forge.build_debugger_data().replace(b"KDBG\x80\x03", b"KDBG\x00\x00"), "size of 0x0"),
        (forge.build_debugger_data().replace(b"KDBG\x80\x03\0\0", b"KDBG\xff\xff\xff\xff"), "size of 0xffffffff"),
    ],
)
def test_what_is_no_whole_block_is_refused_with_the_reason(block: bytes, words: str) -> None:
    with pytest.raises(DumpFormatError, match=words):
        DebuggerData(block)


def test_a_block_is_read_from_memory_in_its_own_size() -> None:
    memory = FlatMemory({ADDRESS: forge.build_debugger_data(KernBase=1) + b"more"})
    assert len(read_debugger_data(memory, ADDRESS).block) == forge.SIZE


def test_a_block_whose_end_is_missing_gives_the_members_before_it() -> None:
    memory = FlatMemory({ADDRESS: forge.build_debugger_data(KernBase=1)[:0x100]})
    data = read_debugger_data(memory, ADDRESS)
    assert data["KernBase"] == 1
    assert data["KiProcessorBlock"] is None


def test_a_block_that_is_not_in_memory_is_a_read_error() -> None:
    with pytest.raises(MemoryReadError):
        read_debugger_data(FlatMemory({}), ADDRESS)
