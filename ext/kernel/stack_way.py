"""The way through the candidates of a stack that most speaks for.

What speaks for a candidate, behind a frame that is on the way: the frame leads to its slot (a link);
its call's target is the begin of the frame's function. Against it: its call has another target; or the
frame's function is one that only certain others call. What the way skips was left over from earlier calls;
where nothing speaks either way, a candidate stays.
"""

from __future__ import annotations

from bisect import bisect_left

from dumpkit.disassembly.call_site import MAX_CALL_SIZE, call_site
from dumpkit.kernel.stack_scan import Candidate, StackScanner
from dumpkit.named_tuple import NamedTuple
from dumpkit.registers import X64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

_LINK = 2
_CALLS_IT = 3
_CALLS_ANOTHER = -1
#: A frame whose link is there, but not followed.
_LINK_IGNORED = -3
_MACHINE_FRAME = 2
#: How many candidates may be skipped at once, and how far into a function a symbol is believed to be its begin.
_LOOK_AHEAD = 250
_LONGEST_FUNCTION = 0x2000

_TRAPS = ("Fault", "Trap", "Abort", "Interrupt", "Exception", "Error", "Overflow", "Violation", "Assertion")


def _is_trap_handler(name: str) -> bool:
    return name.startswith("Ki") and name.removesuffix("Shadow").endswith(_TRAPS)


def _dispatches_exceptions(name: str) -> bool:
    if name.startswith(("Ki", "Kx")) and "ExceptionDispatch" in name:
        return True
    return name in ("KiRaiseException", "KiDispatchExceptionOnExceptionStack")


#: Functions of the kernel's exception dispatch and of its threads' begin -> all that call them, as stacks that
#: Microsoft publishes show them: exceptions are dispatched in one way, and a thread begins in one.
_CALLERS: Dict[str, Callable[[str], bool]] = {
    "RtlpExecuteHandlerForException": ("RtlDispatchException",).__contains__,
    "RtlDispatchException": (
        "KiDispatchException",
        "RtlRaiseException",
        "RtlRaiseStatus",
        "ExRaiseStatus",
    ).__contains__,
    "KiDispatchException": _dispatches_exceptions,
    "KiExceptionDispatch": _is_trap_handler,
    "KiBugCheckDispatch": _is_trap_handler,
    "ExpWorkerThread": ("PspSystemThreadStartup",).__contains__,
    "PspSystemThreadStartup": ("KiStartSystemThread", "KxStartSystemThread").__contains__,
}
#: Calls through a register that mitigations make calls of a helper: they say nothing about their target.
_DISPATCHERS = ("guard_", "_guard_", "__guard_", "_retpoline")


class _Step(NamedTuple):
    """The best way from a candidate on; ways are compared in the order of the members."""

    score: int
    is_link: bool
    frames: int
    following: int


