"""The IRQL through a function: every path of its code is followed from its start, as far as its code is there.

A level is known relative to that of the function's start until something sets it. Paths that come together at one
place with different levels stay apart; functions of the same image that are called are followed too, for those that
take or release a lock on their caller's behalf. Routines of other images return at the IRQL they were called at,
but for those that `irql_effects` lists: that is the rule in the kernel.
"""

from __future__ import annotations

import re
from types import MappingProxyType

from dumpkit.disassembly.capstone_library import Decoded, Decoder
from dumpkit.kernel.call_names import CallNames, Routine
from dumpkit.kernel.irql_conditions import places_of
from dumpkit.kernel.irql_effects import CALLBACKS, NO_RETURN, RAISES, RESTORES
from dumpkit.kernel.irql_level import ENTRY, UNKNOWN, Change, Level, Way
from dumpkit.kernel.irql_state import Held, Key, State
from dumpkit.kernel.irql_steps import Steps, decide
from dumpkit.kernel.unwind import Unwinder
from dumpkit.module_code import ModuleCode
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple

#: Instructions that one function may take, those of paths that are followed again counted again.
_BUDGET = 30_000
#: Ways to one place that are kept apart.
_MOST_WAYS = 12
#: How deep calls within an image are followed.
_DEEPEST = 4
#: Instructions between a jump and the load from its table; entries of a table.
_MOST_BEFORE_JUMP = 6
_MOST_CASES = 1024
_LONGEST = 15
_WINDOW = 0x200

#: Where no path goes on: traps, and returns that leave the kernel.
_ENDS = frozenset("int3 int ud2 hlt sysret sysretq iret iretd iretq retf retfq".split())
#: What a compiler calls instead of a register, which its name ends in; rax where it does not.
_DISPATCHER = re.compile(r"_*guard_(?:xfg_)?dispatch\w*|_*guard_retpoline_\w+?(?:_(r[a-z0-9]{1,2}))?")


_NO_ARGUMENTS: Mapping[str, int] = MappingProxyType({})


class Call(NamedTuple):
    """A call instruction; addresses are virtual."""

    address: int
    return_address: int
    #: None where what it calls is not known.
    routine: Optional[Routine]
    #: The argument that the routine's contract depends on, by its place, where the code tells it on every path.
    arguments: Mapping[str, int] = _NO_ARGUMENTS
    #: The virtual address of the routine that it registers to be called at a level of its own.
    registers: Optional[int] = None


class Exit(NamedTuple):
    """How a function may return: the level, where it is from, and whether al is what the level was at its start."""

    level: Level
    by: Optional[Change]
    returns_old: bool


class Flow:
    """One function's code with what is known of the IRQL at each of its instructions."""

    def __init__(self, begin: int, entry: Level = ENTRY) -> None:
        #: The virtual address of its start, and the level there.
        self.begin = begin
        self.entry = entry
        self.calls: Dict[int, Call] = {}
        self.exits: List[Exit] = []
        #: Why not every path was followed; "" where every one was.
        self.problem = ""
        self._states: Dict[int, Dict[Key, State]] = {}

    def __len__(self) -> int:
        """How many instructions were followed."""
        return len(self._states)

    def __contains__(self, address: int) -> bool:
        return address in self._states

    def ways(self, address: int) -> Sequence[Way]:
        """The possibilities for the level before the instruction at a virtual address; none where no path came."""
        states = self._states.get(address, {}).values()
        return list(dict.fromkeys(Way(state.irql, state.by, state.is_assumed) for state in states))

    def call_returning_to(self, address: int) -> Optional[Call]:
        """The call that a return address belongs to, of those that were reached."""
        return next((call for call in self.calls.values() if call.return_address == address), None)


