"""Random stacks in Microsoft's debugger engine: it must find the frames that the forge meant, as dumpkit does."""

from __future__ import annotations

import re
from pathlib import Path
from struct import pack, pack_into
from typing import Dict, Iterator, List, Sequence

import pytest
from dumpkit.dump import open_dump
from dumpkit.kernel.stack import walk_stack
from dumpkit.registers import X64, Context

from tests.forge.pdb import Pdb
from tests.forge.random_calls import SAVED, Expected, MadeStack, RandomImage
from tests.forge.rig import ask_engine, needs_rig, write_store
from tests.forge.triage import KERNEL_BASE, Block, Driver, TriageFile, build_context

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
