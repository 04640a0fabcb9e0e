"""`apc`: asynchronous procedure calls that wait to be delivered.

Format: the example of the !apc page in Microsoft's debugger documentation, and public transcripts of x64.
"""

from __future__ import annotations

from functools import partial

from dumpkit.arguments import take_word
from dumpkit.commands.lt import chosen_process
from dumpkit.errors import CommandError, DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.kernel.apc import APC_OBJECT, MODES, Apc, ApcQueue, apc_queues, state_index
from dumpkit.kernel.process import Process, processes
from dumpkit.kernel.thread import Thread, thread_at
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator, List, Optional, Tuple

_USAGE = "apc [proc PROCESS | thre THREAD | KAPC]"
_ROUTINES = ("KernelRoutine", "RundownRoutine", "NormalRoutine")


class ApcRoutine(Record):
    """A routine of an APC; `symbol` is None where it has none."""

    name: str
    address: Hex
    symbol: Optional[str]


class ApcData(Record):
    """A KAPC; what cannot be read is None."""

    address: Hex
    type: Optional[int]
    routines: Tuple[ApcRoutine, ...]
    normal_context: Optional[Hex]


class QueueData(Record):
    """A queue of a thread: KERNEL or USER."""

    thread: Hex
    state_index: Optional[int]
    head: Hex
    mode: str
    apcs: Tuple[ApcData, ...]


class ProcessApcs(Record):
    """A process and those queues of its threads that have APCs."""

    process: Hex
    name: Optional[str]
    queues: Tuple[QueueData, ...]


class ApcReport(Record):
    """What was asked for: processes, a thread's queues, or one APC."""

    processes: Tuple[ProcessApcs, ...]
    queues: Tuple[QueueData, ...]
    apc: Optional[ApcData]
    #: What could not be read and why, one line each.
    problems: Tuple[str, ...]
    _is_of_all: bool = False


def apc_lines(result: ApcReport) -> Iterator[Line]:
    if result._is_of_all:
        yield "*** Enumerating APCs in all processes"
    for process in result.processes:
        place = Span(f"{process.process:016x}", "address", f"process {process.process:x} 0")
        yield ("Process ", place, f" {process.name or '????'}")
        for queue in process.queues:
            yield from _queue_lines(queue, "    ")
    for queue in result.queues:
        yield from _queue_lines(queue, "")
    if result.apc is not None:
        yield from _one_lines(result.apc, "")
    for problem in result.problems:
        yield (Span(problem, "dim"),)


def _queue_lines(queue: QueueData, indent: str) -> Iterator[Line]:
    index = "?" if queue.state_index is None else str(queue.state_index)
    yield (
        f"{indent}Thread ",
        Span(f"{queue.thread:016x}", "address", f"thread {queue.thread:x}"),
        f" ApcStateIndex {index} ApcListHead {queue.head:016x} [{queue.mode}]",
    )
    for apc in queue.apcs:
        yield from _one_lines(apc, f"{indent}    ")


def _one_lines(apc: ApcData, indent: str) -> Iterator[Line]:
    yield (f"{indent}KAPC @ ", Span(f"{apc.address:016x}", "address", f"dt nt!_KAPC {apc.address:x}"))
    yield f"{indent}  {'Type':<14} {'?' if apc.type is None else f'{apc.type:x}'}"
    for routine in apc.routines:
        place = Span(f"{routine.address:016x}", "address", f"u {routine.address:x}")
        yield (f"{indent}  {routine.name:<14} ", place, f" {routine.symbol or ''}")
    if apc.normal_context:
        yield f"{indent}  {'NormalContext':<14} {apc.normal_context:016x}"


@command(
    "apc",
    category="Kernel",
    summary="Asynchronous procedure calls that wait in threads' queues",
    arguments=(Text("query", "[proc PROCESS | thre THREAD | KAPC]; those of all processes where it is left out"),),
    render=apc_lines,
)
def apc(session: Session, query: str = "") -> ApcReport:
    """Shows the APCs that wait to be delivered: of all processes, of one, of a thread, or one of them.

    apc                         all processes, with the threads that have APCs
    apc proc ffffb5076a4eb040   those of a process: its address, id or name
    apc thre ffffb507729e3040   both queues of a thread
    apc ffffb50771234090        one APC
    """
    target = session.dump
    gaps = Gaps()
    kind, rest = take_word(query)
    if kind is None:
        walk = processes(target)
        found = tuple(_of_process(process, gaps) for process in walk)
        if not walk.complete:
            gaps.add("the end of the list of processes", walk.ended)
        return ApcReport(found, (), None, gaps.lines(), True)
    if kind.lower() in ("proc", "process"):
        process = chosen_process(session, rest.strip() or None)
        return ApcReport((_of_process(process, gaps),), (), None, gaps.lines())
    if kind.lower() in ("thre", "thread"):
        place = session.evaluate(rest.strip()) if rest.strip() else session.thread_address
        queues = tuple(_queues(thread_at(target, place), gaps, True))
        return ApcReport((), queues, None, gaps.lines())
    one = Apc(target, session.evaluate(query.strip()))
    if one.type != APC_OBJECT:
        raise CommandError(f"{one.address:016x} is no KAPC: its type is {one.type}", _USAGE)
    return ApcReport((), (), _data(one, gaps), gaps.lines())


def _of_process(process: Process, gaps: Gaps) -> ProcessApcs:
    what = f"process {process.address:016x}"
    name: Optional[str] = gaps.read(f"the name of {what}", lambda: process.name)
    threads = gaps.read(f"the threads of {what}", process.threads)
    queues: List[QueueData] = []
    if threads is not None:
        queues = list(_of_threads(threads, gaps))
        if not threads.complete:
            gaps.add(f"the end of the list of threads of {what}", threads.ended)
    return ProcessApcs(Hex(process.address), name, tuple(queues))


def _of_threads(threads: Iterable[Thread], gaps: Gaps) -> Iterator[QueueData]:
    for thread in threads:
        yield from _queues(thread, gaps, False)


def _queues(thread: Thread, gaps: Gaps, with_empty: bool) -> Iterator[QueueData]:
    what = f"the APCs of thread {thread.address:016x}"
    queues: List[ApcQueue] = gaps.read(what, lambda: list(apc_queues(thread)), [])
    for queue in queues:
        try:
            apcs = tuple(_data(each, gaps) for each in queue.apcs(thread.target))
        except DumpkitError as error:
            gaps.add(what, error)
            continue
        if not queue.walk.complete:
            gaps.add(what, queue.walk.ended)
        if apcs or with_empty:
            index: Optional[int] = gaps.read(what, lambda: state_index(thread))
            yield QueueData(Hex(thread.address), index, Hex(queue.head), MODES[queue.mode], apcs)


def _data(apc: Apc, gaps: Gaps) -> ApcData:
    what = f"APC {apc.address:016x}"
    routines = []
    for name in _ROUTINES:
        place: Optional[int] = gaps.read(what, partial(apc.routine, name))
        # Most have no normal routine, and some no rundown routine.
        if place:
            routines.append(ApcRoutine(name, Hex(place), _symbol(apc.target, place)))
    context = gaps.read(what, lambda: Hex(apc.context))
    return ApcData(Hex(apc.address), gaps.read(what, lambda: apc.type), tuple(routines), context)


def _symbol(target: Target, address: int) -> Optional[str]:
    found = target.symbols.nearest(address)
    if found is None:
        return None
    text = str(found)
    return text if "+0x" in text or "!" not in text else f"{text}+0"
