"""Full dumps (type 1): the runs of physical memory stand in the header, the pages follow it.

Source: PHYSICAL_MEMORY_DESCRIPTOR64 in DUMP_HEADER64, as volatility and kdmp-parser document it:
NumberOfRuns, NumberOfPages, then (BasePage, PageCount) for each run.
"""

from __future__ import annotations

from array import array
from struct import Struct

from dumpkit.dump.header import HEADER_SIZE, Buffer, Header
from dumpkit.dump.runs import PAGE_LIMIT, PageRuns, place_runs
from dumpkit.errors import DumpFormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List

_DESCRIPTOR = Struct("<I4xQ")
_RUN = Struct("<QQ")

#: As many as the header's 700 bytes take.
_MOST_RUNS = (700 - _DESCRIPTOR.size) // _RUN.size


def read_runs(header: Header, view: Buffer) -> PageRuns:
    """The runs of a dump of type 1. Raises DumpFormatError where its header lists none."""
    block = header.physical_memory_block
    if block is None:
        raise DumpFormatError("Incomplete dump: its header does not list the runs of physical memory")
    run_count, listed = _DESCRIPTOR.unpack_from(block)
    notes: List[str] = []
    if run_count > _MOST_RUNS:
        notes.append(f"The header counts {run_count} runs of physical memory; it has room for {_MOST_RUNS}.")
        run_count = _MOST_RUNS
    starts: array[int] = array("Q")
    ends: array[int] = array("Q")
    for index in range(run_count):
        pfn, count = _RUN.unpack_from(block, _DESCRIPTOR.size + index * _RUN.size)
        if pfn >= PAGE_LIMIT or count >= PAGE_LIMIT:
            # Where the pages behind it lie is not to be known without its true count.
            notes.append(f"Run {index} of the header's physical memory (page {pfn:x}, {count:x} pages) is impossible.")
            break
        if count:
            starts.append(pfn)
            ends.append(pfn + count)
    if not starts:
        raise DumpFormatError("Damaged dump: its header lists no run of physical memory that can be")
    counted = sum(ends) - sum(starts)
    if not notes and counted != listed:
        notes.append(f"The header's runs of physical memory have {counted} pages, its total says {listed}.")
    runs = place_runs(starts, ends, HEADER_SIZE, len(view))
    runs.notes[:0] = notes
    return runs
