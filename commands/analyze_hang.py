"""`analyze -hang`: who holds what others wait for."""

from __future__ import annotations

from dumpkit.commands.t_lines import thread_link
from dumpkit.kernel.analysis.hang import Blocker, analyze_hang, process_of
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple

#: Threads that are named one by one.
_MOST_NAMED = 8


class BlockerFacts(Record):
    """A thing that a thread holds and others wait for; addresses are virtual."""

    kind: str
    object: Optional[Hex]
    owner: Hex
    owner_process: Optional[str]
    #: What the owner does: its state, and where its own wait leads.
    owner_state: str
    waiters: Tuple[Hex, ...]
    evidence: str


class HangAnalysis(Record):
    """The threads that others wait for, the most waited for first."""

    blockers: Tuple[BlockerFacts, ...]
    deadlocks: Tuple[Tuple[Hex, ...], ...]
    threads: int
    blocked: int
    problems: Tuple[str, ...]


def hang_result(target: Target) -> HangAnalysis:
    """The answer as data. Raises SymbolError without the kernel's types."""
    found = analyze_hang(target)
    return HangAnalysis(
        tuple(_facts(blocker) for blocker in found.blockers),
        tuple(tuple(Hex(thread) for thread in cycle) for cycle in found.deadlocks),
        found.threads,
        found.blocked,
        found.problems,
    )


def _facts(blocker: Blocker) -> BlockerFacts:
    owner = blocker.owner
    waits = ", ".join(dict.fromkeys(cause.kind for cause in owner.causes))
    state = owner.ending or f"it waits itself: {waits}"
    return BlockerFacts(
        blocker.kind,
        Hex(blocker.object) if blocker.object else None,
        Hex(owner.thread.address),
        process_of(owner.thread),
        state,
        tuple(Hex(waiter) for waiter in blocker.waiters),
        blocker.evidence,
    )


def hang_lines(result: HangAnalysis) -> Iterator[Line]:
    yield f"{result.threads} threads, {result.blocked} of them wait for what another thread holds"
    for cycle in result.deadlocks:
        pieces = [piece for thread in cycle for piece in (thread_link(thread), " waits for ")]
        yield (Span("Deadlock: ", "error"), *pieces, thread_link(cycle[0]))
    for blocker in result.blockers:
        yield ""
        place = f" {blocker.object:016x}" if blocker.object is not None else ""
        process = f" ({blocker.owner_process})" if blocker.owner_process is not None else ""
        yield (f"{blocker.kind}{place} is held by thread ", thread_link(blocker.owner), process)
        yield f"    the owner:     {blocker.owner_state}"
        named = [piece for waiter in blocker.waiters[:_MOST_NAMED] for piece in (" ", thread_link(waiter))]
        more = f" and {len(blocker.waiters) - _MOST_NAMED} more" if len(blocker.waiters) > _MOST_NAMED else ""
        yield (f"    waited for by: {len(blocker.waiters)}:", *named, more)
        yield f"    known by:      {blocker.evidence}"
    for problem in result.problems:
        yield (Span(f"Not known: {problem}", "dim"),)
