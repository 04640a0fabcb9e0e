"""Why a thread waits, as data and as text: `t -a`."""

from __future__ import annotations

from dumpkit.commands.t_lines import thread_link
from dumpkit.durations import short_duration, truncated_milliseconds
from dumpkit.errors import DumpkitError
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.ticks import tick_length
from dumpkit.kernel.wait_chain import Cause, WaitChain, WaitNode
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple, Union


class WaitCause(Record):
    """A thing that a thread waits for; addresses are virtual."""

    kind: str
    object: Optional[Hex]
    #: By what this is known.
    evidence: str
    note: str
    irp: Optional[Hex]
    driver: Optional[str]
    owners: Tuple[WaitingThread, ...]


class WaitingThread(Record):
    """A thread on the way; `ending` says why the way ends here, "" where `causes` lead on."""

    thread: Hex
    process_name: Optional[str]
    state: str
    wait_reason: Optional[str]
    #: Milliseconds in this state.
    wait_time: Optional[int]
    causes: Tuple[WaitCause, ...]
    ending: str
    #: What called for the wait, where the stack can be read: the first function that is not the dispatcher's.
    wait_function: Optional[str] = None


class WaitAnalysis(Record):
    """Why a thread waits."""

    thread: WaitingThread
    #: Each deadlock as the addresses of its threads, in the order of waiting.
    deadlocks: Tuple[Tuple[Hex, ...], ...]


#: Kind of cause -> the type that its link shows.
_TYPES = {
    "mutant": "_KMUTANT",
    "fast mutex": "_FAST_MUTEX",
    "resource": "_ERESOURCE",
    "push lock": "_EX_PUSH_LOCK",
    "Semaphore": "_KSEMAPHORE",
    "the end of a thread": "_ETHREAD",
    "the end of a process": "_EPROCESS",
    "the answer to a message": "_KALPC_MESSAGE",
    "work in a queue": "_KQUEUE",
    "timer": "_KTIMER",
}


def wait_analysis(chain: WaitChain, with_stacks: bool) -> WaitAnalysis:
    """The answer as data."""
    deadlocks = tuple(tuple(Hex(thread.address) for thread in cycle) for cycle in chain.deadlocks)
    return WaitAnalysis(_node(chain.root, with_stacks), deadlocks)


def _node(node: WaitNode, with_stacks: bool) -> WaitingThread:
    thread = node.thread
    name = reason = waited = None
    try:
        name = thread.process.name
        reason = thread.wait_reason
        ticks, length = thread.wait_ticks, tick_length(thread.target)
        waited = truncated_milliseconds(ticks, length) if ticks is not None and length is not None else None
    except DumpkitError:
        pass
    causes = tuple(_cause(cause, with_stacks) for cause in node.causes)
    function = wait_function(thread) if with_stacks and causes else None
    return WaitingThread(Hex(thread.address), name, node.state, reason, waited, causes, node.ending, function)


def _cause(cause: Cause, with_stacks: bool) -> WaitCause:
    return WaitCause(
        cause.kind,
        Hex(cause.object) if cause.object else None,
        cause.evidence,
        cause.note,
        Hex(cause.irp) if cause.irp else None,
        cause.driver or None,
        tuple(_node(owner, with_stacks) for owner in cause.owners),
    )


#: Beginnings of the names of the kernel's functions that put a thread to sleep.
_PLUMBING = (
    *("KiSwap", "KiCommitThreadWait", "KeWaitFor", "KeDelayExecution", "Exp", "Exf", "KxWait", "KeRemoveQueue"),
    "ExAcquireResource",
)


def wait_function(thread: Thread) -> Optional[str]:
    """The first frame of a waiting thread that is not the dispatcher's; None where its stack cannot be read."""
    from dumpkit.kernel.named_frame import named_frames
    from dumpkit.kernel.stack import walk_stack

    try:
        frames = walk_stack(thread.target, thread.context(), 24)
    except DumpkitError:
        return None
    for named in named_frames(thread.target, frames):
        module, _, function = named.name.partition("!")
        if module != "nt" or not function.startswith(_PLUMBING):
            return named.name
    return None


def wait_analysis_lines(analysis: WaitAnalysis, is_verbose: bool) -> Iterator[Line]:
    """The tree of waits, deadlocks last."""
    yield "Wait analysis:"
    yield from _thread_lines(analysis.thread, 1, is_verbose)
    for cycle in analysis.deadlocks:
        yield ""
        pieces: List[Union[str, Span]] = [Span("Deadlock:", "error"), " "]
        for address in (*cycle, cycle[0]):
            pieces += [thread_link(address), " -> "]
        yield tuple(pieces[:-1])


def _thread_lines(thread: WaitingThread, depth: int, is_verbose: bool) -> Iterator[Line]:
    indent = "    " * depth
    name = thread.process_name if thread.process_name is not None else "?"
    facts = f" ({name}) {thread.state}"
    if thread.state == "Waiting":
        facts += f" ({thread.wait_reason})"
        if thread.wait_time is not None:
            facts += f" for {short_duration(thread.wait_time)}"
    if thread.ending:
        facts = f" ({name}): {thread.ending}"
    yield (indent, thread_link(thread.thread), facts)
    if is_verbose and thread.wait_function is not None:
        yield f"{indent}  in {thread.wait_function}"
    for cause in thread.causes:
        yield _cause_line(cause, indent)
        if is_verbose:
            yield f"{indent}  known by: {cause.evidence}"
        for owner in cause.owners:
            yield from _thread_lines(owner, depth + 1, is_verbose)


def _cause_line(cause: WaitCause, indent: str) -> Line:
    pieces: List[Union[str, Span]] = [f"{indent}  waits for {cause.kind}"]
    if cause.irp is not None:
        pieces += [" ", Span(f"{cause.irp:016x}", "address", f"irp {cause.irp:x}")]
    elif cause.object is not None:
        type = _TYPES.get(cause.kind, "_DISPATCHER_HEADER")
        pieces += [" ", Span(f"{cause.object:016x}", "address", f"dt nt!{type} {cause.object:x}")]
    if cause.note:
        pieces.append(f" ({cause.note})")
    if cause.owners:
        pieces.append(":" if "owned" in cause.note or cause.kind.startswith("the ") else ", owned by:")
    return tuple(pieces)
