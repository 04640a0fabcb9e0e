"""What single x64 instructions do to a State; calls and jumps are the flow's."""

from __future__ import annotations

import re

from dumpkit.kernel.call_names import CallNames, Routine
from dumpkit.kernel.framework import FRAMEWORK, framework_function
from dumpkit.kernel.irql import HIGH_LEVEL
from dumpkit.kernel.irql_level import Change, Level, exactly
from dumpkit.kernel.irql_state import WHOLE, FunctionTable, Place, State, Value
from dumpkit.memory import U64_MASK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Optional

BRACKETS = re.compile(r"\[([^]]+)\]")
_RIP = re.compile(r"rip ([+-]) (0x[0-9a-f]+|\d+)$")
_BASE_AND_NUMBER = re.compile(r"(\w+)(?: ([+-]) (0x[0-9a-f]+|\d+))?$")
_NUMBER = re.compile(r"-?(0x[0-9a-f]+|\d+)$")

#: What leaves registers, cells and the last comparison as they are.
_NEUTRAL = frozenset("nop prefetchw prefetcht0 lfence mfence sfence pause endbr64".split())
#: What compares and changes nothing else.
_COMPARING = frozenset("cmp test bt ucomiss comiss comisd ucomisd".split())
#: What changes registers that its operands do not name.
_WIDE = frozenset(
    "cpuid rdtsc rdtscp rdmsr mul div idiv imul cqo cdqe cwde xgetbv cmpxchg cmpxchg8b cmpxchg16b".split()
)
#: String instructions, which move their pointers and, repeated, count in rcx.
_STRING = re.compile(r"(?:movs|stos|lods|scas|cmps)[bwdq]")
#: Levels are bytes: what a whole register holds may be more than the part that was written.
_BYTES = frozenset(name for name in WHOLE if name[-1] == "l" or (name[0] == "r" and name[-1] == "b"))
#: Sums below this are kept: arguments that contracts depend on.
_KEPT = 0x1000


def _cell(state: State, operand: str) -> str:
    """What stands for the cell of a memory operand: where a register holds its address, what that was taken of."""
    value = state.registers.get(operand)
    return value.text if isinstance(value, Place) and value.is_variable else operand


