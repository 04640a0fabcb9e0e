"""What a dump file still holds, part by part: `dumpkit check`."""

from __future__ import annotations

from dumpkit.dump.header import DUMP_TYPES, HEADER_SIZE
from dumpkit.dump.physical_target import PhysicalTarget
from dumpkit.dump.tagged import TaggedBlob
from dumpkit.dump.target import DumpTarget
from dumpkit.dump.triage import TABLES_END
from dumpkit.dump.triage_target import TriageTarget
from dumpkit.errors import DumpkitError
from dumpkit.kernel.processors import MOST_PROCESSORS
from dumpkit.memory import PAGE_SIZE
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Bugcheck

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple


class Part(NamedTuple):
    """A part of the file: where it begins (a file offset), its size, and how many bytes of that the file has."""

    name: str
    offset: int
    size: int
    available: int

    @property
    def is_whole(self) -> bool:
        return self.available == self.size


class DumpCheck(NamedTuple):
    """What was found in a dump. Sizes are bytes."""

    path: str
    file_size: int
    #: In words ("triage dump (minidump)"), and the header's number for it.
    kind: str
    dump_type: int
    #: "x64" or "ARM64".
    machine: str
    build: int
    processors: int
    bugcheck: Optional[Bugcheck]
    parts: Tuple[Part, ...]
    #: Memory that can be read: in a triage dump virtual memory, in others physical.
    memory_size: int
    #: The pieces (data blocks, runs of pages) that it comes in.
    memory_pieces: int
    modules: int
    unloaded_modules: int
    #: The processors whose registers the dump holds.
    registers: Tuple[int, ...]
    tagged: Tuple[TaggedBlob, ...]
    #: What is damaged or missing, one line each.
    notes: Tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is damaged or missing."""
        return not self.notes and all(part.is_whole for part in self.parts)


def check_dump(target: DumpTarget) -> DumpCheck:
    """Look at every part of a dump. A file that cannot be opened at all has no check: `open_dump` says why."""
    parts, size, pieces = [Part("dump header", 0, HEADER_SIZE, HEADER_SIZE)], 0, 0
    if isinstance(target, TriageTarget):
        parts += _triage_parts(target)
        extents = target.memory.extents_in_order
        size, pieces = sum(end - start for start, end, _ in extents), len(extents)
    elif isinstance(target, PhysicalTarget):
        parts += _page_parts(target)
        size, pieces = target.physical.page_count * PAGE_SIZE, len(target.physical.runs)
    header = target.header
    registers = tuple(_processors_with_registers(target))
    tagged = tuple(target.tagged_blobs)
    if tagged:
        begin, last = target.end_of_dump, tagged[-1]
        end = last.offset + last.size
        parts.append(Part("tagged data", begin, end - begin, min(end, len(target.view)) - begin))
    return DumpCheck(
        path=target.name,
        file_size=len(target.view),
        kind=DUMP_TYPES[header.dump_type],
        dump_type=header.dump_type,
        machine=target.architecture.name,
        build=header.minor_version,
        processors=header.processors,
        bugcheck=target.bugcheck,
        parts=tuple(parts),
        memory_size=size,
        memory_pieces=pieces,
        modules=len(target.modules),
        unloaded_modules=len(target.unloaded_modules),
        registers=registers,
        tagged=tagged,
        notes=tuple(target.notes),
    )


def _triage_parts(target: TriageTarget) -> List[Part]:
    tables, data = target.triage.tables, target.triage.debugger_data
    sizes = {name: (data[name] or 0) if data is not None else 0 for name in ("SizePrcb", "SizeEProcess", "SizeEThread")}
    known = (
        ("triage tables", HEADER_SIZE, TABLES_END - HEADER_SIZE),
        ("PRCB", tables.prcb_offset, sizes["SizePrcb"]),
        ("process", tables.process_offset, sizes["SizeEProcess"]),
        ("thread", tables.thread_offset, sizes["SizeEThread"]),
        ("stack", tables.call_stack_offset, tables.call_stack_size),
        ("debugger data", tables.debugger_data_offset, tables.debugger_data_size),
        ("loaded modules", tables.driver_list_offset, tables.driver_count * 0x90),
        ("module names", tables.string_pool_offset, tables.string_pool_size),
        ("data page", tables.data_page_offset, tables.data_page_size),
        ("list of data blocks", tables.data_blocks_offset, tables.data_block_count * 0x10),
        ("end mark", tables.valid_offset, 4),
    )
    file_size = len(target.view)
    return [
        Part(name, offset, size, max(0, min(size, file_size - offset)))
        for name, offset, size in known
        if offset and size
    ]


def _page_parts(target: PhysicalTarget) -> List[Part]:
    runs = target.physical.runs
    first = min((run.offset for run in runs), default=HEADER_SIZE)
    available = target.physical.page_count * PAGE_SIZE
    lost = (sum(runs.lost_ends) - sum(runs.lost_starts)) * PAGE_SIZE
    return [Part("list of pages", HEADER_SIZE, first - HEADER_SIZE, first - HEADER_SIZE)] * (first > HEADER_SIZE) + [
        Part("pages", first, available + lost, available)
    ]


def _processors_with_registers(target: DumpTarget) -> List[int]:
    found = []
    for number in range(min(target.header.processors, MOST_PROCESSORS)):
        try:
            target.context(number)
        except DumpkitError:
            continue
        found.append(number)
    return found
