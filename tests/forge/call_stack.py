"""A kernel stack that grows by calling forged functions: their prologues are done on paper."""

from __future__ import annotations

from struct import pack
from typing import Dict, Mapping, Optional

from tests.forge.program import Function
from tests.forge.unwind import Alloc, MachineFrame, Operation, Push, Save, SaveXmm, SetFrame, stack_use

_KERNEL_CS, _KERNEL_SS, _FLAGS = 0x10, 0x18, 0x246
_MASK = (1 << 64) - 1


class CallStack:
    """Stack memory as words by address, and the registers as they are now.

    `top` is where the stack begins; the zero there is the return address that ends it.
    """

    def __init__(self, top: int, registers: Optional[Mapping[str, int]] = None) -> None:
        self.top = top
        self.words: Dict[int, int] = {top: 0}
        #: General registers by name, RIP left out; "xmm6" and its like too.
        self.registers: Dict[str, int] = {**(registers or {}), "rsp": top}

    @property
    def pointer(self) -> int:
        """RSP."""
        return self.registers["rsp"]

    def push(self, value: int) -> None:
        """Push a word."""
        self.registers["rsp"] -= 8
        self.words[self.pointer] = value & _MASK

    def call(self, function: Function, return_address: Optional[int] = None) -> int:
        """Enter a function whose return address this is (None: the stack begins with it); RSP in its body."""
        if return_address is not None:
            self.push(return_address)
        return self._run(function)

    def trap(self, function: Function, instruction: int, error_code: int = 0) -> int:
        """Enter the handler of a trap at a virtual address; RSP in the handler's body."""
        before = self.pointer
        self.registers["rsp"] &= ~0xF
        for word in (_KERNEL_SS, before, _FLAGS, _KERNEL_CS, instruction):
            self.push(word)
        machine = [operation for _, operation in function.code.operations if isinstance(operation, MachineFrame)]
        if machine and machine[0].error_code:
            self.push(error_code)
        return self._run(function)

    def _run(self, function: Function) -> int:
        operations = [operation for _, operation in function.code.operations]
        bottom = self.pointer - sum(map(stack_use, operations))
        for operation in operations:
            self._do(operation, bottom)
        return self.pointer

    def _do(self, operation: Operation, bottom: int) -> None:
        if isinstance(operation, Push):
            self.push(self.registers.get(operation.register, 0))
        elif isinstance(operation, Alloc):
            self.registers["rsp"] -= operation.size
        elif isinstance(operation, SetFrame):
            self.registers[operation.register] = self.pointer + operation.offset
        elif isinstance(operation, Save):
            self.words[bottom + operation.offset] = self.registers.get(operation.register, 0)
        elif isinstance(operation, SaveXmm):
            value = self.registers.get(f"xmm{operation.number}", 0)
            self.words[bottom + operation.offset] = value & _MASK
            self.words[bottom + operation.offset + 8] = value >> 64

    def memory(self, start: Optional[int] = None, above: int = 0x40) -> bytes:
        """The bytes from `start` (RSP) up to `above` bytes beyond the top."""
        first = self.pointer if start is None else start
        return b"".join(pack("<Q", self.words.get(place, 0)) for place in range(first, self.top + above, 8))
