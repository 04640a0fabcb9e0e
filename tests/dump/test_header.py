"""The dump header: what is decoded, and how files that are no 64-bit kernel dump are refused."""

from __future__ import annotations

from pathlib import Path
from struct import pack_into

import pytest
from dumpkit.dump import header as layout
from dumpkit.dump.header import HEADER_SIZE, parse_header
from dumpkit.errors import DumpFormatError
from hypothesis import given
from hypothesis import strategies as st

from tests.shared import DUMPS, dump, needs_shared


def minimal_header() -> bytearray:
    """A header that says as little as parse_header accepts: every other word is 'PAGE'."""
    data = bytearray(b"PAGE" * (HEADER_SIZE // 4))
    data[4:8] = b"DU64"
    pack_into("<II", data, 0x8, 0xF, 19041)
    pack_into("<III", data, 0x30, 0x8664, 2, 0xD1)
    pack_into("<4Q", data, 0x40, 1, 2, 3, 4)
    pack_into("<I", data, 0xF98, layout.TRIAGE)
    return data


def test_the_plain_fields_are_decoded() -> None:
    data = minimal_header()
    pack_into("<Q", data, 0x10, 0x1AD000)
    pack_into("<Q", data, 0x80, 0xFFFFF80512345678)
    pack_into("<IIQQII2Q", data, 0xF00, 0xC0000005, 0, 0, 0xFFFFF80511111111, 2, 0, 1, 0x10)
    pack_into("<B", data, 0x104D, 0x29)
    data[0x104C], data[0x104E], data[0x104F] = 0, 0, 0
    data[0xFB0:0xFB8] = b"by hand\0"
    header = parse_header(bytes(data))
    assert header.directory_table_base == 0x1AD000
    assert header.kd_debugger_data_block == 0xFFFFF80512345678
    assert header.bugcheck_parameters == (1, 2, 3, 4)
    assert header.comment == "by hand"
    assert header.kd_secondary_version == 0x29
    assert header.exception is not None
    assert header.exception.parameters == (1, 0x10)


def test_a_field_that_the_writer_left_out_is_none() -> None:
    header = parse_header(minimal_header())
    for name in ("directory_table_base", "system_time", "product_type", "kd_secondary_version", "context_record"):
        assert getattr(header, name) is None
    assert header.physical_memory_block is None
    assert header.exception is None
    assert header.comment == ""


def test_an_exception_record_holds_no_more_than_15_parameters() -> None:
    data = minimal_header()
    pack_into("<IIQQI", data, 0xF00, 0xC0000005, 0, 0, 0, 0xFFFFFFFF)
    header = parse_header(data)
    assert header.exception is not None
    assert len(header.exception.parameters) == 15


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"", "the file is empty"),
        (bytes(0x3000), "all zero"),
        (b"PAGEDUMP" + bytes(0x1000), "32-bit kernel dump"),
        (b"MDMP\x93\xa7", "user-mode minidump"),
        (b"Hello there\r\n", "the file is text"),
        ("Version=1".encode("utf-16"), "the file is text"),
        (b"\x14\x20\x28\x01", "Hyper-V saved state"),
        (b"ElfFile\0", "event log"),
        (b"a".ljust(257, b"\0") + b"ustar", "tar archive"),
        (b"\x7fELF\x02", "ELF"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
        (b"MSCF\0\0", "cabinet"),
        (b"HIBR", "hibernation"),
        (b"PAGEPAGE", "'DU64'"),
        (b"\x68\x65\xff\x00\x6f", "68 65 ff 00 6f"),
    ],
)
def test_another_file_is_refused_by_what_it_is(start: bytes, words: str) -> None:
    with pytest.raises(DumpFormatError) as caught:
        parse_header(start)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [8, 0x88, 0xF98, 0x1000, 0x1FFF])
def test_a_truncated_header_is_refused_with_its_size(size: int) -> None:
    with pytest.raises(DumpFormatError, match=f"{size} bytes .* of the 0x2000"):
        parse_header(minimal_header()[:size])


def test_an_unknown_type_is_named_by_its_number() -> None:
    data = minimal_header()
    pack_into("<I", data, 0xF98, 0x2A)
    with pytest.raises(DumpFormatError, match=r"type 42 \(0x2a\)"):
        parse_header(data)


@pytest.mark.parametrize(("offset", "words"), [(0xF98, "dump type"), (0x30, "machine"), (0xC, "minor version")])
def test_a_header_without_an_essential_field_is_refused(offset: int, words: str) -> None:
    data = minimal_header()
    data[offset : offset + 4] = b"PAGE"
    with pytest.raises(DumpFormatError, match=words):
        parse_header(data)


@given(st.binary(max_size=64))
def test_no_bytes_raise_anything_but_a_dump_format_error(start: bytes) -> None:
    with pytest.raises(DumpFormatError):
        parse_header(start)


@given(st.integers(0, HEADER_SIZE - 1), st.integers(0, 7))
def test_a_flipped_bit_gives_a_header_or_one_clear_line(place: int, bit: int) -> None:
    data = minimal_header()
    data[place] ^= 1 << bit
    try:
        header = parse_header(data)
    except DumpFormatError as error:
        assert "\n" not in str(error)
    else:
        assert header.dump_type in layout.DUMP_TYPES


@needs_shared
def test_the_header_of_a_real_triage_dump() -> None:
    header = parse_header(Path(dump("triage_x64")).read_bytes())
    assert (header.minor_version, header.processors, header.machine) == (19041, 16, 0x8664)
    assert header.bugcheck_code == 0x1000007E
    assert header.dump_type == layout.TRIAGE
    assert header.secondary_data_state is None
    assert header.exception is not None
    assert header.exception.code == 0x80000003


@needs_shared
@pytest.mark.parametrize("name", ["all-zero", "empty"])
def test_the_damaged_real_dumps_are_refused(name: str) -> None:
    with pytest.raises(DumpFormatError):
        parse_header((DUMPS / "edge" / f"{name}.dmp").read_bytes())
