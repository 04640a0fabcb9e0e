"""The caller of an x64 function without its unwind data: its code is followed forward to its return.

A triage dump has no images, but it holds the bytes behind each return address on the stack. Running
them on paper, registers that are known kept and all others forgotten, ends at a `ret` whose stack
pointer tells where the caller's return address lies, and the `pop`s and loads on the way restore the
caller's registers. Calls keep the stack pointer and the non-volatile registers, as the x64 calling
convention of Windows demands; of a conditional branch both ways are followed.
"""

from __future__ import annotations

import re
from typing import Callable, Dict, List, NamedTuple, Optional, Set, Tuple

from dumpkit.disassembly.capstone_library import Decoded, Decoder
from dumpkit.memory import U64_MASK, AddressSpace
from dumpkit.registers import PARTS

#: What the x64 calling convention lets a callee change.
VOLATILE = ("rax", "rcx", "rdx", "r8", "r9", "r10", "r11")
_WHOLE = {name: part[0] for name, part in PARTS["x64"].items()}
_REGISTERS = frozenset(
    ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15")
)

#: Instructions that one function may take; loops end because no address is visited twice.
_BUDGET = 600
_LONGEST = 15
_WINDOW = 0x100

_MEMORY = re.compile(r"(?:(\w+) ptr )?(?:(\w\w):)?\[([^]]+)\]")
_TERM = re.compile(r"([+-]?)\s*([^+\-\s]+)")
#: What only reads its first operand.
_READERS = frozenset(("cmp", "test", "push", "nop", "bt", "prefetchw", "prefetcht0", "ucomiss", "comiss", "comisd"))
#: Where no path goes on: traps, and returns that leave the kernel.
_ENDS = frozenset(("int3", "int", "ud2", "hlt", "sysret", "sysretq", "iret", "iretd", "retf", "retfq"))


class Return(NamedTuple):
    """Where a function returns to."""

    #: The return address and the stack pointer behind it: virtual addresses.
    address: int
    stack_pointer: int
    #: The caller's registers that are known; "rsp" and "rip" among them.
    registers: Dict[str, int]
    #: Whether it came from an interrupt's machine frame instead of a `ret`.
    is_machine_frame: bool = False


class _Path:
    """One way through the function: the next instruction, known registers, and stack slots written on the way."""

    def __init__(self, address: int, registers: Dict[str, int], slots: Dict[int, Optional[int]], leaving: bool) -> None:
        self.address = address
        self.registers = registers
        self.slots = slots
        #: Whether the last instruction that changed the stack pointer gave its frame back.
        self.leaving = leaving

    def fork(self, address: int) -> _Path:
        return _Path(address, dict(self.registers), dict(self.slots), self.leaving)


