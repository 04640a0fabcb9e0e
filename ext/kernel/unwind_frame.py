"""A frame that is being undone: the operations of prologues backwards, and of epilogues forwards.

Source: Microsoft's "x64 exception handling" and "x64 prolog and epilog".
"""

from __future__ import annotations

from dumpkit.errors import UnwindError
from dumpkit.kernel.function_table import FunctionTable
from dumpkit.kernel.unwind_epilogue import INTERRUPT_RETURN, JUMP, LONGEST, read_epilogue
from dumpkit.kernel.unwind_info import (
    ALLOC_LARGE,
    ALLOC_SMALL,
    MACHINE_FRAME,
    PUSH,
    REGISTERS,
    SAVE,
    SAVE_FAR,
    SAVE_XMM,
    SAVE_XMM_FAR,
    SET_FRAME,
    RuntimeFunction,
    UnwindCode,
    UnwindInfo,
)
from dumpkit.memory import U64_MASK, AddressSpace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Mapping, Optional, Tuple

    from typing_extensions import TypeAlias

#: What a call leaves to the caller: all other registers are not known behind it. (xmm0 to xmm5 likewise.)
_KEPT = frozenset("rbx rsp rbp rsi rdi r12 r13 r14 r15 rip cs ss ds es fs gs".split()) | {
    f"xmm{number}" for number in range(6, 16)
}

_Parts: TypeAlias = "List[Tuple[RuntimeFunction, UnwindInfo]]"


