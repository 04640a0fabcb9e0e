"""Tagged data behind a dump: pieces by GUID, and where damage ends them."""

from __future__ import annotations

from struct import pack

from dumpkit.dump.tagged import tagged_data
from hypothesis import given
from hypothesis import strategies as st

GUID = bytes.fromhex("8f005cbc3a1ed744988d86f6884c6758")
GUID_TEXT = "bc5c008f-1e3a-44d7-988d-86f6884c6758"


def piece(data: bytes, before: int = 0, after: int = 0, size: int = 0x20) -> bytes:
    return pack("<I16sIII", size, GUID, len(data), before, after) + bytes(before) + data + bytes(after)


def file_of(*pieces: bytes, start: bytes = b"") -> bytes:
    return start + b"DumpBlob" + pack("<II", 0x10, 0xF0004A61) + b"".join(pieces)


def test_a_piece_has_its_guid_place_and_size() -> None:
    data = file_of(piece(b"first", 3, 3), piece(b"second"), start=b"12345")
    blobs, notes = tagged_data(data, 5)
    assert notes == []
    assert [blob.guid for blob in blobs] == [GUID_TEXT, GUID_TEXT]
    assert [data[blob.offset : blob.offset + blob.size] for blob in blobs] == [b"first", b"second"]


def test_a_piece_without_data_counts() -> None:
    blobs, notes = tagged_data(file_of(piece(b"")), 0)
    assert (len(blobs), blobs[0].size, notes) == (1, 0, [])


def test_where_no_tagged_data_begins_there_is_none() -> None:
    assert tagged_data(b"", 0) == ([], [])
    assert tagged_data(b"x" * 100, 0) == ([], [])
    assert tagged_data(file_of(piece(b"a")), 5000) == ([], [])


def test_an_empty_header_ends_the_pieces() -> None:
    blobs, notes = tagged_data(file_of(piece(b"data"), bytes(0x100)), 0)
    assert (len(blobs), notes) == (1, [])


def test_a_cut_piece_says_how_much_of_it_is_there() -> None:
    blobs, notes = tagged_data(file_of(piece(b"0123456789"))[:-4], 0)
    assert (blobs[0].size, blobs[0].available) == (10, 6)
    assert notes == [f"The tagged data is cut: its piece {{{GUID_TEXT}}} has 6 of 10 bytes."]


def test_a_damaged_header_ends_the_pieces_with_a_note() -> None:
    data = file_of(piece(b"good"), piece(b"bad", size=0xFFFFFFFF))
    blobs, notes = tagged_data(data, 0)
    assert len(blobs) == 1
    assert "damaged behind its piece 1" in notes[0]
    blobs, notes = tagged_data(b"DumpBlob" + pack("<II", 0xFFFFFF00, 0) + bytes(64), 0)
    assert (blobs, len(notes)) == ([], 1)


@given(st.binary(max_size=200), st.integers(0, 250))
def test_no_bytes_make_it_fail(data: bytes, offset: int) -> None:
    blobs, notes = tagged_data(file_of(data), offset)
    assert len(blobs) <= 10
    assert all("\n" not in note for note in notes)
