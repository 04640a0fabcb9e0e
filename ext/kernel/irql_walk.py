"""The walk through a function: every path of its code is followed from its start, with the IRQL along it."""

from __future__ import annotations

import re

from dumpkit.kernel.call_names import Routine
from dumpkit.kernel.irql_conditions import places_of
from dumpkit.kernel.irql_effects import CALLBACKS, NO_RETURN, RAISES, RESTORES
from dumpkit.kernel.irql_flow import Call, Exit, Flow
from dumpkit.kernel.irql_level import UNKNOWN, Change, Level
from dumpkit.kernel.irql_state import Held, State
from dumpkit.kernel.irql_steps import BRACKETS, decide

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, List, Optional, Sequence, Tuple

    from dumpkit.disassembly.capstone_library import Decoded
    from dumpkit.kernel.irql_code import FlowCode

#: Instructions that one function may take, those of paths that are followed again counted again.
_BUDGET = 30_000
#: Instructions between a jump and the load from its table, and that of the table's address.
_MOST_BEFORE_JUMP = 10

#: Where no path goes on: traps, and returns that leave the kernel.
_ENDS = frozenset("int3 int ud2 hlt sysret sysretq iret iretd iretq retf retfq".split())
#: What a compiler calls instead of a register, which its name ends in; rax where it does not.
_DISPATCHER = re.compile(r"_*guard_(?:xfg_)?dispatch\w*|_*guard_retpoline_\w+?(?:_(r[a-z0-9]{1,2}))?")
#: mov r32,dword ptr [image+index*4+RVA]: a table of RVAs.
_TABLE_ENTRY = re.compile(r"dword ptr \[\w+ \+ \w+\*4 \+ (0x[0-9a-f]+)\]")
#: movsxd r64,dword ptr [table+index*4]: a table of distances from itself, whose address a lea loaded.
_OWN_ENTRY = re.compile(r"dword ptr \[(\w+) \+ \w+\*4\]")
_ADDRESS = re.compile(r"(\w+), \[rip ([+-]) (0x[0-9a-f]+|\d+)\]")
_CURRENT = ("KeGetCurrentIrql",)
_REGISTERS = frozenset("rax rbx rcx rdx rsi rdi rbp r8 r9 r10 r11 r12 r13 r14 r15".split())


