"""Dump files of the kinds that hold physical memory, written from `PhysicalPages`.

Sources: DUMP_HEADER64's PHYSICAL_MEMORY_DESCRIPTOR (type 1), SUMMARY_DUMP64 (type 2), the 'SDMP' or
'FDMP' bitmap header (types 5 and 6) and the 'RDMP' headers (types 8, 9 and 0xA) as the WDK, rekall,
volatility, rizin and kdmp-parser document them. Microsoft's debugger engine opens the files of types
1, 2, 5 and 6; it wants RequiredDumpSpace to be the file's size.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from struct import pack
from typing import BinaryIO, Callable, Dict, Iterable, Iterator, Mapping, Optional, Sequence, Tuple

from tests.forge.header import (
    BITMAP_FULL,
    BITMAP_KERNEL,
    FULL,
    HEADER_SIZE,
    RDMP_COMPLETE,
    RDMP_KERNEL,
    RDMP_KERNEL_AND_USER,
    SUMMARY,
    build_header,
)
from tests.forge.memory import PAGE_SIZE, PhysicalPages

BITMAP_OFFSET = 0x2038
SUMMARY_BITMAP_OFFSET = 0x2028
RANGES_OFFSET = 0x2030


def full_dump(memory: PhysicalPages, root: int, **fields: object) -> bytes:
    """Type 1: the runs stand in the header, the pages follow it in their order."""
    return _dump(FULL, root, b"", memory, {"runs": memory.runs(), **fields})


def summary_dump(memory: PhysicalPages, root: int, **fields: object) -> bytes:
    """Type 2, the kernel dump of Windows 7 and before: 32-bit sizes, the bitmap at 0x2028."""
    pages = _bitmap_size(memory.runs())
    bitmap = _bitmap(memory.runs(), pages)
    first_page = _page_boundary(SUMMARY_BITMAP_OFFSET + len(bitmap))
    start = b"SDMPDUMP" + pack("<IIIII4xQ", 0, first_page, pages, len(memory.pages), pages, 0)
    part = (start + bitmap).ljust(first_page - HEADER_SIZE, b"\0")
    return _dump(SUMMARY, root, part, memory, {"runs": [(0, pages)], **fields})


def bitmap_dump(
    memory: PhysicalPages,
    root: int,
    dump_type: int = BITMAP_KERNEL,
    pages: Optional[int] = None,
    **fields: object,
) -> bytes:
    """Type 5 or 6: one bit a page up to page `pages`, the pages from the next page boundary of the file on."""
    return _dump(dump_type, root, bitmap_part(memory.runs(), pages, dump_type), memory, fields)


def rdmp_dump(memory: PhysicalPages, root: int, dump_type: int, spare_ranges: int = 0, **fields: object) -> bytes:
    """Type 8, 9 or 0xA: a list of page ranges; `spare_ranges` empty ones pad it (types 8 and 9)."""
    runs = memory.runs()
    ranges = b"".join(pack("<QQ", pfn, count) for pfn, count in runs) + bytes(16 * spare_ranges)
    first_page = RANGES_OFFSET + len(ranges)
    start = b"\x40\0\0\0RDMPDUMP\0\0\0\0" + pack("<QQ", first_page - 0x2020, first_page)
    totals = pack("<IHHQ", len(runs), 0, 0, len(memory.pages)) if dump_type == RDMP_COMPLETE else bytes(16)
    return _dump(dump_type, root, start + totals + ranges, memory, fields)


#: Every kind of dump that holds physical memory -> its writer: (memory, root, **header fields) -> bytes.
WRITERS: Dict[int, Callable[..., bytes]] = {
    FULL: full_dump,
    SUMMARY: summary_dump,
    BITMAP_FULL: partial(bitmap_dump, dump_type=BITMAP_FULL),
    BITMAP_KERNEL: partial(bitmap_dump, dump_type=BITMAP_KERNEL),
    RDMP_KERNEL: partial(rdmp_dump, dump_type=RDMP_KERNEL),
    RDMP_KERNEL_AND_USER: partial(rdmp_dump, dump_type=RDMP_KERNEL_AND_USER),
    RDMP_COMPLETE: partial(rdmp_dump, dump_type=RDMP_COMPLETE),
}


def bitmap_part(runs: Sequence[Tuple[int, int]], pages: Optional[int] = None, dump_type: int = BITMAP_KERNEL) -> bytes:
    """What stands between the header of a bitmap dump and its first page: bitmap header, bitmap, padding."""
    if pages is None:
        pages = _bitmap_size(runs)
    present = sum(count for _, count in runs)
    bitmap = _bitmap(runs, pages)
    first_page = _page_boundary(BITMAP_OFFSET + len(bitmap))
    signature = b"FDMPDUMP" if dump_type == BITMAP_FULL else b"SDMPDUMP"
    start = signature + bytes(0x18) + pack("<QQQ", first_page, present, pages)
    return (start + bitmap).ljust(first_page - HEADER_SIZE, b"\0")


def sparse_bitmap_dump(
    path: Path, runs: Sequence[Tuple[int, int]], root: int, pages: Iterable[Tuple[int, bytes]]
) -> None:
    """A bitmap dump (type 6) as a sparse file: of all pages in `runs`, only `pages` (number, bytes) are written."""
    start = bytes(build_header(BITMAP_KERNEL, root)) + bitmap_part(runs)
    with path.open("wb") as file:
        file.write(start)
        _write_sparse(file, len(start), runs, pages)


def _write_sparse(
    file: BinaryIO, first_page: int, runs: Sequence[Tuple[int, int]], pages: Iterable[Tuple[int, bytes]]
) -> None:
    places = []
    offset = first_page
    for pfn, count in runs:
        places.append((pfn, count, offset))
        offset += count * PAGE_SIZE
    wanted = sorted(pages)
    at = iter(places)
    pfn, count, start = next(at)
    for number, data in wanted:
        while number >= pfn + count:
            pfn, count, start = next(at)
        file.seek(start + (number - pfn) * PAGE_SIZE)
        file.write(data)
    file.truncate(offset)


def _bitmap(runs: Sequence[Tuple[int, int]], pages: int) -> bytes:
    bits = bytearray(-(-pages // 8))
    for pfn, count in runs:
        for number in _partial_bytes(pfn, count):
            bits[number >> 3] |= 1 << (number & 7)
        first, last = -(-pfn // 8), (pfn + count) // 8
        if last > first:
            bits[first:last] = b"\xff" * (last - first)
    return bytes(bits)


def _partial_bytes(pfn: int, count: int) -> Iterator[int]:
    """The pages of a run that do not fill a byte of the bitmap."""
    end = pfn + count
    first, last = -(-pfn // 8) * 8, end // 8 * 8
    if first >= last:
        yield from range(pfn, end)
    else:
        yield from range(pfn, first)
        yield from range(last, end)


def _bitmap_size(runs: Sequence[Tuple[int, int]]) -> int:
    """Bits up to the last page, in whole 64-bit words."""
    return -(-max((pfn + count for pfn, count in runs), default=1) // 64) * 64


def _page_boundary(offset: int) -> int:
    return -(-offset // PAGE_SIZE) * PAGE_SIZE


def _dump(dump_type: int, root: int, part: bytes, memory: PhysicalPages, fields: Mapping[str, object]) -> bytes:
    """Header, what follows it, and the pages ascending."""
    size = HEADER_SIZE + len(part) + PAGE_SIZE * len(memory.pages)
    header = build_header(dump_type, root, **{"required_dump_space": size, **fields})  # type: ignore[arg-type]
    return bytes(header) + part + b"".join(bytes(memory.pages[pfn]) for pfn in sorted(memory.pages))
