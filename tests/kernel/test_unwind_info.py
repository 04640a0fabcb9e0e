"""Function tables and unwind data of real drivers, against pefile; and hand-made ones."""

from __future__ import annotations

from pathlib import Path
from struct import pack
from typing import Dict, Tuple

import pytest
from dumpkit.errors import UnwindError
from dumpkit.kernel.function_table import FunctionTable
from dumpkit.kernel.unwind_info import (
    ALLOC_LARGE,
    ALLOC_SMALL,
    MACHINE_FRAME,
    PUSH,
    REGISTERS,
    SAVE,
    SAVE_FAR,
    SET_FRAME,
    UnwindCode,
    UnwindInfo,
    read_unwind_info,
)
from dumpkit.symbols.module_image import ModuleImage

from tests.flat_memory import FlatMemory
from tests.shared import SYMBOLS, needs_symbols

BASE = 0xFFFFF80000000000


def image_of(path: Path) -> ModuleImage:
    return ModuleImage(FlatMemory({}), BASE, 1 << 30, path.name, lambda: str(path))


def table_of(path: Path) -> FunctionTable:
    image = image_of(path)
    return FunctionTable(image, *image.directory(3))


def as_pefile_writes(code: UnwindCode, info: UnwindInfo) -> str:
    if code.operation == PUSH:
        return f".PUSHREG {REGISTERS[code.info].upper()}"
    if code.operation in (ALLOC_SMALL, ALLOC_LARGE):
        return f".ALLOCSTACK 0x{code.operand:x}"
    if code.operation == SET_FRAME:
        return f".SETFRAME {(info.frame_register or '').upper()}, 0x{info.frame_offset:x}"
    if code.operation == MACHINE_FRAME:
        return ".PUSHFRAME" + (" <code>" if code.info else "")
    if code.operation in (SAVE, SAVE_FAR):
        return f".SAVEREG {REGISTERS[code.info].upper()}, 0x{code.operand:x}"
    return f".SAVEXMM128 XMM{code.info}, 0x{code.operand:x}"


