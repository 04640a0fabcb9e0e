"""What a report tells of a dump, gathered from the commands; `dump_page` and `markdown` make it look."""

from __future__ import annotations

from dumpkit import __version__
from dumpkit.clock import Zone, moment
from dumpkit.errors import DumpkitError
from dumpkit.kernel.module_origin import module_origin
from dumpkit.library import Answer, Dump
from dumpkit.module import Module
from dumpkit.named_tuple import NamedTuple
from dumpkit.report.memory_map import MemoryMap, memory_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Tuple

#: Seconds from 1601 to 1970.
_FILETIME_TO_UNIX = 11_644_473_600

#: Processors whose threads a report lists.
MOST_PROCESSORS = 128


class Driver(NamedTuple):
    """A loaded image."""

    name: str
    image: str
    #: Virtual addresses.
    base: int
    end: int
    #: Link time as ISO 8601, "" where the stamp is a hash or missing.
    linked: str
    version: str
    company: str
    description: str
    #: "Microsoft", "third party" or "unknown", and how that is known.
    whose: str
    evidence: str
    #: Whether frames of the failing stack are its.
    is_on_stack: bool
    is_blamed: bool


class ThreadFact(NamedTuple):
    """The thread that ran on a processor."""

    processor: int
    #: Virtual address; None where the dump does not tell it, and then `problem` says why.
    address: Optional[int]
    process: str
    tid: Optional[int]
    is_crashed: bool
    problem: str


class ReportFacts(NamedTuple):
    """Everything that a report shows. Parts that could not be had are None, and `problems` says why."""

    dump: Dump
    version: str
    info: Optional[Answer]
    crash: Optional[Answer]
    #: The analysis as JSON has it; empty where there is none.
    crash_data: Dict[str, Any]
    irql: Optional[Answer]
    drivers: Tuple[Driver, ...]
    unloaded: Tuple[str, ...]
    threads: Tuple[ThreadFact, ...]
    hang: Optional[Answer]
    memory: Optional[MemoryMap]
    problems: Tuple[str, ...]


def gather(dump: Dump) -> ReportFacts:
    """Ask for everything; a part that fails becomes a problem's line."""
    problems: List[str] = list(dump.target.notes)

    def attempt(what: str, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except DumpkitError as error:
            problems.append(f"{what}: {error}")
            return None

    crash = attempt("analyze", lambda: dump.run("analyze -v"))
    crash_data: Dict[str, Any] = crash.data if crash is not None else {}
    on_stack, blamed = _modules_of(crash_data)
    drivers = attempt("drivers", lambda: _drivers(dump, on_stack, blamed)) or ()
    unloaded = attempt("unloaded", lambda: tuple(each.name for each in dump.target.unloaded_modules)) or ()
    return ReportFacts(
        dump,
        __version__,
        attempt("di", lambda: dump.run("di")),
        crash,
        crash_data,
        attempt("irqlcheck", lambda: dump.run("irqlcheck")),
        drivers,
        unloaded,
        attempt("threads", lambda: _threads(dump)) or (),
        attempt("analyze -hang", lambda: dump.run("analyze -hang")),
        attempt("memory", lambda: memory_map(dump.target)),
        tuple(problems),
    )


def _modules_of(crash: Dict[str, Any]) -> Tuple[frozenset[str], Optional[str]]:
    """The modules of the failing stack, and the one that is blamed, by the debugger's names."""
    frames = crash.get("frames") or ()
    return frozenset(frame["module"] for frame in frames if frame["module"]), (crash.get("culprit") or {}).get("module")


def _drivers(dump: Dump, on_stack: frozenset[str], blamed: Optional[str]) -> Tuple[Driver, ...]:
    return tuple(_driver(dump, module, on_stack, blamed) for module in dump.modules)


def _driver(dump: Dump, module: Module, on_stack: frozenset[str], blamed: Optional[str]) -> Driver:
    origin = module_origin(dump.target, module)
    version = origin.version
    return Driver(
        module.name,
        module.image_name,
        module.base,
        module.end,
        _link_time(dump, module),
        version.file_version if version is not None else "",
        origin.company,
        version.strings.get("FileDescription", "") if version is not None else "",
        origin.whose,
        origin.evidence,
        module.name in on_stack,
        module.name == blamed,
    )


def _link_time(dump: Dump, module: Module) -> str:
    """When an image was linked; nothing where its stamp is known to be no time."""
    if not module.timestamp:
        return ""
    try:
        if dump.target.image(module).header().is_reproducible:
            return ""
    except DumpkitError:
        # Without the debug directory the stamp is all there is: one that lies after the dump is no time.
        pass
    when = dump.target.system.system_time
    is_later = when is not None and module.timestamp > when // 10_000_000 - _FILETIME_TO_UNIX
    return "" if is_later else moment(module.timestamp, Zone()).iso()[:10]


def _threads(dump: Dump) -> Tuple[ThreadFact, ...]:
    """The thread that ran on each processor."""
    from dumpkit.kernel.thread import current_thread

    target = dump.target
    found: List[ThreadFact] = []
    for processor in range(min(target.system.processors, MOST_PROCESSORS)):
        is_crashed = processor == target.current_processor
        try:
            thread = current_thread(target, processor)
            process = thread.process
            name = process.name if process is not None else ""
            found.append(ThreadFact(processor, thread.address, name, thread.tid, is_crashed, ""))
        except DumpkitError as error:
            found.append(ThreadFact(processor, None, "", None, is_crashed, str(error)))
    return tuple(found)
