"""Images of functions with random prologues, and stacks on which they call each other: what unwinding must find.

The unwind codes are the forge's; each stack is made by doing the prologues on paper, so that what a frame must look
like is known without unwinding anything.
"""

from __future__ import annotations

from random import Random
from struct import pack
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from tests.forge.assembly import Code
from tests.forge.call_stack import CallStack
from tests.forge.image import Image
from tests.forge.image_sections import PDATA, RDATA, TEXT
from tests.forge.image_tables import CodeView
from tests.forge.program import Function
from tests.forge.unwind import Alloc, MachineFrame, Operation, Push, Save, SaveXmm, SetFrame, Unwind

SAVED = ("rbx", "rbp", "rsi", "rdi", "r12", "r13", "r14", "r15")
#: Where the call of each function's body returns to.
RETURN_AT = 0x105
_FRAME_REGISTERS = ("rbp", "rbx", "rsi", "r12", "r13", "r15")


class Expected(NamedTuple):
    """A frame: virtual addresses, and the registers that calls preserve as its function has them."""

    name: str
    instruction: int
    stack_pointer: int
    registers: Dict[str, int]


class Step(NamedTuple):
    """An instruction of an epilogue: where it stands in the function, and what it does to the stack."""

    offset: int
    kind: str
    register: str = ""
    amount: int = 0


class MadeStack(NamedTuple):
    """A stack, its innermost frame first, and its words by virtual address; the others were never written."""

    frames: Sequence[Expected]
    words: Dict[int, int]