class FlowReader:
    """Follows functions of one target; what was followed is kept.

    `most` bounds the instructions that may be taken for functions that are called; those beyond it are believed to
    return at the level they were called at. None is no bound.
    """

    def __init__(self, target: Target, decode: Decoder, most: Optional[int] = None) -> None:
        self.target = target
        self._left = most
        self.names = CallNames(target)
        self.unwinder = Unwinder(target)
        self._memory = ModuleCode(target)
        self._decode = decode
        self._steps = Steps(self.names)
        self._flows: Dict[Tuple[int, Level], Flow] = {}
        self._open: Set[int] = set()
        self._window: Tuple[int, bytes] = (0, b"")

    def flow_at(self, address: int) -> Optional[Flow]:
        """The flow of the function that a virtual address lies in; None where no image says where that begins."""
        begin = self.unwinder.function_begin(address)
        return self.flow(begin) if begin is not None else None

    def flow(self, begin: int, entry: Level = ENTRY) -> Flow:
        """The flow of the function that begins at a virtual address, entered at a level if that is known."""
        key = begin, entry
        found = self._flows.get(key)
        if found is None:
            self._open.add(begin)
            found = self._flows[key] = _Walk(self, begin, entry).walk()
            self._open.discard(begin)
        return found

    def exits(self, begin: int) -> Sequence[Exit]:
        """How a function of the same image returns: nothing changed, where that cannot be told.

        One that returns at different levels does so by conditions that its caller knows and the flow does not:
        the level behind it is unknown.
        """
        known = (begin, ENTRY) in self._flows
        if begin in self._open or (not known and (len(self._open) >= _DEEPEST or self._left == 0)):
            return (_UNCHANGED,)
        flow = self.flow(begin)
        if self._left is not None and not known:
            self._left = max(0, self._left - len(flow))
        if not flow.exits and flow.problem:
            return (_UNCHANGED,)
        return flow.exits if len(flow.exits) < 2 else (Exit(UNKNOWN, None, False),)

    def is_unavoidable(self, flow: Flow, address: int) -> bool:
        """Whether no path leads through a function around the instruction at a virtual address."""
        around = _Walk(self, flow.begin, flow.entry, address).walk()
        return not around.exits and not around.problem

    def instruction(self, address: int) -> Optional[Decoded]:
        """The instruction at a virtual address; None where its bytes are missing or are none."""
        start, window = self._window
        offset = address - start
        if not 0 <= offset <= len(window) - _LONGEST:
            start, window = self._window = (address, self._memory.read_prefix(address, _WINDOW))
            offset = 0
        code = window[offset : offset + _LONGEST]
        return self._decode(code, address) if code else None

    def table(self, function: int, rva: int, is_inside: Callable[[int], bool]) -> Sequence[int]:
        """The virtual addresses that the RVAs of a jump table lead to, as long as they lead into the function."""
        module = self.target.module_at(function)
        targets: Dict[int, None] = {}
        for index in range(_MOST_CASES if module is not None else 0):
            entry = self._memory.read_optional(module.base + rva + 4 * index, 4) if module is not None else None
            target = module.base + int.from_bytes(entry, "little") if module is not None and entry is not None else 0
            if not target or not is_inside(target):
                break
            targets[target] = None
        return tuple(targets)

    def in_table(self, state: State, inner: str) -> Optional[Routine]:
        """The framework's function that an operand takes from its table, or None."""
        return self._steps.in_table(state, inner)

    def step(self, state: State, address: int, end: int, mnemonic: str, operands: str) -> None:
        """An instruction that neither calls nor jumps."""
        self._steps.step(state, address, end, mnemonic, operands)


_UNCHANGED = Exit(ENTRY, None, False)


