"""At which IRQL each frame of a stack ran, and who raised it.

Two ends are known, more or less: what the stack begins with (a thread routine begins at PASSIVE_LEVEL, a DPC at
DISPATCH_LEVEL), and the level that was measured when the machine stopped. In between the functions' code is
followed, where it is there. Where it is not, a callee is taken to run at no lower level than its caller: no routine
goes below the level that it was called at.
"""

from __future__ import annotations

from dumpkit.kernel.irql import HIGH_LEVEL
from dumpkit.kernel.irql_level import ENTRY, UNKNOWN, Level, Way, exactly, hull
from dumpkit.kernel.irql_roots import is_interrupt, is_passage, is_service, root_of
from dumpkit.named_tuple import NamedTuple
from dumpkit.registers import X64
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Sequence, Tuple

    from dumpkit.kernel.call_names import CallNames, Routine
    from dumpkit.kernel.irql_flow import Call, Flow
    from dumpkit.kernel.irql_flow_reader import FlowReader
    from dumpkit.kernel.irql_measured import Measured
    from dumpkit.kernel.stack import Frame

#: User mode ends here.
_KERNEL = 1 << 47
#: Why a frame's code says nothing, where neither the dump nor the symbol path has it.
NO_IMAGE = "its image is not there"
#: Some tenths of a second.
_MOST_INSTRUCTIONS = 20_000
#: How a level is known.
MEASURED = "measured"
ROOT = "root"
CODE = "code"
#: No lower than its caller's.
CALLER = "caller"
#: No higher than that of what it called.
CALLEE = "callee"
#: What was measured further in, if no call that could not be followed changed it.
BELIEVED = "believed"


class FrameLevel(NamedTuple):
    """A frame with its level; addresses are virtual."""

    frame: Frame
    #: `nt!KeBugCheckEx`; the bare address outside every module.
    function: str
    #: The debugger's name of its module, "" outside every one.
    module: str
    #: How far its instruction is behind what `function` names; None where that names the place itself.
    displacement: Optional[int]
    #: At the call that it makes, or where it was interrupted.
    level: Level
    #: MEASURED, ROOT, CODE, CALLER, CALLEE, BELIEVED, or "" where it is not known.
    known_by: str
    #: What its code says of the level there; none where its code is not there or no path leads there.
    ways: Tuple[Way, ...]
    #: What it calls there; None where it calls nothing, or something that is not known.
    call: Optional[Call]
    #: Why its code says nothing, where it does not.
    problem: str = ""


class _Function(NamedTuple):
    """What a frame's function is called, its module, where it begins, and how far the frame is behind its name."""

    name: str
    module: str
    begin: Optional[int]
    displacement: Optional[int]


class StackLevels(NamedTuple):
    """The frames with their levels, innermost first, and what was measured."""

    frames: Tuple[FrameLevel, ...]
    measured: Optional[Measured]