def random_operations(random: Random, is_trap: bool = False) -> List[Operation]:
    """A prologue as compilers write it: pushes, an allocation of any size, a frame register, saves."""
    registers = random.sample(SAVED, len(SAVED))
    pushes = [registers.pop() for _ in range(random.randrange(6))]
    sizes = (random.randrange(8, 129, 8), random.randrange(136, 0x2000, 8), 0x7FFF8, 0x80000, 0x90008)
    size = random.choices(sizes, (6, 6, 1, 1, 1))[0]
    operations: List[Operation] = [Push(register) for register in pushes]
    if is_trap:
        operations.insert(0, MachineFrame(random.random() < 0.5))
    used = 8 * len(pushes) + size + 8
    operations.append(Alloc(size + (-used % 16) * (random.random() < 0.8)))
    frame = random.choice(_FRAME_REGISTERS)
    if random.random() < 0.35 and frame in pushes:
        operations.append(SetFrame(frame, random.randrange(0, 241, 16)))
    free = [register for register in registers if random.random() < 0.3]
    places = random.sample(range(0, min(size, 0x1000) - 7, 8), min(len(free), (min(size, 0x1000)) // 8))
    operations += [Save(register, place) for register, place in zip(free, places)]
    room = [place for place in range(0, min(size, 0x800) - 15, 16) if not {place, place + 8} & set(places)]
    if room and random.random() < 0.3:
        operations.append(SaveXmm(random.randrange(6, 16), random.choice(room)))
    return operations


def _frame_register(function: Function) -> Optional[str]:
    operations = [operation for _, operation in function.code.operations]
    return next((operation.register for operation in operations if isinstance(operation, SetFrame)), None)


class RandomImage:
    """An image of `count` functions, the last ones handlers of traps; parts of some lie elsewhere."""

    def __init__(self, seed: int, base: int, count: int = 40) -> None:
        self.random = Random(seed)
        self.image = Image("random.sys", base)
        self.image.section(".text", TEXT, size=(count + 8) * 0x400)
        self.image.section(".rdata", RDATA)
        self.image.section(".pdata", PDATA)
        self.image.set_codeview(CodeView("random.pdb", "112233445566778899AABBCCDDEEFF00"))
        self.leaf = self.image.function("Leaf", Code().nop(16).ret())
        self.epilogues: Dict[str, List[Step]] = {}
        self.functions = [self._function(f"F{number}", False) for number in range(count - 8)]
        self.traps = [self._function(f"T{number}", True) for number in range(8)]
        # Unwind data that is chained must name the same frame register, which the forge's does not: none of those.
        whole = [function for function in self.functions if _frame_register(function) is None]
        self.parts = {function.name: self._part(function) for function in whole if self.random.random() < 0.4}

    def _function(self, name: str, is_trap: bool) -> Function:
        code = Code().prologue(*random_operations(self.random, is_trap)).nop_to(RETURN_AT - 5).call("Leaf").nop(3)
        steps = [] if is_trap else self._epilogue(code)
        self.epilogues[name] = steps
        unwind: Optional[Unwind] = None
        if steps and self.random.random() < 0.5:
            # As Microsoft's compilers describe an epilogue: from its first pop on.
            pops = [step.offset for step in steps if step.kind in ("pop", "ret")]
            size = len(code) - pops[0]
            unwind = Unwind(tuple(code.operations), code.prologue_size, epilogue_size=size, epilogues=(size,))
        if is_trap:
            code.epilogue()
        return self.image.function(name, code, unwind=unwind)

    def _epilogue(self, code: Code) -> List[Step]:
        """Write what undoes the prologue; by `lea rsp` where a frame register leads there."""
        operations = [operation for _, operation in code.operations]
        steps: List[Step] = []
        frame = next((operation for operation in operations if isinstance(operation, SetFrame)), None)
        for operation in reversed(operations):
            at = len(code)
            if isinstance(operation, Alloc):
                if frame is not None:
                    code.lea("rsp", frame.register, operation.size - frame.offset)
                else:
                    code.raw(b"\x48\x81\xc4" + pack("<I", operation.size))
                steps.append(Step(at, "release", "", operation.size))
            elif isinstance(operation, Push):
                code.pop(operation.register)
                steps.append(Step(at, "pop", operation.register))
        steps.append(Step(len(code), "ret"))
        ending = self.random.choice(("c3", "c3", "f3c3", "c20000", "48ff25a0000000", "48ffe0", "jump"))
        if ending == "jump":
            code.jump("Leaf")
        else:
            code.hex(ending)
        return steps

    def _part(self, function: Function) -> Function:
        """A part of a function that lies elsewhere, without a prologue of its own."""
        code = Code().nop(4).nop_to(RETURN_AT - 5).call("Leaf").nop(3).ret()
        part = Function(f"{function.name}_part", code, unwind=Unwind(chained_to=function.name))
        return self.image.add(part)

    # Stacks

    def stack(self, top: int) -> MadeStack:
        """A random stack that grows down from a virtual address."""
        random = self.random
        stack = CallStack(top, {register: random.getrandbits(64) for register in SAVED})
        frames: List[Expected] = []
        place: Optional[int] = None
        for _ in range(random.randrange(2, 14)):
            trapped = place is not None and random.random() < 0.12
            function = random.choice(self.traps if trapped else self.functions)
            if trapped:
                assert place is not None
                frames[-1] = frames[-1]._replace(instruction=place - 7)
                stack.trap(function, place - 7, random.getrandbits(16))
            else:
                stack.call(function, place)
            self._change_registers(stack, function)
            part = self.parts.get(function.name) if random.random() < 0.5 else None
            place = self._address(part or function, RETURN_AT)
            frames.append(self._frame(function.name, place, stack))
        frames.append(self._innermost(stack, place))
        return MadeStack(frames[::-1], stack.words)

    def _address(self, function: Function, offset: int) -> int:
        assert function.rva is not None
        return self.image.base + function.rva + offset

    def _frame(self, name: str, instruction: int, stack: CallStack) -> Expected:
        return Expected(name, instruction, stack.pointer, {name: stack.registers[name] for name in SAVED})

    def _change_registers(self, stack: CallStack, function: Function) -> None:
        operations = [operation for _, operation in function.code.operations]
        frame = _frame_register(function)
        for operation in operations:
            if isinstance(operation, (Push, Save)) and operation.register != frame:
                stack.registers[operation.register] = self.random.getrandbits(64)
            elif isinstance(operation, SaveXmm):
                stack.registers[f"xmm{operation.number}"] = self.random.getrandbits(128)
        if frame is not None and self.random.random() < 0.5:
            # What _alloca takes: nothing in the unwind data tells of it.
            stack.registers["rsp"] -= 16 * self.random.randrange(1, 20)

    def _innermost(self, stack: CallStack, place: Optional[int]) -> Expected:
        """The frame that the context is of: in its body, its prologue, its epilogue, or a leaf."""
        where = self.random.choice(("leaf", "body", "prologue", "epilogue"))
        if where == "leaf":
            stack.call(self.leaf, place)
            return self._frame("Leaf", self._address(self.leaf, 0), stack)
        function = self.random.choice(self.functions)
        if where == "body":
            stack.call(function, place)
            self._change_registers(stack, function)
            return self._frame(function.name, self._address(function, RETURN_AT - 5), stack)
        if where == "prologue":
            return self._in_prologue(stack, function, place)
        return self._in_epilogue(stack, function, place)

    def _in_prologue(self, stack: CallStack, function: Function, place: Optional[int]) -> Expected:
        described: List[Tuple[int, Operation]] = list(function.code.operations)
        count = self.random.randrange(len(described) + 1)
        below = [operation.size if isinstance(operation, Alloc) else 0 for _, operation in described[count:]]
        below += [8 for _, operation in described[count:] if isinstance(operation, Push)]
        done = Function("", Code())
        # Places of saved registers count from where the stack pointer will be.
        done.code.operations = [
            (at, each._replace(offset=each.offset - sum(below)) if isinstance(each, (Save, SaveXmm)) else each)
            for at, each in described[:count]
        ]
        stack.call(done, place)
        offset = described[count - 1][0] if count else 0
        return self._frame(function.name, self._address(function, offset), stack)

    def _in_epilogue(self, stack: CallStack, function: Function, place: Optional[int]) -> Expected:
        saved = dict(stack.registers)
        stack.call(function, place)
        self._change_registers(stack, function)
        body = stack.pointer
        steps = self.epilogues[function.name]
        count = self.random.randrange(len(steps))
        operations = [operation for _, operation in function.code.operations]
        for operation in operations:
            if isinstance(operation, Save):
                # Restored before the epilogue begins.
                stack.registers[operation.register] = saved[operation.register]
        if count:
            pushed = 8 * sum(isinstance(operation, Push) for operation in operations)
            popped = sum(step.kind == "pop" for step in steps[:count])
            released = any(step.kind == "release" for step in steps[:count])
            entry = saved["rsp"] - (8 if place is not None else 0)
            stack.registers["rsp"] = entry - pushed + 8 * popped if released else body
            for step in steps[:count]:
                if step.kind == "pop":
                    stack.registers[step.register] = saved[step.register]
        return self._frame(function.name, self._address(function, steps[count].offset), stack)
