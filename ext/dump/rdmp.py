"""RDMP dumps (types 8, 9 and 0xA), as newer debuggers write them: a list of page ranges, then the pages.

Source: kdmp-parser and kdmp-parser-rs (RDMP_HEADER64 and what follows it). At 0x2000: marker 0x40,
'RDMP', 'DUMP', a reserved word, MetadataSize, FirstPageOffset; at 0x2020 sixteen bytes that for type
0xA hold NumberOfRanges and at 0x2028 the total of pages; at 0x2030 the ranges (PFN, count) up to the
first page. MetadataSize counts from 0x2020 to the first page. PFN 0 ends the list.
"""

from __future__ import annotations

from array import array
from struct import Struct

from dumpkit.dump.header import HEADER_SIZE, RDMP_COMPLETE, Buffer, Header
from dumpkit.dump.runs import LOST_RUNS, PAGE_LIMIT, PAGE_SHIFT, PageRuns, place_runs
from dumpkit.errors import DumpFormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

_HEADER = Struct("<I4s4s4xQQ")
_TOTALS_OFFSET = 0x2020
_TOTALS = Struct("<I4xQ")
_RANGES_OFFSET = 0x2030
_RANGE = Struct("<QQ")


def read_runs(header: Header, view: Buffer) -> PageRuns:
    """The runs of a dump of type 8, 9 or 0xA. Raises DumpFormatError where its header is not one."""
    if len(view) < _RANGES_OFFSET:
        raise DumpFormatError(f"Truncated dump: it ends at {len(view):x}, inside the header of its page ranges")
    marker, signature, valid, metadata_size, first_page = _HEADER.unpack_from(view, HEADER_SIZE)
    if (marker, signature, valid) != (0x40, b"RDMP", b"DUMP"):
        found = bytes(view[HEADER_SIZE : HEADER_SIZE + 12]).hex(" ")
        raise DumpFormatError(f"Damaged dump: {found} at {HEADER_SIZE:x}, where its page ranges' 'RDMPDUMP' should be")
    if first_page < _RANGES_OFFSET + _RANGE.size or metadata_size != first_page - _TOTALS_OFFSET:
        raise DumpFormatError(
            f"Damaged dump: {metadata_size:x} bytes of page ranges do not end at its first page ({first_page:x})"
        )
    total = _TOTALS.unpack_from(view, _TOTALS_OFFSET)[1] if header.dump_type == RDMP_COMPLETE else None
    starts, ends, note = _ranges(view, first_page, total)
    if not starts:
        raise DumpFormatError("Damaged dump: " + (note or "it lists no pages"))
    runs = place_runs(starts, ends, first_page, len(view))
    if note:
        runs.notes.append(note[0].upper() + note[1:] + ".")
    if total is not None and not note and sum(ends) - sum(starts) != total:
        runs.notes.append(f"The dump's page ranges have {sum(ends) - sum(starts)} pages, its header counts {total}.")
    return runs


def _ranges(view: Buffer, first_page: int, total: Optional[int]) -> Tuple[array[int], array[int], str]:
    """First pages, ends, and what is wrong with the list where it is cut (a clause, else empty)."""
    starts: array[int] = array("Q")
    ends: array[int] = array("Q")
    limit = (max(0, len(view) - first_page) >> PAGE_SHIFT) + LOST_RUNS
    listed = 0
    for offset in range(_RANGES_OFFSET, first_page - _RANGE.size + 1, _RANGE.size):
        if offset + _RANGE.size > len(view):
            return starts, ends, "its list of page ranges is cut short"
        pfn, count = _RANGE.unpack_from(view, offset)
        if not pfn or listed == total or len(starts) == limit:
            break
        if pfn >= PAGE_LIMIT or count >= PAGE_LIMIT:
            return starts, ends, f"its page range at {offset:x} (page {pfn:x}, {count:x} pages) is impossible"
        if count:
            starts.append(pfn)
            ends.append(pfn + count)
            listed += count
    return starts, ends, ""
