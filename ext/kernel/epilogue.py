"""The caller of an x64 function without its unwind data: its code is followed forward to its return.

A triage dump has no images, but it holds the bytes behind each return address on the stack. Running
them on paper, registers that are known kept and all others forgotten, ends at a `ret` whose stack
pointer tells where the caller's return address lies, and the `pop`s and loads on the way restore the
caller's registers. Calls keep the stack pointer and the non-volatile registers, as the x64 calling
convention of Windows demands; of a conditional branch both ways are followed.
"""

from __future__ import annotations

from dumpkit.disassembly.capstone_library import Decoded, Decoder
from dumpkit.memory import U64_MASK, AddressSpace
from dumpkit.named_tuple import NamedTuple
from dumpkit.registers import PARTS, VOLATILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, List, Optional, Set, Tuple

_REGISTERS = frozenset("rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15".split())
#: A register or a part of one -> the whole.
_WHOLE = {name: part[0] for name, part in PARTS["x64"].items()}
_WHOLE.update((name, name) for name in _REGISTERS)

#: Instructions that one function may take; loops end because no address is visited twice.
_BUDGET = 600
_LONGEST = 15
_WINDOW = 0x100

#: What every way out of a function with a frame holds: the frame given back, then a return, a tail call, or iretq.
#: How instructions that give it back begin -> their size in bytes: pop, add rsp, mov rsp from r11 or rbp, leave.
_GIVING_BACK = {bytes((opcode,)): 1 for opcode in range(0x58, 0x60)}
_GIVING_BACK.update({b"\x48\x83\xc4": 4, b"\x48\x81\xc4": 7, b"\x49\x8b\xe3": 3, b"\x48\x8b\xe5": 3, b"\xc9": 1})
#: How what leaves the function begins: ret, jmp, and jmp through a register or memory, with REX.W or without.
_JUMPS = tuple([bytes((0xFF, operand)) for operand in (*range(0x20, 0x28), *range(0xE0, 0xE8))])
_LEAVING = (b"\xc2", b"\xc3", b"\xf3\xc3", b"\xe9", b"\xeb", *_JUMPS, *[b"\x48" + jump for jump in _JUMPS])
_IRETQ = b"\x48\xcf"
#: Code behind the return address that is looked through for one; where the dump has less, that is all there is.
_REACH = 0x400

