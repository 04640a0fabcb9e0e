"""Functions followed on demand, those that they call among them, and their flows kept.

Functions of the same image that are called are followed too, for those that take or release a lock on their caller's
behalf. Routines of other images return at the IRQL they were called at, but for those that `irql_effects` lists: that
is the rule in the kernel.
"""

from __future__ import annotations

from dumpkit.kernel.irql_code import FlowCode
from dumpkit.kernel.irql_flow import Exit
from dumpkit.kernel.irql_level import ENTRY, UNKNOWN
from dumpkit.kernel.irql_walk import Walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional, Sequence, Set, Tuple

    from dumpkit.disassembly.capstone_library import Decoder
    from dumpkit.kernel.irql_flow import Flow
    from dumpkit.kernel.irql_level import Level
    from dumpkit.target import Target

#: How deep calls within an image are followed.
_DEEPEST = 4


class FlowReader:
    """Follows functions of one target; what was followed is kept.

    `most` bounds the instructions that may be taken for functions that are called; those beyond it are believed to
    return at the level they were called at. None is no bound.
    """

    def __init__(self, target: Target, decode: Decoder, most: Optional[int] = None) -> None:
        self._code = FlowCode(target, decode)
        self.names = self._code.names
        self.unwinder = self._code.unwinder
        self._left = most
        self._flows: Dict[Tuple[int, Level], Flow] = {}
        self._open: Set[int] = set()

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
            found = self._flows[key] = Walk(self._code, self.exits, begin, entry).walk()
            self._open.discard(begin)
        return found

    def exits(self, begin: int) -> Sequence[Exit]:
        """How a function of the same image returns: believed to have changed nothing, where that cannot be told.

        One that returns at different levels does so by conditions that its caller knows and the flow does not:
        the level behind it is unknown.
        """
        known = (begin, ENTRY) in self._flows
        if begin in self._open or (not known and (len(self._open) >= _DEEPEST or self._left == 0)):
            return (Exit(ENTRY, None, False, begin),)
        flow = self.flow(begin)
        if self._left is not None and not known:
            self._left = max(0, self._left - len(flow))
        if not flow.exits and flow.problem:
            return (Exit(ENTRY, None, False, begin),)
        return flow.exits if len(flow.exits) < 2 else (Exit(UNKNOWN, None, False),)

    def is_unavoidable(self, flow: Flow, address: int) -> bool:
        """Whether no path leads through a function around the instruction at a virtual address."""
        around = Walk(self._code, self.exits, flow.begin, flow.entry, address).walk()
        return not around.exits and not around.problem
