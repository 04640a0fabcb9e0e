"""Instruction by instruction against the real engine, on real driver code. Slow, and only where the rig is."""

from __future__ import annotations

import random
from pathlib import Path
from struct import pack_into
from typing import Dict, List, Tuple

import pytest
from dumpkit.disassembly import disassembler
from dumpkit.disassembly.effective_address import effective_address_note
from dumpkit.disassembly.previous import previous_instructions
from dumpkit.registers import X64, Context

from tests.disassembly.engine import Engine, needs_engine
from tests.flat_memory import FlatMemory
from tests.shared import SYMBOLS

pytestmark = [needs_engine, pytest.mark.slow]

BASE = 0xFFFF900010000000
CONTEXTS = 0xFFFF900020000000
DATA = 0xFFFF900030000000


def driver(name: str) -> Tuple[bytes, List[Tuple[int, int]]]:
    """A driver's image, and the RVA ranges of its functions."""
    pefile = pytest.importorskip("pefile")
    path = next((SYMBOLS / "store" / name).glob(f"*/{name}"))
    image = pefile.PE(str(path), fast_load=True)
    image.parse_data_directories([pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_EXCEPTION"]])
    functions = sorted({(e.struct.BeginAddress, e.struct.EndAddress) for e in image.DIRECTORY_ENTRY_EXCEPTION})
    return image.get_memory_mapped_image(), functions


def address_of(line: str) -> int:
    return int(line[:8] + line[9:17], 16)


@pytest.mark.parametrize("name", ["amdppm.sys", "Wdf01000.sys"])
def test_every_instruction_of_a_driver_is_printed_as_the_engine_prints_it(name: str, tmp_path: Path) -> None:
    image, functions = driver(name)
    engine = Engine(tmp_path, "triage_x64", [(BASE, image)])
    lines = engine.instructions([(BASE + begin, BASE + end - 1) for begin, end in functions])
    assert len(lines) > 30_000
    decode = disassembler(X64).decode
    different = []
    for line in lines:
        offset = address_of(line) - BASE
        found = decode(image[offset : offset + 15], BASE + offset).line()
        if found != line:
            different.append((line, found))
    assert len(different) <= len(lines) // 10_000, different[:20]


def record(registers: Dict[str, int]) -> bytes:
    """A CONTEXT record."""
    data = bytearray(0x500)
    pack_into("<I", data, 0x30, 0x10001F)
    for name, value in registers.items():
        offset, size = X64.layout[name]
        data[offset : offset + size] = value.to_bytes(size, "little")
    return bytes(data)


def test_the_note_on_the_current_instruction_is_the_engines(tmp_path: Path) -> None:
    image, functions = driver("Wdf01000.sys")
    chance = random.Random(7)
    offsets = [begin for begin, _ in chance.sample(functions, 200)]
    code: List[Tuple[int, bytes]] = []
    for offset in offsets:
        for _ in range(10):
            found = disassembler(X64).decode(image[offset : offset + 15], BASE + offset)
            code.append((BASE + offset, found.raw))
            offset += found.size
    data = bytes(range(256)) * 16
    selectors = {"cs": 0x10, "ss": 0x18, "ds": 0x2B, "es": 0x2B, "fs": 0x53, "gs": 0x2B}
    contexts = []
    for address, _ in code:
        registers = {
            f"r{name}": chance.choice([DATA + chance.randrange(4096), chance.randrange(64), chance.getrandbits(64)])
            for name in "ax bx cx dx si di bp sp 8 9 10 11 12 13 14 15".split(" ")
        }
        contexts.append({**registers, **selectors, "rip": address, "efl": chance.getrandbits(12) & 0xCD5})
    records = b"".join(record(registers) for registers in contexts)
    engine = Engine(tmp_path, "triage_x64", [(BASE, image), (CONTEXTS, records), (DATA, data)])
    outputs = engine.run(f".cxr {CONTEXTS + 0x500 * index:x}" for index in range(len(code)))
    memory = FlatMemory({BASE: image, CONTEXTS: records, DATA: data})
    for (address, _), registers, output in zip(code, contexts, outputs):
        offset = address - BASE
        found = disassembler(X64).decode(image[offset : offset + 15], address)
        note = effective_address_note(found, Context(X64, registers), memory)
        assert found.line() + note == output[-1]


def test_the_way_backwards_is_nearly_always_the_engines(tmp_path: Path) -> None:
    image, functions = driver("Wdf01000.sys")
    chance = random.Random(5)
    engine = Engine(tmp_path, "triage_x64", [(BASE, image)])
    asked = [(BASE + end, count) for _, end in chance.sample(functions, 300) for count in (1, 3, 8)]
    outputs = engine.run(f"ub {address:x} L{count:x}" for address, count in asked)
    memory = FlatMemory({BASE: image})
    equal = 0
    for (address, count), output in zip(asked, outputs):
        found = previous_instructions(disassembler(X64), memory, address, count)
        equal += [instruction.line() for instruction in found] == output
    assert equal >= 0.98 * len(asked)
