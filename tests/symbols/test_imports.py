"""Import tables: those of forged images against what was meant, of real ones against pefile, and damaged ones."""

from __future__ import annotations

from pathlib import Path
from struct import pack
from typing import Dict, List, Tuple

import pytest
from dumpkit.symbols.imports import BoundModule, Import, ImportTables
from dumpkit.symbols.pe import ImageFile
from hypothesis import given
from hypothesis import strategies as st

from tests.forge.image_tables import Import as Wanted
from tests.forge.image_tables import ImportedModule, import_tables
from tests.shared import SYMBOLS, needs_symbols

MODULES = [
    ImportedModule("ntoskrnl.exe", [Wanted("IoCreateDevice"), Wanted("KeBugCheckEx"), Wanted("x", ordinal=77)]),
    ImportedModule("HAL.dll", [Wanted("KeStallExecutionProcessor")]),
]
RVA, IAT = 0x2000, 0x1000

REAL = sorted(path for path in (SYMBOLS / "store").rglob("*.sys") if path.is_file())


class Pieces:
    """An image's bytes by RVA, with holes."""

    def __init__(self, pieces: Dict[int, bytes]) -> None:
        self.pieces = pieces

    def read(self, rva: int, size: int) -> bytes:
        for start, data in self.pieces.items():
            if start <= rva < start + len(data):
                return data[rva - start : rva - start + size]
        return b""


def shown(tables: ImportTables, delayed: bool = False, rva: int = RVA) -> List[Tuple[str, List[str]]]:
    modules = tables.delay_imports(rva, 0) if delayed else tables.imports(rva)
    return [(module.name, [str(each) for each in module.imports]) for module in modules]


@pytest.mark.parametrize("delayed", [False, True])
def test_names_and_ordinals_are_read_with_their_slots(delayed: bool) -> None:
    built = import_tables(MODULES, RVA, IAT, delayed)
    tables = ImportTables(Pieces({RVA: built.directory + bytes(64)}).read, True)
    assert shown(tables, delayed) == [
        ("ntoskrnl.exe", ["IoCreateDevice", "KeBugCheckEx", "#77"]),
        ("HAL.dll", ["KeStallExecutionProcessor"]),
    ]
    assert tables.problem == ""
    modules = list(tables.delay_imports(RVA, 0) if delayed else tables.imports(RVA))
    assert [[each.slot for each in module.imports] for module in modules] == [list(rvas) for rvas in built.slot_rvas]


def test_thunks_of_a_32_bit_image_have_four_bytes() -> None:
    descriptors = pack("<5I", 0, 0, 0, 0x2100, 0x2200) + bytes(20)
    pieces = {
        RVA: descriptors,
        0x2100: b"USER32.dll\0",
        0x2200: pack("<III", 0x2300, 1 << 31 | 5, 0),
        0x2300: b"\0\0MessageBoxA\0",
    }
    tables = ImportTables(Pieces(pieces).read, False)
    (module,) = tables.imports(RVA)
    assert module.imports == [Import(0x2200, "MessageBoxA", None), Import(0x2204, None, 5)]


def test_old_delay_tables_hold_virtual_addresses() -> None:
    base = 0x400000
    descriptor = pack("<8I", 0, base + 0x2100, 0, base + 0x2200, base + 0x2280, 0, 0, 0)
    pieces = {
        RVA: descriptor + bytes(32),
        0x2100: b"WS2_32.dll\0",
        0x2280: pack("<II", 1 << 31 | 3, 0),
    }
    (module,) = ImportTables(Pieces(pieces).read, False).delay_imports(RVA, base)
    assert (module.name, module.imports) == ("WS2_32.dll", [Import(0x2200, None, 3)])


def test_bound_modules_are_told_from_those_that_they_forward_to() -> None:
    texts = b"A.dll\0B.dll\0C.dll\0"
    at = 8 * 4
    table = pack("<IHHIHHIHH", 1, at, 1, 2, at + 6, 0, 3, at + 12, 0) + bytes(8) + texts
    tables = ImportTables(Pieces({RVA: table}).read, True)
    assert list(tables.bound_imports(RVA, len(table))) == [
        BoundModule("A.dll", 1),
        BoundModule("B.dll", 2, "A.dll"),
        BoundModule("C.dll", 3),
    ]


def test_what_cannot_be_read_ends_the_table_and_is_said() -> None:
    built = import_tables(MODULES, RVA, IAT)
    cut = ImportTables(Pieces({RVA: built.directory[:24]}).read, True)
    (module,) = cut.imports(RVA)
    assert module.name == "?" and module.problem == "its names cannot be read at RVA 0x2040"
    assert cut.problem == "the import table cannot be read at RVA 0x2014"
    assert list(ImportTables(Pieces({}).read, True).imports(RVA)) == []


def test_a_table_without_end_is_bounded() -> None:
    endless = pack("<5I", 0, 0, 0, 0x10, 0x20)
    thunk = pack("<Q", 1 << 63 | 1)
    tables = ImportTables(
        lambda rva, size: ((endless if size == 20 else thunk) * 2)[:size] if rva >= RVA else b"", True
    )
    assert len(list(tables.imports(RVA))) == 2048
    assert tables.problem == "the import table names more than 2048 modules"
    tables = ImportTables(lambda rva, size: thunk[:size], True)
    module = tables._module(0, 0x100, 0x100)
    assert len(module.imports) == 0x8000


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_end_in_some_list(data: bytes, wide: bool) -> None:
    tables = ImportTables(Pieces({0: data}).read, wide)
    for module in [*tables.imports(0), *tables.delay_imports(0, 0x10)]:
        assert len(module.imports) <= len(data)
    assert len(list(tables.bound_imports(0, len(data)))) <= len(data) // 8


@needs_symbols
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_the_imports_of_real_drivers_are_those_that_pefile_reads(path: Path) -> None:
    pefile = pytest.importorskip("pefile")
    parsed = pefile.PE(str(path))
    wanted = [
        (entry.dll.decode(), [(each.name.decode() if each.name else f"#{each.ordinal}") for each in entry.imports])
        for entry in parsed.DIRECTORY_ENTRY_IMPORT
    ]
    with ImageFile(str(path)) as image:
        tables = ImportTables(image.read, image.is_64bit)
        assert shown(tables, rva=image.directory(1)[0]) == wanted
    parsed.close()
