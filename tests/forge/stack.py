"""Kernel stacks, laid out from the outermost frame inwards."""

from __future__ import annotations

from typing import Mapping, NamedTuple, Optional, Sequence

from tests.forge.machine import Machine
from tests.forge.structure import Structure

#: What lies between the stack's base and a system thread's first frame.
INITIAL_OFFSET = 0xA10
#: KSWITCH_FRAME: where SwapContext left RBP and the return address into KiSwapContext (as ReactOS documents it).
_SWITCH_FRAME_SIZE, _SWITCH_RETURN = 0x40, 0x38
#: A trap frame begins with the home space of the function that it calls.
_HOME_SIZE = 0x20


class Call(NamedTuple):
    """A frame as a debugger prints it: Child-SP, return address, and the four words of its callers' home space."""

    stack_pointer: int
    return_address: int
    arguments: Sequence[int] = ()


class KernelStack:
    """A stack between `limit` and `base` (virtual addresses); `rsp` goes down as frames are added.

    `mapped` is how many bytes below the base exist, by default all.
    """

    def __init__(
        self, machine: Machine, base: int, size: int = 0x7000, initial: int = 0, mapped: Optional[int] = None
    ) -> None:
        self.machine = machine
        self.base = base
        self.limit = base - size
        #: KTHREAD.InitialStack.
        self.initial = initial or base - INITIAL_OFFSET
        self.rsp = self.initial
        mapped = size if mapped is None else mapped
        machine.put(base - mapped, bytes(mapped))

    def call(
        self, return_address: int, frame: int, home: Sequence[int] = (), saved: Optional[Mapping[int, int]] = None
    ) -> int:
        """Call a function with a frame of `frame` bytes: the return address is pushed, RSP goes down.

        `home` are the words in the caller's home space (what a debugger shows as arguments), `saved` words at
        offsets from the new RSP. Gives the function's Child-SP.
        """
        if home:
            self.machine.put_u64(self.rsp, *home)
        self.rsp -= 8
        self.machine.put_u64(self.rsp, return_address)
        self.rsp -= frame
        for offset, value in (saved or {}).items():
            self.machine.put_u64(self.rsp + offset, value)
        return self.rsp

    def lay_out(self, calls: Sequence[Call]) -> None:
        """Write frames at the places that a debugger printed, innermost first."""
        for index, call in enumerate(calls[:-1]):
            above = calls[index + 1].stack_pointer
            self.machine.put_u64(above - 8, call.return_address)
            self.machine.put_u64(above, *call.arguments)
        last = calls[-1]
        if last.arguments:
            self.machine.put_u64(self.initial, *last.arguments)
        self.rsp = calls[0].stack_pointer

    def trap(self, registers: Mapping[str, int], frame: Optional[int] = None, previous_mode: int = 0) -> Structure:
        """A trap frame at a virtual address (by default below RSP): members of _KTRAP_FRAME by name."""
        machine = self.machine
        if frame is None:
            self.rsp = (self.rsp - machine.layouts.size("_KTRAP_FRAME")) & ~0xF
            frame = self.rsp
        trap = machine.view("_KTRAP_FRAME", frame)
        machine.put(frame + _HOME_SIZE, bytes(trap.size - _HOME_SIZE))
        trap.set({"SegCs": 0x10, "SegSs": 0x18, "PreviousMode": previous_mode, "MxCsr": 0x1F80})
        trap.set(registers)
        return trap

    def switch_out(self, return_address: int) -> int:
        """Leave the processor: the frame that SwapContext leaves, returning into KiSwapContext; KTHREAD.KernelStack."""
        self.rsp -= _SWITCH_FRAME_SIZE
        self.machine.put_u64(self.rsp + _SWITCH_RETURN, return_address)
        return self.rsp