@needs_symbols
@pytest.mark.parametrize("name", ["amdppm.sys", "Wdf01000.sys"])
def test_every_function_of_a_real_driver_is_read_as_pefile_reads_it(name: str) -> None:
    pefile = pytest.importorskip("pefile", reason="pefile, the oracle, is not installed")
    (path,) = (SYMBOLS / "store" / name).glob("*/*.sys")
    table = table_of(path)
    other = pefile.PE(str(path), fast_load=True)
    other.parse_data_directories([pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_EXCEPTION"]])
    seen = 0
    for row in other.DIRECTORY_ENTRY_EXCEPTION:
        entry = table.find(row.struct.BeginAddress)
        assert entry is not None and entry.end == row.struct.EndAddress
        parts = table.parts(entry)
        info, wanted = parts[0][1], row.unwindinfo
        assert (info.version, info.prologue_size) == (wanted.Version, wanted.SizeOfProlog)
        chained = getattr(wanted, "FunctionEntry", None) if wanted.Flags & 4 else None
        assert (info.chained is not None) == (chained is not None)
        described = [str(code) for code in wanted.UnwindCodes if "Epilog" not in type(code).__name__[12:]]
        assert [as_pefile_writes(code, info) for code in info.codes] == described
        seen += 1
    assert seen == len(table) == len(list(table))


@needs_symbols
@pytest.mark.parametrize("name", ["amdppm.sys", "Wdf01000.sys"])
def test_each_epilogue_of_version_2_is_one_in_the_code_too(name: str) -> None:
    """Its pops are those of the prologue, and a return or a jump out of the function ends it."""
    from dumpkit.kernel.unwind_epilogue import read_epilogue

    (path,) = (SYMBOLS / "store" / name).glob("*/*.sys")
    table = table_of(path)
    seen = 0
    for function in table:
        parts = table.parts(function)
        info = parts[0][1]
        for distance in info.epilogues:
            epilogue = read_epilogue(table.image.read(function.end - distance, 48))
            assert epilogue is not None, f"RVA 0x{function.end - distance:x}"
            pushes = [REGISTERS[code.info] for _, part in parts for code in part.codes if code.operation == PUSH]
            assert epilogue.pops == pushes
            seen += 1
    assert seen > 400


def info_of(text: str) -> UnwindInfo:
    """What UNWIND_INFO in hexadecimal says."""
    memory = FlatMemory({BASE: bytes.fromhex(text)})
    return read_unwind_info(ModuleImage(memory, BASE, 0x1000, "made.sys"), 0)


def test_version_2_tells_where_epilogues_begin() -> None:
    # Two bytes long, one of them at the end; another 0x128 bytes before the end; padding.
    info = info_of("02 04 05 00 0216 2816 0006 0006 0442 0000" + "00" * 16)
    assert (info.epilogue_size, list(info.epilogues)) == (2, [2, 0x128])
    assert list(info.codes) == [UnwindCode(4, ALLOC_SMALL, 4, 0x28)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("03040000", "the unknown version 3"),
        ("01040100 040b0000", "the unknown operation 11"),
        ("01040100 04010000", "damaged: operation 1 is cut off"),
        ("01040300 0421 0000 0000 0000", "damaged: operation 1 is cut off"),
        ("0104ff00", "cannot be read"),
        ("0104", "cannot be read"),
        ("21000000 00000000", "cannot be read"),
    ],
)
def test_damaged_unwind_data_is_refused_with_its_reason(text: str, words: str) -> None:
    with pytest.raises(UnwindError, match=words):
        info_of(text)


def made_table(runs: Dict[int, bytes], entries: int) -> FunctionTable:
    """A table at RVA 0x1000, in an image of which these bytes are there."""
    memory = FlatMemory({BASE + rva: data for rva, data in runs.items()})
    return FunctionTable(ModuleImage(memory, BASE, 0x100000, "made.sys"), 0x1000, 12 * entries)


def entries_of(*rows: Tuple[int, int, int]) -> bytes:
    return b"".join(pack("<III", *row) for row in rows)


def test_an_entry_that_leads_to_another_entry_has_its_unwind_data() -> None:
    table = entries_of((0x100, 0x120, 0x100D), (0x200, 0x210, 0x300))
    functions = made_table({0x1000: table, 0x300: bytes.fromhex("01040000").ljust(64)}, 2)
    entry = functions.find(0x105)
    assert entry is not None
    ((function, info),) = functions.parts(entry)
    assert (function.begin, function.end, function.unwind_info, info.prologue_size) == (0x100, 0x120, 0x300, 4)


def test_entries_that_lead_to_each_other_end() -> None:
    table = made_table({0x1000: entries_of((0x100, 0x120, 0x1001))}, 1)
    entry = table.find(0x105)
    assert entry is not None
    with pytest.raises(UnwindError, match="damaged"):
        table.parts(entry)


def test_a_function_is_found_past_a_missing_page_of_the_table() -> None:
    """The block in the middle is a hole: what stands before and behind it is found, what would be in it is told."""
    rows = [(0x100 + 0x20 * index, 0x110 + 0x20 * index, 4) for index in range(1024)]
    data = entries_of(*rows)
    # 12288 bytes from a page's begin on: the middle one of three pages is missing.
    table = made_table({0x1000: data[:0x1000], 0x3000: data[0x2000:]}, 1024)
    for index in (0, 1, 200, 340, 683, 700, 768, 1023):
        assert table.find(rows[index][0] + 3) is not None
    assert table.find(rows[0][0] + 0x18) is None
    for index in (341, 342, 512, 681):
        with pytest.raises(UnwindError, match=r"function table of made\.sys cannot be read at RVA"):
            table.find(rows[index][0])