class _Walk:
    """The walk along one function's paths."""

    def __init__(self, reader: FlowReader, begin: int, entry: Level, avoided: Optional[int] = None) -> None:
        self._reader = reader
        #: Where no path goes on.
        self._avoided = avoided
        self._flow = Flow(begin, entry)
        self._begin = begin
        self._has_entry = reader.unwinder.has_entry(begin)
        self._decoded: Dict[int, Optional[Decoded]] = {}
        self._inside: Dict[int, bool] = {}
        #: The instruction before each one, where that goes on to it.
        self._before: Dict[int, int] = {}
        self._waiting: List[Tuple[int, State]] = [(begin, State(entry))]

    def walk(self) -> Flow:
        budget = _BUDGET
        while self._waiting:
            address, state = self._waiting.pop()
            while address:
                if not self._arrive(address, state):
                    break
                budget -= 1
                if not budget:
                    self._flow.problem = f"its code is too long to be followed beyond {address:016x}"
                    return self._flow
                address = self._take(address, state)
        return self._flow

    def _arrive(self, address: int, state: State) -> bool:
        """Whether a path goes on at an address: not where it brings nothing new."""
        known = self._flow._states.setdefault(address, {})
        same = known.get(state.key)
        if same is None:
            if len(known) >= _MOST_WAYS:
                self._flow.problem = f"too many paths come together at {address:016x}"
                return False
            known[state.key] = state.copy()
            return True
        if not same.merge(state):
            return False
        state.registers, state.cells = dict(same.registers), dict(same.cells)
        state.compared, state.is_assumed = same.compared, same.is_assumed
        return True

    def _take(self, address: int, state: State) -> int:
        """One instruction; the address of the next one, 0 where the path ends."""
        if address in self._decoded:
            decoded = self._decoded[address]
        else:
            decoded = self._decoded[address] = self._reader.instruction(address)
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
        self._reader.step(state, address, end, mnemonic, operands)
        self._before[end] = address
        return end

    # Jumps

    def _is_inside(self, address: int) -> bool:
        """Whether a jump's target belongs to the function: it is no other function's start or part."""
        inside = self._inside.get(address)
        if inside is None:
            unwinder = self._reader.unwinder
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
            self._tail_call(self._reader.names.at(target), target, state)
        return 0

    def _jump(self, address: int, end: int, operands: str, state: State) -> int:
        if operands.startswith("0x"):
            target = int(operands, 16)
            if self._is_inside(target):
                return target
            self._tail_call(self._reader.names.at(target), target, state)
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
        """The targets of a jump through a register, which a compiler took from a table of RVAs; none for another jump.

        How many the table has is not told: it ends where an entry leads out of the function.
        """
        for _ in range(_MOST_BEFORE_JUMP):
            address = self._before.get(address, 0)
            decoded = self._decoded.get(address)
            match = _TABLE_ENTRY.search(decoded.operands) if decoded is not None else None
            if match is not None:
                return self._reader.table(self._begin, int(match.group(1), 16), self._is_inside)
        return ()

    def _tail_call(self, routine: Routine, target: Optional[int], state: State) -> None:
        for after in self._through(routine, target, 0, state):
            self._leave(after)

    def _leave(self, state: State) -> None:
        old = state.registers.get("rax") == self._flow.entry
        found = Exit(state.irql, state.by, old and state.irql != self._flow.entry)
        if found not in self._flow.exits:
            self._flow.exits.append(found)

    # Calls

    def _indirect(self, end: int, operands: str, state: State) -> Optional[Routine]:
        """What a call or a jump through a register or a cell goes to, where that is known."""
        if operands in _REGISTERS:
            value = state.registers.get(operands)
            return value if isinstance(value, Routine) else None
        if "[rip " not in operands:
            match = _BRACKETS.search(operands)
            return self._reader.in_table(state, match.group(1)) if match is not None else None
        sign, number = operands.partition("[rip ")[2].rstrip("]").split()
        slot = end + (int(number, 0) if sign == "+" else -int(number, 0))
        found = self._reader.names.through(slot)
        if found is None or "guard" in found.name:
            value = state.registers.get("rax")
            return value if isinstance(value, Routine) else found
        return found

    def _call(self, address: int, end: int, operands: str, state: State) -> int:
        target: Optional[int] = None
        routine: Optional[Routine]
        if operands.startswith("0x"):
            target = int(operands, 16)
            routine = self._reader.names.at(target)
            dispatcher = _DISPATCHER.fullmatch(routine.name)
            if dispatcher is not None:
                value = state.registers.get(dispatcher.group(1) or "rax")
                routine, target = value if isinstance(value, Routine) else None, None
        else:
            routine = self._indirect(end, operands, state)
        self._record(Call(address, end, routine), state)
        if routine is None:
            state.return_from_call()
            return end
        for after in self._through(routine, target, address, state):
            self._waiting.append((end, after))
        return 0

    def _record(self, call: Call, state: State) -> None:
        """Note a call, with what every path so far agrees on about its arguments."""
        known = self._flow.calls.get(call.address)
        place = places_of(call.routine.names) if call.routine is not None else None
        if place is not None:
            number = state.number_at(place)
            agrees = known is None or known.arguments.get(place) == number
            if number is not None and agrees:
                call = call._replace(arguments={place: number})
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
        module_at = self._reader.target.module_at
        is_inside = target is not None and routine.address == target and module_at(target) is module_at(self._begin)
        if target is not None and is_inside:
            return [self._behind(exit, change, state.copy()) for exit in self._reader.exits(target)]
        state.return_from_call()
        if not routine.names:
            # An import that neither an import table nor symbols name may be one that raises.
            self._flow.problem = self._flow.problem or f"what it calls at {address:016x} has no name"
            state.irql, state.by, state.held = UNKNOWN, None, ()
        return [state]

    def _behind(self, exit: Exit, change: Change, state: State) -> State:
        """The state behind a call of a function of the same image that returns so."""
        old = state.irql
        state.return_from_call()
        if exit.level.is_relative:
            state.pop(exit.level.pops, change)
            return state
        if exit.level == UNKNOWN:
            state.irql, state.by, state.held = UNKNOWN, None, ()
            return state
        by = exit.by if exit.by is not None else change
        state.held = (*state.held, Held(by, old, state.by))[-6:]
        state.irql, state.by = exit.level, by
        if exit.returns_old:
            state.registers["rax"] = old
        return state


#: mov r32,dword ptr [image+index*4+RVA]
_TABLE_ENTRY = re.compile(r"dword ptr \[\w+ \+ \w+\*4 \+ (0x[0-9a-f]+)\]")
_BRACKETS = re.compile(r"\[([^]]+)\]")
_CURRENT = ("KeGetCurrentIrql",)
_REGISTERS = frozenset("rax rbx rcx rdx rsi rdi rbp r8 r9 r10 r11 r12 r13 r14 r15".split())
