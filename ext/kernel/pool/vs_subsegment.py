"""VS subsegments: chunks of any size behind one another, each with an encoded header.

_HEAP_VS_SUBSEGMENT begins a range; its Signature is its Size xor 0x2BED in 15 bits. A _HEAP_VS_CHUNK_HEADER's sizes,
in units of 16 bytes, are xored with the heap key and the header's own address (yardenshafir's PoolViewer; public
talks). A chunk of less than a page has a POOL_HEADER behind its own; its data lies in one page, which may be the
page behind the two headers.
"""

from __future__ import annotations

from dumpkit.errors import MemoryReadError
from dumpkit.kernel.pool.block import PAGE, VS, Block, tag_text
from dumpkit.kernel.pool.header import PROTECTED, Field, PoolHeaders, field
from dumpkit.memory import U64_MASK
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional, Tuple

_UNIT = 16
_SIGNATURE = 0x2BED
#: No subsegment is larger: its size is a 16-bit number of units.
LARGEST_SUBSEGMENT = 0xFFFF * _UNIT
_PAGES_KEPT = 64


class Chunk(NamedTuple):
    """A chunk at the virtual address `address`; `size` in bytes, its header included."""

    address: int
    size: int
    #: What the header says of the chunk before it, in bytes.
    previous_size: int
    #: None where the header is damaged or missing.
    allocated: Optional[bool]
    #: The header's first eight bytes as they stand there.
    encoded: int
    problem: Optional[str] = None

    @property
    def end(self) -> int:
        """First address behind the chunk."""
        return self.address + self.size


