"""Bitmap dumps: one bit for each page of physical memory, the pages whose bit is set in their order.

Sources: rekall (plugins/overlays/windows/crashdump.py) and kdmp-parser for the header of types 5 and
6 ('SDMP' or 'FDMP', then 'DUMP'); SUMMARY_DUMP64 of the WDK, as Ghidra's pagedump and rizin document
it, for type 2. All offsets are file offsets.
"""

from __future__ import annotations

import re
from array import array
from struct import Struct

from dumpkit.dump.header import HEADER_SIZE, SUMMARY, Buffer, Header
from dumpkit.dump.runs import LOST_RUNS, PAGE_SHIFT, PageRuns, place_runs
from dumpkit.errors import DumpFormatError
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Tuple

#: FirstPage, TotalPresentPages, Pages at 0x2020; the bitmap follows at 0x2038.
_BITMAP_HEADER = Struct("<QQQ")
_BITMAP_HEADER_OFFSET = 0x2020
_BITMAP_OFFSET = 0x2038

#: SUMMARY_DUMP64: HeaderSize (the offset of the first page), BitmapSize in bits and Pages at 0x200c; bits at 0x2028.
_SUMMARY_HEADER = Struct("<III")
_SUMMARY_HEADER_OFFSET = 0x200C
_SUMMARY_BITMAP_OFFSET = 0x2028

_CHUNK = 1 << 15
_NONZERO = re.compile(rb"[^\0]")


class BitmapHeader(NamedTuple):
    """Where the bitmap and the pages lie: file offsets; sizes in pages, that is in bits."""

    bitmap_offset: int
    bits: int
    present: int
    first_page: int


def read_runs(header: Header, view: Buffer) -> PageRuns:
    """The runs of a dump of type 2, 5 or 6. Raises DumpFormatError where there is no bitmap to go by."""
    layout = _parse(header, view)
    end = min(layout.first_page, len(view))
    bits = min(layout.bits, max(0, end - layout.bitmap_offset) * 8)
    # A page takes more room than a bit: no more runs than pages can be of use.
    limit = (max(0, len(view) - layout.first_page) >> PAGE_SHIFT) + LOST_RUNS
    starts, ends = scan_bitmap(view, layout.bitmap_offset, bits, limit)
    runs = place_runs(starts, ends, layout.first_page, len(view))
    marked = sum(ends) - sum(starts)
    if bits < layout.bits and end == layout.first_page:
        runs.notes.append(f"The dump's page bitmap has {layout.bits} bits, but only {bits} fit before its first page.")
    elif bits < layout.bits:
        runs.notes.append(f"The page bitmap is cut short: {bits} of its {layout.bits} bits lie in the file.")
    elif marked != layout.present and len(starts) < limit:
        runs.notes.append(f"The page bitmap marks {marked} pages, its header counts {layout.present}.")
    return runs


def _parse(header: Header, view: Buffer) -> BitmapHeader:
    summary = header.dump_type == SUMMARY
    bitmap_offset = _SUMMARY_BITMAP_OFFSET if summary else _BITMAP_OFFSET
    if len(view) < bitmap_offset:
        raise DumpFormatError(f"Truncated dump: it ends at {len(view):x}, inside the header of its page bitmap")
    signature = bytes(view[HEADER_SIZE : HEADER_SIZE + 8])
    if signature not in (b"SDMPDUMP", b"FDMPDUMP"):
        raise DumpFormatError(
            f"Damaged dump: {signature.hex(' ')} at {HEADER_SIZE:x}, where its page bitmap should begin with 'SDMPDUMP'"
        )
    if summary:
        first_page, bits, present = _SUMMARY_HEADER.unpack_from(view, _SUMMARY_HEADER_OFFSET)
    else:
        first_page, present, bits = _BITMAP_HEADER.unpack_from(view, _BITMAP_HEADER_OFFSET)
    if not bits:
        raise DumpFormatError("Damaged dump: its page bitmap is empty")
    if first_page < bitmap_offset:
        raise DumpFormatError(f"Damaged dump: its first page would lie at {first_page:x}, inside its headers")
    return BitmapHeader(bitmap_offset, bits, present, first_page)


def scan_bitmap(view: Buffer, offset: int, bits: int, limit: int = 1 << 62) -> Tuple[array[int], array[int]]:
    """The runs of set bits in the `bits` bits at `offset`: their first bits, and the bits behind their last.

    No more than `limit` runs, the lowest. A chunk of bytes becomes one integer; exclusive-or with
    itself shifted by one leaves the bits that differ from the bit before them, where runs begin and end.
    """
    byte_bits = _bits_of_bytes()
    edges: array[int] = array("Q")
    last = 0
    for first_bit in range(0, bits, _CHUNK * 8):
        width = min(_CHUNK * 8, bits - first_bit)
        size = width + 7 >> 3
        start = offset + (first_bit >> 3)
        ones = (1 << width) - 1
        word = int.from_bytes(view[start : start + size], "little") & ones
        changes = (word ^ (word << 1 | last)) & ones
        last = word >> width - 1
        if changes:
            data = changes.to_bytes(size, "little")
            places = [match.start() for match in _NONZERO.finditer(data)]
            edges.extend([first_bit + (place << 3) + bit for place in places for bit in byte_bits[data[place]]])
            if len(edges) >= 2 * limit:
                edges = edges[: 2 * limit]
                break
    if len(edges) & 1:
        edges.append(bits)
    return edges[::2], edges[1::2]


def _bits_of_bytes() -> List[Tuple[int, ...]]:
    """For each byte its set bits, ascending."""
    return [tuple(bit for bit in range(8) if value >> bit & 1) for value in range(256)]