class Steps:
    """Applies instructions, in capstone's syntax, to states."""

    def __init__(self, names: CallNames) -> None:
        self.names = names
        self._address = 0

    def step(self, state: State, address: int, end: int, mnemonic: str, operands: str) -> None:
        """One instruction from a virtual address on, up to before `end`."""
        self._address = address
        handler = _HANDLERS.get(mnemonic)
        if handler is not None:
            target, _, source = operands.partition(", ")
            handler(self, state, end, target, source)
        elif mnemonic in _NEUTRAL:
            return
        elif mnemonic in _COMPARING:
            self._compare(state, mnemonic, operands)
        else:
            state.compared = None
            if mnemonic in _WIDE:
                for name in ("rax", "rcx", "rdx", "rbx"):
                    state.set(name, None)
            elif _STRING.fullmatch(mnemonic):
                for name in ("rax", "rcx", "rsi", "rdi"):
                    state.set(name, None)
            self._forget(state, operands.partition(", ")[0])

    def _forget(self, state: State, target: str) -> None:
        whole = WHOLE.get(target)
        if whole is not None:
            state.set(whole, None)
        elif state.cells:
            match = BRACKETS.search(target)
            if match is not None:
                state.cells.pop(_cell(state, match.group(1)), None)

    def _value(self, state: State, end: int, source: str) -> Optional[Value]:
        """What an operand stands for, where it can be a level or leads to one."""
        if source == "cr8":
            return state.irql
        whole = WHOLE.get(source)
        if whole is not None:
            return state.registers.get(whole)
        if _NUMBER.match(source):
            return exactly(int(source, 0) & U64_MASK)
        match = BRACKETS.search(source)
        if match is None:
            return None
        inner = match.group(1)
        relative = _RIP.match(inner)
        if relative is not None:
            distance = int(relative.group(2), 0)
            slot = (end + (distance if relative.group(1) == "+" else -distance)) & U64_MASK
            if not source.startswith("qword"):
                return None
            return FunctionTable(FRAMEWORK) if self.names.is_function_table(slot) else self.names.through(slot)
        return state.cells.get(_cell(state, inner)) or self.in_table(state, inner)

    def in_table(self, state: State, inner: str) -> Optional[Routine]:
        """The framework's function that an operand takes from its table, or None."""
        parts = _BASE_AND_NUMBER.match(inner)
        base = state.registers.get(WHOLE.get(parts.group(1), "")) if parts is not None else None
        if parts is None or not isinstance(base, FunctionTable) or parts.group(2) == "-":
            return None
        name = framework_function(int(parts.group(3) or "0", 0))
        return Routine(f"{base.framework}!{name}", (name,), None) if name is not None else None

    def _move(self, state: State, end: int, target: str, source: str) -> None:
        value = self._value(state, end, source)
        whole = WHOLE.get(target)
        if whole == "cr8":
            level = value if isinstance(value, Level) and value.low <= HIGH_LEVEL else None
            state.set_to(level, Change(self._address, "mov cr8"))
        elif whole is not None:
            state.set(whole, value)
        else:
            match = BRACKETS.search(target)
            if match is not None:
                state.keep(_cell(state, match.group(1)), value)

    def _load_address(self, state: State, end: int, target: str, source: str) -> None:
        whole = WHOLE.get(target, "")
        match = BRACKETS.search(source)
        inner = match.group(1) if match is not None else ""
        value: Optional[Value] = Place(inner)
        relative = _RIP.match(inner)
        if relative is not None:
            distance = int(relative.group(2), 0)
            value = self.names.at((end + (distance if relative.group(1) == "+" else -distance)) & U64_MASK)
        parts = _BASE_AND_NUMBER.match(inner)
        if parts is not None:
            base = state.level_in(WHOLE.get(parts.group(1), ""))
            if base is not None and base.is_exact:
                number = int(parts.group(3) or "0", 0)
                total = base.low + (-number if parts.group(2) == "-" else number)
                value = exactly(total) if 0 <= total < _KEPT else None
        state.set(whole, value)

    def _mask(self, state: State, end: int, target: str, source: str) -> None:
        """and: with zero it stores zero, as compilers do where that is shorter."""
        state.compared = None
        if source == "0":
            self._move(state, end, target, source)
        else:
            self._forget(state, target)

    def _clear(self, state: State, end: int, target: str, source: str) -> None:
        state.compared = None
        if target == source and target in WHOLE:
            state.set(WHOLE[target], exactly(0))
        else:
            self._forget(state, target)

    def _exchange(self, state: State, end: int, target: str, source: str) -> None:
        self._forget(state, target)
        self._forget(state, source)

    def _select(self, state: State, end: int, target: str, source: str) -> None:
        whole = WHOLE.get(target, "")
        value = self._value(state, end, source)
        if state.registers.get(whole) != value:
            state.set(whole, None)

    def _push(self, state: State, end: int, target: str, source: str) -> None:
        state.forget_cells("rsp")

    def _pop(self, state: State, end: int, target: str, source: str) -> None:
        self._forget(state, target)
        state.forget_cells("rsp")

    def _compare(self, state: State, mnemonic: str, operands: str) -> None:
        """Remember a comparison of a level with a number, for the jump that follows."""
        left, _, right = operands.partition(", ")
        level: Optional[Value] = None
        if left in _BYTES:
            level = state.level_in(WHOLE[left])
        elif left.startswith("byte"):
            match = BRACKETS.search(left)
            level = state.cells.get(match.group(1)) if match is not None else None
        state.compared = None
        if not isinstance(level, Level) or level.is_relative or level.low > HIGH_LEVEL:
            return
        if mnemonic == "test" and left == right:
            state.compared = level, 0
        elif mnemonic == "cmp" and _NUMBER.match(right):
            state.compared = level, int(right, 0)


_HANDLERS: Dict[str, Callable[[Steps, State, int, str, str], None]] = {
    "mov": Steps._move,
    "movabs": Steps._move,
    "movzx": Steps._move,
    "movsx": Steps._move,
    "movsxd": Steps._move,
    "lea": Steps._load_address,
    "and": Steps._mask,
    "xor": Steps._clear,
    "sub": Steps._clear,
    "xchg": Steps._exchange,
    "xadd": Steps._exchange,
    "push": Steps._push,
    "pop": Steps._pop,
    **{f"cmov{condition}": Steps._select for condition in "o no b ae e ne be a s ns p np l ge le g".split()},
}


def decide(mnemonic: str, compared: Level, number: int) -> Optional[bool]:
    """Whether a conditional jump is taken behind a comparison of a level with a number; None where it may be."""
    low, high = compared.low, compared.high
    if mnemonic in ("je", "jne"):
        equal = None if low <= number <= high and low != high else low == number
        return equal if equal is None or mnemonic == "je" else not equal
    below = True if high < number else False if low >= number else None
    above = True if low > number else False if high <= number else None
    if mnemonic in ("jb", "jl"):
        return below
    if mnemonic in ("jae", "jge"):
        return None if below is None else not below
    if mnemonic in ("ja", "jg"):
        return above
    if mnemonic in ("jbe", "jle"):
        return None if above is None else not above
    return None
