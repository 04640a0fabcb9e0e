"""`vm`: what the memory manager counts."""

from __future__ import annotations

from dumpkit.errors import CommandError, DumpkitError
from dumpkit.kernel.memory_counts import KILOBYTES_A_PAGE, memory_counts
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

_NO_PROCESSES, _ADDRESS_SPACE = 0x1, 0x20
#: Labels and numbers together end here.
_NUMBER_END = 33


class PagingFileData(Record):
    """A paging file; sizes in kilobytes."""

    name: Optional[str]
    current: int
    free: int
    minimum: int
    maximum: int


class MemoryCount(Record):
    """A count of pages."""

    name: str
    pages: int


class ProcessCommit(Record):
    """A process and the pages that are committed for it alone."""

    process: Hex
    pid: int
    name: str
    pages: int


class AddressRegion(Record):
    """A part of the system's address space, [base, end)."""

    base: Hex
    end: Hex
    va_type: str


class VirtualMemory(Record):
    """What `vm` found; None where it was not asked for."""

    paging_files: Tuple[PagingFileData, ...]
    counts: Tuple[MemoryCount, ...]
    processes: Optional[Tuple[ProcessCommit, ...]]
    regions: Optional[Tuple[AddressRegion, ...]]
    problems: Tuple[str, ...]


def _file_lines(file: PagingFileData) -> Iterator[str]:
    yield f"Page File: {file.name}" if file.name is not None else "No Name for Paging File"
    yield f"  Current:{file.current:10} Kb  Free Space:{file.free:10} Kb"
    yield f"  Minimum:{file.minimum:10} Kb  Maximum:   {file.maximum:10} Kb"


def _count_line(name: str, pages: int) -> str:
    label = f"{name}:"
    number = f"  {pages:{_NUMBER_END - len(label) - 2}}" if len(label) < _NUMBER_END - 2 else f" {pages}"
    return f"{label}{number} ({pages * KILOBYTES_A_PAGE:11} Kb)"


def vm_lines(result: VirtualMemory) -> Iterator[Line]:
    for file in result.paging_files:
        yield from _file_lines(file)
    if result.paging_files:
        yield ""
    for count in result.counts:
        yield _count_line(count.name, count.pages)
    if result.processes is not None:
        yield ""
        yield _count_line("Total Private", sum(process.pages for process in result.processes))
        for process in result.processes:
            kilobytes = process.pages * KILOBYTES_A_PAGE
            yield (
                "         ",
                Span(f"{process.pid:04x}", "address", f"process {process.process:x}"),
                f" {process.name:<16} {process.pages:11} ({kilobytes:11} Kb)",
            )
    for region in result.regions or ():
        yield f"{region.base:016x} - {region.end - 1 & 0xFFFF_FFFF_FFFF_FFFF:016x}  {region.va_type}"
    if result.problems:
        yield ""
        yield from result.problems


def _processes(session: Session, problems: List[str]) -> Tuple[ProcessCommit, ...]:
    from dumpkit.kernel.process import processes

    found = []
    try:
        walk = processes(session.dump)
        for process in walk:
            pages = process.record.get("CommitCharge")
            if pages is not None:
                found.append(ProcessCommit(Hex(process.address), process.pid, process.name, pages))
        if not walk.complete:
            problems.append(f"the list of processes ends early: {walk.ended}")
    except DumpkitError as error:
        problems.append(f"the processes cannot be read: {error}")
    return tuple(sorted(found, key=lambda process: -process.pages))


def _regions(session: Session, problems: List[str]) -> Tuple[AddressRegion, ...]:
    from dumpkit.kernel.system_va import system_va_types

    types = system_va_types(session.dump)
    if types.problem is not None:
        problems.append(f"no table of system address types: {types.problem}")
    regions = types.of_type(lambda name: True)
    return tuple(
        AddressRegion(Hex(region.base), Hex(region.end), region.type or region.name)
        for region in regions
        if region.type != "Unused"
    )


@command(
    "vm",
    category="Kernel",
    summary="Physical memory, paging files, commitment and pools, in pages",
    arguments=(Expression("flags", "1 without processes, 20 the regions of the system's address space"),),
    render=vm_lines,
)
def vm(session: Session, flags: int = 0) -> VirtualMemory:
    """Shows what the memory manager counts, in pages and kilobytes, then what each process has committed.

    Flags (hexadecimal, may be added up):
      1   no processes
      20  what the system's address space is used for

    Counts that the dump does not hold, or that this Windows does not keep, are named at the end.
    """
    found = memory_counts(session.dump)
    problems = list(found.problems)
    regions = _regions(session, problems) if flags & _ADDRESS_SPACE else None
    files = tuple(PagingFileData(file.name, *(pages * KILOBYTES_A_PAGE for pages in file[1:])) for file in found.files)
    counts = tuple(MemoryCount(name, pages) for name, pages in found.counts)
    shown = None if flags & _NO_PROCESSES else _processes(session, problems)
    if not counts and not shown and regions is None:
        raise CommandError(f"vm: {'; '.join(problems) or 'no count can be read'}")
    return VirtualMemory(files, counts, shown, regions, tuple(problems))
