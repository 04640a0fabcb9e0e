"""`process` (kdexts' `!process`): a process or all of them, with statistics and threads."""

from __future__ import annotations

from dumpkit.arguments import take_word
from dumpkit.commands.process_block import ProcessBlock, process_block, process_block_lines
from dumpkit.commands.process_statistics import ProcessStatistics, process_statistics, statistics_lines
from dumpkit.commands.thread_block import THREADS, TIMES, WAITS, ThreadBlock, thread_block, thread_block_lines
from dumpkit.errors import CommandError, DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.kernel.process import Process, find_process, process_at, processes
from dumpkit.named_tuple import NamedTuple
from dumpkit.output import Line, Span
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

_USAGE = "process [/s SESSION] [/m MODULE] [PROCESS [FLAGS [IMAGE]]]"
_CURRENT = 0xFFFF_FFFF_FFFF_FFFF
#: Kernel addresses begin above: a smaller number is a process id.
_LOWEST_ADDRESS = 1 << 32
_THREAD_INDENT = " " * 8


class ProcessReport(Record):
    """A process; what was not asked for is None."""

    process: ProcessBlock
    statistics: Optional[ProcessStatistics]
    threads: Optional[Tuple[ThreadBlock, ...]]


class ProcessReports(Record):
    """One process or many."""

    processes: Tuple[ProcessReport, ...]
    #: What could not be read and why, one line each.
    problems: Tuple[str, ...]
    #: The id that was looked for.
    searched: Optional[int] = None
    _is_dump_of_all: bool = False


class _Request(NamedTuple):
    """What the arguments ask for."""

    process: Optional[int]
    flags: int
    image: Optional[str]
    session: Optional[int]
    module: Optional[str]


def _request(session: Session, text: str) -> _Request:
    owner: Optional[int] = None
    module = None
    text = text.strip()
    while text[:2].lower() in ("/s", "/m"):
        letter = text[1].lower()
        word, text = take_word(text[2:])
        text = text.strip()
        if word is None:
            raise CommandError(f"process: /{letter} needs its value behind it", _USAGE)
        if letter == "m":
            module = word
        else:
            # Sessions are counted in decimal.
            if not word.isdigit():
                raise CommandError(f"process: '{word}' is no session", _USAGE)
            owner = int(word)
    process, text = session.evaluate_prefix(text) if text else (None, "")
    text = text.strip()
    is_one = process not in (None, 0, _CURRENT)
    flags, text = session.evaluate_prefix(text) if text else (0xF if is_one else TIMES | WAITS, "")
    image, rest = take_word(text)
    if rest.strip():
        raise CommandError(f"process: unexpected '{rest.strip()}'", _USAGE)
    if image is not None and process != 0:
        raise CommandError("process: an image's name stands behind 0 FLAGS only", _USAGE)
    if process is None and (owner is not None or module is not None):
        process = 0
    return _Request(process, flags, image, owner, module)


def process_lines(result: ProcessReports) -> Iterator[Line]:
    if result.searched is not None:
        yield f"Searching for Process with Cid == {result.searched:x}"
    if result._is_dump_of_all:
        yield "**** NT ACTIVE PROCESS DUMP ****"
    for report in result.processes:
        yield from process_block_lines(report.process)
        if report.statistics is not None:
            yield from statistics_lines(report.statistics)
        yield ""
        if report.threads is not None:
            if not report.threads:
                yield "No active threads"
                yield ""
            for block in report.threads:
                yield from thread_block_lines(block, _THREAD_INDENT)
                # Threads of one line stand close together.
                if block._flags & WAITS:
                    yield ""
    for problem in result.problems:
        yield (Span(problem, "dim"),)


def _chosen(session: Session, request: _Request, gaps: Gaps) -> Iterator[Process]:
    """The processes that were asked for. Raises DumpkitError where it is one that is not there."""
    target = session.dump
    number = request.process
    if number is None or number == _CURRENT:
        yield Process(target, session.process_address)
        return
    if number == 0:
        yield from _filtered(session, request, gaps)
        return
    if number < _LOWEST_ADDRESS:
        found = find_process(target, number)
        if found is None:
            raise CommandError(f"No active process has the id {number:x}")
        yield found
        return
    yield process_at(target, number)


def _filtered(session: Session, request: _Request, gaps: Gaps) -> Iterator[Process]:
    """All active processes but those that a filter leaves out."""
    walk = processes(session.dump)
    for process in walk:
        try:
            if request.image is not None and not _is_image(process, request.image):
                continue
            if request.session is not None and process.session_id != request.session:
                continue
            if request.module is not None and not _has_module(process, request.module, gaps):
                continue
        except DumpkitError as error:
            gaps.add(f"process {process.address:016x}", error)
            continue
        yield process
    if not walk.complete:
        gaps.add("the end of the list of processes", walk.ended)


def _is_image(process: Process, image: str) -> bool:
    """Whether a process is called so; names in the EPROCESS end behind 14 or 15 characters."""
    wanted = image.lower()
    short = process.image_file_name.lower()
    return wanted == process.name.lower() or (len(short) >= 14 and wanted.startswith(short))


def _has_module(process: Process, name: str, gaps: Gaps) -> bool:
    from dumpkit.kernel.user_modules import user_modules

    wanted = name.lower()
    found = user_modules(process)
    gaps.add(f"the modules of process {process.address:016x}", found.problem)
    files = [module.image_name.lower() for module in found.modules]
    return any(wanted in (file, file.rpartition(".")[0]) for file in files)


def _report(process: Process, flags: int, gaps: Gaps) -> ProcessReport:
    statistics = process_statistics(process, gaps) if flags & TIMES else None
    threads: Optional[List[ThreadBlock]] = None
    if flags & (WAITS | THREADS):
        threads = []
        walk = gaps.read(f"the threads of process {process.address:016x}", process.threads)
        for thread in walk or ():
            threads.append(thread_block(thread, flags, gaps))
        if walk is not None and not walk.complete:
            gaps.add(f"the end of the list of threads of process {process.address:016x}", walk.ended)
    return ProcessReport(process_block(process, gaps), statistics, None if threads is None else tuple(threads))


@command(
    "process",
    category="Kernel",
    summary="A process or all of them as kdexts shows them: ids, statistics, threads",
    arguments=(Text("query", "[/s SESSION] [/m MODULE] [PROCESS [FLAGS [IMAGE]]]"),),
    render=process_lines,
)
def process(session: Session, query: str = "") -> ProcessReports:
    """Shows the current process, the one at an address or of an id, or with 0 all of them. FLAGS are bits:

    1   times, memory and priorities
    2   threads with what they wait for
    4   threads; with 2 their requests, times and stacks
    8   stacks without arguments
    10  accepted: a thread's stack is always read in its own process

    process 0 0               every process in short
    process 0 7 smss.exe      those of an image, with their threads' stacks
    process /s 1 0 0          those of session 1
    process /m ntdll.dll 0 0  those that have loaded a module, where their memory is in the dump
    process 4 2               by id
    """
    request = _request(session, query)
    gaps = Gaps()
    chosen = [_report(found, request.flags, gaps) for found in _chosen(session, request, gaps)]
    number = request.process
    is_id = number is not None and 0 < number < _LOWEST_ADDRESS
    is_all = number == 0 and request.image is None and request.session is None and request.module is None
    return ProcessReports(tuple(chosen), gaps.lines(), number if is_id else None, is_all)
