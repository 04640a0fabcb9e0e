"""The walk up a stack: by unwind data where images are, by code and scan where they are not."""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

import pytest
from dumpkit.kernel.stack import Frame, walk_stack
from dumpkit.registers import X64, Context

from tests.forge.assembly import Code, frame_code
from tests.forge.call_stack import CallStack
from tests.forge.image import Image
from tests.forge.image_sections import PDATA, RDATA, TEXT
from tests.forge.program import Function
from tests.forge.random_calls import SAVED, Expected, RandomImage
from tests.forge.unwind import Alloc, MachineFrame, Push, SetFrame
from tests.kernel.unwinding import ImageTarget

BASE, OTHER = 0xFFFFF80225DA0000, 0xFFFFF80335DA0000
#: Where the zero lies that a stack begins with: behind it, the stack pointer is a multiple of 16.
TOP = 0xFFFFA00000F00008


def walk(target: ImageTarget, frame: Expected) -> List[Frame]:
    registers = {**frame.registers, "rip": frame.instruction, "rsp": frame.stack_pointer}
    return walk_stack(target, Context(X64, registers))


def new_image(name: str, base: int) -> Image:
    image = Image(name, base)
    image.section(".text", TEXT, size=0x2000)
    image.section(".rdata", RDATA)
    image.section(".pdata", PDATA)
    return image


def place(image: Image, function: Function, offset: int) -> int:
    assert function.rva is not None
    return image.base + function.rva + offset


