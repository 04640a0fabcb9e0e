"""The image of a module, put together from memory and its file."""

from __future__ import annotations

from pathlib import Path
from typing import List

import pytest
from dumpkit.errors import SymbolError
from dumpkit.symbols.module_image import ModuleImage

from tests.flat_memory import FlatMemory
from tests.forge.small_image import DATA_RVA, IMAGE_SIZE, image, mapped

BASE = 0xFFFFF80000000000
_TABLE = [("One", 0x1010)]


def test_what_memory_has_comes_from_memory_and_the_rest_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "made.sys"
    path.write_bytes(image(_TABLE))
    memory = FlatMemory({BASE + DATA_RVA + 0x10: b"memory"})
    made = ModuleImage(memory, BASE, IMAGE_SIZE, "made.sys", lambda: str(path))
    assert made.read(DATA_RVA + 0x10, 6) == b"memory"
    assert made.read(DATA_RVA + 0x10, 8) == b"memoryDD"
    assert made.read(DATA_RVA, 4) == b"DDDD"
    assert made.read(0, 2) == b"MZ"
    assert made.directory(0)[0] == 0x3000
    made.close()


def test_the_file_is_looked_for_once_and_only_when_memory_lacks_something(tmp_path: Path) -> None:
    asked: List[int] = []

    def find() -> str:
        asked.append(1)
        raise SymbolError("made.sys not found: nowhere")

    made = ModuleImage(FlatMemory({BASE: mapped(image(_TABLE))[:0x3000]}), BASE, IMAGE_SIZE, "made.sys", find)
    assert made.read(DATA_RVA, 4) == b"DDDD" and made.directory(0) != (0, 0)
    assert not asked
    assert made.read(0x3000, 4) == b"" and made.read(0x3000, 4) == b""
    assert asked == [1]


@pytest.mark.parametrize("header", [b"", b"MZ", b"MZ".ljust(0x400, b"\0")])
def test_a_header_that_nobody_has_is_refused_with_every_reason(header: bytes) -> None:
    def find() -> str:
        raise SymbolError("made.sys not found: nowhere")

    runs = {BASE: header} if header else {}
    with pytest.raises(SymbolError, match=r"made\.sys.*made\.sys not found: nowhere"):
        ModuleImage(FlatMemory(runs), BASE, IMAGE_SIZE, "made.sys", find).directory(3)
    with pytest.raises(SymbolError, match="there is no symbol path"):
        ModuleImage(FlatMemory(runs), BASE, IMAGE_SIZE, "made.sys").directory(3)


def test_nothing_is_read_outside_the_image() -> None:
    made = ModuleImage(FlatMemory({BASE: bytes(2 * IMAGE_SIZE)}), BASE, IMAGE_SIZE, "made.sys")
    assert made.read(IMAGE_SIZE - 4, 8) == bytes(4)
    assert made.read(IMAGE_SIZE, 8) == b"" and made.read(-8, 8) == b""
