"""Cut off and altered PDBs: a clear refusal or what is left, never a crash, a hang or a flood of memory."""

from __future__ import annotations

import random
import resource
import time
from pathlib import Path
from typing import Callable, List

import pytest
from dumpkit.errors import SymbolError
from dumpkit.symbols.container import open_container
from dumpkit.symbols.pdb import PdbFile
from dumpkit.symbols.types import ArrayType, BitfieldType, EnumType, FunctionType, PointerType, RecordType, Type

#: Cases for each PDB and way of damaging it.
CASES = 170
#: Words that loops, sizes and offsets are likely to trip over.
_WORDS = (b"\xff\xff\xff\xff", bytes(4), b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\1\0\0\0", b"\xff\xff", b"\0\x10\0\0")


def cut_off(data: bytearray, _: str, chance: random.Random) -> bytearray:
    return data[: chance.randrange(len(data))]


def flip_bits(data: bytearray, _: str, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 3, 10, 50))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def overwrite(data: bytearray, _: str, chance: random.Random) -> bytearray:
    start, size = chance.randrange(len(data)), chance.choice((16, 256, 4096))
    size = min(size, len(data) - start)
    data[start : start + size] = chance.randbytes(size) if chance.random() < 0.5 else bytes(size)
    return data


def alter_streams(data: bytearray, path: str, chance: random.Random) -> bytearray:
    """Put awkward words near the beginnings of streams, where their headers are."""
    container = open_container(path)
    streams = [number for number in range(len(container)) if container.size(number)]
    for _ in range(chance.choice((1, 2, 4))):
        stream = chance.choice(streams)
        offset = chance.randrange(min(container.size(stream), chance.choice((64, 128, 1024, 1 << 30))))
        page, within = divmod(offset, container.page_size)
        place = container.pages(stream)[page] * container.page_size + within
        word = chance.choice(_WORDS)
        data[place : place + len(word)] = word
    container.close()
    return data


def quietly(read: Callable[[], object]) -> None:
    try:
        read()
    except SymbolError as refusal:
        assert "\n" not in str(refusal)


def use_type(found: Type, depth: int = 0) -> None:
    if isinstance(found, RecordType) and depth < 3:
        for member in found.members:
            quietly(lambda member=member: use_type(member.type, depth + 1))
    elif isinstance(found, EnumType):
        list(found.enumerators)
    elif isinstance(found, PointerType):
        target = found.target
        if isinstance(target, FunctionType):
            list(target.arguments)
    elif isinstance(found, ArrayType):
        use_type(found.element, depth + 1)
    elif isinstance(found, BitfieldType):
        use_type(found.base, depth + 1)


def use(path: str, own: bool) -> None:
    """Read everything that a PDB gives."""
    pdb = PdbFile(path, own_container=own)
    try:
        for name in ("DriverEntry", "NothingOfThatName", "geometry::Square::area"):
            quietly(lambda name=name: pdb.find_in_any_case(name))
        for rva in range(0, 0x7000, 0x1F7):
            for read in (pdb.nearest, pdb.locate, pdb.line, pdb.inlines, pdb.function):
                quietly(lambda read=read, rva=rva: read(rva))
        quietly(lambda: list(pdb.symbols()))
        quietly(lambda: list(pdb.lines()))
        names: List[str] = []
        quietly(lambda: names.extend(pdb.type_names()))
        for name in names:
            quietly(lambda name=name: use_type(pdb.type(name)))
        quietly(lambda: pdb.type_of("GlobalDevice"))
    finally:
        pdb.close()


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut_off, flip_bits, overwrite, alter_streams])
@pytest.mark.parametrize("name", ["driver", "shapes", "public"])
def test_a_damaged_pdb_is_refused_or_read_in_part(compiled, tmp_path, name, damage):
    whole = compiled(name)
    data = whole.read_bytes()
    target = Path(tmp_path) / "damaged.pdb"
    chance = random.Random(f"{name} {damage.__name__}")
    # The process may have run other tests before: what counts is what these cases add.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    worst, refused = 0.0, 0
    for _ in range(CASES):
        target.write_bytes(damage(bytearray(data), str(whole), chance))
        began = time.perf_counter()
        try:
            use(str(target), own=chance.random() < 0.5)
        except SymbolError as refusal:
            refused += 1
            assert "damaged.pdb" in str(refusal) and "\n" not in str(refusal)
        worst = max(worst, time.perf_counter() - began)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10) - before
    print(f"{name} {damage.__name__}: {CASES} cases, {refused} refused, {worst:.2f} s, {memory} MB")  # noqa: T201
    assert worst < 5
    assert memory < 300