@pytest.mark.parametrize("seed", range(200, 204))
def test_a_stack_whose_images_are_all_there_is_unwound_and_nothing_else(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dumpkit.kernel.x64_walk.X64Walk._scanned", None)
    made = RandomImage(seed, BASE)
    for _ in range(20):
        stack = made.stack(TOP)
        frames = walk(ImageTarget([made.image], stack.words), stack.frames[0])
        assert [(frame.instruction_pointer, frame.stack_pointer) for frame in frames] == [
            (frame.instruction, frame.stack_pointer) for frame in stack.frames
        ]
        assert {frame.found_by for frame in frames[1:]} <= {"unwound"}
        assert frames[-1].return_address == 0
        for found, wanted in zip(frames, stack.frames):
            assert {name: found.context[name] for name in SAVED} == wanted.registers


def test_a_frame_that_was_interrupted_says_so() -> None:
    image = new_image("one.sys", BASE)
    inner = image.function("Inner", frame_code(0x28, size=0x60))
    trap = image.function("Trap", Code().prologue(MachineFrame(True), Alloc(0x158)).nop_to(0x40).epilogue())
    stack = CallStack(TOP, {})
    stack.call(inner)
    stack.trap(trap, place(image, inner, 0x30))
    first = Expected("Trap", place(image, trap, 0x30), stack.pointer, {})
    frames = walk(ImageTarget([image], stack.words), first)
    assert [frame.is_interrupted for frame in frames] == [False, True]
    assert frames[1].instruction_pointer == place(image, inner, 0x30)
    assert frames[1].context["efl"] == 0x246


def test_the_walk_ends_where_user_mode_was_interrupted() -> None:
    image = new_image("one.sys", BASE)
    trap = image.function("Trap", Code().prologue(MachineFrame(False), Alloc(0x158)).nop_to(0x40).epilogue())
    stack = CallStack(TOP, {})
    stack.trap(trap, 0x7FF612341234)
    frames = walk(ImageTarget([image], stack.words), Expected("Trap", place(image, trap, 0x30), stack.pointer, {}))
    assert [(frame.instruction_pointer, frame.found_by) for frame in frames[1:]] == [(0x7FF612341234, "unwound")]


def test_frames_that_lead_back_to_themselves_end() -> None:
    """A machine frame gives the stack pointer of its own handler."""
    image = new_image("one.sys", BASE)
    trap = image.function("Trap", Code().prologue(MachineFrame(False), Alloc(0x28)).nop_to(0x40).epilogue())
    here, stack = place(image, trap, 0x30), TOP - 0x100
    words = {stack + 0x28: here, stack + 0x30: 0x10, stack + 0x38: 0x246, stack + 0x40: stack, stack + 0x48: 0x18}
    frames = walk(ImageTarget([image], words), Expected("Trap", here, stack, {}))
    assert len(frames) == 2


# Images that are there, and images that are not


def alternating() -> Tuple[ImageTarget, List[Expected]]:
    """Functions of two images that call each other in turns; only the code of the second one is in the dump."""
    known, unknown = new_image("known.sys", BASE), new_image("unknown.sys", OTHER)
    framed = Code().prologue(Push("rbp"), Alloc(0x40), SetFrame("rbp", 0x20)).nop_to(0x3B).call("Leaf").epilogue()
    known.function("Leaf", Code().ret())
    unknown.function("Leaf", Code().ret())
    functions = [
        (known, known.function("First", frame_code(0x48, [(0x40, "Leaf")], size=0x60))),
        (unknown, unknown.function("Second", frame_code(0x38, [(0x40, "Leaf")], size=0x60, saves=("rbx",)))),
        (known, known.function("Third", framed)),
        (unknown, unknown.function("Fourth", frame_code(0x68, [(0x40, "Leaf")], size=0x60))),
        (known, known.function("Fifth", frame_code(0x58, [(0x40, "Leaf")], size=0x60, saves=("rsi", "rdi")))),
    ]
    stack = CallStack(TOP, {name: 0x1000 + at for at, name in enumerate(SAVED)})
    frames: List[Expected] = []
    before = None
    for image, function in functions:
        stack.call(function, before)
        before = place(image, function, 0x40)
        frames.append(Expected(function.name, before, stack.pointer, dict(stack.registers)))
    # Leftovers of earlier calls lie in the frames, aligned as true return addresses are.
    lowest = frames[-1].stack_pointer
    words = dict.fromkeys(range(lowest, TOP + 8, 8), 0)
    words.update(stack.words)
    words[frames[3].stack_pointer + 0x28] = frames[1].instruction
    target = ImageTarget([known, unknown], words)
    for rva in [rva for base, rva in ((OTHER, page - OTHER) for page in list(target.images_and_words.pages))]:
        if rva >= 0 and not 0x1000 <= rva < 0x3000:
            del target.images_and_words.pages[OTHER + rva]
    return target, frames[::-1]


def test_unwinding_and_code_take_turns() -> None:
    target, expected = alternating()
    frames = walk(target, expected[0])
    assert [frame.stack_pointer for frame in frames] == [frame.stack_pointer for frame in expected]
    assert [frame.instruction_pointer for frame in frames] == [frame.instruction for frame in expected]
    # Fifth is the context; it is unwound to Fourth, which has no image: its code leads to Third, and so on.
    assert [frame.found_by for frame in frames] == ["context", "unwound", "code", "unwound", "code"]


def test_a_scan_skips_what_is_no_frame() -> None:
    """Words that point behind no function, behind no call, and behind one where no frame can stand."""
    known = new_image("known.sys", BASE)
    known.function("Leaf", Code().ret())
    first = known.function("First", frame_code(0x48, [(0x40, "Leaf")], size=0x60))
    stack = CallStack(TOP, {})
    stack.call(first)
    stack.push(place(known, first, 0x40))
    slot = stack.pointer
    words: Dict[int, int] = dict.fromkeys(range(slot - 0x40, TOP + 8, 8), 0)
    words.update(stack.words)
    words[slot - 0x30] = BASE + 0x1F00
    words[slot - 0x28] = place(known, first, 0x40)
    words[slot - 0x20] = place(known, first, 0x41)
    frames = walk(ImageTarget([known], words), Expected("", 0x1234, slot - 0x40, {}))
    assert _found(frames) == [(place(known, first, 0x40), slot + 8, "scan")]


def test_a_leftover_that_seems_to_end_the_stack_does_not_hide_what_lies_above() -> None:
    """Zeros are everywhere on a stack: a return to one ends it only where nothing else follows."""
    known = new_image("known.sys", BASE)
    known.function("Leaf", Code().ret())
    first = known.function("First", frame_code(0x48, [(0x40, "Leaf")], size=0x60))
    second = known.function("Second", frame_code(0x28, [(0x30, "Leaf")], size=0x60))
    stack = CallStack(TOP, {})
    stack.call(first)
    stack.call(second, place(known, first, 0x40))
    stack.push(place(known, second, 0x30))
    slot = stack.pointer
    words: Dict[int, int] = dict.fromkeys(range(slot - 0x140, TOP + 8, 8), 0)
    words.update(stack.words)
    words[slot - 0x100] = place(known, first, 0x40)
    frames = walk(ImageTarget([known], words), Expected("", 0x1234, slot - 0x140, {}))
    found = _found(frames)
    assert found[-2:] == [
        (place(known, second, 0x30), slot + 8, "scan"),
        (place(known, first, 0x40), slot + 8 + 0x30, "unwound"),
    ]


def _found(frames: Sequence[Frame]) -> List[Tuple[int, int, str]]:
    return [(frame.instruction_pointer, frame.stack_pointer, frame.found_by) for frame in frames[1:]]


def test_a_handler_that_saved_a_trap_frame_says_where_it_is() -> None:
    image = new_image("one.sys", BASE)
    inner = image.function("Inner", frame_code(0x28, size=0x60))
    # An error code, and below it what a trap frame holds above its home space.
    trap = image.function("Trap", Code().prologue(MachineFrame(True), Alloc(0x190)).nop_to(0x40).epilogue())
    stack = CallStack(TOP, {})
    stack.call(inner)
    before = stack.pointer
    stack.trap(trap, place(image, inner, 0x30))
    frame = (before & ~0xF) - 5 * 8 - 0x168
    words = {**dict.fromkeys(range(frame, frame + 400, 8), 0), **stack.words, frame + 0x30: 0x1234}
    first = Expected("Trap", place(image, trap, 0x30), stack.pointer, {})
    frames = walk(ImageTarget([image], words), first)
    assert [each.trap_frame for each in frames] == [frame, None]
    assert frames[1].context.values["rax"] == 0x1234
    # A system service saves what it likes of the registers that a call may change.
    words[frame + 0x28] = 2 << 24
    frames = walk(ImageTarget([image], words), first)
    assert frames[0].trap_frame == frame
    assert "rax" not in frames[1].context.values
