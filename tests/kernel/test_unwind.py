"""Unwinding by unwind data, on forged images whose frames are known without unwinding anything."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional

import pytest
from dumpkit.errors import UnwindError
from dumpkit.kernel.unwind import Unwinder, Unwound
from hypothesis import given
from hypothesis import strategies as st

from tests.forge.assembly import Code
from tests.forge.call_stack import CallStack
from tests.forge.image import Image
from tests.forge.image_sections import PDATA, RDATA, TEXT
from tests.forge.program import Function
from tests.forge.random_calls import SAVED, Expected, RandomImage
from tests.forge.unwind import Alloc, MachineFrame, Operation, Push, Save, SaveXmm, SetFrame, Unwind
from tests.kernel.unwinding import ImageTarget

BASE, TOP = 0xFFFFF80225DA0000, 0xFFFFA00000F00000
CALLER = 0xFFFFF80225DB1234
START = {register: 0x1000 + at for at, register in enumerate(SAVED)}


def new_image() -> Image:
    image = Image("unwind.sys", BASE)
    image.section(".text", TEXT, size=0x4000)
    image.section(".rdata", RDATA)
    image.section(".pdata", PDATA)
    return image


def frames_of(unwinder: Unwinder, frames: List[Expected]) -> List[Expected]:
    """What unwinding finds, as far as it gets, from the innermost of these frames."""
    first = frames[0]
    registers = {**first.registers, "rip": first.instruction, "rsp": first.stack_pointer}
    found = [first]
    has_called = False
    for frame in frames[1:]:
        registers, is_machine_frame, _ = unwinder.unwind(registers, has_called)
        has_called = not is_machine_frame
        kept = {name: registers[name] for name in SAVED}
        found.append(Expected(frame.name, registers["rip"], registers["rsp"], kept))
    assert unwinder.unwind(registers, has_called).registers["rip"] == 0
    return found


def check_random_stacks(seeds: range, stacks: int) -> None:
    for seed in seeds:
        made = RandomImage(seed, BASE)
        for number in range(stacks):
            stack = made.stack(TOP)
            unwinder = Unwinder(ImageTarget([made.image], stack.words))
            assert frames_of(unwinder, list(stack.frames)) == list(stack.frames), f"seed {seed}, stack {number}"


@pytest.mark.parametrize("seed", range(6))
def test_random_stacks_are_unwound_to_what_they_were_made_of(seed: int) -> None:
    check_random_stacks(range(seed, seed + 1), 50)


@pytest.mark.slow
def test_a_thousand_random_stacks_are_unwound_to_what_they_were_made_of() -> None:
    check_random_stacks(range(100, 120), 50)


def called(*operations: Operation) -> Unwound:
    """The caller of a function with this prologue, unwound from its body."""
    image = new_image()
    function = image.function("Called", Code().prologue(*operations).nop_to(0x80).nop(8).epilogue())
    stack = CallStack(TOP, START)
    stack.call(function, CALLER)
    assert function.rva is not None
    changed = {name: 0xDEAD for name in SAVED if _is_saved(name, function)}
    registers = {**stack.registers, **changed, "rip": BASE + function.rva + 0x80, "rax": 5, "efl": 0x202}
    return Unwinder(ImageTarget([image], stack.words)).unwind(registers, True)


def _is_saved(name: str, function: Function) -> bool:
    operations = [operation for _, operation in function.code.operations]
    frames = [operation.register for operation in operations if isinstance(operation, SetFrame)]
    return any(isinstance(each, (Push, Save)) and each.register == name for each in operations) and name not in frames


@pytest.mark.parametrize(
    "operations",
    [
        (Alloc(0x28),),
        (Alloc(0x80),),
        (Alloc(0x88),),
        (Alloc(0x7FFF8),),
        (Alloc(0x80000),),
        tuple(map(Push, SAVED)),
        (Push("rbx"), Alloc(0x20)),
        (Push("rbp"), Alloc(0x80), SetFrame("rbp", 0x20)),
        (Push("r13"), Alloc(0x100), SetFrame("r13", 0xF0)),
        (Alloc(0x58), Save("rbx", 0x60), Save("r15", 0x48)),
        (Alloc(0x100028), Save("r14", 0x80008)),
    ],
    ids=str,
)
def test_each_operation_of_a_prologue_is_undone(operations: List[Operation]) -> None:
    registers, is_machine_frame, _ = called(*operations)
    assert (registers["rip"], registers["rsp"]) == (CALLER, TOP)
    assert {name: registers[name] for name in SAVED} == START
    assert not is_machine_frame


def test_what_a_callee_may_change_is_not_known_of_the_caller() -> None:
    registers = called(Alloc(0x28)).registers
    assert "rax" not in registers and "efl" not in registers


@pytest.mark.parametrize("offset", [0x30, 0x100010])
def test_vector_registers_are_restored(offset: int) -> None:
    image = new_image()
    function = image.function("Called", Code().prologue(Alloc(0x110028), SaveXmm(7, offset)).nop_to(0x80).epilogue())
    value = 0x112233445566778899AABBCCDDEEFF00
    stack = CallStack(TOP, {"xmm7": value})
    stack.call(function, CALLER)
    assert function.rva is not None
    registers = {"rip": BASE + function.rva + 0x70, "rsp": stack.pointer, "xmm7": 1, "xmm1": 2}
    found = Unwinder(ImageTarget([image], stack.words)).unwind(registers, True).registers
    assert found["xmm7"] == value and "xmm1" not in found


@pytest.mark.parametrize("error_code", [False, True])
def test_a_machine_frame_gives_the_interrupted_place(error_code: bool) -> None:
    image = new_image()
    prologue = (MachineFrame(error_code), Push("rbp"), Alloc(0x158), SetFrame("rbp", 0x80))
    trap = image.function("Trap", Code().prologue(*prologue).nop_to(0x80).epilogue())
    stack = CallStack(TOP, START)
    stack.trap(trap, CALLER, 0x10)
    assert trap.rva is not None
    registers = {**stack.registers, "rip": BASE + trap.rva + 0x70}
    found = Unwinder(ImageTarget([image], stack.words)).unwind(registers, True)
    assert found.is_machine_frame
    assert (found.registers["rip"], found.registers["rsp"], found.registers["rbp"]) == (CALLER, TOP, START["rbp"])
    assert (found.registers["cs"], found.registers["ss"], found.registers["efl"]) == (0x10, 0x18, 0x246)


def test_a_part_of_a_function_is_unwound_by_what_it_is_chained_to() -> None:
    image = new_image()
    whole = image.function("Whole", Code().prologue(Push("rbx"), Alloc(0x40)).nop_to(0x40).epilogue())
    inner = Unwind(((4, Save("rsi", 0x50)),), 4, chained_to="Whole")
    image.add(Function("Inner", Code().nop(0x20), unwind=inner))
    outer = image.add(Function("Outer", Code().nop(0x20), unwind=Unwind(((4, Save("rdi", 0x58)),), 4, "Inner")))
    stack = CallStack(TOP, START)
    stack.call(whole, CALLER)
    stack.words.update({stack.pointer + 0x50: START["rsi"], stack.pointer + 0x58: START["rdi"]})
    assert outer.rva is not None
    unwinder = Unwinder(ImageTarget([image], stack.words))
    registers = {**stack.registers, "rip": BASE + outer.rva + 0x10, "rsi": 1, "rdi": 2, "rbx": 3}
    found = unwinder.unwind(registers, True).registers
    assert (found["rip"], found["rsp"]) == (CALLER, TOP)
    assert {name: found[name] for name in SAVED} == START
    assert whole.rva is not None and unwinder.function_begin(BASE + outer.rva + 0x10) == BASE + whole.rva
    # Before the part has saved its register, the register holds what it held.
    early = unwinder.unwind({**registers, "rip": BASE + outer.rva, "rdi": START["rdi"]}, True).registers
    assert early["rdi"] == START["rdi"] and early["rsi"] == START["rsi"]


def test_a_function_without_an_entry_is_a_leaf_unless_it_has_called() -> None:
    image = new_image()
    leaf = image.function("Leaf", Code().nop(8).ret())
    image.function("Other", Code().prologue(Alloc(0x28)).nop(8).epilogue())
    assert leaf.rva is not None
    unwinder = Unwinder(ImageTarget([image], {TOP - 8: CALLER}))
    registers = {"rip": BASE + leaf.rva + 2, "rsp": TOP - 8, "rbx": 7}
    assert unwinder.unwind(registers, False).registers == {"rip": CALLER, "rsp": TOP, "rbx": 7}
    with pytest.raises(UnwindError, match="has called, but the function table has no entry"):
        unwinder.unwind(registers, True)


def test_the_begin_of_a_function_is_told_by_its_table() -> None:
    image = new_image()
    function = image.function("One", Code().prologue(Alloc(0x28)).nop(8).epilogue())
    assert function.rva is not None
    unwinder = Unwinder(ImageTarget([image], {}))
    assert unwinder.function_begin(BASE + function.rva + 6) == BASE + function.rva
    assert unwinder.function_begin(BASE + function.rva + 0x200) is None
    assert unwinder.function_begin(0) is None
    assert unwinder.has_entry(BASE + function.rva) is True
    assert unwinder.has_entry(BASE + function.rva + 0x200) is False
    assert unwinder.has_entry(0) is None


def test_a_jump_within_the_function_is_no_end_of_it() -> None:
    code = Code().prologue(Push("rbx"), Alloc(0x20)).nop_to(0x40).hex("eb10").nop_to(0x80).epilogue()
    image = new_image()
    function = image.function("Jumps", code)
    stack = CallStack(TOP, START)
    stack.call(function, CALLER)
    assert function.rva is not None
    registers = {**stack.registers, "rip": BASE + function.rva + 0x40, "rbx": 0}
    found = Unwinder(ImageTarget([image], stack.words)).unwind(registers, False).registers
    assert (found["rip"], found["rsp"], found["rbx"]) == (CALLER, TOP, START["rbx"])


def test_an_epilogue_whose_code_is_missing_is_known_by_version_2() -> None:
    """The code's page is not in the dump: what the unwind data says of the epilogue has to do."""
    pushes = (Push("r12"), Push("rdi"), Push("rbx"))
    image = new_image()
    code = Code().prologue(*pushes, Alloc(0x20)).nop_to(0x40).epilogue()
    described = Unwind(tuple(code.operations), code.prologue_size, epilogue_size=5, epilogues=(5,))
    function = image.function("Version2", code, unwind=described)
    stack = CallStack(TOP, START)
    stack.call(function, CALLER)
    target = ImageTarget([image], stack.words)
    assert function.rva is not None
    del target.images_and_words.pages[BASE + (function.rva & ~0xFFF)]
    body = stack.pointer
    # pop rbx; pop rdi; pop r12; ret
    for offset, popped in ((0x44, 0), (0x45, 1), (0x46, 2), (0x48, 3)):
        registers = {**START, "rip": BASE + function.rva + offset, "rsp": body + 0x20 + 8 * popped}
        registers.update(dict.fromkeys(("rbx", "rdi", "r12")[popped:], 0))
        found = Unwinder(target).unwind(registers, False).registers
        assert (found["rip"], found["rsp"]) == (CALLER, TOP)
        assert {name: found[name] for name in SAVED} == START


