"""`pool`: whose memory an address is, and the blocks of its page."""

from __future__ import annotations

from dumpkit.errors import CommandError, SymbolError
from dumpkit.kernel.pool.allocation import PoolAllocation, allocation_of
from dumpkit.kernel.pool.block import BIG, LARGE, SPECIAL, Block, tag_text
from dumpkit.kernel.pool.header import PROTECTED
from dumpkit.kernel.pool.pool_page import PoolPage
from dumpkit.kernel.pool.pools import Pools, pools_of
from dumpkit.memory import U64_MASK
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

    from dumpkit.kernel.pool.classic_pool import Corruption
    from dumpkit.kernel.pool.tags import TagDescription

_CONTENTS, _ONLY_THIS, _NO_DESCRIPTION = 0x1, 0x2, 0x8000_0000
_CONTENT_ROWS, _ROW_SIZE = 2, 16
_HEADER_SIZE = 16

_BANNER = (
    "",
    "***",
    "*** An error (or corruption) in the pool was detected;",
    "*** Attempting to diagnose the problem.",
    "***",
    "*** Use !poolval {page:016x} for more details.",
    "***",
)


class PoolBlock(Record):
    """A line of `pool`. Addresses are virtual, sizes bytes."""

    address: Hex
    start: Hex
    end: Hex
    size: int
    previous_size: int
    #: None where damage or a missing page hides it.
    allocated: Optional[bool]
    #: As it is printed: of a free block whatever stands there.
    tag: Optional[str]
    protected: bool
    process: Optional[Hex]
    problems: Tuple[str, ...]
    #: The first bytes behind the header, where they were asked for; None where they cannot be read.
    contents: Optional[bytes] = None


class PoolHeap(Record):
    """A heap of the pool, as `pool` without an address lists it."""

    address: Hex
    kind: str
    node: Optional[int]
    special: bool


class LikelyBlock(Record):
    """A POOL_HEADER that would hold the address; nothing confirms it."""

    header: Hex
    size: int
    tag: str


class PoolReport(Record):
    """What `pool` found."""

    allocation: Optional[PoolAllocation]
    blocks: Tuple[PoolBlock, ...] = ()
    description: Optional[TagDescription] = None
    #: Whether the page can be read at all.
    readable: bool = True
    likely: Optional[LikelyBlock] = None
    heaps: Tuple[PoolHeap, ...] = ()
    problems: Tuple[str, ...] = ()
    _page: Optional[PoolPage] = None
    _flags: int = 0
    _keeps_sessions: bool = False
    _module: str = ""


# --- Lines --------------------------------------------------------------------------


def _status(allocated: Optional[bool]) -> str:
    return {True: "(Allocated)", False: "(Free)     "}.get(allocated, "(Corrupt)  ")  # type: ignore[arg-type]


def entry_line(block: Block, mark: str) -> Line:
    """A block's line; `mark` is `*` for the one that was asked for, else a space."""
    address = Span(f"{block.address:016x}", "address", f"pool {block.address:x}")
    tag = tag_text(block.tag & ~PROTECTED if block.allocated else block.tag) if block.tag is not None else "...."
    if block.allocator == SPECIAL and block.data is not None:
        kind = "Paged" if block.pool_type else "NonPaged"
        freed = " (Free)" if block.allocated is False else ""
        return (mark, address, f" size: {block.size:4x} data: {block.data:016x} ({kind}) {mark}{tag}{freed}")
    if block.allocator in (BIG, LARGE) or (block.allocated and block.data == block.address):
        name = tag if block.tag is not None else "unknown"
        return (mark, address, f" : large page allocation, tag is {name}, size is 0x{block.size:x} bytes")
    pieces: List[object] = [
        mark,
        address,
        f" size: {block.size:4x} previous size: {block.previous_size:4x}  {_status(block.allocated)} {mark}{tag}",
    ]
    if block.process is not None:
        pieces += [" Process: ", Span(f"{block.process:016x}", "address", f"process {block.process:x}")]
    if block.allocated and block.tag is not None and block.tag & PROTECTED:
        pieces.append(" (Protected)")
    return tuple(pieces)  # type: ignore[arg-type]


def _description_line(tag: str, description: Optional[TagDescription]) -> str:
    if description is None:
        return "\t\tOwning component : Unknown (update pooltag.txt)"
    binary = f", Binary : {description.binary}" if description.binary else ""
    return f"\t\tPooltag {tag} : {description.text}{binary}"


