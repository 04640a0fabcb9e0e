"""Cabinets and LZX: made ones, checked against cabextract and gcab where these are installed."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
import tracemalloc
from pathlib import Path
from struct import pack_into
from typing import Dict, List, Tuple

import pytest
from dumpkit.errors import SymbolError
from dumpkit.symbols.cabinet import Cabinet, unpack_file
from dumpkit.symbols.lzx import LzxDecoder
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.forge.cabinet import ALIGNED, MSZIP, STORED, UNCOMPRESSED, VERBATIM, cabinet, lzx

ALL_KINDS = [(VERBATIM, 40001), (UNCOMPRESSED, 777), (ALIGNED, 32768), (UNCOMPRESSED, 70001), (VERBATIM, 5)]

needs_cabextract = pytest.mark.skipif(not shutil.which("cabextract"), reason="cabextract, the oracle, is not installed")
needs_gcab = pytest.mark.skipif(not shutil.which("gcab"), reason="gcab, the oracle, is not installed")


def text_like(size: int, seed: int = 1) -> bytes:
    """Bytes with matches near and far, literals, and calls as x86 code has them."""
    source = random.Random(seed)
    words = [source.randbytes(source.randint(2, 12)) for _ in range(300)]
    output = bytearray()
    while len(output) < size:
        output += source.choice(words)
        if source.random() < 0.05:
            output += b"\xe8" + source.randrange(-5000, 5000).to_bytes(4, "little", signed=True)
        if source.random() < 0.01:
            output += bytes([source.randrange(256)]) * source.randint(1, 600)
    return bytes(output[:size])


def unpack(data: bytes, name: str = "made.pdb", limit: int = 1 << 30) -> bytes:
    output = io.BytesIO()
    opened = Cabinet(io.BytesIO(data), "made.pd_")
    opened.extract(opened.find(name), output, limit)
    return output.getvalue()


@pytest.mark.parametrize("compression", [STORED, MSZIP, *(lzx(bits) for bits in range(15, 22))])
def test_every_compression_gives_the_file_back(compression):
    data = text_like(90000)
    assert unpack(cabinet([("made.pdb", data)], compression)) == data


@pytest.mark.parametrize("size", [0, 1, 10, 0x7FFF, 0x8000, 0x8001, 0x10000])
@pytest.mark.parametrize("compression", [STORED, MSZIP, lzx(15)])
def test_every_size_around_the_ends_of_blocks_is_right(compression, size):
    data = text_like(size)
    assert unpack(cabinet([("made.pdb", data)], compression)) == data


def test_lzx_blocks_of_every_kind_follow_one_another_across_frames():
    data = text_like(200_000)
    assert unpack(cabinet([("made.pdb", data)], lzx(16), blocks=ALL_KINDS)) == data


def test_lzx_calls_are_made_relative_again():
    data = text_like(100_000)
    packed = cabinet([("made.pdb", data)], lzx(17), blocks=ALL_KINDS, e8_size=80_000)
    assert unpack(packed) == data
    assert unpack(cabinet([("made.pdb", data[:9])], lzx(17), e8_size=80_000)) == data[:9]


def test_data_that_does_not_compress_is_right_too():
    data = random.Random(3).randbytes(70_000)
    for compression in (MSZIP, lzx(15)):
        assert unpack(cabinet([("made.pdb", data)], compression)) == data


def test_reserved_areas_are_stepped_over():
    data = text_like(70_000)
    assert unpack(cabinet([("made.pdb", data)], MSZIP, reserve=(20, 3, 7))) == data


def test_a_file_is_found_by_its_name_in_any_case_among_several():
    files = [("a.txt", text_like(40_000, 1)), ("MADE.PDB", text_like(50_000, 2)), ("b.txt", b"end")]
    for compression in (STORED, MSZIP, lzx(18)):
        assert unpack(cabinet(files, compression)) == files[1][1]
        assert unpack(cabinet(files, compression), "b.txt") == b"end"


def test_the_only_file_is_taken_whatever_it_is_called_but_not_one_of_several():
    assert unpack(cabinet([("other.bin", b"content")])) == b"content"
    with pytest.raises(SymbolError, match=r"made\.pd_: no made\.pdb among the 2 files"):
        unpack(cabinet([("a", b"1"), ("b", b"2")]))


def test_a_file_larger_than_allowed_is_refused_before_anything_is_written():
    with pytest.raises(SymbolError, match="would take 100000 bytes, more than the 99999 allowed"):
        unpack(cabinet([("made.pdb", bytes(100_000))]), limit=99_999)


def test_a_block_that_yields_more_than_it_states_is_refused():
    packed = bytearray(cabinet([("made.pdb", bytes(0x8000))]))
    at = packed.find(b"CK") - 8
    pack_into("<I", packed, at, 0)
    pack_into("<H", packed, at + 6, 100)
    with pytest.raises(SymbolError, match="block of the wrong size"):
        unpack(bytes(packed))


def test_a_flipped_bit_is_told_by_the_checksum():
    packed = bytearray(cabinet([("made.pdb", text_like(1000))]))
    packed[-7] ^= 1
    with pytest.raises(SymbolError, match="checksum"):
        unpack(bytes(packed))


def test_a_truncated_cabinet_is_refused():
    packed = cabinet([("made.pdb", text_like(100_000))])
    for cut in (10, 40, 70, 5000):
        with pytest.raises(SymbolError, match=r"not a cabinet|cut off|damaged"):
            unpack(packed[:cut])


@pytest.mark.parametrize(
    ("compression", "message"),
    [(2, "Quantum compression is not supported"), (9, "unknown compression"), (lzx(14), "not allowed in a cabinet")],
)
def test_a_compression_that_is_not_known_is_named(compression, message):
    packed = bytearray(cabinet([("made.pdb", b"x")], STORED))
    pack_into("<H", packed, 36 + 6, compression)
    with pytest.raises(SymbolError, match=message):
        unpack(bytes(packed))


def test_a_cabinet_of_a_set_is_refused():
    packed = bytearray(cabinet([("made.pdb", b"x")]))
    packed[30] = 2
    with pytest.raises(SymbolError, match="only whole ones"):
        unpack(bytes(packed))


def test_something_else_is_no_cabinet():
    for data in (b"", b"<html>", b"SZDD\x88\xf0\x27\x33A" + bytes(100)):
        with pytest.raises(SymbolError, match="not a cabinet"):
            unpack(data)


def test_unpacking_to_a_file_leaves_an_existing_one_alone(tmp_path):
    packed, target = tmp_path / "a.pd_", tmp_path / "a.pdb"
    packed.write_bytes(cabinet([("a.pdb", b"content")]))
    unpack_file(str(packed), str(target), "a.pdb", 1000)
    assert target.read_bytes() == b"content"
    with pytest.raises(SymbolError, match="exists"):
        unpack_file(str(packed), str(target), "a.pdb", 1000)


def test_progress_is_told_in_bytes():
    told: List[Tuple[int, int]] = []
    opened = Cabinet(io.BytesIO(cabinet([("a", bytes(70_000))])), "a")
    opened.extract(opened.files[0], io.BytesIO(), 1 << 20, lambda done, total: told.append((done, total)))
    assert told == [(0x8000, 70_000), (0x10000, 70_000), (70_000, 70_000)]


@needs_cabextract
@pytest.mark.parametrize("compression", [STORED, MSZIP, lzx(15), lzx(21)])
def test_cabextract_reads_from_the_same_cabinets_what_dumpkit_reads(tmp_path, compression):
    data = text_like(150_000)
    packed = cabinet([("made.pdb", data)], compression, blocks=ALL_KINDS, e8_size=70_000)
    (tmp_path / "a.cab").write_bytes(packed)
    oracle = subprocess.run(["cabextract", "-q", "-p", str(tmp_path / "a.cab")], capture_output=True, check=True)
    assert unpack(packed) == oracle.stdout == data


@needs_gcab
@pytest.mark.parametrize("options", [[], ["-z"]])
def test_what_gcab_packs_is_read(tmp_path: Path, options):
    data = text_like(150_000)
    (tmp_path / "made.pdb").write_bytes(data)
    subprocess.run(["gcab", *options, "-c", "a.cab", "made.pdb"], cwd=tmp_path, check=True, capture_output=True)
    assert unpack((tmp_path / "a.cab").read_bytes()) == data


SAMPLES = [
    cabinet([("made.pdb", text_like(40_000))], MSZIP),
    cabinet([("made.pdb", text_like(20_000))], lzx(15), blocks=[(VERBATIM, 6000), (ALIGNED, 7000), (UNCOMPRESSED, 99)]),
    cabinet([("made.pdb", text_like(20_000)), ("b", b"x")], STORED, reserve=(4, 4, 4)),
]


@settings(max_examples=250, deadline=None)
@given(
    sample=st.sampled_from(SAMPLES),
    cut=st.integers(0, 50_000),
    flips=st.dictionaries(st.integers(0, 50_000), st.integers(0, 255), max_size=8),
    checked=st.booleans(),
)
def test_truncated_and_flipped_cabinets_give_clear_errors_and_take_no_memory(
    sample: bytes, cut: int, flips: Dict[int, int], checked: bool
):
    damaged = bytearray(sample)
    for at, value in flips.items():
        damaged[at % len(damaged)] = value
    if not checked:
        # Without checksums the decoders themselves meet the damage.
        at = damaged.find(b"CK") - 8
        if at > 0:
            damaged[at : at + 4] = bytes(4)
    tracemalloc.start()
    try:
        result = unpack(bytes(damaged[: max(cut, 36)]), limit=1 << 20)
    except SymbolError as error:
        assert "\n" not in str(error)
    else:
        assert len(result) <= 1 << 20
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 40 << 20


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=400), bits=st.integers(15, 21), size=st.integers(1, 0x8000))
def test_any_bytes_as_lzx_give_a_frame_of_the_size_asked_for_or_a_clear_error(data: bytes, bits: int, size: int):
    try:
        assert len(LzxDecoder(bits).frame(data, size)) == size
    except SymbolError as error:
        assert str(error).startswith("damaged LZX data: ")


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 70_000),
    seed=st.integers(0, 1000),
    bits=st.sampled_from([15, 18, 21]),
    # Smaller blocks than these would make frames larger than a cabinet may have.
    blocks=st.lists(
        st.tuples(st.sampled_from([VERBATIM, ALIGNED, UNCOMPRESSED]), st.integers(3000, 50_000)), min_size=1, max_size=9
    ),
)
def test_whatever_the_blocks_lzx_gives_the_data_back(size: int, seed: int, bits: int, blocks: List[Tuple[int, int]]):
    data = text_like(size, seed)
    assert unpack(cabinet([("made.pdb", data)], lzx(bits), blocks=blocks)) == data