# What is missing or damaged


def failure(words: Mapping[int, int], registers: Mapping[str, int], image: Image, drop: Optional[int] = None) -> str:
    target = ImageTarget([image], words)
    if drop is not None:
        del target.images_and_words.pages[BASE + drop]
    with pytest.raises(UnwindError) as caught:
        Unwinder(target).unwind(registers, True)
    return str(caught.value)


def test_what_is_missing_is_named() -> None:
    image = new_image()
    operations = (Push("rbp"), Alloc(0x20), SetFrame("rbp", 0))
    function = image.function("Framed", Code().prologue(*operations).nop_to(0x40).epilogue())
    assert function.rva is not None
    registers = {"rip": BASE + function.rva + 0x30, "rsp": TOP - 0x30}
    pages: Dict[str, int] = {section.name: section.rva for section in image.sections}
    assert "rbp, which the frame is found by, is not known" in failure({}, registers, image)
    assert "stack cannot be read at" in failure({}, {**registers, "rbp": TOP - 0x30}, image)
    assert "function table of unwind.sys cannot be read" in failure({}, registers, image, pages[".pdata"])
    assert "unwind data of unwind.sys at RVA" in failure({}, registers, image, pages[".rdata"])
    assert "does not hold the image of unwind.sys, and there is no symbol path" in failure({}, registers, image, 0)
    assert "lies in no module" in failure({}, {"rip": 5, "rsp": TOP}, image)