class StackReader:
    """Finds the levels of stacks of one target; the code that was followed is kept.

    `most` bounds the instructions that are followed in functions that are called by those on the stack.
    """

    def __init__(self, target: Target, most: Optional[int] = _MOST_INSTRUCTIONS) -> None:
        self.target = target
        self._most = most
        self._flows: Optional[FlowReader] = None
        self._names: Optional[CallNames] = None

    @property
    def flows(self) -> Optional[FlowReader]:
        """What follows code; None for a processor whose code is not followed (ARM64)."""
        if self._flows is None and self.target.architecture is X64:
            from dumpkit.disassembly.capstone_library import decoder
            from dumpkit.kernel.irql_flow_reader import FlowReader

            self._flows = FlowReader(self.target, decoder("x64"), self._most)
        return self._flows

    @property
    def names(self) -> CallNames:
        """What names the routines that code calls."""
        if self._names is None:
            from dumpkit.kernel.call_names import CallNames

            self._names = self.flows.names if self.flows is not None else CallNames(self.target)
        return self._names

    def levels(self, frames: Sequence[Frame], measured: Optional[Measured]) -> StackLevels:
        """The levels of a stack's frames, which are given innermost first."""
        found = self._inwards(frames, measured)
        if measured is not None and measured.frame < len(found):
            self._outwards(found, measured)
            for index in range(measured.frame):
                here = found[index]
                if here.known_by in ("", CALLER):
                    level = Level(max(here.level.low, measured.level), here.level.high)
                    found[index] = here._replace(level=level, known_by=CALLER)
        return StackLevels(tuple(found), measured)

    def _inwards(self, frames: Sequence[Frame], measured: Optional[Measured]) -> List[FrameLevel]:
        """From where the stack begins: each frame's level is that of its caller, but for what its code does."""
        found: List[FrameLevel] = []
        entry, known_by = UNKNOWN, ""
        for index in range(len(frames) - 1, -1, -1):
            frame = frames[index]
            outer = frames[index + 1] if index + 1 < len(frames) else None
            # The code of what handled a fault, behind the measured level, tells nothing more.
            is_followed = measured is None or index >= measured.frame
            here = self._frame(frames, index, entry, known_by, outer, is_followed)
            found.append(here)
            entry = here.level
            known_by = here.known_by and CALLER
            if frame.is_interrupted and index and self._is_interrupt(frames[index - 1]):
                entry = Level(max(entry.low, 2), HIGH_LEVEL)
        found.reverse()
        return found

    def _frame(
        self,
        frames: Sequence[Frame],
        index: int,
        entry: Level,
        known_by: str,
        outer: Optional[Frame],
        is_followed: bool,
    ) -> FrameLevel:
        frame = frames[index]
        function, module, begin, distance = self._function(frame.instruction_pointer)
        bare = _bare(function) if module == "nt" else ""
        root = root_of(bare, self._caller(bare, outer))
        if root is None and is_service(bare) and outer is not None and outer.instruction_pointer < _KERNEL:
            return FrameLevel(frame, function, module, distance, exactly(0), ROOT, (), None)
        if is_passage(bare):
            return FrameLevel(frame, function, module, distance, entry, known_by, (_AS_CALLED,), None)
        flow, problem = self._flow(frame, begin) if is_followed else (None, "")
        call: Optional[Call] = None
        ways: Tuple[Way, ...] = ()
        if flow is not None:
            call = None if index == 0 or frame.is_interrupted else flow.call_returning_to(frame.instruction_pointer)
            place = call.address if call is not None else frame.instruction_pointer
            ways = tuple(flow.ways(place))
            problem = "" if ways else flow.problem or "no path of its code leads to its call"
        if call is None and index and not frame.is_interrupted:
            call = self._call_before(frame, frames[index - 1])
        if root is not None:
            return FrameLevel(frame, function, module, distance, root.level, ROOT, ways, call)
        if ways and frame.instruction_pointer != begin:
            level = hull(against(way.level, entry) for way in ways)
            by = CODE if known_by or all(not way.level.is_relative for way in ways) else ""
            problem = flow.problem if flow is not None and level == UNKNOWN else ""
            return FrameLevel(
                frame, function, module, distance, level, by if level != UNKNOWN else "", ways, call, problem
            )
        level = Level(entry.low, HIGH_LEVEL) if frame.instruction_pointer != begin else entry
        return FrameLevel(frame, function, module, distance, level, known_by, ways, call, problem)

    def _caller(self, name: str, outer: Optional[Frame]) -> str:
        """The bare name of the kernel's function that called the one of that name, or ""."""
        return _bare(self._function(outer.instruction_pointer).name) if name and outer is not None else ""

    def _outwards(self, found: List[FrameLevel], measured: Measured) -> None:
        """From the measured level: outwards as long as code says that the level was the same at a function's start.

        Where a call that could not be followed may have changed it on the way, what else is known comes first.
        """
        level: Optional[Level] = exactly(measured.level)
        is_believed = False
        for index in range(measured.frame, len(found)):
            here = found[index]
            if index == measured.frame:
                found[index] = here._replace(level=exactly(measured.level), known_by=MEASURED)
            elif here.known_by == ROOT:
                return
            elif level is None:
                # No frame's callees ran below it: so it did not run above them.
                narrowed = Level(here.level.low, min(here.level.high, max(measured.level, here.level.low)))
                if _agree(here.level, narrowed):
                    found[index] = here._replace(level=narrowed, known_by=here.known_by or CALLEE)
            else:
                found[index] = _with_measured(here, level, is_believed)
                level = level if found[index].level == level else None
            if here.known_by == ROOT:
                return
            is_believed = is_believed or any(way.believed for way in here.ways)
            if not _keeps_entry(here) or is_interrupt(_bare(here.function)):
                level = None

    # Functions and calls

    def _is_interrupt(self, handler: Frame) -> bool:
        return is_interrupt(_bare(self._function(handler.instruction_pointer).name))

    def name_of(self, address: int) -> str:
        """A virtual address by its function and the distance into it."""
        found = self._function(address)
        return f"{found.name}+0x{found.displacement:x}" if found.displacement else found.name

    def _function(self, address: int) -> _Function:
        """The function that a virtual address lies in: by symbols, if they say where its begin is."""
        begin = self.flows.unwinder.function_begin(address) if self.flows is not None else None
        place = self.target.symbols.nearest(address)
        if place is None:
            return _Function(f"{address:016x}", "", begin, None)
        module = place.module
        by_module = _Function(f"{module.name}+0x{address - module.base:x}", module.name, begin, None)
        if place.name is None or place.displacement is None:
            return by_module
        if begin is not None and address - place.displacement < begin:
            # The nearest of the few names that exports give: another function's.
            return by_module
        if begin is None and self._has_exports_only(address):
            return by_module
        return _Function(f"{module.name}!{place.name}", module.name, begin, place.displacement)

    def _has_exports_only(self, address: int) -> bool:
        module = self.target.module_at(address)
        file = self.target.symbols.file(module) if module is not None else None
        return file is not None and file.kind == "exports"

    def _flow(self, frame: Frame, begin: Optional[int]) -> Tuple[Optional[Flow], str]:
        if self.flows is None:
            return None, "the code of this architecture is not followed"
        if begin is None:
            module = self.target.module_at(frame.instruction_pointer)
            if module is None:
                return None, "it lies in no module"
            return None, NO_IMAGE
        return self.flows.flow(begin), ""

    def _call_before(self, frame: Frame, inner: Frame) -> Optional[Call]:
        """The call that a frame returns from, by the bytes before its return address alone."""
        from dumpkit.disassembly.call_site import MAX_CALL_SIZE, call_site
        from dumpkit.kernel.call_names import Routine, names_of
        from dumpkit.kernel.irql_flow import Call
        from dumpkit.module_code import ModuleCode

        address = frame.instruction_pointer
        code = ModuleCode(self.target).read_optional(address - MAX_CALL_SIZE, MAX_CALL_SIZE)
        site = call_site(self.target.architecture, code, address) if code is not None else None
        routine: Optional[Routine] = None
        if site is not None and site.pointer is not None:
            routine = self.names.through(site.pointer)
        elif site is not None and site.target is not None:
            routine = self.names.at(site.target)
        if routine is None:
            called = self._function(inner.instruction_pointer)
            bare = _bare(called.name)
            if bare and bare != "KiServiceLinkage":
                routine = Routine(called.name, names_of(bare), called.begin)
        if routine is None or not routine.names:
            return None
        return Call(address - (site.size if site is not None else 0), address, routine)