#: What changes no register.
_READERS = frozenset("cmp test nop bt prefetchw prefetcht0 ucomiss comiss comisd".split())
_RETURNS = frozenset(("ret", "repz ret", "bnd ret"))
#: Where no path goes on: traps, and returns that leave the kernel.
_ENDS = frozenset("int3 int ud2 hlt sysret sysretq iret iretd retf retfq".split())
#: What changes volatile registers that its operands do not name.
_WIDE = frozenset("cpuid rdtsc rdtscp rdmsr mul div idiv imul cqo cdqe xgetbv".split())


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
        #: The stack pointer that a function with a frame cannot return with.
        self._entry_stack: Optional[int] = None

    def find(self, registers: Dict[str, int], has_called: bool = True) -> Optional[Return]:
        """The return of the function that `registers["rip"]` stands in; None where no path reaches it.

        `has_called` says that a call returns to rip. Such a function has a frame, for the home space of
        what it called, so its return must stand behind an epilogue.
        """
        self.refuted = False
        code = self.memory.read_prefix(registers["rip"], _REACH)
        if has_called and len(code) < _REACH and not _has_epilogue(code):
            return None
        self._entry_stack = registers["rsp"] if has_called else None
        waiting: List[_Path] = [_Path(registers["rip"], dict(registers), {}, False)]
        seen: Set[int] = set()
        budget = _BUDGET
        while waiting and budget:
            path = waiting.pop()
            while path.address not in seen and budget:
                budget -= 1
                seen.add(path.address)
                decoded = self.instruction(path.address)
                if decoded is None:
                    break
                found = self._step(path, decoded, waiting)
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

    def _step(self, path: _Path, decoded: Decoded, waiting: List[_Path]) -> Optional[Return]:
        """Take one instruction; the return if it is one. A path that ends gets address 0."""
        size, mnemonic, operands = decoded
        address, path.address = path.address, path.address + size
        handler = _HANDLERS.get(mnemonic)
        if handler is not None:
            handler(self, path, operands)
        elif mnemonic in _READERS:
            pass
        elif mnemonic[0] == "j" or mnemonic.startswith("loop"):
            return self._branch(path, address, mnemonic, operands, waiting)
        elif mnemonic in _RETURNS:
            path.address = 0
            return self._return(path, int(operands, 0) if operands else 0)
        elif mnemonic == "iretq":
            path.address = 0
            return self._machine_return(path)
        elif mnemonic in _ENDS:
            path.address = 0
        elif mnemonic in _WIDE:
            self._call(path, "")
            if mnemonic == "cpuid":
                path.registers.pop("rbx", None)
            self._forget(path, operands)
        else:
            self._forget(path, operands)
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
        if stack == self._entry_stack or not self.is_return_address(value):
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

    def _call(self, path: _Path, operands: str) -> None:
        registers = path.registers
        for name in VOLATILE:
            registers.pop(name, None)

    def _forget(self, path: _Path, operands: str) -> None:
        """What is not followed makes its first operand unknown; memory is not followed at all."""
        whole = _WHOLE.get(operands.partition(",")[0])
        if whole is not None:
            path.registers.pop(whole, None)

    def _exchange(self, path: _Path, operands: str) -> None:
        for operand in operands.split(", "):
            self._forget(path, operand)

    def _add(self, path: _Path, operands: str, sign: int = 1) -> None:
        target, _, source = operands.partition(", ")
        if target not in path.registers or not source.lstrip("-")[:1].isdecimal():
            self._forget(path, operands)
            return
        amount = sign * int(source, 0)
        if target == "rsp":
            path.leaving = amount > 0
        path.registers[target] = (path.registers[target] + amount) & U64_MASK

    def _subtract(self, path: _Path, operands: str) -> None:
        self._add(path, operands, -1)

    def _leave(self, path: _Path, operands: str) -> None:
        self._set(path, "rsp", path.registers.get("rbp"))
        self._pop(path, "rbp")

    def _load_address(self, path: _Path, operands: str) -> None:
        target, _, source = operands.partition(", ")
        self._set(path, target, self._address(path.registers, source))

    def _move(self, path: _Path, operands: str) -> None:
        target, _, source = operands.partition(", ")
        registers = path.registers
        if target[-1] == "]":
            self._store(path, target, source)
            return
        value: Optional[int] = None
        if source in _REGISTERS:
            value = registers.get(source)
        elif source.startswith("qword ptr ["):
            place = self._address(registers, source)
            value = self._load(path, place) if place is not None else None
        self._set(path, target, value)

    def _store(self, path: _Path, target: str, source: str) -> None:
        """A 64-bit register written to memory whose address is known may be read back later."""
        place = self._address(path.registers, target) if target.startswith("qword ptr [") else None
        if place is not None:
            path.slots[place] = path.registers.get(source)

    def _set(self, path: _Path, name: str, value: Optional[int]) -> None:
        """A register's new value; a part of a register makes the whole unknown."""
        if value is None or name not in _REGISTERS:
            self._forget(path, name)
        else:
            path.registers[name] = value & U64_MASK
        if name == "rsp":
            path.leaving = True

    def _push(self, path: _Path, operands: str) -> None:
        stack = path.registers.get("rsp")
        if stack is not None:
            path.registers["rsp"] = stack - 8
            path.slots[stack - 8] = path.registers.get(operands)
            path.leaving = False

    def _pop(self, path: _Path, operands: str) -> None:
        stack = path.registers.get("rsp")
        self._set(path, operands, self._load(path, stack) if stack is not None else None)
        if stack is not None:
            path.registers["rsp"] = stack + 8
            path.leaving = True

    @staticmethod
    def _address(registers: Dict[str, int], operand: str) -> Optional[int]:
        """The virtual address of a memory operand without a segment; None where a register in it is unknown."""
        total, sign = 0, "+"
        for term in operand.partition("[")[2].rstrip("]").split():
            if term in ("+", "-"):
                sign = term
                continue
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


def _has_epilogue(code: bytes) -> bool:
    if _IRETQ in code:
        return True
    for begin, size in _GIVING_BACK.items():
        at = code.find(begin)
        while at >= 0:
            if code.startswith(_LEAVING, at + size):
                return True
            at = code.find(begin, at + 1)
    return False


_HANDLERS: Dict[str, Callable[[ReturnFinder, _Path, str], None]] = {
    "mov": ReturnFinder._move,
    "movabs": ReturnFinder._move,
    "lea": ReturnFinder._load_address,
    "call": ReturnFinder._call,
    "add": ReturnFinder._add,
    "sub": ReturnFinder._subtract,
    "push": ReturnFinder._push,
    "pop": ReturnFinder._pop,
    "leave": ReturnFinder._leave,
    "xchg": ReturnFinder._exchange,
}