def _content_lines(block: PoolBlock, data_address: int) -> Iterator[str]:
    for row in range(_CONTENT_ROWS):
        words = []
        for column in range(4):
            at = row * _ROW_SIZE + column * 4
            piece = (block.contents or b"")[at : at + 4]
            words.append(f"{int.from_bytes(piece, 'little'):08x}" if len(piece) == 4 else "????????")
        yield f"{'    ' if row else ' '}{data_address + row * _ROW_SIZE & U64_MASK:016x}  {' '.join(words)}"
    yield ""


def _corruption_lines(page: PoolPage, corruption: Corruption) -> Iterator[Line]:
    place = f"@{corruption.address:016x}"
    if corruption.kind == "missing":
        yield f"The POOL_HEADER {place} cannot be read: {corruption.reason}"
        return
    if corruption.kind == "previous size":
        yield f"Bad previous allocation size {place}, last size was {corruption.expected // _HEADER_SIZE:x}"
    else:
        fault = "zero is invalid" if corruption.kind == "zero" else "too large"
        yield f"Bad allocation size {place}, {fault}"
    for line in _BANNER:
        yield line.format(page=page.page)


def _not_pool_lines(report: PoolReport, page: PoolPage) -> Iterator[Line]:
    yield f"{page.page:016x} is not a valid large pool allocation, checking large session pool..."
    if not report._keeps_sessions:
        yield "Unable to read large session pool table (Session data is not present in mini and kernel-only dumps)"
    yield f"{page.page:016x} is not valid pool. Checking for freed (or corrupt) pool"
    if page.heap is not None and page.is_free:
        kind = f"{page.heap.kind} " if page.heap.kind else ""
        yield f"{page.page:016x} is free memory of the {kind}pool's heap {page.heap.address:016x}"
    if not report.readable:
        yield f"Address {page.page:016x} could not be read. It may be a freed, invalid or paged out page"
    elif page.corruption is not None:
        yield from _corruption_lines(page, page.corruption)
    elif not page.is_free:
        if report._module:
            yield f"{page.address:016x} is in the image of {report._module}"
        elif page.region.type not in (None, "Unused") and not page.region.is_pool:
            yield f"{page.address:016x} is in system address space of type {page.region.type}"
        else:
            yield from (f"{page.page:016x}: {problem}" for problem in page.problems)
    if report.likely is not None:
        found = report.likely
        yield (
            f"Possibly {found.header:016x} size: {found.size:4x} {found.tag}"
            " (a POOL_HEADER that fits; nothing confirms it)"
        )


def _special_lines(report: PoolReport, page: PoolPage, block: Block) -> Iterator[Line]:
    if block.data is None:
        yield f"{page.page:016x}: Unable to get contents of special pool block"
        if page.is_free:
            yield f"{page.page:016x} is freed special pool"
    else:
        yield from _block_lines(report, report.blocks[0], block, True)
    yield from (f"{page.page:016x}: {problem}" for problem in block.problems)


def _block_lines(report: PoolReport, shown: PoolBlock, block: Block, mine: bool) -> Iterator[Line]:
    yield entry_line(block, "*" if mine else " ")
    if mine and not report._flags & _NO_DESCRIPTION and (block.tag is not None or block.allocated is not None):
        yield _description_line(shown.tag or "....", report.description)
    if report._flags & _CONTENTS:
        yield from _content_lines(shown, _data_address(block))


def pool_lines(report: PoolReport) -> Iterator[Line]:
    page = report._page
    if page is None:
        for heap in report.heaps:
            node = "special" if heap.special else f"node {heap.node}"
            yield (
                Span(f"{heap.address:016x}", "address", f"dt nt!_SEGMENT_HEAP {heap.address:x}"),
                f" {heap.kind:<10} ",
                node,
            )
        yield from report.problems
        return
    if not report._flags & _NO_DESCRIPTION:
        yield f"Pool page {page.address:016x} region is {page.region_name}"
    if page.allocator is None:
        yield from _not_pool_lines(report, page)
        return
    if page.allocator == SPECIAL:
        yield from _special_lines(report, page, page.blocks[0])
        return
    for shown, block in zip(report.blocks, page.blocks):
        mine = block.holds(page.address)
        if mine or not report._flags & _ONLY_THIS:
            yield from _block_lines(report, shown, block, mine)
            yield from (f"    {block.address:016x}: {problem}" for problem in block.problems)
    if page.block is None:
        yield f"{page.address:016x} is in no block: no block begins or reaches there"
    if report.allocation is not None and report.allocation.in_lookaside:
        yield f"{page.address:016x} was freed: a lookaside list keeps its block"
    if page.corruption is not None:
        yield from _corruption_lines(page, page.corruption)
    else:
        yield from (f"{page.page:016x}: {problem}" for problem in page.problems)