#: A function that calls on at the level that it was called at.
_AS_CALLED = Way(ENTRY, None)


def _bare(function: str) -> str:
    return function.rpartition("!")[2] if "!" in function else ""


def against(level: Level, entry: Level) -> Level:
    """A level of a function that was entered at `entry`."""
    if not level.is_relative:
        return level
    return entry if not level.pops else UNKNOWN


def _with_measured(here: FrameLevel, level: Level, is_believed: bool) -> FrameLevel:
    """A frame with the level that was measured further in; `is_believed` says that it may have been changed since."""
    if here.level == level and here.known_by in (CODE, CALLER):
        return here
    if not is_believed:
        return here._replace(level=level, known_by=MEASURED)
    if here.known_by == CODE and not any(way.believed for way in here.ways):
        return here
    if _agree(here.level, level):
        known_by = here.known_by if here.known_by == CODE else BELIEVED
        return here._replace(level=here.level if known_by == CODE else level, known_by=known_by)
    problem = f"{level} was measured further in, and no code that could be followed raised to it"
    return here._replace(level=hull((here.level, level)), known_by="", problem=problem)


def _keeps_entry(here: FrameLevel) -> bool:
    """Whether a frame's level is that of its function's start, on every path."""
    if here.ways:
        return all(way.level.is_relative and not way.level.pops for way in here.ways)
    # At a function's very start nothing has happened yet.
    return here.frame.found_by == "context" and not here.problem


def _agree(one: Level, other: Level) -> bool:
    """Whether two ranges have a level in common."""
    return one.low <= other.high and other.low <= one.high
