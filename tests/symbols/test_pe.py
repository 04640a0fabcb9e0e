"""Images: made ones field by field, real ones against pefile, damaged ones of every kind."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from struct import pack, pack_into
from typing import Dict, List, Optional, Tuple

import pytest
from dumpkit.errors import SymbolError
from dumpkit.memory import AddressSpace
from dumpkit.symbols.pe import DIRECTORY_EXPORT, Export, ImageFile, MappedImage, PEImage
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.forge.small_image import CODE_RVA, DATA_RVA, GUID, TABLE_RVA, image, mapped, rsds
from tests.shared import SYMBOLS, needs_symbols

EXPORTS = [("First", CODE_RVA), ("Second", CODE_RVA + 0x20), (None, CODE_RVA + 0x40), ("Moved", "other.Target")]
BASE = 0xFFFFF80012340000


class Memory(AddressSpace):
    """Bytes at one address, with missing pages (by number)."""

    def __init__(self, base: int, data: bytes, missing: Tuple[int, ...] = ()) -> None:
        self._base, self._data, self._missing = base, data, missing

    def read_prefix(self, address: int, size: int) -> bytes:
        at = address - self._base
        end = min(at + size, len(self._data))
        for page in self._missing:
            if at < (page + 1) << 12 and page << 12 < end:
                end = max(page << 12, at)
        return self._data[at:end] if 0 <= at < end else b""

    def explain(self, address: int) -> str:
        return "readable" if self.read_prefix(address, 1) else "not in the dump"


@pytest.fixture
def write(tmp_path: Path):
    def put(data: bytes) -> str:
        path = tmp_path / "made.sys"
        path.write_bytes(data)
        return str(path)

    return put


def test_the_headers_of_a_64_bit_image_file_are_read(write):
    with ImageFile(write(image(timestamp=0xC9C03000, checksum=0x38E6B, size=0x3B000))) as made:
        assert (made.machine, made.timestamp, made.checksum, made.size) == (0x8664, 0xC9C03000, 0x38E6B, 0x3B000)
        assert (made.is_64bit, made.image_base, made.entry_point) == (True, 0x140000000, CODE_RVA + 0x10)
        assert [section.name for section in made.sections] == [".text", ".data", ".rdata"]
        assert made.sections[0].is_code and not made.sections[1].is_code


def test_the_headers_of_a_32_bit_image_file_are_read(write):
    with ImageFile(write(image(EXPORTS, rsds(), is_64bit=False, machine=0x14C, checksum=7))) as made:
        assert (made.is_64bit, made.machine, made.image_base, made.checksum) == (False, 0x14C, 0x400000, 7)
        assert made.directory(DIRECTORY_EXPORT)[0] == TABLE_RVA
        assert len(made.exports().exports) == 4


def test_what_a_section_has_beyond_its_bytes_in_the_file_reads_as_zeros(write):
    with ImageFile(write(image(EXPORTS))) as made:
        assert made.read(DATA_RVA + 0xFE, 4) == b"DD\0\0"
        assert made.read(DATA_RVA + 0x1FE, 0x1000) == bytes(0x202)
        assert made.read(DATA_RVA + 0x400, 1) == b""
        assert made.read(0, 2) == b"MZ"
        assert made.read(0x3FF, 0x100) == b"\0"


@pytest.mark.parametrize("layout", ["file", "memory"])
def test_exports_keep_names_ordinals_and_forwarders(write, layout):
    data = image(EXPORTS, base=5)
    made = ImageFile(write(data)) if layout == "file" else MappedImage(Memory(BASE, mapped(data)), BASE)
    table = made.exports()
    assert (table.image_name, table.missing) == ("made.sys", 0)
    named = [(export.ordinal, export.name, export.forwarder) for export in table.exports]
    assert named == [(5, "First", None), (6, "Second", None), (7, None, None), (8, "Moved", "other.Target")]
    assert [export.rva for export in table.exports[:3]] == [CODE_RVA, CODE_RVA + 0x20, CODE_RVA + 0x40]


@pytest.mark.parametrize("layout", ["file", "memory"])
def test_the_codeview_record_names_the_pdb(write, layout):
    data = image(codeview=rsds(GUID, 0x2A, "d:\\obj\\made.pdb"), repro=True)
    made = ImageFile(write(data)) if layout == "file" else MappedImage(Memory(BASE, mapped(data)), BASE)
    assert made.codeview() == ("d:\\obj\\made.pdb", GUID, 0x2A)
    assert made.is_reproducible


def test_the_codeview_record_of_an_old_linker_has_a_time_stamp_for_a_guid(write):
    with ImageFile(write(image(codeview=b"NB10" + pack("<III", 0, 0x3B7D84A1, 3) + b"old.pdb\0"))) as made:
        assert made.codeview() == ("old.pdb", "3B7D84A1", 3)


def test_an_image_without_tables_has_none(write):
    with ImageFile(write(image())) as made:
        assert made.exports() is None
        assert made.codeview() is None
        assert not made.is_reproducible


def test_a_missing_page_costs_the_exports_whose_names_lie_in_it_and_no_others():
    exports = [(f"Export{index:04}", CODE_RVA + index) for index in range(600)]
    data = mapped(image(exports))
    whole = MappedImage(Memory(BASE, data), BASE).exports()
    assert len(whole.exports) == 600
    part = MappedImage(Memory(BASE, data, missing=(4,)), BASE).exports()
    assert part.missing > 0
    known = set(whole.exports)
    assert part.exports and {export for export in part.exports if export.name} < known


def test_a_header_that_is_not_in_the_dump_is_refused_with_the_reason():
    with pytest.raises(SymbolError, match=r"image at fffff80012340000: its header cannot be read \(not in the dump\)"):
        MappedImage(Memory(BASE, b""), BASE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.__setitem__(slice(0, 2), b"ZM"), "no MZ header"),
        (lambda data: pack_into("<I", data, 0x3C, 0xFFFFFFF0), "no PE signature at 0xfffffff0"),
        (lambda data: pack_into("<H", data, 0x98, 0x107), "optional header magic 0x107"),
        (lambda data: pack_into("<H", data, 0x94, 50), "optional header is cut off at 50 bytes"),
        (lambda data: pack_into("<H", data, 0x86, 0xFFFF), "it claims 65535 sections"),
    ],
)
def test_a_damaged_header_is_refused_in_one_line(write, change, message):
    data = bytearray(image())
    change(data)
    with pytest.raises(SymbolError, match=message) as caught:
        ImageFile(write(bytes(data)))
    assert "\n" not in str(caught.value)


def test_a_cut_off_section_table_is_refused_with_its_size(write):
    with pytest.raises(SymbolError, match="cut off after 1 of 3 sections"):
        ImageFile(write(image()[: 0x80 + 24 + 240 + 70]))


def test_an_export_table_with_absurd_counts_is_refused(write):
    data = bytearray(image(EXPORTS))
    pack_into("<I", data, 0xE00 + 20, 0x7FFFFFFF)
    with ImageFile(write(bytes(data))) as made, pytest.raises(SymbolError, match="claims 2147483647 functions"):
        made.exports()


def test_a_file_that_is_not_there_is_told_with_its_path(tmp_path):
    with pytest.raises(SymbolError, match=r"gone\.sys: No such file"):
        ImageFile(str(tmp_path / "gone.sys"))


def read_everything(made: PEImage) -> None:
    """Everything that can be asked of an image; only SymbolError may come of it."""
    for question in (made.exports, made.codeview, lambda: made.is_reproducible, lambda: made.read(0, 0x1000)):
        try:
            question()
        except SymbolError as error:
            assert "\n" not in str(error)


GOOD = image([*EXPORTS, *((f"E{index}", CODE_RVA + index) for index in range(40))], rsds())


@settings(max_examples=300, deadline=None)
@given(
    cut=st.integers(0, len(GOOD)),
    flips=st.dictionaries(st.integers(0, len(GOOD) - 1), st.integers(0, 255), max_size=12),
    header_flips=st.dictionaries(st.integers(0x3C, 0x200), st.integers(0, 255), max_size=4),
)
def test_truncated_and_flipped_images_give_clear_errors_and_take_no_memory(
    tmp_path_factory, cut: int, flips: Dict[int, int], header_flips: Dict[int, int]
):
    damaged = bytearray(GOOD)
    for at, value in {**flips, **header_flips}.items():
        damaged[at] = value
    data = bytes(damaged[:cut])
    path = tmp_path_factory.mktemp("pe") / "x.sys"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        for build in (lambda: ImageFile(str(path)), lambda: MappedImage(Memory(BASE, data), BASE)):
            try:
                made: PEImage = build()
            except SymbolError as error:
                assert "\n" not in str(error)
                continue
            read_everything(made)
            if isinstance(made, ImageFile):
                made.close()
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def pefile_exports(path: str) -> Optional[List[Export]]:
    pefile = pytest.importorskip("pefile", reason="pefile, the oracle, is not installed")
    oracle = pefile.PE(path, fast_load=True)
    oracle.parse_data_directories([0])
    if not hasattr(oracle, "DIRECTORY_ENTRY_EXPORT"):
        return None
    return [
        Export(
            entry.ordinal,
            entry.name.decode() if entry.name else None,
            entry.address,
            entry.forwarder.decode() if entry.forwarder else None,
        )
        for entry in oracle.DIRECTORY_ENTRY_EXPORT.symbols
        if entry.address
    ]


def wine_images() -> List[Path]:
    folder = Path("/usr/lib/x86_64-linux-gnu/wine/x86_64-windows")
    names = ("ntdll.dll", "ntoskrnl.exe", "kernel32.dll", "msvcrt.dll", "hal.dll", "fltmgr.sys", "ws2_32.dll")
    return [folder / name for name in names if (folder / name).is_file()]


def test_the_exports_of_wines_images_are_those_that_pefile_reads():
    images = wine_images()
    if not images:
        pytest.skip("Wine's DLLs are not installed")
    compared = 0
    for path in images:
        with ImageFile(str(path)) as made:
            table = made.exports()
        expected = pefile_exports(str(path))
        assert (table is None) == (expected is None), path
        if table is not None:
            key = lambda export: (export.ordinal, export.name or "")  # noqa: E731
            assert sorted(table.exports, key=key) == sorted(expected, key=key), path
            compared += len(expected)
    assert compared > 1000


@needs_symbols
def test_the_images_of_a_real_store_carry_the_key_that_they_are_stored_under():
    paths = list((SYMBOLS / "store").glob("*.sys/*/*.sys"))
    assert len(paths) == 2
    for path in paths:
        with ImageFile(str(path)) as found:
            assert path.parent.name == f"{found.timestamp:08X}{found.size:x}"
            assert found.is_reproducible
    with ImageFile(str(next((SYMBOLS / "store" / "amdppm.sys").glob("*/*.sys")))) as found:
        assert found.codeview() == ("amdppm.pdb", "1C19FDDB27BB3399D9B45973EFEAFCF3", 1)
