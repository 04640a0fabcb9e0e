"""What `running -i -t` shows: the processors with their threads and queued spin locks, as kdexts has them.

Format: public transcripts of !running -it on x64.
"""

from __future__ import annotations

from functools import partial

from dumpkit.commands.stack import StackFrame, StackTrace, frames_with_inlined, stack_lines
from dumpkit.errors import DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.whole_stack import whole_stack
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Optional, Tuple

#: Queued spin locks that are shown of each processor.
_LOCKS = 16
#: Low bits of KSPIN_LOCK_QUEUE.Lock: the processor waits for the lock, or owns it.
_WAITS, _OWNS = 1, 2


class ProcessorState(Record):
    """A processor. Addresses are virtual; what cannot be read is None."""

    number: int
    prcb: Hex
    current: Optional[Hex]
    priority: Optional[int]
    #: The thread that was chosen to run next; None where there is none.
    next: Optional[Hex]
    next_priority: Optional[int]
    idle: Optional[Hex]
    is_idle: bool
    #: A character for each queued spin lock: `.` not in use, O owned, W waited for.
    locks: str
    frames: Tuple[StackFrame, ...]
    stack_problem: Optional[str]


class ProcessorSummary(Record):
    """The processors that were asked for, and masks of all and of those that idle."""

    system: Hex
    idle: Hex
    processors: Tuple[ProcessorState, ...]
    #: What could not be read and why, one line each.
    problems: Tuple[str, ...]
    _with_stacks: bool = False


def summary_lines(result: ProcessorSummary) -> Iterator[Line]:
    yield ""
    yield f"System Processors:  ({result.system:016x})"
    yield f"  Idle Processors:  ({result.idle:016x})"
    if result.idle == result.system:
        yield "All processors idle."
    if result.processors:
        yield ""
        yield "       Prcbs             Current         (pri) Next            (pri) Idle"
    for each in result.processors:
        yield _row(each)
        if result._with_stacks:
            yield ""
            if each.stack_problem is not None:
                yield (Span(each.stack_problem, "warning"),)
            else:
                yield from stack_lines(StackTrace(each.number, each.frames, False, False, "n"))
            yield ""
    for problem in result.problems:
        yield (Span(problem, "dim"),)


def _row(each: ProcessorState) -> Line:
    blank = " " * 16
    current = "?" * 16 if each.current is None else f"{each.current:016x}"
    return (
        f"  {each.number:<3}  {each.prcb:016x}  ",
        Span(current, "address", f"t {each.current or 0:x}"),
        f" {_priority(each.priority)} ",
        Span(f"{each.next:016x}", "address", f"t {each.next:x}") if each.next else blank,
        f" {_priority(each.next_priority) if each.next else ' ' * 4} ",
        "?" * 16 if each.idle is None else f"{each.idle:016x}",
        f"  {each.locks}",
    )


def _priority(value: Optional[int]) -> str:
    return f"({'?' if value is None else value:>2})"


def processor_summary(target: Target, with_idle: bool, with_stacks: bool) -> ProcessorSummary:
    """The processors, idle ones where they are asked for, with their stacks likewise."""
    gaps = Gaps()
    target.type("_KPRCB")
    found: List[ProcessorState] = []
    every = idle = 0
    for number in range(target.system.processors):
        state: Optional[ProcessorState] = gaps.read(f"processor {number}", partial(_state, target, number, gaps))
        if state is None:
            continue
        every |= 1 << number
        idle |= state.is_idle << number
        if with_idle or not state.is_idle:
            found.append(_with_stack(target, state) if with_stacks else state)
    return ProcessorSummary(Hex(every), Hex(idle), tuple(found), gaps.lines(), with_stacks)


def _state(target: Target, number: int, gaps: Gaps) -> ProcessorState:
    place = target.prcb_address(number)
    prcb = target.type("_KPRCB").at(place)
    current, following, idle = (int(prcb.member(name)) for name in ("CurrentThread", "NextThread", "IdleThread"))
    return ProcessorState(
        number,
        Hex(place),
        Hex(current),
        gaps.read(f"thread {current:016x}", lambda: Thread(target, current).priority),
        Hex(following) if following else None,
        gaps.read(f"thread {following:016x}", lambda: Thread(target, following).priority) if following else None,
        Hex(idle),
        current == idle,
        gaps.read(f"the spin locks of processor {number}", lambda: _locks(prcb), "?" * _LOCKS),
        (),
        None,
    )


def _locks(prcb: Any) -> str:
    """The state of each queued spin lock of a KPRCB."""
    queue = prcb.LockQueue
    letters = []
    for index in range(min(_LOCKS, len(queue))):
        bits = int(queue.element(index).Lock) & (_WAITS | _OWNS)
        letters.append("O" if bits & _OWNS else "W" if bits & _WAITS else ".")
    return "".join(letters)


def _with_stack(target: Target, state: ProcessorState) -> ProcessorState:
    """The state of a processor with its thread's stack, or why there is none."""
    rows: List[StackFrame] = []
    problem = None
    try:
        thread = Thread(target, int(state.current or 0))
        for frame, side in whole_stack(thread, target.context(state.number)):
            for _, named in frames_with_inlined(side, [frame], len(rows)):
                rows += named
    except DumpkitError as error:
        problem = str(error)
    facts = {name: getattr(state, name) for name in state._fields}
    facts.update(frames=tuple(rows), stack_problem=problem)
    return ProcessorState(**facts)
