"""Microsoft's debugger engine unwinds what dumpkit unwinds: random stacks, and any instruction of real drivers."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from struct import pack, pack_into
from typing import Dict, Iterator, List, Sequence, Tuple

import pytest
from dumpkit.disassembly.capstone_library import decoder
from dumpkit.dump import open_dump
from dumpkit.kernel.function_table import FunctionTable
from dumpkit.kernel.stack import walk_stack
from dumpkit.kernel.unwind import Unwinder
from dumpkit.registers import X64, Context
from dumpkit.symbols.module_image import ModuleImage

from tests.flat_memory import FlatMemory
from tests.forge.pdb import Pdb
from tests.forge.random_calls import SAVED, Expected, MadeStack, RandomImage
from tests.forge.rig import ask_engine, needs_rig, write_store
from tests.forge.triage import KERNEL_BASE, Block, Driver, TriageFile, build_context
from tests.shared import SYMBOLS, needs_symbols

pytestmark = [pytest.mark.rig, needs_rig]

BASE, TOP, CONTEXTS = 0xFFFFF80225DA0000, 0xFFFFA00000F00000, 0xFFFFB00000000000
_APART = 0x1000000
_KERNEL = Driver(KERNEL_BASE, 0x1000000, "\\SystemRoot\\system32\\ntoskrnl.exe")


def context_of(frame: Expected) -> bytes:
    """A CONTEXT record with a frame's registers."""
    record = bytearray(build_context(instruction=frame.instruction, stack=frame.stack_pointer))
    for name, value in frame.registers.items():
        pack_into("<Q", record, X64.layout[name][0], value)
    return bytes(record)


def dump_of(made: RandomImage, stacks: Sequence[MadeStack]) -> bytes:
    """A triage dump with the image, every stack, and the context of each stack's innermost frame."""
    image = made.image
    blocks = [Block(image.base + rva, page) for rva, page in image.pages()]
    for number, stack in enumerate(stacks):
        blocks.append(Block(CONTEXTS + 0x1000 * number, context_of(stack.frames[0])))
        blocks += stack_pages(stack.words)
    loaded = Driver(image.base, image.size, f"\\??\\C:\\{image.name}", image.stamp, image.checksum)
    first = stacks[0].frames[0]
    return TriageFile(
        drivers=(_KERNEL, loaded),
        blocks=blocks,
        stack=Block(first.stack_pointer & ~0xFFF, b""),
        context=context_of(first),
    ).build()


def stack_pages(words: Dict[int, int]) -> Iterator[Block]:
    pages: Dict[int, bytearray] = {}
    for address, value in words.items():
        page = pages.setdefault(address & ~0xFFF, bytearray(0x1000))
        page[address & 0xFFF : (address & 0xFFF) + 8] = pack("<Q", value)
    return (Block(address, bytes(page)) for address, page in pages.items())


def commands_for(number: int, stack: MadeStack) -> List[str]:
    """Each command once: its text is what its answer is found by."""
    frames = range(len(stack.frames))
    switch = f".cxr {CONTEXTS + 0x1000 * number:x}"
    return [switch, f".echo {number}; k", *(f".echo {number}; .frame /r {frame:x}" for frame in frames)]


def frame_in(text: str) -> Dict[str, int]:
    """What `.frame /r` printed: the registers, rsp and rip among them."""
    return {name: int(value, 16) for name, value in re.findall(r"\b(r\w\w?)=([0-9a-f]{16})", text)}


def check_stacks(folder: Path, seed: int, count: int) -> None:
    made = RandomImage(seed, BASE)
    stacks = [made.stack(TOP + _APART * number) for number in range(count)]
    dump = dump_of(made, stacks)
    store = write_store(folder / "store", [made.image, Pdb(made.image, private=False)])
    commands = [".reload /f random.sys"]
    for number, stack in enumerate(stacks):
        commands += commands_for(number, stack)
    answers = ask_engine(folder, dump, commands, store)
    path = folder / "unwound.dmp"
    path.write_bytes(dump)
    target = open_dump(str(path))
    for number, stack in enumerate(stacks):
        told = f"seed {seed}, stack {number}"
        lines = [line for line in answers[f".echo {number}; k"] if "`" in line]
        assert len(lines) == len(stack.frames), told
        registers = context_of(stack.frames[0])
        ours = walk_stack(target, Context.from_bytes(X64, registers))
        assert len(ours) == len(stack.frames), told
        for at, wanted in enumerate(stack.frames):
            theirs = frame_in("\n".join(answers[f".echo {number}; .frame /r {at:x}"]))
            place = wanted.instruction, wanted.stack_pointer
            assert (theirs["rip"], theirs["rsp"]) == place, f"{told}, frame {at}"
            assert {name: theirs[name] for name in SAVED} == wanted.registers, f"{told}, frame {at}"
            assert (ours[at].instruction_pointer, ours[at].stack_pointer) == place, f"{told}, frame {at}"
            assert {name: ours[at].context[name] for name in SAVED} == wanted.registers, f"{told}, frame {at}"
    target.close()