class UnwindFrame:
    """A frame that is being undone: the registers as they were at each moment, backwards."""

    def __init__(self, memory: AddressSpace, registers: Mapping[str, int]) -> None:
        self._memory = memory
        self.registers = dict(registers)
        #: The virtual address where the processor pushed rip, once what it pushed for a trap was left; else None.
        self.machine_frame: Optional[int] = None

    def undo_function(self, table: FunctionTable, function: RuntimeFunction, rva: int, has_called: bool) -> None:
        """Undo what a function, an entry of the table, has done when it stands at an RVA."""
        parts = table.parts(function)
        is_in_prologue = rva - function.begin < parts[0][1].prologue_size
        if not has_called and not is_in_prologue and self._leaves(table, rva, parts):
            return
        executed: Optional[int] = rva - function.begin if is_in_prologue else None
        for _, info in parts:
            self.undo(info, executed)
            executed = None

    def _leaves(self, table: FunctionTable, rva: int, parts: _Parts) -> bool:
        """Go through the rest of the epilogue that an RVA stands in; False, and nothing is done, if it is in none."""
        code = table.image.read(rva, LONGEST)
        if not code:
            return self._leaves_by_table(rva, parts)
        epilogue = read_epilogue(code)
        if epilogue is None:
            return False
        if epilogue.ending == INTERRUPT_RETURN:
            if not any(code.operation == MACHINE_FRAME for _, info in parts for code in info.codes):
                return False
        elif epilogue.ending == JUMP and epilogue.jump is not None:
            # A jump within the function does not leave it, and its begin is jumped to by a call of itself.
            goal = table.find(rva + epilogue.jump)
            whole = parts[-1][0]
            if goal is not None and rva + epilogue.jump != whole.begin and table.parts(goal)[-1][0] == whole:
                return False
        if epilogue.base is not None:
            self.move_to(epilogue.base, epilogue.displacement)
        self.release(epilogue.added)
        for register in epilogue.pops:
            self.pop(register)
        if epilogue.ending == INTERRUPT_RETURN:
            self.leave_machine_frame(False)
        return True

    def _leaves_by_table(self, rva: int, parts: _Parts) -> bool:
        """As `_leaves`, by what version 2 says of a function whose code is not there: its epilogues begin with pops."""
        function, info = parts[0]
        for distance in info.epilogues:
            done = rva - (function.end - distance)
            if 0 <= done < info.epilogue_size:
                for code in info.codes:
                    if code.operation == PUSH:
                        if done <= 0:
                            self.pop(REGISTERS[code.info])
                        done -= 2 if code.info > 7 else 1
                return True
        return False

    def undo(self, info: UnwindInfo, executed: Optional[int]) -> None:
        """Undo the operations of a prologue, of which the first `executed` bytes have run (None: all of it)."""
        base = self._base(info, executed)
        for code in info.codes:
            if executed is None or code.offset <= executed:
                self._undo(code, info, base)

    def _base(self, info: UnwindInfo, executed: Optional[int]) -> int:
        """The frame's address, which the places of saved registers are counted from, once the prologue has run."""
        below = 0
        for code in reversed(info.codes):
            if executed is not None and code.offset > executed:
                below += code.stack_use
            elif code.operation == SET_FRAME:
                return self._frame_address(info)
            if code.operation == SET_FRAME:
                break
        if info.chained is not None and info.frame_register is not None:
            return self._frame_address(info)
        return self.registers["rsp"] - below

    def _frame_address(self, info: UnwindInfo) -> int:
        name = info.frame_register or "rsp"
        if name not in self.registers:
            raise UnwindError(f"{name}, which the frame is found by, is not known")
        return self.registers[name] - info.frame_offset

    def _undo(self, code: UnwindCode, info: UnwindInfo, base: int) -> None:
        operation = code.operation
        if operation == PUSH:
            self.pop(REGISTERS[code.info])
        elif operation in (ALLOC_SMALL, ALLOC_LARGE):
            self.release(code.operand)
        elif operation == SET_FRAME:
            self.registers["rsp"] = self._frame_address(info) & U64_MASK
        elif operation in (SAVE, SAVE_FAR):
            self._load(REGISTERS[code.info], base + code.operand, 8)
        elif operation in (SAVE_XMM, SAVE_XMM_FAR):
            self._load(f"xmm{code.info}", base + code.operand, 16)
        elif operation == MACHINE_FRAME:
            self.leave_machine_frame(bool(code.info))

    def pop(self, register: str) -> None:
        """Undo a push: a register whose place cannot be read is not known any more."""
        self._load(register, self.registers["rsp"], 8)
        self.release(8)

    def release(self, size: int) -> None:
        """Undo an allocation."""
        self.registers["rsp"] = (self.registers["rsp"] + size) & U64_MASK

    def move_to(self, base: str, displacement: int) -> None:
        """lea rsp,[base+displacement]"""
        if base not in self.registers:
            raise UnwindError(f"{base}, which the frame is found by, is not known")
        self.registers["rsp"] = (self.registers[base] + displacement) & U64_MASK

    def _load(self, register: str, address: int, size: int) -> None:
        data = self._memory.read_optional(address & U64_MASK, size)
        if data is not None:
            self.registers[register] = int.from_bytes(data, "little")
        else:
            self.registers.pop(register, None)

    def leave_machine_frame(self, has_error_code: bool) -> None:
        """Take rip, cs, rflags, rsp and ss as the processor pushed them, the error code behind them skipped."""
        address = self.registers["rsp"] + (8 if has_error_code else 0)
        rip, cs, flags, stack, ss = (self._word(address + 8 * index) for index in range(5))
        self.registers.update({"rip": rip, "cs": cs & 0xFFFF, "efl": flags & 0xFFFF_FFFF, "rsp": stack})
        self.registers["ss"] = ss & 0xFFFF
        self.machine_frame = address & U64_MASK

    def _word(self, address: int) -> int:
        value = self._memory.u64_optional(address & U64_MASK)
        if value is None:
            reason = self._memory.explain(address & U64_MASK)
            raise UnwindError(f"the stack cannot be read at {address & U64_MASK:016x}: {reason}")
        return value

    def caller(self) -> Tuple[Dict[str, int], bool]:
        """The registers that are left, and whether a machine frame gave them; else the return address is popped."""
        is_machine_frame = self.machine_frame is not None
        if not is_machine_frame:
            self.registers["rip"] = self._word(self.registers["rsp"])
            self.release(8)
        kept = {name: value for name, value in self.registers.items() if name in _KEPT}
        if is_machine_frame:
            kept["efl"] = self.registers["efl"]
        return kept, is_machine_frame
