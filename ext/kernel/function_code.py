"""The code of a function, by its flow: the blocks that execution can reach from where it begins."""

from __future__ import annotations

from dumpkit.code import instruction_at
from dumpkit.disassembly.instruction import Instruction
from dumpkit.kernel.unwind import Unwinder
from dumpkit.named_tuple import NamedTuple
from dumpkit.registers import X64
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Set, Tuple

#: No function has more instructions.
MOST_INSTRUCTIONS = 100_000

#: Instructions behind which nothing runs on, though they jump nowhere.
_ENDS = frozenset(("ud2", "udf"))


class Block(NamedTuple):
    """Instructions that run one behind the other; all but the last go on to the next."""

    instructions: Tuple[Instruction, ...]

    @property
    def address(self) -> int:
        """The virtual address of its first instruction."""
        return self.instructions[0].address


class FunctionCode(NamedTuple):
    """A function: its blocks by address."""

    #: The virtual address where it begins.
    begin: int
    blocks: Tuple[Block, ...]
    #: Whether every place that execution can be followed to could be read; where a jump goes through a register
    #: or a table is not followed.
    is_complete: bool

    @property
    def starts(self) -> Set[int]:
        """The virtual addresses at which blocks begin."""
        return {block.address for block in self.blocks}


def function_begin(target: Target, address: int) -> int:
    """The virtual address where the function at an address begins: by unwind data, by its symbol, or the address."""
    if target.architecture is X64:
        begin = Unwinder(target).function_begin(address)
        if begin is not None:
            return begin
    place = target.symbols.nearest(address)
    if place is not None and place.name is not None and place.displacement > 0:
        return address - place.displacement
    return address


def function_code(target: Target, address: int) -> FunctionCode:
    """The function at a virtual address; without blocks where its first instruction cannot be read."""
    begin = function_begin(target, address)
    flow = _Flow(target)
    flow.follow(begin)
    return FunctionCode(begin, flow.blocks(), flow.is_complete)


class _Flow:
    """What has been reached: instructions by address, and the places where blocks begin."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._reached: Dict[int, Instruction] = {}
        self._starts: Set[int] = set()
        self.is_complete = True

    def follow(self, begin: int) -> None:
        """Reach all that can be from a virtual address on."""
        pending = [begin]
        module = self._target.module_at(begin)
        while pending:
            address = pending.pop()
            if address in self._starts:
                continue
            self._starts.add(address)
            for goal in self._run(address):
                if module is None or goal in module:
                    pending.append(goal)

    def _run(self, address: int) -> List[int]:
        """Go on from a virtual address to the next jump; where that leads to."""
        while address not in self._reached:
            instruction = instruction_at(self._target, address)
            if not instruction.is_valid or len(self._reached) >= MOST_INSTRUCTIONS:
                self.is_complete = False
                return []
            self._reached[address] = instruction
            goals = _goals(instruction)
            if goals is not None:
                return goals
            address = instruction.next_address
        return []

    def blocks(self) -> Tuple[Block, ...]:
        """What has been reached, by address, parted where blocks begin or end."""
        found: List[Block] = []
        run: List[Instruction] = []
        for address in sorted(self._reached):
            if run and (address in self._starts or address != run[-1].next_address or _goals(run[-1]) is not None):
                found.append(Block(tuple(run)))
                run = []
            run.append(self._reached[address])
        if run:
            found.append(Block(tuple(run)))
        return tuple(found)


def _goals(instruction: Instruction) -> Optional[List[int]]:
    """Where execution can go from the end of a block; None where an instruction does not end one."""
    if instruction.is_conditional:
        targets = [instruction.target] if instruction.target is not None else []
        return [*targets, instruction.next_address]
    if instruction.is_branch:
        return [instruction.target] if instruction.target is not None else []
    if instruction.is_return or instruction.mnemonic in _ENDS:
        return []
    return None