class StackWay:
    """Chooses among the candidates of one stack, those behind one frame that is known."""

    def __init__(self, scanner: StackScanner, candidates: Sequence[Candidate]) -> None:
        """`candidates` begin with the frame that is known."""
        self._scanner = scanner
        self._candidates = candidates
        #: Name and begin of the function that each candidate is in, where they are known.
        self._functions: Dict[int, Tuple[Optional[str], Optional[int]]] = {}
        self._targets = [self._call_target(candidate) for candidate in candidates]
        self._slots = [candidate.slot for candidate in candidates]
        self._by_stack = {candidate.stack_pointer: index for index, candidate in enumerate(candidates)}

    def choose(self) -> List[int]:
        """Indices of the candidates on the way, in order, without the first."""
        count = len(self._candidates)
        steps: List[_Step] = [_Step(0, False, 0, count)] * count
        for index in range(count - 1, -1, -1):
            steps[index] = max(self._choices(index, steps))
        way = []
        index = steps[0].following if steps else count
        while index < count:
            way.append(index)
            index = steps[index].following
        return way

    def _choices(self, index: int, steps: Sequence[_Step]) -> List[_Step]:
        candidate = self._candidates[index]
        count = len(self._candidates)
        worth = _MACHINE_FRAME if candidate.is_machine_frame else 0
        link = candidate.link
        goal: Optional[int] = None
        choices: List[_Step] = []
        if link is not None and link.address == 0:
            # A stack ends with zero, but zeros are everywhere on it: other ways on are as good.
            choices.append(_Step(worth + _LINK, False, 1, count))
        elif link is not None:
            goal = self._by_stack.get(link.stack_pointer)
            if goal is not None and goal > index:
                choices.append(_onward(steps, goal, worth + _LINK, True))
                if candidate.is_unwound:
                    return choices
                worth += _LINK_IGNORED
        begin = index + 1
        if candidate.is_machine_frame:
            begin = bisect_left(self._slots, candidate.stack_pointer, begin)
        choices += [_onward(steps, other, worth + score, False) for other, score in self._unlinked(index, begin)]
        choices.append(_Step(worth, False, 1, count))
        return choices

    def _unlinked(self, index: int, begin: int) -> Iterator[Tuple[int, int]]:
        """The candidates that may follow one, no link leading there, with what speaks for each.

        They are the next one, those that call it, and the next one behind such as call another function.
        """
        others = range(begin, min(begin + _LOOK_AHEAD, len(self._candidates)))
        caller = self._known_caller(index, others)
        if caller is not None:
            yield caller, 0
            return
        is_next = True
        for other in others:
            evidence = self._evidence(index, other)
            if is_next or evidence > 0:
                yield other, evidence
            is_next = is_next and evidence < 0

    def _known_caller(self, index: int, others: Sequence[int]) -> Optional[int]:
        """The nearest of the only functions that call a candidate's function, where they are known."""
        name = self._function(index)[0]
        is_caller = _CALLERS.get(name) if name is not None else None
        if is_caller is None:
            return None
        return next((other for other in others if is_caller(self._function(other)[0] or "")), None)

    def _evidence(self, index: int, other: int) -> int:
        """What the call before a return address says of the frame that it is to be the caller of."""
        target = self._targets[other]
        if target is None or self._candidates[index].is_machine_frame:
            return 0
        begin = self._function(index)[1]
        if begin is None:
            return 0
        return _CALLS_IT if begin == target else _CALLS_ANOTHER

    def _call_target(self, candidate: Candidate) -> Optional[int]:
        """The virtual address that the call before a candidate calls; None where it does not say."""
        if not candidate.is_call_site:
            return None
        code = self._scanner.memory.read_optional(candidate.address - MAX_CALL_SIZE, MAX_CALL_SIZE)
        site = call_site(X64, code, candidate.address) if code is not None else None
        if site is None or site.target is None:
            return None
        place = self._scanner.target.symbols.nearest(site.target)
        if place is not None and place.name is not None and place.name.startswith(_DISPATCHERS):
            return None
        return site.target

    def _function(self, index: int) -> Tuple[Optional[str], Optional[int]]:
        known = self._functions.get(index)
        if known is None:
            known = self._functions[index] = self._look_up(self._candidates[index].address)
        return known

    def _look_up(self, address: int) -> Tuple[Optional[str], Optional[int]]:
        place = self._scanner.target.symbols.nearest(address)
        name = place.name if place is not None else None
        begin = self._scanner.unwinder.function_begin(address)
        if begin is None and place is not None and name is not None and place.displacement < _LONGEST_FUNCTION:
            begin = address - place.displacement
        return name, begin


def _onward(steps: Sequence[_Step], goal: int, score: int, is_link: bool) -> _Step:
    behind = steps[goal] if goal < len(steps) else None
    if behind is None:
        return _Step(score, is_link, 1, goal)
    return _Step(score + behind.score, is_link, 1 + behind.frames, goal)