class Walk:
    """The walk along one function's paths from its start, or to `avoided`: a virtual address where no path goes on.

    `exits` tells how a function of the same image, by the virtual address of its start, returns.
    """

    def __init__(
        self,
        code: FlowCode,
        exits: Callable[[int], Sequence[Exit]],
        begin: int,
        entry: Level,
        avoided: Optional[int] = None,
    ) -> None:
        self._code = code
        self._exits = exits
        self._avoided = avoided
        self._flow = Flow(begin, entry)
        self._begin = begin
        self._has_entry = code.unwinder.has_entry(begin)
        self._decoded: Dict[int, Optional[Decoded]] = {}
        self._inside: Dict[int, bool] = {}
        #: The instruction before each one, where that goes on to it.
        self._before: Dict[int, int] = {}
        self._waiting: List[Tuple[int, State]] = [(begin, State(entry))]

    def walk(self) -> Flow:
        """Follow every path as far as its code is there."""
        budget = _BUDGET
        while self._waiting:
            address, state = self._waiting.pop()
            while address:
                if not self._flow.arrive(address, state):
                    break
                budget -= 1
                if not budget:
                    self._flow.problem = f"its code is too long to be followed beyond {address:016x}"
                    return self._flow
                address = self._take(address, state)
        return self._flow

    def _take(self, address: int, state: State) -> int:
        """One instruction; the address of the next one, 0 where the path ends."""
        if address in self._decoded:
            decoded = self._decoded[address]
        else:
            decoded = self._decoded[address] = self._code.instruction(address)
        if address == self._avoided:
            return 0
        if decoded is None:
            self._flow.problem = self._flow.problem or f"its code cannot be read at {address:016x}"
            return 0
        end = address + decoded.size
        # Prefixes stand before the name: "bnd call", "repz ret".
        mnemonic, operands = decoded.mnemonic.rpartition(" ")[2], decoded.operands
        if mnemonic == "call":
            return self._call(address, end, operands, state)
        if mnemonic == "jmp":
            return self._jump(address, end, operands, state)
        if mnemonic[0] == "j" or mnemonic.startswith("loop"):
            return self._branch(end, mnemonic, operands, state)
        if mnemonic == "ret":
            self._leave(state)
            return 0
        if mnemonic in _ENDS:
            return 0
        self._code.steps.step(state, address, end, mnemonic, operands)
        self._before[end] = address
        return end

    # Jumps

    def _is_inside(self, address: int) -> bool:
        """Whether a jump's target belongs to the function: it is no other function's start or part."""
        inside = self._inside.get(address)
        if inside is None:
            unwinder = self._code.unwinder
            if self._has_entry:
                inside = unwinder.function_begin(address) == self._begin
            else:
                inside = unwinder.has_entry(address) is False and abs(address - self._begin) < 0x1000
            self._inside[address] = inside
        return inside

    def _branch(self, end: int, mnemonic: str, operands: str, state: State) -> int:
        target = int(operands, 16) if operands.startswith("0x") else 0
        taken = decide(mnemonic, *state.compared) if state.compared is not None else None
        if taken is not True:
            if taken is None and target:
                self._go(target, state.copy())
            return end
        return self._go(target, state) if target else 0

    def _go(self, target: int, state: State) -> int:
        """Put a path aside that goes on at a jump's target; a jump out of the function is a call and a return."""
        if self._is_inside(target):
            self._waiting.append((target, state))
        else:
            self._tail_call(self._code.names.at(target), target, state)
        return 0

    def _jump(self, address: int, end: int, operands: str, state: State) -> int:
        if operands.startswith("0x"):
            target = int(operands, 16)
            if self._is_inside(target):
                return target
            self._tail_call(self._code.names.at(target), target, state)
            return 0
        routine = self._indirect(end, operands, state)
        if routine is not None:
            self._tail_call(routine, None, state)
        elif operands in _REGISTERS:
            targets = self._table(address)
            if not targets:
                self._flow.problem = self._flow.problem or f"a jump table is not followed at {address:016x}"
            state.compared = None
            self._waiting += [(target, state.copy()) for target in targets]
        else:
            self._leave(state)
        return 0

    def _table(self, address: int) -> Sequence[int]:
        """The targets of a jump through a register, which a compiler took from a table; none for another jump.

        MSVC makes tables of RVAs, clang (and rustc) ones of distances. How many entries a table has is not told: it
        ends where one leads out of the function.
        """
        register = ""
        for _ in range(_MOST_BEFORE_JUMP):
            address = self._before.get(address, 0)
            decoded = self._decoded.get(address)
            if decoded is None:
                return ()
            match = _TABLE_ENTRY.search(decoded.operands)
            if match is not None:
                module = self._code.target.module_at(self._begin)
                base = module.base if module is not None else 0
                return self._code.table(base + int(match.group(1), 16), base, self._is_inside) if base else ()
            match = _OWN_ENTRY.search(decoded.operands) if decoded.mnemonic == "movsxd" else None
            register = match.group(1) if match is not None else register
            match = _ADDRESS.fullmatch(decoded.operands) if register and decoded.mnemonic == "lea" else None
            if match is not None and match.group(1) == register:
                distance = int(match.group(3), 0)
                table = address + decoded.size + (distance if match.group(2) == "+" else -distance)
                return self._code.table(table, table, self._is_inside)
        return ()

    def _tail_call(self, routine: Routine, target: Optional[int], state: State) -> None:
        for after in self._through(routine, target, 0, state):
            self._leave(after)

    def _leave(self, state: State) -> None:
        old = state.registers.get("rax") == self._flow.entry
        self._flow.leave(Exit(state.irql, state.by, old and state.irql != self._flow.entry, state.believed))

    # Calls

    def _indirect(self, end: int, operands: str, state: State) -> Optional[Routine]:
        """What a call or a jump through a register or a cell goes to, where that is known."""
        if operands in _REGISTERS:
            value = state.registers.get(operands)
            return value if isinstance(value, Routine) else None
        if "[rip " not in operands:
            match = BRACKETS.search(operands)
            if match is None:
                return None
            kept = state.cells.get(match.group(1))
            return kept if isinstance(kept, Routine) else self._code.steps.in_table(state, match.group(1))
        sign, number = operands.partition("[rip ")[2].rstrip("]").split()
        slot = end + (int(number, 0) if sign == "+" else -int(number, 0))
        found = self._code.names.through(slot)
        if found is None or "guard" in found.name:
            value = state.registers.get("rax")
            return value if isinstance(value, Routine) else found
        return found

    def _call(self, address: int, end: int, operands: str, state: State) -> int:
        target: Optional[int] = None
        routine: Optional[Routine]
        if operands.startswith("0x"):
            target = int(operands, 16)
            routine = self._code.names.at(target)
            dispatcher = _DISPATCHER.fullmatch(routine.name)
            if dispatcher is not None:
                value = state.registers.get(dispatcher.group(1) or "rax")
                routine, target = value if isinstance(value, Routine) else None, None
        else:
            routine = self._indirect(end, operands, state)
        self._record(Call(address, end, routine), state)
        if routine is None:
            state.return_from_call()
            state.believed = address
            return end
        for after in self._through(routine, target, address, state):
            self._waiting.append((end, after))
        return 0

    def _record(self, call: Call, state: State) -> None:
        """Note a call, with what every path so far agrees on about its arguments."""
        known = self._flow.calls.get(call.address)
        place = places_of(call.routine.names) if call.routine is not None else None
        if place is not None:
            numbers = {place: state.number_at(place), f"*{place}": state.number_behind(place)}
            told = {name: number for name, number in numbers.items() if number is not None}
            if known is None or known.arguments == told:
                call = call._replace(arguments=told)
        for name in call.routine.names if call.routine is not None else ():
            callback = CALLBACKS.get(name)
            value = state.registers.get(callback.register) if callback is not None else None
            if isinstance(value, Routine):
                call = call._replace(registers=value.address)
        self._flow.calls[call.address] = call

    def _through(self, routine: Routine, target: Optional[int], address: int, state: State) -> List[State]:
        """The states behind a call of a routine."""
        change = Change(address, routine.shown)
        for name in routine.names:
            if name in NO_RETURN:
                return []
            effect = RAISES.get(name)
            if effect is not None:
                failed = [state.copy()] if effect.may_fail else []
                for each in failed:
                    each.return_from_call()
                state.call_raise(effect, change)
                return [state, *failed]
            restore = RESTORES.get(name)
            if restore is not None:
                state.call_restore(restore, change)
                return [state]
            if name in _CURRENT:
                level = state.irql
                state.return_from_call()
                state.registers["rax"] = level
                return [state]
        module_at = self._code.target.module_at
        is_inside = target is not None and routine.address == target and module_at(target) is module_at(self._begin)
        if target is not None and is_inside:
            return [self._behind(exit, change, state.copy()) for exit in self._exits(target)]
        state.return_from_call()
        if not routine.names:
            # An import that neither an import table nor symbols name may be one that raises.
            self._flow.problem = self._flow.problem or f"what it calls at {address:016x} has no name"
            state.irql, state.by, state.held = UNKNOWN, change, ()
        return [state]

    def _behind(self, exit: Exit, change: Change, state: State) -> State:
        """The state behind a call of a function of the same image that returns so."""
        old = state.irql
        state.return_from_call()
        if exit.believed:
            state.believed = change.address
        if exit.level.is_relative:
            state.pop(exit.level.pops, change)
            return state
        if exit.level == UNKNOWN:
            state.irql, state.by, state.held = UNKNOWN, change, ()
            return state
        by = exit.by if exit.by is not None else change
        state.held = (*state.held, Held(by, old, state.by))[-6:]
        state.irql, state.by = exit.level, by
        if exit.returns_old:
            state.registers["rax"] = old
        return state