# --- Data ---------------------------------------------------------------------------


def _data_address(block: Block) -> int:
    if block.data is not None:
        return block.data
    return block.address + _HEADER_SIZE & U64_MASK


def _shown(target: Target, block: Block, contents: bool) -> PoolBlock:
    tag = block.tag
    return PoolBlock(
        Hex(block.address),
        Hex(block.start),
        Hex(block.end),
        block.size,
        block.previous_size,
        block.allocated,
        tag_text(tag & ~PROTECTED if block.allocated else tag) if tag is not None else None,
        bool(block.allocated and tag is not None and tag & PROTECTED),
        Hex(block.process) if block.process is not None else None,
        block.problems,
        target.memory.read_prefix(_data_address(block), _CONTENT_ROWS * _ROW_SIZE) if contents else None,
    )


def _likely(pools: Pools, page: PoolPage) -> Optional[LikelyBlock]:
    if page.allocator is not None or page.is_free or page.corruption is not None:
        return None
    header = pools.likely_header(page.address)
    return LikelyBlock(Hex(header.address), header.size, tag_text(header.tag & ~PROTECTED)) if header else None


def _heaps(pools: Pools) -> PoolReport:
    try:
        found = pools.heaps
    except SymbolError as error:
        raise CommandError(f"pool: this kernel's pool has no segment heaps to list: {error}") from error
    heaps = tuple(PoolHeap(Hex(heap.address), heap.kind, heap.node, heap.special) for heap in found.heaps.values())
    if not heaps and not found.problems:
        raise CommandError("pool: nt!ExPoolState names no heap")
    return PoolReport(None, heaps=heaps, problems=tuple(found.problems))


def report(target: Target, address: int, flags: int = 0) -> PoolReport:
    """What `pool` says of a virtual address. Raises SymbolError without the kernel's types."""
    pools = pools_of(target)
    page = pools.page(address)
    block = page.block
    description = None
    if block is not None and block.tag is not None and not flags & _NO_DESCRIPTION:
        from dumpkit.kernel.pool.tags import PoolTags

        description = PoolTags(target.name).describe(block.tag)
    module = target.module_at(address)
    return PoolReport(
        allocation_of(pools, page),
        tuple(_shown(target, each, bool(flags & _CONTENTS)) for each in page.blocks),
        description,
        page.is_readable,
        None if module is not None else _likely(pools, page),
        problems=page.problems,
        _page=page,
        _flags=flags,
        _keeps_sessions=not target.kind.startswith(("triage", "kernel", "automatic")),
        _module=module.image_name if module is not None else "",
    )


@command(
    "pool",
    category="Kernel",
    summary="The pool block of an address, and the others of its page",
    arguments=(
        Expression("address", "a virtual address; without one, the pool's heaps"),
        Expression("flags", "1 contents, 2 only the address's block, 80000000 no descriptions"),
    ),
    render=pool_lines,
)
def pool(session: Session, address: int = 0, flags: int = 0) -> PoolReport:
    """Shows the blocks of the page of an address, the one that holds it marked with *.

    It knows the segment heap's allocators (VS, LFH, page ranges, large allocations, special pool) and the
    classic pool of Windows before 19H1. A free line's tag is whatever stands there. Damaged headers are
    named, and the listing goes on at the next sound one.

    What tags stand for is looked up in pooltag.txt of Microsoft's debuggers, if there is one beside the
    dump, at DUMPKIT_POOLTAG (a file or a folder), or where the debuggers are installed.

    Flags (hexadecimal, may be added up):
      1         the first bytes of each block too
      2         only the block that holds the address
      80000000  neither the region nor what the tag stands for
    """
    if address in (0, U64_MASK):
        return _heaps(pools_of(session.dump))
    return report(session.dump, address, flags)