class VsSubsegments:
    """Reads the chunks of VS subsegments with a heap key. Raises SymbolError where a type is missing."""

    def __init__(self, target: Target, heap_key: int, headers: PoolHeaders) -> None:
        self._target = target
        self._memory = target.memory
        self._key = heap_key
        self._headers = headers
        header = target.type("_HEAP_VS_CHUNK_HEADER")
        self._header_size = header.size
        #: Where the encoded sizes are in a header.
        self.bits_offset = header.offset("Sizes")
        self._size = self._bits_of(field(header, "Sizes.UnsafeSize"))
        self._previous = self._bits_of(field(header, "Sizes.UnsafePrevSize"))
        self._allocated = self._bits_of(field(header, "Sizes.Allocated"))
        #: The pages that were decoded last, as far as they can be read from their starts.
        self._pages: Dict[int, bytes] = {}
        self._subsegment = target.type("_HEAP_VS_SUBSEGMENT")

    def _bits_of(self, member: Field) -> Tuple[int, int]:
        """A member of the sizes as (shift, mask) in the eight bytes that are encoded."""
        return (member.offset - self.bits_offset) * 8 + member.shift, member.mask

    def extent(self, start: int, end: int) -> Tuple[int, int, List[str]]:
        """Where the chunks of the subsegment that takes [start, end) begin and end; and what is wrong with it."""
        record = self._subsegment.at(start)
        first = start + -(-self._subsegment.size // _UNIT) * _UNIT
        try:
            size, signature = record.Size, record.Signature
        except MemoryReadError as error:
            return first, end, [f"the VS subsegment's header at {start:016x} cannot be read: {error.reason}"]
        if (size ^ _SIGNATURE) & 0x7FFF != signature:
            return first, end, [f"the VS subsegment's header at {start:016x} is damaged: its signature is wrong"]
        return first, min(start + size * _UNIT, end), []

    def decode(self, address: int) -> Optional[Chunk]:
        """The chunk whose header is at an address as the header has it, or None where it cannot be read."""
        page, offset = address & -PAGE, address % PAGE
        data = self._pages.get(page)
        if data is None:
            if len(self._pages) >= _PAGES_KEPT:
                self._pages.clear()
            data = self._pages[page] = self._memory.read_prefix(page, PAGE)
        if len(data) < offset + self._header_size:
            # A minidump may hold the end of a page without its start.
            found = self._memory.read_optional(address, self._header_size)
            if found is None:
                return None
            data, offset = found, 0
        at = offset + self.bits_offset
        return self.decoded(int.from_bytes(data[at : at + 8], "little"), address)

    def decoded(self, encoded: int, address: int) -> Chunk:
        """The chunk whose header at an address has these eight bytes of sizes."""
        plain = (encoded ^ self._key ^ address) & U64_MASK
        (size, size_mask), (previous, previous_mask) = self._size, self._previous
        allocated = plain >> self._allocated[0] & self._allocated[1]
        return Chunk(
            address,
            (plain >> size & size_mask) * _UNIT,
            (plain >> previous & previous_mask) * _UNIT,
            bool(allocated) if allocated < 2 else None,
            encoded,
        )

    @staticmethod
    def _fits(chunk: Chunk, end: int) -> bool:
        """Whether a decoded header can be one at all."""
        return chunk.allocated is not None and chunk.size > 0 and chunk.end <= end

    def _is_confirmed(self, chunk: Chunk, end: int) -> bool:
        """Whether the header behind a chunk, or the subsegment's end, agrees with the chunk's size."""
        if not self._fits(chunk, end):
            return False
        following = self.decode(chunk.end) if chunk.end < end else None
        return chunk.end == end or (following is not None and following.previous_size == chunk.size)

    def chunks(self, first: int, end: int, until: int, since: int = 0) -> Iterator[Chunk]:
        """The chunks of a subsegment from `first` on, up to the one that reaches `until`.

        Behind a damaged or missing header the walk goes on at the next one that the header behind it confirms, but
        not in front of the page at `since`; what lies between is a chunk with a problem.
        """
        at, previous = first, 0
        while at < min(end, until):
            chunk = self.decode(at)
            # Memory that was never handed out ends the walk.
            if chunk is not None and chunk.encoded == 0:
                return
            confirmed = chunk is not None and self._is_confirmed(chunk, end)
            linked = chunk is not None and chunk.previous_size == previous and self._fits(chunk, end)
            resumed = self._successor(at, end, until) if linked and not confirmed else None
            if chunk is not None and (confirmed or (linked and resumed is None)):
                yield chunk
                at, previous = chunk.end, chunk.size
                continue
            problem = "its header is damaged"
            if chunk is None:
                problem = f"its header cannot be read: {self._memory.explain(at)}"
            resumed = resumed or self._resume(max(at + _UNIT, since - 2 * _UNIT), end, until)
            if resumed is None:
                yield self._gap(at, min(end, until), chunk, f"{problem}, and no sound header follows in the page")
                return
            if resumed.previous_size == resumed.address - at:
                problem += "; the next header confirms its size"
            yield self._gap(at, resumed.address, chunk, problem)
            at, previous = resumed.address, resumed.previous_size

    @staticmethod
    def _gap(start: int, end: int, chunk: Optional[Chunk], problem: str) -> Chunk:
        encoded = chunk.encoded if chunk is not None else 0
        return Chunk(start, end - start, 0, None, encoded, problem)

    def _successor(self, before: int, end: int, until: int) -> Optional[Chunk]:
        """A confirmed header that calls the chunk at `before` the one before it, in front of `until`."""
        for at in range(before + _UNIT, min(end, until), _UNIT):
            chunk = self.decode(at)
            if chunk is not None and chunk.previous_size == at - before and self._is_confirmed(chunk, end):
                return chunk
        return None

    def _resume(self, start: int, end: int, until: int) -> Optional[Chunk]:
        """The first header from `start` on, in front of `until`, that the header behind its chunk confirms."""
        for at in range(start, min(end, until), _UNIT):
            chunk = self.decode(at)
            if chunk is not None and self._is_confirmed(chunk, end):
                return chunk
        return None

    def page(self, page: int, end: int) -> Iterator[Chunk]:
        """The chunks of a page whose subsegment is not known, from the first confirmed header in it on."""
        first = self._resume(page - 2 * _UNIT, end, page + PAGE)
        if first is not None:
            yield from self.chunks(first.address, end, page + PAGE, page)

    # --- As blocks ----------------------------------------------------------------

    def block(self, chunk: Chunk) -> Block:
        """A chunk as the debugger shows it."""
        problems: Tuple[str, ...] = (chunk.problem,) if chunk.problem is not None else ()
        if chunk.allocated is None:
            problems += self._header_behind(chunk)
            return Block(VS, chunk.address, chunk.address, chunk.end, chunk.size, None, None, problems=problems)
        data = chunk.address + self._header_size
        room = chunk.size - self._header_size
        small = room < PAGE
        if small and chunk.allocated and not self._crosses(data, room):
            return self._with_header(chunk, data, room)
        if not small and chunk.allocated:
            # From a page on, allocations begin at a page.
            aligned = -(-data // PAGE) * PAGE
            data = aligned if aligned + PAGE <= chunk.end else data
            return Block(VS, data, chunk.address, chunk.end, chunk.end - data, True, data=data)
        # What stands where a POOL_HEADER would have its tag: a part of the encoded header.
        garbage = chunk.encoded >> 32
        if chunk.allocated:
            problems += ("it would cross a page, so it only fills up the page",)
        return Block(VS, chunk.address, chunk.address, chunk.end, chunk.size, False, garbage, problems=problems)

    def _header_behind(self, chunk: Chunk) -> Tuple[str, ...]:
        """What the POOL_HEADER behind a damaged header says, where it is sound itself."""
        data = self._memory.read_optional(chunk.address + self._header_size, self._headers.unit)
        if data is None:
            return ()
        header = self._headers.parse(data, 0, chunk.address + self._header_size)
        if not self._headers.plausible(header) or header.size > chunk.size - self._header_size:
            return ()
        return (f"the POOL_HEADER behind it is sound: {tag_text(header.tag & ~PROTECTED)}, {header.size:#x} bytes",)

    def _crosses(self, data: int, room: int) -> bool:
        """Whether a POOL_HEADER at `data` has to share a page with data that it does not."""
        return data % PAGE != PAGE - self._headers.unit and data // PAGE != (data + room - 1) // PAGE

    def _with_header(self, chunk: Chunk, data: int, room: int) -> Block:
        try:
            header = self._headers.at(data)
        except MemoryReadError as error:
            problem = f"its POOL_HEADER cannot be read: {error.reason}"
            return Block(VS, data, chunk.address, chunk.end, room, True, problems=(problem,))
        problems: Tuple[str, ...] = ()
        size = header.size
        if not self._headers.unit < size <= room:
            problems = (f"its POOL_HEADER is damaged: a size of {size:#x} in a chunk of {room:#x}",)
            size = room
        return Block(
            VS,
            data,
            chunk.address,
            chunk.end,
            size,
            True,
            header.tag,
            header.previous_size,
            header.pool_type,
            self._headers.process(header),
            data + self._headers.unit,
            problems=problems,
        )