class ReturnFinder:
    """Follows functions of one target to their return."""

    def __init__(self, memory: AddressSpace, decode: Decoder, is_return_address: Callable[[int], bool]) -> None:
        self.memory = memory
        self.decode = decode
        #: Whether a value may be a return address; what a path ends in must be one.
        self.is_return_address = is_return_address
        #: Whether the last search reached a return whose stack slot holds no return address: the code is
        #: known then, and the place was no frame of its function.
        self.refuted = False
        self._instructions: Dict[int, Optional[Decoded]] = {}
        self._window: Tuple[int, bytes] = (0, b"")

    def find(self, registers: Dict[str, int]) -> Optional[Return]:
        """The return of the function that `registers["rip"]` stands in; None where no path reaches it."""
        waiting: List[_Path] = [_Path(registers["rip"], dict(registers), {}, False)]
        seen: Set[int] = set()
        budget = _BUDGET
        self.refuted = False
        while waiting and budget:
            path = waiting.pop()
            while path.address not in seen and budget:
                budget -= 1
                seen.add(path.address)
                decoded = self.instruction(path.address)
                if decoded is None:
                    break
                found = self._step(path, decoded.size, decoded.mnemonic, decoded.operands, waiting)
                if found is not None:
                    return found
                if path.address == 0:
                    break
        return None

    def instruction(self, address: int) -> Optional[Decoded]:
        """The instruction at a virtual address, None where there is none; paths cross, so it is remembered."""
        try:
            return self._instructions[address]
        except KeyError:
            code = self._code(address)
            decoded = self._instructions[address] = self.decode(code, address) if code else None
            return decoded

    def _code(self, address: int) -> bytes:
        start, window = self._window
        offset = address - start
        if not 0 <= offset <= len(window) - _LONGEST:
            start, window = self._window = (address, self.memory.read_prefix(address, _WINDOW))
            offset = 0
        return window[offset : offset + _LONGEST]

    def _step(self, path: _Path, size: int, mnemonic: str, operands: str, waiting: List[_Path]) -> Optional[Return]:
        """Take one instruction; the return if it is one. A path that ends gets address 0."""
        address, path.address = path.address, path.address + size
        if mnemonic in ("ret", "repz ret", "bnd ret"):
            path.address = 0
            return self._return(path, int(operands, 0) if operands else 0)
        if mnemonic == "iretq":
            path.address = 0
            return self._machine_return(path)
        if mnemonic in _ENDS:
            path.address = 0
        elif mnemonic == "call":
            for name in VOLATILE:
                path.registers.pop(name, None)
        elif mnemonic[0] == "j" or mnemonic.startswith("loop"):
            return self._branch(path, address, mnemonic, operands, waiting)
        else:
            self._compute(path, mnemonic, operands)
        return None

    def _branch(
        self, path: _Path, address: int, mnemonic: str, operands: str, waiting: List[_Path]
    ) -> Optional[Return]:
        target = int(operands, 16) if operands.startswith("0x") else None
        if mnemonic != "jmp":
            if target is not None:
                waiting.append(path.fork(target))
            return None
        path.address = target or 0
        if path.leaving and (target is None or not self._code(target)):
            # A tail call: the frame is gone already, so the callee returns to our caller.
            path.address = 0
            return self._return(path, 0)
        return None

    def _return(self, path: _Path, extra: int) -> Optional[Return]:
        stack = path.registers.get("rsp")
        value = self._load(path, stack) if stack is not None else None
        if stack is None or value is None:
            return None
        if not self.is_return_address(value):
            self.refuted = True
            return None
        registers = {name: known for name, known in path.registers.items() if name not in VOLATILE}
        registers["rip"] = value
        registers["rsp"] = stack + 8 + extra
        return Return(value, stack + 8, registers)

    def _machine_return(self, path: _Path) -> Optional[Return]:
        """The frame that the processor pushed for an interrupt: rip, cs, flags, rsp, ss."""
        stack = path.registers.get("rsp")
        if stack is None:
            return None
        frame = [self._load(path, stack + 8 * index) for index in range(5)]
        rip, cs, flags, rsp, ss = frame
        if rip is None or rsp is None or flags is None or cs not in (0x10, 0x33) or ss not in (0, 0x18, 0x2B):
            return None
        registers = {**path.registers, "rip": rip, "rsp": rsp, "efl": flags & 0xFFFFFFFF}
        return Return(rip, rsp, registers, True)

    def _load(self, path: _Path, address: int) -> Optional[int]:
        address &= U64_MASK
        return path.slots[address] if address in path.slots else self.memory.u64_optional(address)

    def _compute(self, path: _Path, mnemonic: str, operands: str) -> None:
        """Apply an instruction that goes on to the next one; what is not understood makes its target unknown."""
        registers = path.registers
        target, _, source = operands.partition(", ")
        if mnemonic == "push":
            self._push(path, operands)
        elif mnemonic == "pop":
            self._pop(path, operands)
        elif mnemonic == "leave":
            self._set(path, "rsp", registers.get("rbp"))
            self._pop(path, "rbp")
        elif mnemonic in ("add", "sub") and target in registers and source.startswith(("0x", "-0x", *"0123456789")):
            amount = int(source, 0) * (1 if mnemonic == "add" else -1)
            if target == "rsp":
                path.leaving = amount > 0
            registers[target] = (registers[target] + amount) & U64_MASK
        elif mnemonic in ("mov", "movabs", "lea"):
            self._move(path, mnemonic, target, source)
        elif mnemonic == "xchg":
            self._set(path, target, None)
            self._set(path, source, None)
        elif mnemonic in ("cpuid", "rdtsc", "rdtscp", "rdmsr", "mul", "div", "idiv", "imul", "cqo", "cdqe", "xgetbv"):
            for name in (*VOLATILE, *(("rbx",) if mnemonic == "cpuid" else ())):
                registers.pop(name, None)
            self._set(path, target, None)
        elif mnemonic not in _READERS:
            self._set(path, target, None)

    def _move(self, path: _Path, mnemonic: str, target: str, source: str) -> None:
        registers = path.registers
        match = _MEMORY.match(target)
        if match is not None:
            place = self._address(registers, match)
            if place is not None and match.group(1) == "qword":
                path.slots[place] = registers.get(source)
            return
        value: Optional[int] = None
        match = _MEMORY.match(source)
        if match is not None:
            place = self._address(registers, match)
            if mnemonic == "lea":
                value = place
            elif place is not None and match.group(1) == "qword":
                value = self._load(path, place)
        elif source in _REGISTERS:
            value = registers.get(source)
        if target == "rsp":
            path.leaving = True
        self._set(path, target, value)

    def _set(self, path: _Path, name: str, value: Optional[int]) -> None:
        """A register's new value; a part of a register makes the whole unknown, memory is not followed."""
        whole = name if name in _REGISTERS else _WHOLE.get(name)
        if whole is None:
            return
        if value is None or whole != name:
            path.registers.pop(whole, None)
        else:
            path.registers[whole] = value & U64_MASK

    def _push(self, path: _Path, operand: str) -> None:
        stack = path.registers.get("rsp")
        if stack is not None:
            path.registers["rsp"] = stack - 8
            path.slots[stack - 8] = path.registers.get(operand)
            path.leaving = False

    def _pop(self, path: _Path, operand: str) -> None:
        stack = path.registers.get("rsp")
        self._set(path, operand, self._load(path, stack) if stack is not None else None)
        if stack is not None:
            path.registers["rsp"] = stack + 8
            path.leaving = True

    @staticmethod
    def _address(registers: Dict[str, int], match: re.Match[str]) -> Optional[int]:
        """The virtual address of a memory operand; None where a register in it is unknown, or it has a segment."""
        if match.group(2):
            return None
        total = 0
        for sign, term in _TERM.findall(match.group(3)):
            name, _, scale = term.partition("*")
            if name in _REGISTERS:
                value = registers.get(name)
                if value is None:
                    return None
                value *= int(scale or "1", 0)
            elif name == "rip":
                return None
            else:
                try:
                    value = int(name, 0)
                except ValueError:
                    return None
            total += -value if sign == "-" else value
        return total & U64_MASK