def test_unwind_data_chained_in_a_circle_ends() -> None:
    image = new_image()
    image.add(Function("One", Code().nop(0x20), unwind=Unwind(chained_to="Two")))
    two = image.add(Function("Two", Code().nop(0x20), unwind=Unwind(chained_to="One")))
    assert two.rva is not None
    text = failure({}, {"rip": BASE + two.rva, "rsp": TOP}, image)
    assert "is chained without an end" in text


_TABLES = RandomImage(3, BASE, 12)


@given(st.lists(st.tuples(st.integers(0, 0xFFF), st.integers(0, 255)), max_size=60), st.integers(0, 11))
def test_damaged_tables_give_a_caller_or_a_reason(changes: List[object], number: int) -> None:
    image = _TABLES.image
    functions = [*_TABLES.functions, *_TABLES.traps]
    function = functions[number % len(functions)]
    target = ImageTarget([image], {TOP + 8 * index: index for index in range(64)})
    for section in image.sections:
        page = bytearray(target.images_and_words.pages.get(BASE + section.rva, b""))
        for place, value in changes:  # type: ignore[misc]
            if section.name != ".text" and page:
                page[place % max(1, section.end - section.rva) % len(page)] = value
        if page:
            target.images_and_words.pages[BASE + section.rva] = bytes(page)
    assert function.rva is not None
    registers = {**START, "rip": BASE + function.rva + 0x105, "rsp": TOP}
    unwinder = Unwinder(target)
    try:
        found = unwinder.unwind(registers, False).registers
    except UnwindError as error:
        assert str(error)
    else:
        assert {"rip", "rsp"} <= set(found)
