"""What is known of the IRQL through a function: at each of its instructions, at its calls, where it returns.

A level is known relative to that of the function's start until something sets it. Paths that come together at one
place with different levels stay apart.
"""

from __future__ import annotations

from types import MappingProxyType

from dumpkit.kernel.irql_level import ENTRY, Change, Level, Way
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Mapping, Optional, Sequence

    from dumpkit.kernel.call_names import Routine
    from dumpkit.kernel.irql_state import Key, State

#: Ways to one place that are kept apart.
_MOST_WAYS = 12

_NO_ARGUMENTS: Mapping[str, int] = MappingProxyType({})


class Call(NamedTuple):
    """A call instruction; addresses are virtual."""

    address: int
    return_address: int
    #: None where what it calls is not known.
    routine: Optional[Routine]
    #: The argument that the routine's contract depends on, by its place, where the code tells it on every path; what
    #: it points to by `*` and the place.
    arguments: Mapping[str, int] = _NO_ARGUMENTS
    #: The virtual address of the routine that it registers to be called at a level of its own.
    registers: Optional[int] = None


class Exit(NamedTuple):
    """How a function may return: the level, where it is from, and whether al is what the level was at its start."""

    level: Level
    by: Optional[Change]
    returns_old: bool
    #: A call on the way that could not be followed, by its virtual address; 0 where there is none.
    believed: int = 0


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

    def arrive(self, address: int, state: State) -> bool:
        """Take in a path that comes to an instruction; whether it goes on there: not where it brings nothing new."""
        known = self._states.setdefault(address, {})
        same = known.get(state.key)
        if same is None:
            if len(known) >= _MOST_WAYS:
                self.problem = f"too many paths come together at {address:016x}"
                return False
            known[state.key] = state.copy()
            return True
        if not same.merge(state):
            return False
        state.registers, state.cells = dict(same.registers), dict(same.cells)
        state.compared, state.is_assumed, state.believed = same.compared, same.is_assumed, same.believed
        return True

    def leave(self, exit: Exit) -> None:
        """Take in a path that returns."""
        for index, known in enumerate(self.exits):
            if known[:3] == exit[:3]:
                self.exits[index] = known._replace(believed=known.believed or exit.believed)
                return
        self.exits.append(exit)

    def __len__(self) -> int:
        """How many instructions were followed."""
        return len(self._states)

    def __contains__(self, address: int) -> bool:
        return address in self._states

    def ways(self, address: int) -> Sequence[Way]:
        """The possibilities for the level before the instruction at a virtual address; none where no path came."""
        found: Dict[Way, int] = {}
        for state in self._states.get(address, {}).values():
            way = Way(state.irql, state.by, state.is_assumed)
            found[way] = found.get(way) or state.believed
        return [way._replace(believed=believed) for way, believed in found.items()]

    def call_returning_to(self, address: int) -> Optional[Call]:
        """The call that a return address belongs to, of those that were reached."""
        return next((call for call in self.calls.values() if call.return_address == address), None)
