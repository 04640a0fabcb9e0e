"""Export tables as symbols."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.errors import SymbolError
from dumpkit.symbols.exports import ExportSymbols
from dumpkit.symbols.pe import ImageFile

from tests.forge.small_image import CODE_RVA, DATA_RVA, TABLE_RVA, image

EXPORTS = [
    ("NtAlpha", CODE_RVA + 0x10),
    ("ZwAlpha", CODE_RVA + 0x10),
    ("_setjmp", CODE_RVA + 0x40),
    ("__twice", CODE_RVA + 0x50),
    (None, CODE_RVA + 0x60),
    ("Variable", DATA_RVA + 8),
    ("Elsewhere", "ntoskrnl.ExFreePool"),
]


@pytest.fixture
def made(tmp_path: Path) -> ExportSymbols:
    path = tmp_path / "made.sys"
    path.write_bytes(image(EXPORTS, base=10))
    return ExportSymbols.from_file(str(path))


def test_it_says_what_it_is_and_where_it_was_read(made, tmp_path):
    assert (made.kind, made.path, made.missing) == ("exports", str(tmp_path / "made.sys"), 0)


def test_names_lose_one_leading_underscore_and_nameless_exports_are_called_by_ordinal(made):
    assert [symbol.name for symbol in made.symbols()] == [
        "NtAlpha",
        "ZwAlpha",
        "setjmp",
        "_twice",
        "Ordinal14",
        "Variable",
    ]


def test_symbols_ascend_by_rva_and_tell_code_from_data(made):
    found = list(made.symbols())
    assert [symbol.rva for symbol in found] == sorted(symbol.rva for symbol in found)
    assert [symbol.is_function for symbol in found] == [True] * 5 + [False]


def test_a_name_is_found_with_and_without_its_underscore(made):
    assert made.find("setjmp") == made.find("_setjmp")
    assert made.find("_setjmp").rva == CODE_RVA + 0x40
    assert made.find("Ordinal14").rva == CODE_RVA + 0x60
    assert made.find("SETJMP") is None


def test_forwarders_name_nothing_in_this_image(made):
    assert made.find("Elsewhere") is None


def test_the_nearest_symbol_is_the_last_one_before_and_of_aliases_the_first_by_name(made):
    assert made.nearest(CODE_RVA + 0x10).name == "NtAlpha"
    assert made.nearest(CODE_RVA + 0x3F).name == "NtAlpha"
    assert made.nearest(CODE_RVA + 0x41).name == "setjmp"


def test_the_nearest_symbol_is_never_one_of_another_section(made):
    assert made.nearest(CODE_RVA) is None
    assert made.nearest(CODE_RVA + 0x7FF).name == "Ordinal14"
    assert made.nearest(CODE_RVA + 0x800) is None
    assert made.nearest(DATA_RVA + 7) is None
    assert made.nearest(DATA_RVA + 0x3FF).name == "Variable"
    assert made.nearest(TABLE_RVA) is None
    assert made.nearest(0) is None


def test_an_image_that_exports_nothing_has_no_symbols_and_says_so(tmp_path):
    path = tmp_path / "plain.sys"
    path.write_bytes(image())
    with pytest.raises(SymbolError, match=r"plain\.sys: no symbols: it exports nothing"):
        ExportSymbols.from_file(str(path))


def test_wines_ntdll_gives_its_names_back():
    path = Path("/usr/lib/x86_64-linux-gnu/wine/x86_64-windows/ntdll.dll")
    if not path.is_file():
        pytest.skip("Wine's ntdll.dll is not installed")
    found = ExportSymbols.from_file(str(path))
    with ImageFile(str(path)) as opened:
        for export in opened.exports().exports:
            if export.name is not None and export.forwarder is None:
                assert found.find(export.name).rva == export.rva
                assert found.nearest(export.rva).rva == export.rva
