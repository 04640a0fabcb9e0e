"""LFH subsegments: blocks of one size, and a bitmap that says which are busy.

_HEAP_LFH_SUBSEGMENT.BlockOffsets is encoded with the low half of the LFH key and the subsegment's page number;
BlockBitmap has two bits a block, the lower one set where it is busy. Blocks that would cross a page are not used
(yardenshafir's PoolViewer). A block begins with its POOL_HEADER.
"""

from __future__ import annotations

from dumpkit.errors import MemoryReadError
from dumpkit.kernel.pool.block import LFH, PAGE, Block
from dumpkit.kernel.pool.header import PoolHeaders, field
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

_BITS_A_BLOCK = 2


class LfhSubsegment(NamedTuple):
    """A subsegment that takes the virtual addresses [address, end)."""

    address: int
    end: int
    #: Bytes of a block, its POOL_HEADER included.
    block_size: int
    #: Virtual address of the first block.
    first: int
    blocks: int

    def block_at(self, index: int) -> int:
        """The virtual address of a block."""
        return self.first + index * self.block_size


class LfhSubsegments:
    """Reads LFH subsegments with an LFH key. Raises SymbolError where a type is missing."""

    def __init__(self, target: Target, lfh_key: int, headers: PoolHeaders) -> None:
        self._memory = target.memory
        self._key = lfh_key
        self._headers = headers
        self._type = target.type("_HEAP_LFH_SUBSEGMENT")
        self._offsets = self._type.offset("BlockOffsets")
        self._size = field(self._type, "BlockOffsets.BlockSize")
        self._first = field(self._type, "BlockOffsets.FirstBlockOffset")
        self._bitmap = self._type.offset("BlockBitmap")

    def at(self, start: int, end: int) -> Tuple[Optional[LfhSubsegment], Optional[str]]:
        """The subsegment that takes [start, end), or None and why it cannot be told."""
        try:
            data = self._memory.read(start + self._offsets, 4)
            count = self._type.at(start).BlockCount
        except MemoryReadError as error:
            return None, f"the LFH subsegment's header at {start:016x} cannot be read: {error.reason}"
        decoded = int.from_bytes(data, "little") ^ self._key & 0xFFFF_FFFF ^ start >> 12 & 0xFFFF_FFFF
        clear = bytes(self._offsets) + decoded.to_bytes(4, "little")
        size, first = self._size.of(clear), self._first.of(clear)
        if not self._headers.unit <= size <= end - start or not self._bitmap < first < end - start:
            return None, (
                f"the LFH subsegment's header at {start:016x} is damaged:"
                f" blocks of {size:#x} from offset {first:#x} on in {end - start:#x} bytes"
            )
        fitting = (end - start - first) // size
        return LfhSubsegment(start, end, size, start + first, min(count, fitting)), None

    def indexes(self, subsegment: LfhSubsegment, start: int, end: int) -> Iterator[int]:
        """The blocks in use that overlap [start, end), by number; those that would cross a page are left out."""
        size = subsegment.block_size
        low = max(0, (start - subsegment.first) // size)
        high = min(subsegment.blocks, (end - 1 - subsegment.first) // size + 1)
        for index in range(low, high):
            place = subsegment.block_at(index)
            if size >= PAGE or place % PAGE + size <= PAGE:
                yield index

    def is_busy(self, subsegment: LfhSubsegment, index: int) -> bool:
        """Whether a block is allocated. Raises MemoryReadError."""
        bit = index * _BITS_A_BLOCK
        byte = self._memory.u8(subsegment.address + self._bitmap + bit // 8)
        return bool(byte >> bit % 8 & 1)

    def block(self, subsegment: LfhSubsegment, index: int) -> Block:
        """A block as the debugger shows it."""
        place, size = subsegment.block_at(index), subsegment.block_size
        problems: List[str] = []
        busy: Optional[bool] = None
        try:
            busy = self.is_busy(subsegment, index)
        except MemoryReadError as error:
            problems.append(f"the subsegment's bitmap cannot be read: {error.reason}")
        try:
            header = self._headers.at(place)
        except MemoryReadError as error:
            problems.append(f"its POOL_HEADER cannot be read: {error.reason}")
            return Block(LFH, place, place, place + size, size, busy, problems=tuple(problems))
        if not busy:
            return Block(LFH, place, place, place + size, size, busy, header.tag, problems=tuple(problems))
        shown = header.size
        if not self._headers.unit < shown <= size:
            problems.append(f"its POOL_HEADER is damaged: a size of {shown:#x} in a block of {size:#x}")
            shown = size
        return Block(
            LFH,
            place,
            place,
            place + size,
            shown,
            busy,
            header.tag,
            header.previous_size,
            header.pool_type,
            self._headers.process(header),
            place + self._headers.unit,
            problems=tuple(problems),
        )