def test_the_engine_finds_the_same_frames_on_random_stacks(tmp_path: Path) -> None:
    check_stacks(tmp_path, 7, 25)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(300, 320))
def test_the_engine_finds_the_same_frames_on_a_thousand_random_stacks(tmp_path: Path, seed: int) -> None:
    check_stacks(tmp_path, seed, 50)


# Real drivers

_STACK_SIZE = 0x40000
#: Return addresses as far as the engine can tell: no two words of the stack are the same.
_STACK = b"".join(pack("<Q", KERNEL_BASE + 0x1000 + 8 * index) for index in range(_STACK_SIZE // 8))


class RealDriver:
    """A driver of the store, as the loader would map it, and places in its code."""

    def __init__(self, name: str) -> None:
        (path,) = (SYMBOLS / "store" / name).glob("*/*.sys")
        self.name = name
        self.image = ModuleImage(FlatMemory({}), BASE, 1 << 30, name, lambda: str(path))
        file = self.image.file
        assert file is not None
        self.size, self.timestamp, self.checksum = file.size, file.timestamp, file.checksum
        self.table = FunctionTable(self.image, *self.image.directory(3))

    def mapped(self) -> bytes:
        """All of it."""
        return b"".join(self.image.read(rva, 0x1000).ljust(0x1000, b"\0") for rva in range(0, self.size, 0x1000))

    def places(self, random: Random, count: int) -> Iterator[int]:
        """RVAs of instructions: in prologues, in epilogues, and anywhere."""
        functions = list(self.table)
        decode = decoder("x64")
        for _ in range(count):
            function = random.choice(functions)
            code = self.image.read(function.begin, function.end - function.begin)
            starts = [0]
            while starts[-1] < len(code):
                decoded = decode(code[starts[-1] : starts[-1] + 15], starts[-1])
                starts.append(starts[-1] + decoded.size if decoded is not None else len(code))
            info = self.table.parts(function)[0][1]
            ends = [len(code) - distance for distance in info.epilogues]
            prologue = [at for at in starts if at <= info.prologue_size]
            epilogue = [at for at in starts[:-1] if any(-12 <= at - end < info.epilogue_size for end in ends)]
            yield function.begin + random.choice(random.choice((prologue, epilogue, [])) or starts[:-1])


def dump_with(driver: RealDriver, frames: Sequence[Expected]) -> bytes:
    """A triage dump with the whole driver and a context for each frame."""
    blocks = [Block(BASE, driver.mapped()), Block(TOP, _STACK)]
    blocks += [Block(CONTEXTS + 0x1000 * number, context_of(frame)) for number, frame in enumerate(frames)]
    loaded = Driver(BASE, driver.size, f"\\??\\C:\\{driver.name}", driver.timestamp, driver.checksum)
    stack = Block(TOP + _STACK_SIZE, _STACK[:8])
    return TriageFile(drivers=(_KERNEL, loaded), blocks=blocks, stack=stack, context=context_of(frames[0])).build()


def check_places(folder: Path, name: str, count: int, seed: int) -> None:
    driver, random = RealDriver(name), Random(seed)
    frames = []
    for rva in driver.places(random, count):
        registers = {register: TOP + 0x8000 + 8 * random.randrange(64) for register in SAVED}
        frames.append(Expected(name, BASE + rva, TOP + 0x8000 + 8 * random.randrange(16), registers))
    dump = dump_with(driver, frames)
    commands = [f".reload /f {name}"]
    for number in range(count):
        commands += [f".cxr {CONTEXTS + 0x1000 * number:x}", f".echo {number}; .frame /r 1"]
    answers = ask_engine(folder, dump, commands, SYMBOLS / "store")
    unwinder = Unwinder(open_dump(str(folder / "forged.dmp")))
    differing: List[Tuple[str, Dict[str, int], Dict[str, int]]] = []
    for number, frame in enumerate(frames):
        theirs = frame_in("\n".join(answers[f".echo {number}; .frame /r 1"]))
        registers = {**frame.registers, "rip": frame.instruction, "rsp": frame.stack_pointer}
        ours = unwinder.unwind(registers, False).registers
        wanted = {register: theirs[register] for register in (*SAVED, "rip", "rsp")}
        if {register: ours[register] for register in wanted} != wanted:
            differing.append((f"{name}+0x{frame.instruction - BASE:x}", ours, wanted))
    assert not differing


@needs_symbols
@pytest.mark.parametrize("name", ["amdppm.sys", "Wdf01000.sys"])
def test_the_engine_unwinds_real_code_alike(tmp_path: Path, name: str) -> None:
    check_places(tmp_path, name, 100, 1)


@needs_symbols
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 15))
@pytest.mark.parametrize("name", ["amdppm.sys", "Wdf01000.sys"])
def test_the_engine_unwinds_thousands_of_places_in_real_code_alike(tmp_path: Path, name: str, seed: int) -> None:
    check_places(tmp_path, name, 500, seed)
